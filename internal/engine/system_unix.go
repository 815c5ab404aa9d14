//go:build linux || darwin || freebsd

package engine

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// flock takes the file's lock, or fails at once with errHeld.
func flock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a descriptor fits
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errHeld
	}
	if err != nil {
		return fmt.Errorf("flock: %w", err)
	}
	return nil
}

// funlock gives the lock up.
func funlock(f *os.File) error {
	return os.NewSyscallError("flock", syscall.Flock(int(f.Fd()), syscall.LOCK_UN)) //nolint:gosec // a descriptor fits
}

// diskSpace is what is free to us and the whole size of the file system of dir, in bytes.
func diskSpace(dir string) (free, total int64, ok bool) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, 0, false
	}
	size := int64(st.Bsize)                                       //nolint:unconvert // not an int64 everywhere
	return int64(st.Bavail) * size, int64(st.Blocks) * size, true //nolint:gosec // no disk has 2^63 bytes
}
