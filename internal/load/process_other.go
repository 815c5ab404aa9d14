//go:build !linux

package load

import (
	"errors"
	"fmt"
	"time"
)

// processTime is known on Linux only.
func processTime(pids []int) (time.Duration, error) { return 0, unknown(pids) }

// processMemory is known on Linux only.
func processMemory(pids []int) (int64, error) { return 0, unknown(pids) }

// listens cannot be told.
func listens([]int, int) (yes, known bool) { return false, false }

func unknown(pids []int) error {
	if len(pids) == 0 {
		return nil
	}
	return fmt.Errorf("time and memory of another process: %w", errors.ErrUnsupported)
}
