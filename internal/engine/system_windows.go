package engine

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// flock takes the file's lock, or fails at once with errHeld. The locked byte is far beyond the
// text, which others would otherwise not be able to read.
func flock(f *os.File) error {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{OffsetHigh: 1})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errHeld
	}
	if err != nil {
		return fmt.Errorf("LockFileEx: %w", err)
	}
	return nil
}

// funlock gives the lock up.
func funlock(f *os.File) error {
	return os.NewSyscallError("UnlockFileEx", windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, &windows.Overlapped{OffsetHigh: 1}))
}

// diskSpace is what is free to us and the whole size of the disk of dir, in bytes.
func diskSpace(dir string) (free, total int64, ok bool) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, 0, false
	}
	var avail, all, unused uint64
	if err := windows.GetDiskFreeSpaceEx(path, &avail, &all, &unused); err != nil {
		return 0, 0, false
	}
	return int64(avail), int64(all), true //nolint:gosec // no disk has 2^63 bytes
}
