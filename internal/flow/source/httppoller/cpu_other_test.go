//go:build !unix

package httppoller_test

import "time"

func cpuTime() time.Duration { return 0 }
