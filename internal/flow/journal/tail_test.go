package journal_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"freshet"
	"freshet/internal/engine"
	"freshet/internal/flow/journal"
)

// follow reads a tail until it has seen a revision, and checks that each comes once and in order.
func follow(ctx context.Context, t *testing.T, j *journal.Journal, id freshet.TopicID, after freshet.Position, to int, each func(freshet.Event)) {
	next := after.Revision + 1
	for e, err := range j.Tail(ctx, id, after.Sequence) {
		if err != nil {
			t.Errorf("tail: %v", err)
			return
		}
		if e.Revision != next {
			t.Errorf("revision %d came instead of %d", e.Revision, next)
			return
		}
		if string(e.Data) != fmt.Sprintf("[%d]", e.Revision) {
			t.Errorf("revision %d has data %s", e.Revision, e.Data)
		}
		each(e)
		if next++; int(e.Revision) == to {
			return
		}
	}
	t.Errorf("tail ended before revision %d: %v", next, context.Cause(ctx))
}

// TestTailBesideAppends has two writers take turns on one topic, and readers of all speeds.
func TestTailBesideAppends(t *testing.T) {
	t.Parallel()
	const entries = 2000
	e := must(engine.Open(engine.Config{Dir: t.TempDir(), Sync: "1m"}))(t)
	defer func() { _ = e.Close() }()
	id := journal.ID("a")
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var all sync.WaitGroup
	for reader := range 4 {
		j := on(t, e, journal.Config{})
		all.Go(func() {
			follow(ctx, t, j, id, freshet.Position{}, entries, func(ev freshet.Event) {
				if reader < 2 && int(ev.Revision)%(100<<reader) == 0 { // slow: falls behind more than it can hold
					select {
					case <-time.After(100 * time.Millisecond):
					case <-ctx.Done():
					}
				}
			})
		})
	}
	for range 2 {
		j := on(t, e, journal.Config{})
		all.Go(func() {
			for ctx.Err() == nil {
				head, err := j.Head(ctx, id)
				for err == nil && head.Revision < entries {
					ev := patch(int(head.Revision)+1, fmt.Sprintf("[%d]", head.Revision+1))
					head.Position, err = j.AppendOne(ctx, id, head.Position, ev)
				}
				if err == nil {
					return
				}
				if !errors.Is(err, journal.ErrFenced) {
					t.Errorf("append: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
}

// TestOneWriterWins has many try to append after the same entry at once.
func TestOneWriterWins(t *testing.T) {
	t.Parallel()
	e := must(engine.Open(engine.Config{Dir: t.TempDir(), Sync: "1m"}))(t)
	defer func() { _ = e.Close() }()
	j, id := on(t, e, journal.Config{}), journal.ID("a")
	var head freshet.Position
	for round := range 20 {
		const writers = 6
		won := make(chan freshet.Position, writers)
		var all sync.WaitGroup
		for w := range writers {
			mine := j
			if w%2 == 0 {
				mine = on(t, e, journal.Config{})
			}
			all.Go(func() {
				body := fmt.Sprint(w)
				if round == 7 {
					body = string(make([]byte, 5<<20)) // in parts
				}
				at, err := mine.AppendOne(t.Context(), id, head, patch(round+1, body))
				if err == nil {
					won <- at
				} else if !errors.Is(err, journal.ErrFenced) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if len(won) != 1 {
			t.Fatalf("round %d has %d winners", round, len(won))
		}
		head = <-won
	}
	if got, err := collect(j.Read(t.Context(), id, 0)); err != nil || len(got) != 20 {
		t.Errorf("read %d entries, %v", len(got), err)
	}
}

func TestTailEnds(t *testing.T) {
	j, id := open(t, t.TempDir()), journal.ID("a")
	events := fill(t, j, id, freshet.Position{}, 3)
	t.Run("when its context does", func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		n := 0
		for _, err := range j.Tail(ctx, id, 0) {
			if err != nil {
				t.Error(err)
			}
			if n++; n == 3 {
				stop()
			}
		}
		if n != 3 {
			t.Errorf("%d entries", n)
		}
		stop()
	})
	t.Run("when it starts after what never was", func(t *testing.T) {
		if _, err := collect(j.Tail(t.Context(), id, 1<<40)); !errors.Is(err, freshet.ErrGone) {
			t.Error(err)
		}
	})
	t.Run("when the history is replaced", func(t *testing.T) {
		n := 0
		var last error
		for _, err := range j.Tail(t.Context(), id, 0) {
			if last = err; err != nil {
				break
			}
			if n++; n == len(events) {
				if err := j.Delete(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				fill(t, j, id, freshet.Position{}, 5)
			}
		}
		if n != len(events) || !errors.Is(last, freshet.ErrGone) {
			t.Errorf("%d entries, then %v", n, last)
		}
	})
	t.Run("when the engine is closed", func(t *testing.T) {
		e := must(engine.Open(engine.Config{Dir: t.TempDir(), Sync: "1m"}))(t)
		j := on(t, e, journal.Config{})
		fill(t, j, id, freshet.Position{}, 1)
		var last error
		for _, err := range j.Tail(t.Context(), id, 0) {
			if last = err; err == nil {
				_ = e.Close()
			}
		}
		if !errors.Is(last, freshet.ErrUnavailable) {
			t.Error(last)
		}
		if _, err := j.AppendOne(t.Context(), id, freshet.Position{}, patch(1, "")); !errors.Is(err, freshet.ErrUnavailable) {
			t.Error(err)
		}
	})
}

func TestDeadlinesHold(t *testing.T) {
	e := must(engine.Open(engine.Config{Dir: t.TempDir(), Sync: "1m"}))(t)
	j, id := on(t, e, journal.Config{}), journal.ID("a")
	fill(t, j, id, freshet.Position{}, 1)
	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("the test says so")
	stop(why)
	_, err := j.AppendOne(ctx, id, freshet.Position{}, patch(1, ""))
	_, err2 := j.Head(ctx, id)
	_, err3 := collect(j.Read(ctx, id, 0))
	for i, err := range []error{err, err2, err3, j.PutKeyframe(ctx, id, patch(1, "")), j.Trim(ctx, id, 1, 1, 1), j.Delete(ctx, id)} {
		if !errors.Is(err, why) {
			t.Errorf("call %d with an ended context: %v", i, err)
		}
	}
	_ = e.Close()
}
