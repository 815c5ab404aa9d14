package shard

import (
	"errors"
	"io"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	saidAtOnce = 16 << 10 // bytes read at a time
	mostReads  = 4        // of one connection before others get their turn
)

// hear listens to what a reader has to say.
func (l *loop) hear(c *conn) {
	if l.said == nil {
		l.said = make([]byte, saidAtOnce)
	}
	for range mostReads {
		n, err := receive(int(c.fd), l.said)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return
		case err != nil:
			l.drop(c, err)
			return
		case n == 0:
			l.drop(c, io.EOF)
			return
		}
		c.heard = l.now
		answer, err := c.ear.Hear(l.said[:n])
		if l.answer(c, answer, err); l.conns[c.fd] != c {
			return
		}
	}
	l.watchFor(c) // there may be more, of which the kernel told already
}

// answer gives a reader what it gets for what it said.
func (l *loop) answer(c *conn, answer []byte, err error) {
	if c.ending != nil { // it is told that already, and gets no more
		c.parted = c.parted || err != nil
		if c.parting && err != nil {
			l.drop(c, c.ending)
		}
		return
	}
	if err != nil {
		c.ending, c.parted = err, errors.Is(err, io.EOF)
	}
	if len(answer) > 0 {
		c.answer = answer
	}
	if !c.full && (len(answer) > 0 || err != nil) {
		l.alone(c)
	}
}

// part ends a connection that has got its last bytes: at once, where its reader expects no more.
func (l *loop) part(c *conn) {
	if c.ear == nil || c.parted {
		l.drop(c, c.ending)
		return
	}
	_ = unix.Shutdown(int(c.fd), unix.SHUT_WR) // where that fails it has hung up, which is heard
	c.parting, c.wrote = true, l.now
}

// ask sends a reader that answers the next beat, where it has answered the last one.
func (l *loop) ask(c *conn) {
	switch {
	case l.now.Sub(c.beaten) < c.proto.Heartbeat:
	case c.heard.Before(c.beaten):
		l.drop(c, ErrSilent)
	default:
		c.pending, c.beaten = c.proto.Beat, l.now
		l.write(c)
	}
}

// receive is read(2) for sockets, as send is write(2). It returns 0 once the reader has hung up.
func receive(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0) //nolint:gosec // as package unix does it
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil //nolint:gosec // at most len(b)
}
