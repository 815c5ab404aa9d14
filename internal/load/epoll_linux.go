package load

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// link is what a network keeps of a connection.
type link struct {
	fd     int // epoll: the socket; 0: none
	socket *socket
}

// epoll serves the connections of a loop from one thread, without a goroutine or a buffer for each.
type epoll struct {
	loop *loop
	fd   int // of the epoll instance
	wake int // an eventfd, written when there is something to do
	to   unix.Sockaddr
	inet int
	byFD map[int32]*subscriber
	done chan struct{}

	mu     sync.Mutex
	todo   []func() // guarded by mu
	closed bool     // guarded by mu
}

func newNetwork(l *loop, addr netip.Addr, port int, c FleetConfig) (network, error) {
	if c.Goroutines || c.TLS != nil {
		return newSockets(l, netip.AddrPortFrom(addr, uint16(port)), c.TLS), nil //nolint:gosec // a port
	}
	e := &epoll{loop: l, byFD: map[int32]*subscriber{}, done: make(chan struct{}), inet: unix.AF_INET}
	if addr.Is4() {
		e.to = &unix.SockaddrInet4{Port: port, Addr: addr.As4()}
	} else {
		e.inet, e.to = unix.AF_INET6, &unix.SockaddrInet6{Port: port, Addr: addr.As16()}
	}
	var err error
	if e.fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if e.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, errors.Join(fmt.Errorf("eventfd: %w", err), unix.Close(e.fd))
	}
	if err := e.watch(unix.EPOLL_CTL_ADD, e.wake, unix.EPOLLIN); err != nil {
		return nil, errors.Join(err, unix.Close(e.wake), unix.Close(e.fd))
	}
	go e.run()
	return e, nil
}

func (e *epoll) watch(op, fd int, events uint32) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(e.fd, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})) //nolint:gosec // a descriptor
}

const readBuffer = 256 << 10

func (e *epoll) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(e.done)
	events, buf := make([]unix.EpollEvent, 512), make([]byte, readBuffer)
	for {
		n, err := unix.EpollWait(e.fd, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			panic(fmt.Sprintf("epoll_wait: %v", err)) // a mistake in here
		}
		for _, ev := range events[:max(n, 0)] {
			if int(ev.Fd) == e.wake {
				if e.work() {
					return
				}
				continue
			}
			if s := e.byFD[ev.Fd]; s != nil {
				e.handle(s, ev.Events, buf)
			}
		}
		rest(n, len(events))
	}
}

// gather is how long arrivals are left to gather after some were read, as a network card does it. A sender
// on the same machine would else pay for waking this thread at nearly each write, which can cost more
// than the write. The first arrival after a pause is read at once.
const gather = 200 * time.Microsecond

func rest(got, most int) {
	if got < most { // else more is there already
		pause := unix.NsecToTimespec(int64(gather))
		_ = unix.Nanosleep(&pause, nil) // a signal makes it shorter
	}
}

// work does what was asked for; true: the loop is closed.
func (e *epoll) work() (closed bool) {
	var count [8]byte
	_, _ = unix.Read(e.wake, count[:]) // it only says that there is work
	e.mu.Lock()
	todo := e.todo
	e.todo, closed = nil, e.closed
	e.mu.Unlock()
	for _, fn := range todo {
		fn()
	}
	return closed
}

func (e *epoll) do(fn func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.todo = append(e.todo, fn)
	e.signal()
	return true
}

func (e *epoll) signal() {
	_, _ = unix.Write(e.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // fails only where it is signalled already
}

func (e *epoll) close() error {
	e.mu.Lock()
	e.closed = true
	e.signal()
	e.mu.Unlock()
	<-e.done
	for _, s := range e.byFD {
		e.drop(s)
	}
	return errors.Join(unix.Close(e.wake), unix.Close(e.fd))
}

func (e *epoll) open(s *subscriber, request []byte) {
	fd, err := unix.Socket(e.inet, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = e.begin(s, fd)
	}
	if err != nil {
		failed := fmt.Errorf("connect: %w", err)
		began := s.began
		e.do(func() {
			if s.state == stateOpening && s.began == began {
				e.loop.lost(s, failed)
			}
		})
		return
	}
	s.link.socket = &socket{request: request}
}

// begin starts to connect. The kernel says by EPOLLOUT when that is done.
func (e *epoll) begin(s *subscriber, fd int) error {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // leaves no TIME_WAIT behind
	if s.slow {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, slowBuffer)
	}
	err := unix.Connect(fd, e.to)
	if err == nil || errors.Is(err, unix.EINPROGRESS) {
		err = e.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLOUT)
	}
	if err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	s.link.fd = fd
	e.byFD[int32(fd)] = s //nolint:gosec // a descriptor
	return nil
}

func (e *epoll) drop(s *subscriber) {
	if s.link.fd == 0 {
		return
	}
	delete(e.byFD, int32(s.link.fd)) //nolint:gosec // a descriptor
	_ = unix.Close(s.link.fd)
	s.link = link{}
}

func (e *epoll) send(s *subscriber, b []byte) {
	if n, err := unix.Write(s.link.fd, b); err == nil && n < len(b) {
		e.loop.tally.failure = io.ErrShortWrite // where there is none, the server says so
	}
}

func (e *epoll) pause(s *subscriber, on bool) {
	events := uint32(unix.EPOLLIN | unix.EPOLLRDHUP)
	if on {
		events = unix.EPOLLERR // a connection that is gone is noticed
	}
	if err := e.watch(unix.EPOLL_CTL_MOD, s.link.fd, events); err != nil {
		e.loop.tally.failure = err
	}
}

func (e *epoll) handle(s *subscriber, events uint32, buf []byte) {
	if p := s.link.socket; p != nil && p.request != nil {
		e.connected(s, p.request)
		return
	}
	n, err := unix.Read(s.link.fd, buf)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return
	case err != nil:
		e.loop.lost(s, fmt.Errorf("read: %w", err))
		return
	case n == 0:
		e.loop.now = now()
		e.loop.lost(s, fmt.Errorf("the server ended the stream: %w", io.EOF))
		return
	}
	e.loop.now = now()
	if err := s.received(buf[:n]); err != nil {
		e.loop.lost(s, err)
	}
	_ = events
}

// connected sends the request.
func (e *epoll) connected(s *subscriber, request []byte) {
	code, err := unix.GetsockoptInt(s.link.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code) //nolint:gosec // an errno
	}
	if err == nil {
		var n int
		if n, err = unix.Write(s.link.fd, request); err == nil && n < len(request) {
			err = io.ErrShortWrite // a new socket takes some kilobytes
		}
	}
	if err == nil {
		err = e.watch(unix.EPOLL_CTL_MOD, s.link.fd, unix.EPOLLIN|unix.EPOLLRDHUP)
	}
	if err != nil {
		e.loop.lost(s, fmt.Errorf("connect: %w", err))
		return
	}
	s.link.socket = nil
}
