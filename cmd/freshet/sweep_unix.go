//go:build linux || darwin || freebsd

package main

import (
	"os"
	"syscall"
)

// abandoned says whether no process holds a lock. The kernel knows, also of processes that are not
// seen from here, as those of other containers.
func abandoned(lock string) bool {
	f, err := os.OpenFile(lock, os.O_RDWR|syscall.O_NOFOLLOW, 0) //nolint:gosec // in a directory that is named as ours
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil //nolint:gosec // a descriptor fits
}
