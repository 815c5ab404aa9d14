package main

import (
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// cpu returns the processor time that this process has used, the garbage collector's included. Wall
// time would measure who else uses the machine.
func cpu() time.Duration {
	const processClock = 2 // CLOCK_PROCESS_CPUTIME_ID
	var ts syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, processClock, uintptr(unsafe.Pointer(&ts)), 0)
	return time.Duration(ts.Nano())
}

// A timing is what one call takes.
type timing struct {
	ns     float64
	allocs float64
}

// A task is something whose calls are timed.
type task struct {
	call func(k int)
	n    int // calls that take at least slice together
	best timing
}

const slice = 20 * time.Millisecond

// compare times tasks in turn, so that a disturbance meets all of them, and keeps the best of the
// rounds of each.
func compare(tasks []*task, rounds int) {
	for _, t := range tasks {
		t.best.ns = 1e18
		t.n = 1
		for {
			start := cpu()
			for k := range t.n {
				t.call(k)
			}
			if used := cpu() - start; used >= slice || t.n >= 1<<20 {
				break
			} else if used < slice/10 {
				t.n *= 8
			} else {
				t.n *= 2
			}
		}
	}
	for range rounds {
		for _, t := range tasks {
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := cpu()
			for k := range t.n {
				t.call(k)
			}
			used := cpu() - start
			runtime.ReadMemStats(&after)
			if ns := float64(used) / float64(t.n); ns < t.best.ns {
				t.best = timing{ns, float64(after.Mallocs-before.Mallocs) / float64(t.n)}
			}
		}
	}
}
