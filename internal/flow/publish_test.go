package flow_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freshet"
	"freshet/internal/engine"
	"freshet/internal/flow"
	"freshet/internal/flow/journal"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/httppost"
)

// A failing journal is a real one that does not answer some appends, whether it carries them out or not.
type failing struct {
	*journal.Journal
	after atomic.Int64 // appends that succeed before; negative: all do
	lost  bool         // what is not answered is carried out
	held  chan error   // where there is one, each append comes by and gets what to return; nil: go on
}

var errLost = fmt.Errorf("no answer: %w", freshet.ErrUnavailable)

func (f *failing) Append(ctx context.Context, id freshet.TopicID, head freshet.Position, events []freshet.Event, note string) error {
	if f.held != nil {
		f.held <- nil // it is there
		if err := <-f.held; err != nil {
			return err
		}
	}
	if n := f.after.Add(-1); n == -1 && !f.lost {
		return errLost
	} else if err := f.Journal.Append(ctx, id, head, events, note); errors.Is(err, journal.ErrFenced) {
		return freshet.ErrConflict
	} else if n != -1 || err != nil {
		return err
	}
	return errLost
}

func (f *failing) Oldest(ctx context.Context, id freshet.TopicID) (freshet.Event, error) {
	e, err := f.Journal.Oldest(ctx, id)
	return e.Event, err
}

func (f *failing) Entry(ctx context.Context, id freshet.TopicID, sequence uint64) (freshet.Event, error) {
	e, err := f.Lookup(ctx, id, sequence)
	return e.Event, err
}

func (f *failing) Before(context.Context, freshet.TopicID, time.Time) (freshet.Event, error) {
	return freshet.Event{}, freshet.ErrGone // nobody asks here
}

// topics is a flow of an event topic and a snapshot topic that take posts, over a journal.
func topics(t testing.TB, j flow.Journal) *flow.Flow {
	t.Helper()
	kinds := source.Set{httppost.Kind()}
	f := flow.New(flow.Config{
		Journal: j, Sources: kinds, ID: journal.ID, Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
		NewSource: func(freshet.Topic) (source.Source, error) { return kinds[0].New([]byte("{}"), source.Env{}) },
	})
	for name, kind := range map[freshet.TopicName]freshet.Kind{"log": freshet.KindEvent, "doc": freshet.KindSnapshot} {
		if err := f.Put(&freshet.Topic{Name: name, Kind: kind, Source: freshet.Source{Type: "http-post", AlwaysOn: true}}); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func openJournal(t testing.TB) *journal.Journal {
	t.Helper()
	e, err := engine.Open(engine.Config{Dir: t.TempDir(), Sync: "1m"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	j, err := journal.Open(t.Context(), e.Conn(), journal.Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// stored is what the journal has of an event topic.
func stored(t *testing.T, events iter.Seq2[freshet.Event, error]) (all []string) {
	t.Helper()
	for ev, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(ev.Data))
	}
	return all
}

// A batch whose store fails on its way says how far it came for certain. Repeated by its key it goes on from
// where it really is, and each payload is stored once: also by a process that knows nothing of the first try.
func TestBatchThatFails(t *testing.T) {
	const lines = 1000 // several pieces
	var body bytes.Buffer
	for n := range lines {
		fmt.Fprintln(&body, n)
	}
	for _, lost := range []bool{false, true} {
		for after := range 4 {
			for _, restart := range []bool{false, true} {
				t.Run(fmt.Sprint(lost, after, restart), func(t *testing.T) {
					j := &failing{Journal: openJournal(t), lost: lost}
					j.after.Store(int64(after))
					f := topics(t, j)
					post := flow.Post{Body: body.Bytes(), Lines: true, Key: "k"}
					got, err := f.Publish(t.Context(), "log", post)
					if !errors.Is(err, freshet.ErrUnavailable) || got.Payloads != lines || got.Settled != after*256 || got.Changed != got.Settled {
						t.Fatalf("the first try: %+v, %v", got, err)
					}
					if restart {
						f.Close()
						f = topics(t, j)
					}
					defer func() { f.Close() }()
					got, err = f.Publish(t.Context(), "log", post)
					if err != nil || got.Settled != lines || got.Changed != lines || got.Last.Revision != lines || got.Repeated != (lost && after == 3) {
						t.Errorf("the second try: %+v, %v", got, err)
					}
					id := journal.ID("log")
					if all := stored(t, j.Read(t.Context(), id, 0)); len(all) != lines || all[0] != "0" || all[lines-1] != fmt.Sprint(lines-1) {
						t.Errorf("%d events are stored", len(all))
					}
					again, err := f.Publish(t.Context(), "log", post)
					if got.Repeated = true; err != nil || again != got {
						t.Errorf("once more: %+v, %v; want %+v", again, err, got)
					}
				})
			}
		}
	}
}

// A single post whose answer was lost is found again, and one that was not stored is not.
func TestPostThatFails(t *testing.T) {
	for _, lost := range []bool{false, true} {
		j := &failing{Journal: openJournal(t), lost: lost}
		j.after.Store(0)
		f := topics(t, j)
		post := flow.Post{Body: []byte(`{"n":1}`), Key: "k"}
		if got, err := f.Publish(t.Context(), "doc", post); !errors.Is(err, freshet.ErrUnavailable) || got.Settled != 0 {
			t.Errorf("the first try: %+v, %v", got, err)
		}
		if got, err := f.Publish(t.Context(), "doc", post); err != nil || got.Repeated != lost || got.Last.Revision != 1 || got.Changed != 1 {
			t.Errorf("the second try, stored before: %t: %+v, %v", lost, got, err)
		}
		f.Close()
	}
}

// A topic that is deleted amid a batch does not get the rest of it, and nothing is left of what it got.
func TestDeletedAmidABatch(t *testing.T) {
	j := &failing{Journal: openJournal(t), held: make(chan error)}
	j.after.Store(-1)
	f := topics(t, j)
	post := func(lines int) <-chan error {
		posted := make(chan error, 1)
		go func() {
			_, err := f.Publish(t.Context(), "log", flow.Post{Body: bytes.Repeat([]byte("1\n"), lines), Lines: true})
			posted <- err
		}()
		return posted
	}
	const while = 100 * time.Millisecond // for the others to come as far as they can
	batch := post(1000)
	<-j.held
	j.held <- nil
	<-j.held // the second piece
	other := post(1)
	<-time.After(while)
	removed := make(chan error, 1)
	go func() { removed <- f.Remove(t.Context(), "log") }()
	<-time.After(while)
	j.held <- nil
	for batch, other := batch, other; batch != nil || other != nil; {
		select {
		case <-j.held:
			<-time.After(while)
			j.held <- nil
		case err := <-batch:
			if batch = nil; !errors.Is(err, freshet.ErrNotFound) {
				t.Errorf("the batch: %v", err)
			}
		case err := <-other: // before the topic was deleted, or not at all
			if other = nil; err != nil && !errors.Is(err, freshet.ErrNotFound) {
				t.Errorf("the other post: %v", err)
			}
		}
	}
	if err := <-removed; err != nil {
		t.Error(err)
	}
	if all := stored(t, j.Read(t.Context(), journal.ID("log"), 0)); len(all) > 0 {
		t.Errorf("%d events are left", len(all))
	}
	f.Close()
}

// Somebody comes while the source has stopped, though a post is still under way.
func TestFollowedAmidABatch(t *testing.T) {
	t.Parallel()
	j := &failing{Journal: openJournal(t), held: make(chan error)}
	j.after.Store(-1)
	f := topics(t, j)
	if err := f.Put(&freshet.Topic{Name: "idle", Kind: freshet.KindSnapshot, Source: freshet.Source{Type: "http-post"}}); err != nil {
		t.Fatal(err)
	}
	ended := time.After(20 * time.Second)
	await := func(what string, ch <-chan error) {
		t.Helper()
		select {
		case <-ch:
		case <-ended:
			panic(what + " never came") // with what every goroutine does
		}
	}
	first, err := f.Follow("idle")
	if err != nil {
		t.Fatal(err)
	}
	posted, followed := make(chan error, 1), make(chan error, 1)
	go func() {
		piece := fmt.Sprintf("\"%0*d\"\n", 150<<10, 0)
		_, err := f.Publish(t.Context(), "idle", flow.Post{Body: []byte(piece + "1\n"), Lines: true})
		posted <- err
	}()
	await("the first piece", j.held)
	first.Close()
	<-time.After(3500 * time.Millisecond) // the source lingers for three seconds
	j.held <- nil
	await("the second piece", j.held)
	go func() {
		second, err := f.Follow("idle")
		if err == nil {
			defer second.Close()
		}
		followed <- err
	}()
	<-time.After(100 * time.Millisecond)
	j.held <- freshet.ErrConflict // the document is made anew
	await("the second piece again", j.held)
	j.held <- nil
	await("the answer", posted)
	await("the follower", followed)
	f.Close() // not after a failure, when it would wait for ever
}

// BenchmarkPost is one poster after the other, without HTTP.
func BenchmarkPost(b *testing.B) {
	j := &failing{Journal: openJournal(b)}
	j.after.Store(-1)
	f := topics(b, j)
	defer f.Close()
	for _, key := range []bool{false, true} {
		b.Run(fmt.Sprintf("key=%t", key), func(b *testing.B) {
			body := fmt.Appendf(nil, `{"text":"%0300d"}`, 0)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				post := flow.Post{Body: body}
				if key {
					post.Key = fmt.Sprint(n)
				}
				if _, err := f.Publish(b.Context(), "log", post); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
