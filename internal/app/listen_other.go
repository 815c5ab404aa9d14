//go:build !unix

package app

import (
	"math"
	"syscall"
)

// descriptors is how many the process may have open.
func descriptors() int { return math.MaxInt32 }

// errAddrInUse is WSAEADDRINUSE.
const errAddrInUse = syscall.Errno(10048)
