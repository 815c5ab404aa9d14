// Package bare is the floor: one thread, one epoll instance, raw write(2). A frame is made once for
// all subscribers, and the frames of one wake-up are joined. It keeps no journal, has no limits and
// trusts its clients: what it costs is what the kernel costs.
package bare

import (
	"bytes"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kept is how many messages of a topic a subscriber may resume from.
const kept = 200

type conn struct {
	fd     int
	in     []byte // what came of a request
	out    []byte // what the socket did not take
	topic  *topic // that it follows
	member int    // its place in topic.conns
}

type topic struct {
	conns  []*conn
	joined []byte   // frames of this wake-up
	frames [][]byte // the last ones
	count  int
}

type server struct {
	epoll  int
	conns  map[int32]*conn
	topics map[string]*topic
	dirty  []*topic // with frames of this wake-up
}

// Serve listens on addr and serves GET and POST of /live/{topic} until the kernel refuses something.
func Serve(addr string) error {
	runtime.LockOSThread()
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.SetsockoptInt(listener, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := unix.Bind(listener, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		return err
	}
	if err := unix.Listen(listener, 4096); err != nil {
		return err
	}
	s := &server{conns: map[int32]*conn{}, topics: map[string]*topic{}}
	if s.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if err := s.watch(unix.EPOLL_CTL_ADD, listener, unix.EPOLLIN); err != nil {
		return err
	}
	return s.loop(listener)
}

func (s *server) watch(op, fd int, events uint32) error {
	return unix.EpollCtl(s.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

func (s *server) loop(listener int) error {
	events, buf := make([]unix.EpollEvent, 512), make([]byte, 128<<10)
	for {
		n, err := unix.EpollWait(s.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, ev := range events[:max(n, 0)] {
			if int(ev.Fd) == listener {
				s.accept(listener)
			} else if c := s.conns[ev.Fd]; c != nil {
				s.handle(c, ev.Events, buf)
			}
		}
		s.deliver()
	}
}

func (s *server) accept(listener int) {
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		s.conns[int32(fd)] = &conn{fd: fd}
		if s.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN|unix.EPOLLRDHUP) != nil {
			s.drop(s.conns[int32(fd)])
		}
	}
}

func (s *server) drop(c *conn) {
	delete(s.conns, int32(c.fd))
	_ = unix.Close(c.fd)
	if t := c.topic; t != nil {
		last := t.conns[len(t.conns)-1]
		t.conns[c.member], last.member = last, c.member
		t.conns = t.conns[:len(t.conns)-1]
	}
}

func (s *server) handle(c *conn, events uint32, buf []byte) {
	if events&unix.EPOLLOUT != 0 && len(c.out) > 0 {
		out := c.out
		c.out = nil
		s.write(c, out)
		if len(c.out) == 0 && s.watch(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLIN|unix.EPOLLRDHUP) != nil {
			s.drop(c)
			return
		}
	}
	if events&^unix.EPOLLOUT == 0 {
		return
	}
	n, err := unix.Read(c.fd, buf)
	if err == unix.EAGAIN {
		return
	}
	if err != nil || n == 0 {
		s.drop(c)
		return
	}
	c.in = append(c.in, buf[:n]...)
	for s.request(c) {
	}
	if len(c.in) == 0 {
		c.in = nil
	}
}

// request takes a whole request off the front of what came.
func (s *server) request(c *conn) bool {
	end := bytes.Index(c.in, []byte("\r\n\r\n"))
	if end < 0 {
		return false
	}
	head := c.in[:end]
	length, _ := strconv.Atoi(string(value(head, "\r\nContent-Length: ")))
	if len(c.in) < end+4+length {
		return false
	}
	body := c.in[end+4 : end+4+length]
	method, rest, _ := bytes.Cut(head, []byte(" /live/"))
	name, _, _ := bytes.Cut(rest, []byte(" "))
	t := s.topics[string(name)]
	if t == nil {
		t = &topic{}
		s.topics[string(name)] = t
	}
	if string(method) == "POST" {
		for message := range bytes.Lines(body) { // one, or a batch
			s.publish(t, bytes.TrimSuffix(message, []byte("\n")))
		}
		s.write(c, fmt.Appendf(nil, "HTTP/1.1 202 Accepted\r\nETag: \"%d-0-a\"\r\nContent-Length: 0\r\n\r\n", t.count))
	} else {
		s.follow(c, t, value(head, "\r\nLast-Event-ID: "))
	}
	c.in = c.in[:copy(c.in, c.in[end+4+length:])]
	return true
}

func value(head []byte, name string) []byte {
	at := bytes.Index(head, []byte(name))
	if at < 0 {
		return nil
	}
	line, _, _ := bytes.Cut(head[at+len(name):], []byte("\r"))
	return line
}

func (s *server) publish(t *topic, body []byte) {
	t.count++
	frame := append(make([]byte, 0, len(body)+48), "event: event\ndata: "...)
	frame = append(append(frame, body...), "\nid: "...)
	frame = append(strconv.AppendInt(frame, int64(t.count), 10), "-0-a\n\n"...)
	t.frames = append(t.frames[max(len(t.frames)-kept, 0):], frame)
	if len(t.joined) == 0 {
		s.dirty = append(s.dirty, t)
	}
	t.joined = append(t.joined, frame...)
}

func (s *server) follow(c *conn, t *topic, id []byte) {
	out := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
	had, _, _ := bytes.Cut(id, []byte("-"))
	if n, err := strconv.Atoi(string(had)); err == nil {
		for _, frame := range t.frames[max(len(t.frames)-(t.count-n), 0):] {
			out = append(out, frame...)
		}
	}
	c.topic, c.member = t, len(t.conns)
	t.conns = append(t.conns, c)
	s.write(c, out)
}

func (s *server) deliver() {
	for _, t := range s.dirty {
		for i := len(t.conns) - 1; i >= 0; i-- { // one that is dropped makes room for the last
			s.write(t.conns[i], t.joined)
		}
		t.joined = t.joined[:0]
	}
	s.dirty = s.dirty[:0]
}

// write does not tell Go's scheduler of the call, which never blocks.
func (s *server) write(c *conn, b []byte) {
	if len(c.out) > 0 {
		c.out = append(c.out, b...)
		return
	}
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(c.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno == unix.EAGAIN {
		n, errno = 0, 0
	}
	if errno != 0 {
		s.drop(c)
		return
	}
	if int(n) == len(b) {
		return
	}
	c.out = append(c.out, b[n:]...)
	if s.watch(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLOUT) != nil {
		s.drop(c)
	}
}
