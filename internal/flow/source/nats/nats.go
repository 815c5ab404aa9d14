// Package nats reads messages of NATS: of subjects, and of the streams of JetStream.
package nats

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/nats/server"
	"freshet/internal/settings"
)

// Kind is the type nats.
func Kind() source.Kind {
	return source.Kind{
		Name:    "nats",
		Summary: "Reads messages of NATS, of a subject or of a stream of JetStream.",
		Notes:   notes,
		Feeds:   []freshet.Kind{freshet.KindSnapshot, freshet.KindEvent},
		Config:  config{},
		Check:   source.Check[config],
		New:     newReader,
	}
}

//go:embed notes.md
var notes string

// A reader is the Source of the type nats.
type reader struct {
	config
	env   source.Env
	limit int
	log   *slog.Logger

	place place // in the stream; of a source that reads one
}

func newReader(conf json.RawMessage, env source.Env) (source.Source, error) {
	r := &reader{env: env, limit: int(cmp.Or(env.Limit, freshet.DefaultPayload)), log: cmp.Or(env.Log, slog.New(slog.DiscardHandler))}
	if wrong := settings.Read(conf, &r.config); wrong != nil {
		return nil, wrong
	}
	return r, nil
}

// Run reads until ctx ends.
func (r *reader) Run(ctx context.Context, to source.Sink) error {
	r.place = place{} // what was not stored when the last Run ended is not done with
	source.Stay(ctx, to, r.log, func(ctx context.Context, up func()) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		queue := source.NewQueue()
		nc, err := r.connect(ctx, func(err error) { queue.End(err); cancel(err) }, func(f freshet.Fault) { queue.Put(ctx, source.Item{Fault: &f}) })
		if err != nil {
			return r.explain(err)
		}
		defer nc.Close()
		if r.Stream != "" {
			err = r.readStream(ctx, to, nc, up)
		} else {
			err = r.readSubject(ctx, to, nc, queue, up)
		}
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
			err = cause
		}
		return r.explain(err)
	})
	return nil
}

// readSubject takes messages of core NATS until the connection ends.
func (r *reader) readSubject(ctx context.Context, to source.Sink, nc *nats.Conn, queue *source.Queue, up func()) error {
	sub, err := nc.QueueSubscribe(r.Subject, r.QueueGroup, func(m *nats.Msg) {
		if item := r.item(m.Data, "", nil); item != nil {
			queue.Put(ctx, *item)
		}
	})
	if err != nil {
		return err //nolint:wrapcheck // explain says what it means
	}
	if err := sub.SetPendingLimits(-1, max(pendingBytes, 4*r.limit)); err != nil {
		return err //nolint:wrapcheck // explain says what it means
	}
	if err := r.settled(ctx, nc); err != nil {
		return err
	}
	up()
	return queue.HandOver(ctx, to, nil)
}

// pendingBytes is how much of core NATS may wait in memory for the journal; what comes then is lost.
const pendingBytes = 16 << 20

// settled waits until the server has seen what was sent, and says whether it minded.
func (r *reader) settled(ctx context.Context, nc *nats.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, server.AnswerTakes)
	defer cancel()
	if err := nc.FlushWithContext(ctx); err != nil {
		return err //nolint:wrapcheck // explain says what it means
	}
	if err := nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		return err //nolint:wrapcheck // explain says what it means
	}
	return nil
}

// A messageName is the number of a message in its stream.
type messageName uint64

// String is what the message is called in faults.
func (n messageName) String() string { return fmt.Sprintf("the message %d of the stream", uint64(n)) }

// item is what is to be handed over of a message; nil: nothing. One without data says at most that a key
// was deleted.
func (r *reader) item(data []byte, mark string, name fmt.Stringer) *source.Item {
	if len(data) == 0 {
		return nil
	}
	if len(data) > r.limit {
		f := source.Faultf(freshet.FaultSize, "upstream sent a message that is larger than limits.payload, %v", freshet.Bytes(r.limit))
		return &source.Item{Fault: &f}
	}
	return &source.Item{Payload: source.Payload{Data: data, Time: time.Now(), Mark: mark, Name: name}}
}
