//go:build unix

package webhook

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// isStale says whether the other end of an idle connection has closed it, or sent what nobody asked for, which
// for TLS is how it says that it will.
func isStale(c net.Conn) bool {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	stale := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		stale = !errors.Is(err, unix.EAGAIN)
		return true
	})
	return stale || err != nil
}
