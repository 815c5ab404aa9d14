//go:build !linux && !darwin && !freebsd

package engine

import (
	"fmt"
	"os"
)

// flock is an exclusive file beside the lock where the system has no flock. It must be removed by
// hand after a crash; the message that names it says which process made it.
func flock(f *os.File) error {
	held, err := os.OpenFile(f.Name()+".held", os.O_CREATE|os.O_EXCL, 0o600)
	if os.IsExist(err) {
		return errHeld
	}
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	return held.Close()
}

// diskSpace is not known here: the budget is then unbounded and the watchdog looks only at health.
func diskSpace(string) (free, total int64, ok bool) { return 0, 0, false }
