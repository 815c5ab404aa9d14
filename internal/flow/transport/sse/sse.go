// Package sse sends topics to HTTP clients as server-sent events.
//
// A connection is a cursor over a feed, never a queue: a slow client is one we ask for less often.
// Invariant: an event's id is the position that its reader holds once it is applied, so Last-Event-ID is
// where to go on.
//
// HTTP/1.1 connections leave net/http with the response header, and plain ones are written by the loops of
// package shard. Those that loops cannot write (TLS, several topics, systems without epoll) get a goroutine that
// is smaller than net/http's, without buffers; HTTP/2 keeps the one that net/http gave it. All get the same bytes.
package sse

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"freshet"
	"freshet/internal/flow/fanout"
	"freshet/internal/flow/transport/deflate"
	"freshet/internal/flow/transport/shard"
)

// A Config tunes streams. The zero value of a field takes its default.
type Config struct {
	Heartbeat time.Duration // after so much silence; 5 s, as the incumbent's
	Retry     time.Duration // the least time clients are told to wait before they reconnect; 1 s. Each gets up to twice that
	Stalled   time.Duration // a reader that takes nothing for so long is cut; 60 s
	Portable  bool          // leave every connection with net/http
}

// Streams are the connections of a server. Close them.
type Streams struct {
	shards    *shard.Shards // nil: none
	own       dialect
	legacy    dialect // of Streamdata.io
	retry     time.Duration
	deflater  deflate.Deflater
	followers followers
}

// A dialect is how events are worded, in each of the ways in which bytes leave.
type dialect struct {
	plain, gzip, chunks, gzipChunk *shard.Protocol
}

// New returns Streams without connections.
func New(c Config) (*Streams, error) {
	s := &Streams{retry: orDefault(c.Retry, time.Second)}
	s.own = s.dialect(c, encode, fanout.FormSSE, fanout.FormSSEDeflate, fanout.FormSSEChunk, fanout.FormSSEDeflateChunk)
	s.legacy = s.dialect(c, encodeLegacy, fanout.FormLegacy, fanout.FormLegacyDeflate, fanout.FormLegacyChunk, fanout.FormLegacyDeflateChunk)
	if c.Portable {
		return s, nil
	}
	var err error
	if s.shards, err = shard.New(); err != nil {
		return nil, fmt.Errorf("start the loops that write streams: %w", err)
	}
	return s, nil
}

// Close ends the streams, at the latest when ctx does. Feeds should have ended before, so that clients
// have got their last bytes.
func (s *Streams) Close(ctx context.Context) {
	if s.shards != nil {
		s.shards.Close(ctx)
	}
	s.followers.close(ctx)
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

func asIs(b []byte) []byte { return b }

// dialect is how events are written that encode words.
func (s *Streams) dialect(c Config, encode func(freshet.Event) []byte, plain, gzip, chunks, gzipChunk fanout.Form) dialect {
	d := dialect{
		plain:     s.protocol(c, encode, plain, asIs),
		gzip:      s.protocol(c, encode, gzip, s.deflater.Deflate),
		chunks:    s.protocol(c, encode, chunks, chunk),
		gzipChunk: s.protocol(c, encode, gzipChunk, func(b []byte) []byte { return chunk(s.deflater.Deflate(b)) }),
	}
	d.chunks.Inner, d.chunks.Wrap = d.plain, aroundChunk
	d.gzipChunk.Inner, d.gzipChunk.Wrap = d.gzip, aroundChunk
	return d
}

// protocol is how streams are written whose bytes go through wrap.
func (s *Streams) protocol(c Config, encode func(freshet.Event) []byte, form fanout.Form, wrap func([]byte) []byte) *shard.Protocol {
	return &shard.Protocol{
		Form:      form,
		Encode:    func(ev freshet.Event) []byte { return wrap(encode(ev)) },
		Greet:     func(reset string) []byte { return wrap(preamble(s.jitter(), reset)) },
		Beat:      wrap([]byte(heartbeat)),
		End:       func(cause error) []byte { return wrap(s.last(cause)) },
		Heartbeat: orDefault(c.Heartbeat, 5*time.Second),
		Stalled:   orDefault(c.Stalled, time.Minute),
	}
}

// jitter spreads reconnects, so that a restart is not followed by a stampede.
func (s *Streams) jitter() int {
	return int((s.retry + rand.N(s.retry)).Milliseconds()) //nolint:gosec // spreads load, guards nothing
}

// An Ending is why a stream ends whose topic goes on. Its client is told by an error event.
type Ending struct {
	Fault freshet.Fault
	Retry time.Duration // until the client may come back; 0: as soon as after any other end
}

func (e *Ending) Error() string { return e.Fault.Error() }

// last is the last a client hears: when to come back, in a block that is never finished and so is no event.
func (s *Streams) last(cause error) []byte {
	var b []byte
	retry := s.jitter()
	if slow, ok := errors.AsType[*fanout.SlowError](cause); ok {
		b = encode(slow.Event())
	}
	if ending, ok := errors.AsType[*Ending](cause); ok {
		b = encode(fanout.FaultEntry(ending.Fault).Event)
		retry = cmp.Or(int(ending.Retry.Milliseconds()), retry)
	}
	return append(append(b, preamble(retry, "")...), heartbeat...)
}

// Headers sets what every stream's answer carries.
func Headers(h http.Header) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache, no-store, no-transform")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
}

// A Stream is what is sent over a connection, and how.
type Stream struct {
	Cursor   *fanout.Cursor
	Reader   shard.Reader
	Compress bool   // with gzip
	Status   Status // nil: the client wants no status events
	Legacy   *Legacy
}

// Serve sends what the cursor says until the client goes or the feed ends; then the reader has left. It
// returns early where the connection is written elsewhere from then on. The connection ends after a whole
// event without the final chunk, for clients that take a clean end as the end of the story; where that
// is net/http's to do, Serve panics with http.ErrAbortHandler. HTTP/2 streams are ended as such.
// A client that wants status events gets them; its connection stays with net/http, as that of a Solitary does.
func (s *Streams) Serve(w http.ResponseWriter, r *http.Request, x Stream) {
	Headers(w.Header())
	if x.Compress {
		w.Header().Set("Content-Encoding", "gzip")
	}
	_, alone := x.Reader.(shard.Solitary)
	if x.Status == nil && !alone {
		if conn, ok := s.detach(w, r); ok {
			s.takeOver(conn, w.Header(), x)
			return
		}
	}
	w.WriteHeader(http.StatusOK)
	out := &answer{w, http.NewResponseController(w)}
	d := s.dialectOf(x)
	p := d.plain
	if x.Compress {
		p = d.gzip
	}
	_, err := follow(r.Context(), out, s.opening(x), x.Cursor, p, x.Reader, &statuses{of: x.Status}, false, false)
	x.Reader.Left(err)
	end(r, err)
}

// detach takes a connection of HTTP/1.1 out of net/http, before anything of the answer is written. False: it stays.
func (s *Streams) detach(w http.ResponseWriter, r *http.Request) (net.Conn, bool) {
	if s.shards == nil || r.ProtoMajor != 1 || r.ProtoMinor != 1 {
		return nil, false
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, false
	}
	_ = buffered.Writer.Flush()       // nothing is in it; it is net/http's
	_ = conn.SetDeadline(time.Time{}) // net/http's, for the request
	return conn, true
}

func (s *Streams) dialectOf(x Stream) *dialect {
	if x.Legacy != nil {
		return &s.legacy
	}
	return &s.own
}

// opening is what a stream begins with, before its first event.
func (s *Streams) opening(x Stream) (b []byte) {
	if x.Compress {
		b = []byte(gzipHeader)
	}
	if x.Legacy != nil {
		block := x.Legacy.opening()
		if x.Compress {
			block = s.deflater.Deflate(block)
		}
		b = append(b, block...)
	}
	return b
}

// end ends a connection of net/http's, all of whose events were sent whole. HTTP/1.1 leaves the final chunk
// out. HTTP/2 has no such middle way: a stream that is not ended is reset, which is told as an error of the
// server's and may take what was written last with it; so one that ends by itself, as the topic or the
// server does, is ended.
func end(r *http.Request, cause error) {
	_, told := errors.AsType[*Ending](cause)
	planned := errors.Is(cause, freshet.ErrNotFound) || errors.Is(cause, freshet.ErrUnavailable)
	if r.ProtoMajor >= 2 && (planned || told) {
		return
	}
	panic(http.ErrAbortHandler)
}

// takeOver writes a connection that net/http has let go of.
func (s *Streams) takeOver(conn net.Conn, header http.Header, x Stream) {
	head := answerHead(header, s.opening(x))
	d := s.dialectOf(x)
	p := d.chunks
	if x.Compress {
		p = d.gzipChunk
	}
	var err error
	greeted := false
	if !x.Cursor.Live() { // it reads from the journal first, which a loop must not wait for
		greeted, err = follow(context.Background(), shard.Socket{Conn: conn}, head, x.Cursor, p, x.Reader, &statuses{}, false, true)
		head = nil
	}
	switch {
	case err != nil:
		_ = conn.Close()
		x.Reader.Left(err)
	case !s.shards.Adopt(conn, head, greeted, *x.Cursor, p, x.Reader):
		s.followers.add(conn, head, x.Cursor, p, x.Reader, greeted)
	}
}

// answerHead is the header of the answer as it goes over the wire (RFC 9112), and the opening as its first chunk.
func answerHead(h http.Header, opening []byte) []byte {
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\nDate: " + time.Now().UTC().Format(http.TimeFormat) + "\r\nTransfer-Encoding: chunked\r\n")
	_ = h.Write(&b) // a bytes.Buffer does not fail
	b.WriteString("\r\n")
	if len(opening) > 0 {
		b.Write(chunk(opening))
	}
	return b.Bytes()
}

// Busy answers a client that cannot be served now: not with an error, which most clients take as final,
// but with a stream that ends at once and says when to come back.
func (s *Streams) Busy(w http.ResponseWriter) {
	Headers(w.Header())
	w.WriteHeader(http.StatusOK)
	out := &answer{w, http.NewResponseController(w)}
	_ = out.WriteWithin(s.last(freshet.ErrUnavailable), s.own.plain.Stalled) // a client that has gone comes back as well
	panic(http.ErrAbortHandler)
}
