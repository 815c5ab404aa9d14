package shard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"freshet/internal/flow/fanout"
)

// A loop owns connections. Everything below mu is shared with those who wake it; the rest is the loop
// goroutine's alone.
type loop struct {
	poll int // epoll descriptor: hang-ups, and room in sockets that were full
	bell int // event descriptor that ends the wait for them
	wake chan struct{}
	open atomic.Int64 // connections
	stop chan struct{}
	done sync.WaitGroup

	mu     sync.Mutex
	inbox  []*conn  // adopted
	dirty  []*group // with something new
	events []unix.EpollEvent
	closed bool

	conns  map[int32]*conn
	groups map[place]*group
	later  []*group // dirty, but it is too early for the next pass
	serial int32
	now    time.Time
	said   []byte // by a reader, in one read
}

// A place is where connections are that may lack the same.
type place struct {
	feed  *fanout.Feed
	proto *Protocol
}

// A group is a loop's connections that follow one feed and are written alike.
type group struct {
	place
	conns   []*conn
	unwatch func()
	last    time.Time     // when the last pass ended
	linger  time.Duration // from then to the next one
	dirty   bool          // in loop.dirty or loop.later; guarded by loop.mu

	// What a reader lacks, shared by all that have the same, until the feed changes again.
	version atomic.Uint64 // counts the feed's changes
	known   uint64        // the version at which what follows was found; 0: nothing was
	before  fanout.Cursor // of such a reader
	after   fanout.Cursor // of the same, once it has batch
	batch   fanout.Batch
	bytes   []byte
	err     error
}

func newLoop() (*loop, error) {
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		err = unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, bell, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1})
	}
	if err != nil {
		_ = unix.Close(poll)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	l := &loop{poll: poll, bell: bell, wake: make(chan struct{}, 1), stop: make(chan struct{}), conns: map[int32]*conn{}, groups: map[place]*group{}}
	l.done.Go(l.run)
	l.done.Go(l.watch)
	return l, nil
}

// adopt detaches the connection's descriptor from Go's poller, which would wake a goroutine for it.
func (l *loop) adopt(nc net.Conn, r reading) bool {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	fd := -1
	if err := raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil || fd < 0 {
		return false
	}
	_ = tcp.Close()                       // closes its own descriptor only; ours keeps the connection
	c := &conn{fd: int32(fd), reading: r} //nolint:gosec // descriptors are small
	l.open.Add(1)
	l.mu.Lock()
	refused := l.closed
	if !refused {
		l.inbox = append(l.inbox, c)
	}
	l.mu.Unlock()
	if refused {
		l.drop(c, net.ErrClosed)
		return true
	}
	l.signal()
	return true
}

func (l *loop) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// watch passes on what the kernel says of the loop's sockets.
func (l *loop) watch() {
	batch := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(l.poll, batch, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return // closed
		}
		l.mu.Lock()
		l.events = append(l.events, batch[:n]...)
		closed := l.closed
		l.mu.Unlock()
		l.signal()
		if closed {
			return
		}
	}
}

func (l *loop) run() {
	beat := time.NewTicker(time.Second)
	defer beat.Stop()
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	for {
		select {
		case <-l.wake:
		case <-due.C:
		case <-beat.C:
			l.now = time.Now()
			l.tick()
		case <-l.stop:
			l.closeAll()
			return
		}
		l.now = time.Now()
		l.round()
		if wait, ok := l.untilNext(); ok {
			due.Reset(wait)
		}
	}
}

// round does what there is to do now.
func (l *loop) round() {
	l.mu.Lock()
	inbox, dirty, events := l.inbox, l.dirty, l.events
	l.inbox, l.dirty, l.events = nil, nil, nil
	l.mu.Unlock()
	for _, c := range inbox {
		l.admit(c)
	}
	for _, ev := range events {
		if c := l.conns[ev.Fd]; c != nil && c.serial == ev.Pad { // else it was of one that is gone
			l.happened(c, ev.Events)
		}
	}
	dirty = append(l.later, dirty...)
	l.later = nil
	for _, g := range dirty {
		if l.now.Sub(g.last) < g.linger {
			l.later = append(l.later, g)
			continue
		}
		l.pass(g)
	}
}

func (l *loop) untilNext() (wait time.Duration, ok bool) {
	for _, g := range l.later {
		if w := g.linger - time.Since(g.last); !ok || w < wait {
			wait, ok = max(w, 0), true
		}
	}
	return wait, ok
}

// admit makes an adopted connection one of the loop's.
func (l *loop) admit(c *conn) {
	l.serial++
	c.serial, c.wrote, c.heard, c.beaten = l.serial, l.now, l.now, l.now
	ev := unix.EpollEvent{Events: c.interest(), Fd: c.fd, Pad: c.serial}
	if err := unix.EpollCtl(l.poll, unix.EPOLL_CTL_ADD, int(c.fd), &ev); err != nil {
		l.drop(c, fmt.Errorf("epoll: %w", err))
		return
	}
	at := place{c.cursor.Feed(), c.proto}
	g := l.groups[at]
	if g == nil {
		g = &group{place: at}
		g.version.Store(1)
		g.unwatch = at.feed.Watch(func() { l.changed(g) })
		l.groups[at] = g
	}
	c.group, c.at = g, len(g.conns)
	g.conns = append(g.conns, c)
	l.conns[c.fd] = c
	l.alone(c)
}

// changed is called by the feed.
func (l *loop) changed(g *group) {
	g.version.Add(1)
	l.mu.Lock()
	first := !g.dirty
	if first {
		g.dirty = true
		l.dirty = append(l.dirty, g)
	}
	l.mu.Unlock()
	if first {
		l.signal()
	}
}

// pass gives every reader of a feed that can take it what it lacks.
func (l *loop) pass(g *group) {
	l.mu.Lock()
	g.dirty = false // what comes from here on makes another pass
	l.mu.Unlock()
	start := time.Now()
	sent, readers, total := fanout.Batch{}, 0, 0
	for _, c := range slices.Backward(g.conns) { // a connection that is dropped is replaced by the last
		if c.full || c.parting {
			continue
		}
		n := l.advance(c)
		if n > 0 {
			sent, readers, total = g.batch, readers+1, total+n
		}
	}
	if readers > 0 && len(g.conns) > 0 {
		g.conns[0].reader.Sent(sent, total, readers)
	}
	g.last = time.Now()
	g.linger = min(max(g.last.Sub(start), linger), mostLinger)
}

// forget lets go of what readers at one place lacked, which may be large.
func (g *group) forget() { g.known, g.batch, g.bytes = 0, fanout.Batch{}, nil }

// advance writes to a connection what it lacks, or as much as it takes. It returns the bytes taken. What
// comes in the meantime makes another pass.
func (l *loop) advance(c *conn) (sent int) {
	sent, ok := l.write(c)
	if ok && c.ending == nil {
		l.lacking(c)
		var n int
		n, ok = l.write(c)
		sent += n
	}
	if ok && c.ending != nil {
		l.part(c)
	}
	return sent
}

// alone advances a connection outside of a pass.
func (l *loop) alone(c *conn) {
	if n := l.advance(c); n > 0 {
		c.reader.Sent(fanout.Batch{}, n, 1)
	}
}

// lacking sets what is to be written next. Readers at the same place share it.
func (l *loop) lacking(c *conn) {
	g := c.group
	if version := g.version.Load(); g.known != version || g.before != c.cursor {
		g.known, g.before, g.after = version, c.cursor, c.cursor
		g.batch, g.err = g.after.Next(context.Background())
		g.bytes = join(g.batch, c.proto)
	}
	if g.err != nil {
		c.ending, c.pending = g.err, c.proto.End(g.err)
		return
	}
	c.cursor, c.pending = g.after, g.bytes
	if len(g.bytes) > 0 && (!c.greeted || g.batch.Reset != "") {
		c.pending, c.then = c.proto.Greet(g.batch.Reset), g.bytes
		c.greeted = true
	}
}

// join is a batch as it is written. What is one frame is not copied; several go into one, which is less to send and
// to take apart.
func join(b fanout.Batch, p *Protocol) []byte {
	if len(b.Entries) == 1 {
		return b.Entries[0].Frame(p.Form, p.Encode)
	}
	one := p
	if p.Inner != nil {
		one = p.Inner
	}
	size := 0
	for _, e := range b.Entries {
		size += len(e.Frame(one.Form, one.Encode))
	}
	var before, after string
	if p.Inner != nil && size > 0 {
		before, after = p.Wrap(size)
	}
	all := make([]byte, 0, len(before)+size+len(after))
	all = append(all, before...)
	for _, e := range b.Entries {
		all = append(all, e.Frame(one.Form, one.Encode)...)
	}
	return append(all, after...)
}

// happened takes note of what the kernel says of a connection.
func (l *loop) happened(c *conn, events uint32) {
	if c.ear != nil && events&(unix.EPOLLIN|unix.EPOLLRDHUP) != 0 {
		if l.hear(c); l.conns[c.fd] != c {
			return
		}
		events &^= unix.EPOLLRDHUP // what it said before is heard first
	}
	if events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		l.drop(c, io.EOF)
		return
	}
	if events&unix.EPOLLOUT != 0 && c.full {
		c.full = false
		l.watchFor(c)
		if l.conns[c.fd] == c {
			l.alone(c)
		}
	}
}

// tick keeps idle connections alive and cuts those that take nothing.
func (l *loop) tick() {
	for _, g := range l.groups {
		if l.now.Sub(g.last) > time.Second {
			g.forget()
		}
	}
	for _, c := range l.conns {
		silent := l.now.Sub(c.wrote)
		switch {
		case c.parting && silent > partingTakes:
			l.drop(c, c.ending)
		case c.parting:
		case c.full && silent > c.proto.Stalled:
			l.drop(c, fanout.ErrSlow)
		case c.proto.Answered && !c.full:
			l.ask(c)
		case !c.full && len(c.pending) == 0 && silent >= c.proto.Heartbeat:
			c.pending = c.proto.Beat
			l.write(c)
		}
	}
}

// close ends the loop. Streams of feeds that have ended are still writing their last bytes: it waits for
// those until ctx ends.
func (l *loop) close(ctx context.Context) {
	for l.open.Load() > 0 && ctx.Err() == nil {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	_, _ = unix.Write(l.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	close(l.stop)
	l.done.Wait()
	_, _ = unix.Close(l.poll), unix.Close(l.bell)
}

func (l *loop) closeAll() {
	l.mu.Lock()
	l.closed = true
	inbox := l.inbox
	l.inbox = nil
	l.mu.Unlock()
	for _, c := range inbox {
		l.drop(c, net.ErrClosed)
	}
	for _, c := range l.conns {
		l.drop(c, net.ErrClosed)
	}
}
