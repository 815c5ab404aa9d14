package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freshet"
	"freshet/internal/engine"
	"freshet/internal/flow"
	"freshet/internal/flow/journal"
	"freshet/internal/flow/source"
)

// A script is a source that a test tells what to do.
type script func(ctx context.Context, to source.Sink) error

func (s script) Run(ctx context.Context, to source.Sink) error {
	if err := s(ctx, to); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// run runs a topic with the source until the source is done, on a server with its data in dir.
func run(t *testing.T, dir string, kind freshet.Kind, s script) {
	t.Helper()
	e, err := engine.Open(engine.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	j, err := journal.Open(t.Context(), e.Conn(), journal.Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	f := flow.New(flow.Config{
		Journal: store{j}, ID: journal.ID, Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
		NewSource: func(freshet.Topic) (source.Source, error) {
			return script(func(ctx context.Context, to source.Sink) error {
				done <- s(ctx, to)
				return nil
			}), nil
		},
	})
	defer f.Close()
	topic := &freshet.Topic{Name: "a", Kind: kind, Source: freshet.Source{AlwaysOn: true}}
	topic.History.MaxEvents = 8 // so that there are keyframes and trimming
	if err := f.Put(topic); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the source is not done within a minute")
	}
}

func payload(data, mark string) source.Payload {
	return source.Payload{Data: []byte(data), Time: time.Now(), Mark: mark}
}

// A source finds again where it was: after one payload, many, one that is no payload, and a fault, across
// restarts, and when all else of the history is gone but the last keyframe.
func TestMark(t *testing.T) {
	for _, kind := range []freshet.Kind{freshet.KindEvent, freshet.KindSnapshot} {
		t.Run(string(kind), func(t *testing.T) {
			dir := t.TempDir()
			expect := func(ctx context.Context, to source.Sink, want string) error {
				if got, err := to.Mark(ctx); got != want || err != nil {
					return fmt.Errorf("the mark is %q (%w), want %q", got, err, want)
				}
				return nil
			}
			run(t, dir, kind, func(ctx context.Context, to source.Sink) error {
				return errors.Join(expect(ctx, to, ""), to.Payload(ctx, payload(`1`, `{"offset":1, "é":"\n"}`)), expect(ctx, to, `{"offset":1, "é":"\n"}`))
			})
			run(t, dir, kind, func(ctx context.Context, to source.Sink) error {
				err := errors.Join(expect(ctx, to, `{"offset":1, "é":"\n"}`), to.Payload(ctx, payload(`2`, "2"), payload(`3`, "3"), payload(`4`, "4")))
				to.Fault(ctx, source.Faultf(freshet.FaultConnection, "away"), 0)
				return err
			})
			run(t, dir, kind, func(ctx context.Context, to source.Sink) error {
				if err := expect(ctx, to, "4"); err != nil {
					return err
				}
				_, refused := errors.AsType[freshet.Fault](to.Payload(ctx, payload(`5`, "5"), payload(`no JSON`, "6"), payload(`7`, "7")))
				if !refused {
					return errors.New("no fault for what is no JSON")
				}
				return expect(ctx, to, "7")
			})
			run(t, dir, kind, func(ctx context.Context, to source.Sink) error {
				if err := expect(ctx, to, "7"); err != nil {
					return err
				}
				for i := 8; i < 60; i++ {
					if err := to.Payload(ctx, payload(fmt.Sprint(i), fmt.Sprint(i))); err != nil {
						return err
					}
				}
				return to.Payload(ctx, payload(`60`, strings.Repeat("m", 4096)))
			})
			run(t, dir, kind, func(ctx context.Context, to source.Sink) error {
				return expect(ctx, to, strings.Repeat("m", 4096))
			})
		})
	}
}
