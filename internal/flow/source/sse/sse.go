// Package sse follows a stream of server-sent events.
package sse

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/credentials"
	"freshet/internal/settings"
)

// Kind is the type sse.
func Kind() source.Kind {
	return source.Kind{
		Name:    "sse",
		Summary: "Follows a stream of server-sent events, such as a topic of another Freshet.",
		Notes:   notes,
		Feeds:   []freshet.Kind{freshet.KindSnapshot, freshet.KindEvent},
		Config:  config{},
		Check:   source.Check[config],
		New:     newStream,
	}
}

//go:embed notes.md
var notes string

// A stream is the Source of the type sse.
type stream struct {
	config
	env    source.Env
	client source.Client // for the origin of the URL
	signer credentials.Signer
	limit  int
	log    *slog.Logger

	lastID    string    // of the last event that the sink has taken: where to resume
	document  []byte    // of an upstream that is Freshet, as of lastID; nil: there is none
	large     time.Time // when the document became too large to be kept; zero: it is not
	marked    bool      // a mark with an id was stored
	notBefore time.Time // when upstream may be asked again
	barren    int       // connections in a row that soon ended without an event
}

func newStream(conf json.RawMessage, env source.Env) (source.Source, error) {
	s := &stream{env: env, limit: int(cmp.Or(env.Limit, freshet.DefaultPayload)), log: cmp.Or(env.Log, slog.New(slog.DiscardHandler))}
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

// Run follows the stream until ctx ends.
func (s *stream) Run(ctx context.Context, to source.Sink) error {
	if err := s.recall(ctx, to); err != nil {
		s.log.WarnContext(ctx, "the mark cannot be read: upstream is asked for what comes from now on", "err", err)
	}
	source.Stay(ctx, to, s.log, func(ctx context.Context, up func()) error {
		if !source.Sleep(ctx, time.Until(s.notBefore)) {
			return nil
		}
		return s.follow(ctx, to, up)
	})
	s.document, s.large = nil, time.Time{} // it would be kept while nobody follows
	return nil
}

var (
	errAnew = errors.New("the document has to be asked for anew")
	errIdle = errors.New("nothing came for idleTimeout")
)

// follow makes one connection. That it ends, as all do, is no fault: whether upstream is there, the next
// one shows.
func (s *stream) follow(ctx context.Context, to source.Sink, up func()) error {
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if !s.large.IsZero() {
		s.lastID = "" // without the document, a patch from there is of no use
	}
	began := time.Now()
	timer := time.AfterFunc(time.Duration(s.Idle), func() { cancel(errIdle) })
	defer timer.Stop()
	resp, err := s.open(limited)
	if err != nil {
		if context.Cause(limited) == errIdle { //nolint:errorlint // it is not wrapped
			return source.Faultf(freshet.FaultConnection, "upstream gave no answer within %v", s.Idle)
		}
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusNoContent { // the standard's way to say: do not come back
		to.Fault(ctx, source.Faultf(freshet.FaultPublication, "upstream answered 204 No Content, which asks to stop: the source does, until the topic is started again"), time.Since(began))
		<-ctx.Done()
		return nil
	}
	if err := s.judge(resp); err != nil {
		return err
	}
	timer.Stop()
	up()
	return s.read(ctx, to, newReader(&idle{resp.Body, timer, time.Duration(s.Idle)}, s.limit, s.lastID))
}

// read hands over what comes, as much as there is at a time, until the stream ends.
func (s *stream) read(ctx context.Context, to source.Sink, r *reader) error {
	began, any := time.Now(), false
	for {
		items, err := s.gather(r)
		any = any || len(items) > 0
		if !source.Deliver(ctx, to, items) {
			return nil
		}
		s.lastID = r.lastID
		if err == nil {
			continue
		}
		s.wait(r.retry)
		if errors.Is(err, errAnew) {
			return s.anew()
		}
		s.log.DebugContext(ctx, "the stream ended", "err", err)
		if s.barren++; any || time.Since(began) > 10*time.Second {
			s.barren = 0
		}
		if s.barren > 1 { // it takes connections, and has no use for them
			s.wait(source.Jitter(source.BackOff(s.barren, time.Second, time.Minute, 1)))
		}
		if s.barren >= 3 {
			return source.Faultf(freshet.FaultConnection, "upstream ends the stream again and again before an event has come")
		}
		return nil
	}
}

// anew lets the next connection begin with the whole document.
func (s *stream) anew() error {
	s.wait(10 * time.Second) // an upstream that never sends what fits is not to be asked in a circle
	s.lastID, s.document = "", nil
	if !s.large.IsZero() {
		return nil // that was told
	}
	return source.Faultf(freshet.FaultFormat, "upstream sent a patch that does not fit the document before it: the document is asked for anew")
}

// gather waits for an event and returns what there is to hand over of those that are there then. With an
// error nothing comes after that.
func (s *stream) gather(r *reader) (items []source.Item, err error) {
	for size, n := 0, 0; n < source.BatchPayloads && size < source.BatchBytes; n++ {
		e, ok, err := r.next(n == 0)
		if err != nil || !ok {
			return items, err
		}
		item, err := s.item(e)
		if err != nil {
			return items, err
		}
		if item != nil {
			items, size = append(items, *item), size+len(item.Payload.Data)
		}
	}
	return items, nil
}

// item is what is to be handed over of an event; nil: nothing.
func (s *stream) item(e event) (*source.Item, error) {
	if s.Freshet {
		return s.fromFreshet(e)
	}
	if !s.takes(e.name) || len(e.data) == 0 && !e.large {
		return nil, nil //nolint:nilnil // as documented
	}
	if e.large {
		return tooLarge(s.limit), nil
	}
	if s.TextData == "string" {
		text, err := json.Marshal(string(e.data))
		if err != nil || len(text) > s.limit {
			return tooLarge(s.limit), nil
		}
		e.data = text
	}
	return s.payload(e.data, s.mark(e.id)), nil
}

func (s *stream) payload(data []byte, mark string) *source.Item {
	return &source.Item{Payload: source.Payload{Data: data, Time: time.Now(), Mark: mark}}
}

func tooLarge(limit int) *source.Item {
	f := source.Faultf(freshet.FaultSize, "upstream sent an event that is larger than limits.payload, %v", freshet.Bytes(limit))
	return &source.Item{Fault: &f}
}

// takes says whether events of a name are wanted.
func (s *stream) takes(name string) bool {
	if len(s.Events) == 0 {
		return true
	}
	return slices.Contains(s.Events, name)
}
