package websocket

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"freshet"
	"freshet/internal/flow/transport/shard"
)

// A session is a connection with goroutines of its own: one listens, and does what the client asks for, the
// other writes what the topics have.
type session struct {
	s       *Sockets
	conn    net.Conn
	ear     *ear
	deflate bool
	alone   bool // it follows one topic, which is not named, and ends with it
	wake    chan struct{}
	heard   atomic.Int64 // when the client said something, Unix time in nanoseconds
	end     context.CancelCauseFunc
	topics  int           // at a time
	desk    Desk          // does what the client asks for; nil: it may ask for nothing
	first   []Subscribing // what it asked for as it came

	writing sync.Mutex // held while whole frames are written
	closed  bool       // nothing can be written any more

	mu      sync.Mutex
	members []*member // replaced, never changed
}

// partingTakes is how long a client that has got a Close frame may take to answer it.
const partingTakes = 2 * time.Second

func (s *Sockets) session(conn net.Conn, e *ear) *session {
	return &session{s: s, conn: conn, ear: e, deflate: e.parser.deflate, wake: make(chan struct{}, 1)}
}

// one is a session that follows one topic.
func (s *Sockets) one(conn net.Conn, e *ear, sub Subscription) *session {
	x := s.session(conn, e)
	x.alone = true
	x.add(sub, style{binary: sub.Binary, deflate: x.deflate})
	return x
}

// endWith ends the session with a context. Its client may be one that takes nothing any more: it is not waited for.
func (x *session) endWith(until context.Context) {
	if until == nil {
		return
	}
	context.AfterFunc(until, func() {
		x.end(context.Cause(until))
		time.AfterFunc(2*partingTakes, func() { _ = x.conn.Close() })
	})
}

var errClosed = errors.New("the connection was closed")

// WriteWithin writes whole frames.
func (x *session) WriteWithin(b []byte, within time.Duration) error {
	x.writing.Lock()
	defer x.writing.Unlock()
	if x.closed {
		return errClosed
	}
	err := shard.Socket{Conn: x.conn}.WriteWithin(b, within)
	x.closed = err != nil
	return err
}

// bye writes the last frames, which end with a Close frame.
func (x *session) bye(b []byte) {
	if x.WriteWithin(b, x.s.config.Stalled) != nil {
		return // it has got one, or is gone
	}
	x.writing.Lock()
	defer x.writing.Unlock()
	x.closed = true
}

// news has the writing goroutine look for what there is to write.
func (x *session) news() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// run serves the connection until it ends.
func (x *session) run(ctx context.Context, head []byte) {
	x.heard.Store(time.Now().UnixNano())
	err := x.WriteWithin(head, x.s.config.Stalled)
	if err == nil {
		heard := make(chan error, 1)
		go func() {
			err := x.listen(ctx)
			x.end(err)
			heard <- err
		}()
		err = x.follow(ctx)
		x.end(err) // what the listener does for the client ends as well
		x.part(err, heard)
	}
	x.leave(err)
}

// leave closes the connection and gives up what it has.
func (x *session) leave(cause error) {
	_ = x.conn.Close()
	for _, m := range x.following() {
		m.leave(cause)
	}
	if x.desk != nil {
		x.desk.Left()
	}
}

// part says goodbye, unless the client did, and waits for its answer.
func (x *session) part(cause error, heard <-chan error) {
	if !errors.Is(cause, io.EOF) {
		x.bye(x.farewell(cause))
	}
	over := time.AfterFunc(partingTakes, func() { _ = x.conn.Close() })
	defer over.Stop()
	half, ok := x.conn.(interface{ CloseWrite() error })
	if errors.Is(cause, io.EOF) || !ok || half.CloseWrite() != nil {
		_ = x.conn.Close()
	}
	if bad, ok := errors.AsType[*CloseError](<-heard); ok && !bad.peer { // it listens no more, but the client may still be talking
		_, _ = io.Copy(io.Discard, x.conn)
	}
}

// farewell is the last that the client gets.
func (x *session) farewell(cause error) []byte {
	if x.alone {
		return x.s.last(cause, x.members[0].style, "")
	}
	return x.s.farewell(cause).frame()
}

// listen hears what the client says until it says no more.
func (x *session) listen(ctx context.Context) error {
	size := 4 << 10
	if x.alone {
		size = 512
	}
	if x.desk != nil {
		x.ear.text = func(b []byte) error { return x.asked(ctx, b) }
	}
	for _, ask := range x.first {
		if err := x.subscribe(ctx, ask); err != nil {
			return err
		}
	}
	x.first = nil
	buf := make([]byte, size)
	for {
		n, err := x.conn.Read(buf)
		if n > 0 {
			x.heard.Store(time.Now().UnixNano())
			if err := x.hear(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

func (x *session) hear(b []byte) error {
	for len(b) > 0 {
		var answer []byte
		var err error
		answer, b, err = x.ear.first(b)
		if _, said := errors.AsType[*CloseError](err); said {
			x.bye(answer)
			return err
		}
		if err == nil && len(answer) > 0 {
			err = x.WriteWithin(answer, x.s.config.Stalled)
		}
		if err != nil && !errors.Is(err, errClosed) { // then only the answer to that is of interest
			return err
		}
	}
	return nil
}

// follow writes what the topics have until the connection is to end.
func (x *session) follow(ctx context.Context) error {
	beat := time.NewTicker(x.s.config.Heartbeat)
	defer beat.Stop()
	var asked time.Time
	for ctx.Err() == nil {
		sent, err := x.advance(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		case sent && len(beat.C) == 0:
			continue
		}
		select {
		case <-ctx.Done():
		case <-x.wake:
		case <-beat.C:
			if time.Unix(0, x.heard.Load()).Before(asked) {
				return shard.ErrSilent
			}
			asked = time.Now()
			if err := x.WriteWithin(x.s.ping, x.s.config.Stalled); err != nil {
				return err
			}
		}
	}
	return context.Cause(ctx)
}

// advance sends what each topic has now, a batch of each, and says whether that was anything.
func (x *session) advance(ctx context.Context) (sent bool, err error) {
	for _, m := range x.following() {
		some, err := m.advance(ctx, x)
		sent = sent || some
		if err == nil {
			continue
		}
		if x.alone || !errors.Is(err, freshet.ErrNotFound) {
			return sent, err
		}
		if x.take(m.Topic) == m {
			m.leave(err)
			if err := x.fault(m.Topic, nil, gone(m.Topic)); err != nil {
				return sent, err
			}
		}
	}
	return sent, nil
}

// following are the topics of the connection now.
func (x *session) following() []*member {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.members
}

// find is the member of a topic, or nil.
func (x *session) find(topic freshet.TopicName) *member {
	for _, m := range x.following() {
		if m.Topic == topic {
			return m
		}
	}
	return nil
}

// take takes a topic out of the connection; nil: it was not there.
func (x *session) take(topic freshet.TopicName) (taken *member) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var rest []*member
	for _, m := range x.members {
		if m.Topic == topic {
			taken = m
		} else {
			rest = append(rest, m)
		}
	}
	x.members = rest
	return taken
}

// fault tells the client what is wrong with a topic, or with what it asked for.
func (x *session) fault(topic freshet.TopicName, request []byte, f freshet.Fault) error {
	f.Time = time.Now().UTC()
	return x.reply(reply{Type: string(freshet.TypeError), Topic: topic, Request: request, Data: f})
}

func (x *session) reply(r reply) error { return x.WriteWithin(r.frame(), x.s.config.Stalled) }

// sessions are those that are open.
type sessions struct {
	running sync.WaitGroup

	mu     sync.Mutex
	open   map[*session]struct{}
	closed bool
}

// start runs a session from now on; cause: it is only told that.
func (s *sessions) start(x *session, head []byte, cause error) {
	ctx, end := context.WithCancelCause(context.Background())
	x.end = end
	s.mu.Lock()
	if s.open == nil {
		s.open = map[*session]struct{}{}
	}
	closed := s.closed
	if !closed {
		s.open[x] = struct{}{}
		s.running.Add(1)
	}
	s.mu.Unlock()
	if closed {
		end(freshet.ErrUnavailable)
		x.leave(freshet.ErrUnavailable)
		return
	}
	if cause != nil {
		end(cause)
	}
	// A new goroutine has a small stack, while that of net/http has grown.
	go func() {
		defer s.running.Done()
		defer end(nil)
		x.run(ctx, head)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, x)
	}()
}

// stop ends those that nothing else ends.
func (s *sessions) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for x := range s.open {
		x.end(freshet.ErrUnavailable)
	}
}

// wait waits for the last bytes, and cuts what is left when ctx ends.
func (s *sessions) wait(ctx context.Context) {
	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	s.mu.Lock()
	for x := range s.open {
		_ = x.conn.Close()
	}
	s.mu.Unlock()
	<-ended
}
