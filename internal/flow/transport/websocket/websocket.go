// Package websocket sends topics to clients over WebSocket (RFC 6455).
//
// A connection is a cursor over a feed, as with server-sent events. A plain connection that follows one topic
// is written, and listened to, by the loops of package shard; those over TLS, of systems without epoll, and
// those that follow several topics have two small goroutines each.
//
// Messages are compressed (RFC 7692) by themselves, so that a frame is made once for every connection.
package websocket

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // of the handshake, which proves nothing secret
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"freshet"
	"freshet/internal/flow/fanout"
	"freshet/internal/flow/transport/shard"
)

// A Config tunes connections. The zero value of a field takes its default.
type Config struct {
	Heartbeat time.Duration // between pings, which the client has to answer; 25 s
	Retry     time.Duration // the least time clients are told to wait before they reconnect; 1 s. Each gets up to twice that
	Stalled   time.Duration // a reader that takes nothing for so long is cut; 60 s
	Portable  bool          // no loops
}

// Sockets are the connections of a server. Close them.
type Sockets struct {
	shards    *shard.Shards // nil: none
	config    Config
	ping      []byte
	protocols map[style]*shard.Protocol
	deflater  deflater
	sessions  sessions
}

// New returns Sockets without connections.
func New(c Config) (*Sockets, error) {
	c.Heartbeat, c.Retry, c.Stalled = orDefault(c.Heartbeat, 25*time.Second), orDefault(c.Retry, time.Second), orDefault(c.Stalled, time.Minute)
	s := &Sockets{config: c, ping: frame(finBit|opPing, nil), protocols: map[style]*shard.Protocol{}}
	for _, y := range []style{{}, {deflate: true}, {binary: true}, {binary: true, deflate: true}} {
		s.protocols[y] = s.protocol(y, "")
	}
	if c.Portable {
		return s, nil
	}
	var err error
	if s.shards, err = shard.New(); err != nil {
		return nil, fmt.Errorf("start the loops of WebSockets: %w", err)
	}
	return s, nil
}

// Close ends the connections, at the latest when ctx does. Feeds should have ended before, so that clients have
// got their last bytes.
func (s *Sockets) Close(ctx context.Context) {
	s.sessions.stop()
	if s.shards != nil {
		s.shards.Close(ctx)
	}
	s.sessions.wait(ctx)
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// jitter spreads reconnects, in milliseconds.
func (s *Sockets) jitter() int {
	return int((s.config.Retry + rand.N(s.config.Retry)).Milliseconds()) //nolint:gosec // spreads load, guards nothing
}

// protocol is how a topic is written in a style that does or does not name it.
func (s *Sockets) protocol(y style, topic freshet.TopicName) *shard.Protocol {
	return &shard.Protocol{
		Form:      y.form(),
		Encode:    s.encode(y, topic),
		Greet:     func(why string) []byte { return greeting(topic, why) },
		Beat:      s.ping,
		Answered:  true,
		End:       func(cause error) []byte { return s.last(cause, y, topic) },
		Heartbeat: s.config.Heartbeat,
		Stalled:   s.config.Stalled,
	}
}

// greeting is what comes before the first event.
func greeting(topic freshet.TopicName, why string) []byte {
	if why == "" {
		return nil
	}
	return reset(topic, why)
}

// Mistakes in a handshake.
var (
	ErrHandshake = errors.New("not a WebSocket handshake")
	ErrVersion   = errors.New("not a version of WebSocket that is spoken here")
)

// Version is the version of the protocol that is spoken here.
const Version = "13"

// Asked says whether a request asks for a WebSocket.
func Asked(r *http.Request) bool {
	return r.Method == http.MethodGet && has(r.Header["Upgrade"], "websocket")
}

// Check says what is wrong with a request that asks for one (RFC 6455, 4.2.1).
func Check(r *http.Request) error {
	keys := r.Header["Sec-Websocket-Key"]
	switch {
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return fmt.Errorf("%w: it takes HTTP/1.1", ErrHandshake)
	case !has(r.Header["Connection"], "upgrade"):
		return fmt.Errorf("%w: Connection is not Upgrade", ErrHandshake)
	case !slices.Equal(r.Header["Sec-Websocket-Version"], []string{Version}):
		return fmt.Errorf("%w: Sec-WebSocket-Version is not %s", ErrVersion, Version)
	case len(keys) != 1 || !isKey(keys[0]):
		return fmt.Errorf("%w: Sec-WebSocket-Key is not 16 bytes in base64", ErrHandshake)
	}
	return nil
}

func isKey(s string) bool {
	key, err := base64.StdEncoding.DecodeString(s)
	return err == nil && len(key) == 16
}

// has says whether a header that is a list has a word in it.
func has(values []string, word string) bool {
	for v := range strings.SplitSeq(strings.Join(values, ","), ",") {
		if strings.EqualFold(strings.TrimSpace(v), word) {
			return true
		}
	}
	return false
}

// accept answers the handshake of a request that was checked. head is still to be written, and early came
// with the request.
func (s *Sockets) accept(w http.ResponseWriter, r *http.Request) (conn net.Conn, head, early []byte, deflate bool, err error) {
	deflate = offersDeflate(r.Header["Sec-Websocket-Extensions"])
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, nil, false, fmt.Errorf("take the connection over: %w", err)
	}
	_ = conn.SetDeadline(time.Time{}) // net/http's, for the request
	early, _ = buffered.Reader.Peek(buffered.Reader.Buffered())
	var b bytes.Buffer
	sum := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // as above
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n")
	if deflate {
		b.WriteString("Sec-WebSocket-Extensions: " + agreed + "\r\n")
	}
	_ = w.Header().Write(&b) // a bytes.Buffer does not fail
	b.WriteString("\r\n")
	return conn, b.Bytes(), bytes.Clone(early), deflate, nil
}

// A Subscription is a topic that a connection follows.
type Subscription struct {
	Topic  freshet.TopicName
	Mode   freshet.Mode
	Cursor *fanout.Cursor
	Reader shard.Reader    // who leaves when the topic or the connection ends
	Status Status          // nil: the client wants no status events
	Until  context.Context //nolint:containedctx // the connection ends with it, for its cause, which may be a CloseError; nil: it lasts
	Binary bool            // the data of events is base64
	// Resumed says whether a client that had an id goes on there; nil: it had none.
	Resumed *bool
}

// A Status tells how fresh a topic is: now, when that may be otherwise without a report of its source, zero
// where it will not, and what closes when there is a report.
type Status func() (is freshet.Freshness, until time.Time, report <-chan struct{})

// mostSaid bounds the messages of a client that follows one topic, in bytes: it need not send any.
const mostSaid = 4 << 10

// A listener is the reader of one topic that may say something.
type listener struct {
	shard.Reader
	ear
}

// Serve sends what the cursor says until the client goes or the feed ends; then the reader has left. The
// request must have been checked. Serve returns early: the connection is not net/http's any more.
func (s *Sockets) Serve(w http.ResponseWriter, r *http.Request, sub Subscription) error {
	conn, head, early, deflate, err := s.accept(w, r)
	if err != nil {
		sub.Reader.Left(err)
		return err
	}
	_, alone := sub.Reader.(shard.Solitary)
	l := &listener{sub.Reader, ear{parser: parser{limit: mostSaid, deflate: deflate}, deflater: &s.deflater, text: takesNothing}}
	y := style{binary: sub.Binary, deflate: deflate}
	p := s.protocols[y]
	answer, err := l.Hear(early)
	head = append(head, answer...)
	switch {
	case err != nil:
		_ = shard.Socket{Conn: conn}.WriteWithin(head, p.Stalled)
		_ = conn.Close()
		l.Left(err)
	case s.shards != nil && sub.Status == nil && sub.Until == nil && !alone && isPlain(conn):
		s.toLoop(conn, head, sub, l, p)
	default:
		x := s.one(conn, &l.ear, sub)
		s.sessions.start(x, head, nil)
		x.endWith(sub.Until)
	}
	return nil
}

func takesNothing([]byte) error {
	return closing(CodePolicy, "one topic takes no messages: /live does")
}

func isPlain(conn net.Conn) bool {
	_, ok := conn.(*net.TCPConn)
	return ok
}

// toLoop has a loop write the connection, once the cursor does not need the journal any more, which a loop must
// not wait for.
func (s *Sockets) toLoop(conn net.Conn, head []byte, sub Subscription, l *listener, p *shard.Protocol) {
	greeted, err := true, error(nil)
	if sub.Cursor.Live() {
		greeted = false
	} else {
		if err = (shard.Socket{Conn: conn}).WriteWithin(head, p.Stalled); err == nil {
			err = catchUp(shard.Socket{Conn: conn}, sub.Cursor, p, l)
		}
		head = nil
	}
	if err != nil {
		_ = conn.Close()
		l.Left(err)
		return
	}
	if !s.shards.Adopt(conn, head, greeted, *sub.Cursor, p, l) {
		s.sessions.start(s.one(conn, &l.ear, sub), head, nil)
	}
}

// catchUp writes what the cursor says until it is live.
func catchUp(out shard.Socket, cursor *fanout.Cursor, p *shard.Protocol, reader shard.Reader) error {
	for !cursor.Live() {
		batch, err := cursor.Next(context.Background())
		if err != nil {
			_ = out.WriteWithin(p.End(err), p.Stalled) // it ends one way or the other
			return err
		}
		sent, err := shard.WriteBatch(out, p.Greet(batch.Reset), batch, p)
		if reader.Sent(batch, sent, 1); err != nil {
			return err
		}
	}
	return nil
}

// primed is a connection of which something was read already.
type primed struct {
	net.Conn
	early []byte
}

func (p *primed) Read(b []byte) (int, error) {
	if len(p.early) > 0 {
		n := copy(b, p.early)
		p.early = p.early[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// CloseWrite ends one direction of the connection.
func (p *primed) CloseWrite() error {
	if half, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return net.ErrClosed
}
