// Package sse sends one topic to one HTTP client as server-sent events.
//
// A connection is a cursor over a feed, never a queue: a slow client is one we ask for less often.
// Invariant: an event's id is the position that its reader holds once it is applied, so Last-Event-ID is
// where to go on.
package sse

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"freshet"
	"freshet/internal/flow/fanout"
)

// A Config tunes streams. The zero value of a field takes its default.
type Config struct {
	Heartbeat    time.Duration // after so much silence; 5 s, as the incumbent's
	Retry        time.Duration // the least time clients are told to wait before they reconnect; 1 s. Each gets up to twice that
	WriteTimeout time.Duration // for how long a reader may take nothing before it is cut; 60 s
}

// A Stream is one client's wish.
type Stream struct {
	Cursor   *fanout.Cursor
	Compress bool // gzip; the caller has set the header
	Sent     func(fanout.Batch, int)
}

// Serve sends a feed's events until the client goes, ctx ends or the feed does. It never returns: the
// connection ends after a whole event without the final chunk (http.ErrAbortHandler), for clients
// that take a clean end as the end of the story.
func Serve(ctx context.Context, w http.ResponseWriter, feed *fanout.Feed, s Stream, c Config) error {
	out := newWriter(w, s.Compress, c)
	if err := out.start(); err != nil {
		return err
	}
	beat := time.NewTimer(out.heartbeat)
	defer beat.Stop()
	for {
		changed := feed.Changed()
		batch, err := s.Cursor.Next(ctx)
		if err != nil {
			return out.end(err)
		}
		if len(batch.Entries) > 0 {
			n, err := out.send(batch)
			if s.Sent != nil {
				s.Sent(batch, n)
			}
			if err != nil {
				return err
			}
			beat.Reset(out.heartbeat)
			continue
		}
		select {
		case <-changed:
		case <-beat.C:
			if err := out.beat(); err != nil {
				return err
			}
			beat.Reset(out.heartbeat)
		case <-ctx.Done():
			return out.end(context.Cause(ctx))
		}
	}
}

// Busy answers a client that cannot be served now: not with an error, which most clients take as final,
// but with a stream that ends at once and says when to come back.
func Busy(w http.ResponseWriter, c Config) error {
	out := newWriter(w, false, c)
	if err := out.start(); err != nil {
		return err
	}
	return out.end(freshet.ErrUnavailable)
}

// Headers sets what every stream's answer carries.
func Headers(h http.Header) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache, no-store, no-transform")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
}

// tooSlow is what a reader of messages is told before it is cut.
var tooSlow = freshet.Fault{Code: freshet.FaultSlow, Category: "server", //nolint:gochecknoglobals // a constant
	Message: "too slow: the messages not yet sent are no longer in memory; reconnect with the last event id to get them"}

type writer struct {
	w         http.ResponseWriter
	rc        *http.ResponseController
	gzip      bool
	heartbeat time.Duration
	retry     time.Duration
	timeout   time.Duration
	greeted   bool // the first event's block has told the retry time
}

func newWriter(w http.ResponseWriter, gzip bool, c Config) *writer {
	out := &writer{
		w: w, rc: http.NewResponseController(w), gzip: gzip,
		heartbeat: c.Heartbeat, retry: c.Retry, timeout: c.WriteTimeout,
	}
	if out.heartbeat == 0 {
		out.heartbeat = 5 * time.Second
	}
	if out.retry == 0 {
		out.retry = time.Second
	}
	if out.timeout == 0 {
		out.timeout = time.Minute
	}
	return out
}

// jitter spreads reconnects, so that a restart is not followed by a stampede.
func (o *writer) jitter() int {
	return int((o.retry + rand.N(o.retry)).Milliseconds()) //nolint:gosec // spreads load, guards nothing
}

func (o *writer) start() error {
	Headers(o.w.Header())
	o.w.WriteHeader(http.StatusOK)
	if o.gzip {
		return o.write([]byte(gzipHeader))
	}
	return o.flush()
}

// send writes a batch and says how many bytes that were, each event in one write.
func (o *writer) send(b fanout.Batch) (sent int, err error) {
	form, enc := fanout.FormSSE, encode
	if o.gzip {
		form, enc = fanout.FormSSEDeflate, encodeDeflated
	}
	if err := o.deadline(); err != nil {
		return 0, err
	}
	for i, e := range b.Entries {
		frame := e.Frame(form, enc)
		if i == 0 && (!o.greeted || b.Reset != "") {
			first := preamble(o.jitter(), b.Reset)
			if o.gzip {
				first = deflate(first)
			}
			frame = append(first, frame...)
			o.greeted = true
		}
		n, err := o.w.Write(frame)
		if sent += n; err != nil {
			return sent, err
		}
	}
	return sent, o.rc.Flush()
}

func (o *writer) beat() error {
	if o.gzip {
		return o.write(deflate([]byte(heartbeat)))
	}
	return o.write([]byte(heartbeat))
}

// end is the last a client hears: when to come back, in a block that is never finished and so is no event.
func (o *writer) end(cause error) error {
	if errors.Is(cause, fanout.ErrSlow) {
		if _, err := o.send(fanout.Batch{Entries: []*fanout.Entry{fanout.FaultEntry(tooSlow)}}); err != nil {
			return err
		}
	}
	last := append(preamble(o.jitter(), ""), heartbeat...)
	if o.gzip {
		last = deflate(last)
	}
	if err := o.write(last); err != nil {
		return err
	}
	return cause
}

func (o *writer) write(b []byte) error {
	if err := o.deadline(); err != nil {
		return err
	}
	if _, err := o.w.Write(b); err != nil {
		return err
	}
	return o.rc.Flush()
}

func (o *writer) deadline() error { return o.rc.SetWriteDeadline(time.Now().Add(o.timeout)) }

func (o *writer) flush() error {
	if err := o.deadline(); err != nil {
		return err
	}
	return o.rc.Flush()
}
