package flow_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freshet"
	"freshet/internal/flow"
	"freshet/internal/flow/fanout"
	"freshet/internal/flow/journal"
	"freshet/internal/flow/source"
)

// A burst is a source that hands over many payloads at once.
type burst []string

func (b burst) Run(ctx context.Context, to source.Sink) error {
	var all []source.Payload
	for _, text := range b {
		all = append(all, source.Payload{Data: []byte(text), Time: time.Now(), Name: itemName(text)})
	}
	_ = to.Payload(ctx, all...) // what is no JSON is a fault
	<-ctx.Done()
	return nil
}

// An itemName is what an item of a burst is called.
type itemName string

func (n itemName) String() string { return "the item " + string(n) }

// A late source has something to say once it is stopped. It may have asked for the topic's state before.
type late struct {
	asks  bool
	ready chan struct{}
}

func (l *late) Run(ctx context.Context, to source.Sink) error {
	if l.asks {
		if _, err := to.Mark(ctx); err != nil {
			return err
		}
	}
	close(l.ready)
	<-ctx.Done()
	to.Fault(ctx, source.Faultf(freshet.FaultConnection, "gone"), 0)
	return nil
}

// A topic that is deleted while a fault is written is no mistake that an operator has to hear of.
func TestFaultOfADeletedTopic(t *testing.T) {
	for _, asks := range []bool{false, true} {
		var log bytes.Buffer
		src := &late{asks: asks, ready: make(chan struct{})}
		j := &failing{Journal: openJournal(t)}
		j.after.Store(1000) // nothing fails here
		f := flow.New(flow.Config{
			Journal: j, Sources: source.Set{{Name: "late"}}, ID: journal.ID, Metrics: prometheus.NewRegistry(),
			Log:       slog.New(slog.NewTextHandler(&log, nil)),
			NewSource: func(freshet.Topic) (source.Source, error) { return src, nil },
		})
		if err := f.Put(&freshet.Topic{Name: "log", Kind: freshet.KindEvent, Source: freshet.Source{Type: "late", AlwaysOn: true}}); err != nil {
			t.Fatal(err)
		}
		<-src.ready
		if err := f.Remove(t.Context(), "log"); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("logged: %s", log.String())
		}
	}
}

// What is no payload amid others that come with it is told in its place, and is over with the next one.
func TestFaultInItsPlace(t *testing.T) {
	for name, tt := range map[string]struct {
		burst burst
		want  []string
		state string
	}{
		"amid":     {burst{`1`, `bad`, `2`}, []string{"event 1", "error", "event 2"}, "running"},
		"first":    {burst{`bad`, `1`, `2`}, []string{"error", "event 1", "event 2"}, "running"},
		"several":  {burst{`1`, `bad`, `worse`, `2`, `bad`, `3`}, []string{"event 1", "error", "event 2", "error", "event 3"}, "running"},
		"the last": {burst{`1`, `2`, `bad`}, []string{"event 1", "event 2", "error"}, "failing"},
	} {
		t.Run(name, func(t *testing.T) {
			kind := source.Kind{Name: "burst", New: func(json.RawMessage, source.Env) (source.Source, error) { return tt.burst, nil }}
			j := &failing{Journal: openJournal(t)}
			j.after.Store(1000) // nothing fails here
			f := flow.New(flow.Config{
				Journal: j, Sources: source.Set{kind}, ID: journal.ID, Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
				NewSource: func(freshet.Topic) (source.Source, error) { return tt.burst, nil },
			})
			defer f.Close()
			if err := f.Put(&freshet.Topic{Name: "log", Kind: freshet.KindEvent, Source: freshet.Source{Type: "burst", AlwaysOn: true}}); err != nil {
				t.Fatal(err)
			}
			follower, err := f.Follow("log")
			if err != nil {
				t.Fatal(err)
			}
			defer follower.Close()
			if err := follower.Feed.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			var got []string
			for deadline := time.Now().Add(20 * time.Second); !slices.Equal(got, tt.want) && time.Now().Before(deadline); {
				changed := follower.Feed.Changed()
				got = nil
				for ev, err := range follower.Feed.History(t.Context(), fanout.Range{}) {
					if err != nil {
						t.Fatal(err)
					}
					said := string(ev.Type)
					if ev.Type == freshet.TypeEvent {
						said = fmt.Sprintf("%s %s", ev.Type, ev.Data)
					} else if !strings.Contains(string(ev.Data), `"message":"the item `) {
						t.Errorf("a fault does not say of which item: %s", ev.Data)
					}
					got = append(got, said)
				}
				select {
				case <-changed:
				case <-time.After(100 * time.Millisecond):
				}
			}
			if is := f.Status("log"); !slices.Equal(got, tt.want) || is.State != tt.state {
				t.Errorf("%q and %s, want %q and %s", got, is.State, tt.want, tt.state)
			}
		})
	}
}
