// Package websocket takes the messages of a WebSocket (RFC 6455).
package websocket

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/credentials"
	"freshet/internal/settings"
	"freshet/jsonpatch"
)

// Kind is the type websocket.
func Kind() source.Kind {
	return source.Kind{
		Name:    "websocket",
		Summary: "Takes the messages of a WebSocket.",
		Notes:   notes,
		Feeds:   []freshet.Kind{freshet.KindSnapshot, freshet.KindEvent},
		Config:  config{},
		Check:   source.Check[config],
		New:     newSocket,
	}
}

//go:embed notes.md
var notes string

// openTakes is how long the connection may take to be opened, and a message to be sent.
const openTakes = 30 * time.Second

// A socket is the Source of the type websocket.
type socket struct {
	config
	env    source.Env
	client source.Client
	signer credentials.Signer
	limit  int64
	log    *slog.Logger

	notBefore time.Time // when upstream may be asked again
	short     int       // connections in a row that soon ended
}

func newSocket(conf json.RawMessage, env source.Env) (source.Source, error) {
	s := &socket{env: env, limit: int64(cmp.Or(env.Limit, freshet.DefaultPayload)), log: cmp.Or(env.Log, slog.New(slog.DiscardHandler))}
	if wrong := settings.Read(conf, &s.config); wrong != nil {
		return nil, wrong
	}
	s.client = s.TLS.Client(env)
	var err error
	if s.signer, err = s.Authorization.New(env); err != nil {
		return nil, fmt.Errorf("authorization: %w", err)
	}
	return s, nil
}

// Run takes messages until ctx ends.
func (s *socket) Run(ctx context.Context, to source.Sink) error {
	source.Stay(ctx, to, s.log, func(ctx context.Context, up func()) error {
		if !source.Sleep(ctx, time.Until(s.notBefore)) {
			return nil
		}
		conn, err := s.open(ctx)
		if err != nil {
			return err
		}
		defer s.closed(time.Now())
		defer func() { _ = conn.CloseNow() }()
		if err := s.subscribe(ctx, conn); err != nil {
			return ended(err)
		}
		up()
		return ended(s.receive(ctx, to, conn))
	})
	return nil
}

// closed lets the next connection wait where upstream soon ends those that it has taken, as it may do with a
// reader that it does not know.
func (s *socket) closed(opened time.Time) {
	if s.short++; time.Since(opened) > 10*time.Second {
		s.short = 0
	}
	if s.short > 1 {
		s.notBefore = time.Now().Add(source.Jitter(source.BackOff(s.short, time.Second, time.Minute, 1)))
	}
}

// RoundTrip sends the request that opens the connection, by the one client that may.
func (s *socket) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := s.signer.Sign(r.Context(), r, nil); err != nil {
		return nil, err //nolint:wrapcheck // it says what it is about
	}
	return s.client.Do(r) //nolint:wrapcheck // it says what it is about
}

// open makes a connection. Redirects are not followed: there is no page to show, and what is configured is
// what is to be reached.
func (s *socket) open(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, openTakes)
	defer cancel()
	headers, err := s.env.Secrets.RevealHeaders(s.Headers)
	if err != nil {
		return nil, source.Faultf(freshet.FaultConfig, "%v", err)
	}
	options := &websocket.DialOptions{
		HTTPHeader:   http.Header{},
		Subprotocols: s.Subprotocols,
		HTTPClient: &http.Client{
			Transport:     s,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for name, value := range headers {
		options.HTTPHeader.Set(name, value)
	}
	conn, resp, err := websocket.Dial(ctx, s.address(), options) //nolint:bodyclose // it says that it need not be
	if err != nil {
		return nil, s.refused(resp, err)
	}
	conn.SetReadLimit(-1) // what is too long is passed over, see message
	return conn, nil
}

// refused says why there is no connection.
func (s *socket) refused(resp *http.Response, err error) error {
	if resp == nil {
		if outer, ok := errors.AsType[*url.Error](err); ok {
			return outer.Err // the outer one has the URL in it
		}
		return err
	}
	s.signer.Refused(resp) // the next attempt has a new token then
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		return source.Faultf(freshet.FaultPublication, "upstream's answer does not open a WebSocket as RFC 6455 says")
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return source.Faultf(freshet.FaultRedirect, "upstream answered %d, a redirect, which is not followed: set url to where it leads", resp.StatusCode)
	}
	s.notBefore = time.Now().Add(source.RetryAfter(resp.Header, time.Hour))
	return source.FaultOfStatus(resp.StatusCode, " in place of opening a WebSocket")
}

func (s *socket) subscribe(ctx context.Context, conn *websocket.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, openTakes)
	defer cancel()
	for _, message := range s.Subscribe {
		text, err := text(message, s.env.Secrets)
		if err != nil {
			return source.Faultf(freshet.FaultConfig, "subscribe: %v", err)
		}
		if err := conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			return err //nolint:wrapcheck // ended says what it means
		}
	}
	return nil
}

// ended is what is told of a connection that is over.
func ended(err error) error {
	if code := websocket.CloseStatus(err); code >= 0 {
		return source.Faultf(freshet.FaultConnection, "upstream closed the connection, with the code %d", int(code))
	}
	return err
}

// receive takes messages until the connection ends, and returns once all of them are handed over.
func (s *socket) receive(ctx context.Context, to source.Sink, conn *websocket.Conn) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := source.NewQueue()
	var busy atomic.Int64 // odd while what was read waits for room
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			item, err := s.message(ctx, conn)
			if err != nil {
				queue.End(err)
				return
			}
			if item == nil {
				continue
			}
			busy.Add(1)
			ok := queue.Put(ctx, *item)
			busy.Add(1)
			if !ok {
				queue.End(ctx.Err())
				return
			}
		}
	})
	wg.Go(func() { s.ping(ctx, conn, queue, &busy) })
	err := queue.HandOver(ctx, to, nil)
	cancel(nil)
	_ = conn.CloseNow()
	wg.Wait()
	return err
}

// message reads one message. Nil: there is nothing to hand over of it.
func (s *socket) message(ctx context.Context, conn *websocket.Conn) (*source.Item, error) {
	_, r, err := conn.Reader(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // ended says what it means
	}
	data, err := io.ReadAll(io.LimitReader(r, s.limit+1))
	if err != nil {
		return nil, err //nolint:wrapcheck // ended says what it means
	}
	if int64(len(data)) > s.limit {
		if _, err := io.Copy(io.Discard, r); err != nil {
			return nil, err //nolint:wrapcheck // ended says what it means
		}
		f := source.Faultf(freshet.FaultSize, "upstream sent a message that is larger than limits.payload, %v", freshet.Bytes(s.limit))
		return &source.Item{Fault: &f}, nil
	}
	return s.item(data), nil
}

// item is what is to be handed over of a message; nil: nothing.
func (s *socket) item(data []byte) *source.Item {
	if s.Filter != nil || s.Pointer != "" {
		if !json.Valid(data) {
			f := source.Faultf(freshet.FaultFormat, "upstream sent a message that is not one complete JSON value")
			return &source.Item{Fault: &f}
		}
		if s.Filter != nil {
			part, err := jsonpatch.Lookup(data, s.Filter.Pointer)
			if err != nil || len(s.Filter.Value) > 0 && !jsonpatch.Equal(part, s.Filter.Value) {
				return nil
			}
		}
		if s.Pointer != "" {
			part, err := jsonpatch.Lookup(data, s.Pointer)
			if err != nil {
				return nil
			}
			data = part
		}
	}
	return &source.Item{Payload: source.Payload{Data: data, Time: time.Now()}}
}

// ping ends a connection that does not answer. Answers are not read while what was read before waits for
// the journal: that is no fault of upstream.
func (s *socket) ping(ctx context.Context, conn *websocket.Conn, queue *source.Queue, busy *atomic.Int64) {
	for source.Sleep(ctx, time.Duration(s.Ping)) {
		before := busy.Load()
		limited, cancel := context.WithTimeout(ctx, time.Duration(s.Ping))
		err := conn.Ping(limited)
		cancel()
		if after := busy.Load(); err == nil || ctx.Err() != nil || after != before || after%2 == 1 {
			continue
		}
		queue.End(source.Faultf(freshet.FaultConnection, "upstream did not answer a ping within %v", s.Ping))
		_ = conn.CloseNow()
		return
	}
}
