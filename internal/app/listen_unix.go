//go:build unix

package app

import (
	"math"
	"syscall"
)

// descriptors is how many the process may have open; Go has raised the limit as far as it may.
func descriptors() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(limit.Cur) //nolint:gosec // checked above
}

const errAddrInUse = syscall.EADDRINUSE
