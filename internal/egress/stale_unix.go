//go:build unix

package egress

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// canPeek says that Stale can tell.
const canPeek = true

// Stale says whether the other end of an idle connection has closed it, or sent what nobody asked for: an answer that
// would pass for that of the next request, or for TLS how it says that it will close. Where it cannot tell it is false.
func Stale(c net.Conn) bool { return staleness(c)() }

// staleness is Stale of one connection, for whoever asks often.
func staleness(c net.Conn) func() bool {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return func() bool { return false }
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return func() bool { return false }
	}
	stale := false
	peek := func(fd uintptr) bool {
		var b [1]byte
		_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		stale = !errors.Is(err, unix.EAGAIN)
		return true
	}
	return func() bool {
		err := raw.Read(peek)
		return stale || err != nil
	}
}
