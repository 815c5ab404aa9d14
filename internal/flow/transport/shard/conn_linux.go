package shard

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A conn is one connection: a descriptor and a cursor.
type conn struct {
	fd     int32
	serial int32 // tells it from another that had the same descriptor number
	full   bool  // the socket took less than it was given
	at     int   // index in group.conns
	ending error // closed once pending is written
	wrote  time.Time
	group  *group
	reading

	// Of one whose reader may say something.
	answer  []byte // to it, after what is being written
	heard   time.Time
	beaten  time.Time // when it got the last beat
	parted  bool      // the reader has said its last
	parting bool      // it has got its last bytes, and may say its last
}

// write writes what is pending. False: the socket took less, or the connection is gone.
func (l *loop) write(c *conn) (sent int, ok bool) {
	for c.hasMore() {
		n, err := send(int(c.fd), c.pending, len(c.then) > 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			l.park(c)
			return sent, false
		case err != nil:
			l.drop(c, err)
			return sent, false
		}
		sent += n
		c.wrote, c.pending = l.now, c.pending[n:]
	}
	c.pending = nil
	return sent, true
}

// hasMore says whether there is something to be written, and has it in pending.
func (c *conn) hasMore() bool {
	if len(c.pending) == 0 {
		c.pending, c.then = c.then, nil
	}
	if len(c.pending) == 0 {
		c.pending, c.answer = c.answer, nil
	}
	return len(c.pending) > 0
}

// send is write(2) for sockets: it spares the kernel what files need. As a socket that does not block gives
// the processor back at once, Go's scheduler need not hear of it. more says that more follows at once, for which
// the kernel then keeps the packet back.
func send(fd int, b []byte, more bool) (int, error) {
	flags := uintptr(unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL)
	if more {
		flags |= unix.MSG_MORE
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), flags, 0, 0) //nolint:gosec // as package unix does it
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil //nolint:gosec // at most len(b)
}

// park waits for room in a socket. The other connections are none the slower.
func (l *loop) park(c *conn) {
	if c.full {
		return
	}
	c.full = true
	l.watchFor(c)
}

// interest is what the loop wants to know of a connection.
func (c *conn) interest() uint32 {
	events := uint32(unix.EPOLLRDHUP | unix.EPOLLET)
	if c.ear != nil {
		events |= unix.EPOLLIN
	}
	if c.full {
		events |= unix.EPOLLOUT
	}
	return events
}

// watchFor has the kernel tell of the connection's interest, again where it is the case already.
func (l *loop) watchFor(c *conn) {
	ev := unix.EpollEvent{Events: c.interest(), Fd: c.fd, Pad: c.serial}
	if err := unix.EpollCtl(l.poll, unix.EPOLL_CTL_MOD, int(c.fd), &ev); err != nil {
		l.drop(c, fmt.Errorf("epoll: %w", err))
	}
}

// drop closes a connection and forgets it.
func (l *loop) drop(c *conn, cause error) {
	_ = unix.Close(int(c.fd)) // epoll forgets it with that
	if l.conns[c.fd] == c {
		delete(l.conns, c.fd)
	}
	if g := c.group; g != nil {
		last := len(g.conns) - 1
		g.conns[c.at] = g.conns[last]
		g.conns[c.at].at = c.at
		g.conns[last] = nil
		g.conns = g.conns[:last]
		if last == 0 {
			g.unwatch()
			delete(l.groups, g.place)
		}
		c.group = nil
	}
	c.pending, c.then, c.answer = nil, nil, nil
	c.full = true // whoever still holds it leaves it alone
	l.open.Add(-1)
	c.reader.Left(cause)
}
