package load

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is the unit of the times in /proc/PID/stat: Linux shows them in 1/100 s on every machine that
// Go runs on.
const tick = 10 * time.Millisecond

// processTime is the CPU time that processes used since they began.
func processTime(pids []int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			return 0, fmt.Errorf("CPU time of the server: %w", err)
		}
		// The name, in parentheses, may hold anything. utime and stime are fields 14 and 15 (proc(5)).
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		if len(fields) < 13 {
			return 0, fmt.Errorf("CPU time of the server: /proc/%d/stat has another form", pid)
		}
		for _, f := range fields[11:13] {
			n, _ := digits(f)
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}

// processMemory is the resident memory of processes, in bytes.
func processMemory(pids []int) (int64, error) {
	var sum int64
	for _, pid := range pids {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
		if err != nil {
			return 0, fmt.Errorf("memory of the server: %w", err)
		}
		fields := bytes.Fields(text)
		if len(fields) < 2 {
			return 0, fmt.Errorf("memory of the server: /proc/%d/statm has another form", pid)
		}
		pages, _ := digits(fields[1])
		sum += int64(pages) * int64(os.Getpagesize())
	}
	return sum, nil
}
