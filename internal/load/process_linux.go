package load

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
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
		if errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("there is no process %d", pid)
		}
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

// listens says whether one of some processes listens on a TCP port, and whether that is known: it is not
// where one is in another network namespace, or for want of rights.
func listens(pids []int, port int) (yes, known bool) {
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return false, false
	}
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, err := os.ReadFile(table) //nolint:gosec // one of these two
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, false
		}
		for line := range strings.Lines(string(text)) {
			// sl local_address rem_address st … inode is field 10 (proc(5)); 0A is LISTEN.
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				sockets["socket:["+f[9]+"]"] = true
			}
		}
	}
	for _, pid := range pids {
		dir := "/proc/" + strconv.Itoa(pid)
		theirs, err := os.Readlink(dir + "/ns/net")
		if err != nil || theirs != ours {
			return false, false
		}
		open, err := os.ReadDir(dir + "/fd")
		if err != nil {
			return false, false
		}
		for _, fd := range open {
			if to, _ := os.Readlink(dir + "/fd/" + fd.Name()); sockets[to] { // it may be closed again
				return true, true
			}
		}
	}
	return false, true
}
