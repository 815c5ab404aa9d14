package journal_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"freshet"
	"freshet/internal/engine"
	"freshet/internal/flow/journal"
)

func TestRecords(t *testing.T) {
	ctx, j := t.Context(), open(t, t.TempDir())
	r, other := j.Records("topic"), j.Records("cursor")
	keys := []string{"prices", "a.b_c-d", "Ä/~ *>", "", strings.Repeat("k", 500)}
	want := map[string]string{}
	for i, key := range keys {
		if _, _, err := r.Get(ctx, key); !errors.Is(err, freshet.ErrNotFound) {
			t.Errorf("get of %q: %v", key, err)
		}
		if err := r.Delete(ctx, key, 0); !errors.Is(err, freshet.ErrNotFound) {
			t.Errorf("delete of %q: %v", key, err)
		}
		rev := must(r.Put(ctx, key, []byte("one"), 0))(t)
		if _, err := r.Put(ctx, key, nil, 0); !errors.Is(err, freshet.ErrExists) {
			t.Errorf("second create of %q: %v", key, err)
		}
		if _, err := r.Put(ctx, key, nil, rev+1); !errors.Is(err, freshet.ErrConflict) {
			t.Errorf("put of %q with a wrong revision: %v", key, err)
		}
		want[key] = fmt.Sprint("two", i)
		rev2 := must(r.Put(ctx, key, []byte(want[key]), rev))(t)
		if err := r.Delete(ctx, key, rev); !errors.Is(err, freshet.ErrConflict) {
			t.Errorf("delete of %q with an old revision: %v", key, err)
		}
		if v, got, err := r.Get(ctx, key); err != nil || got != rev2 || string(v) != want[key] {
			t.Errorf("get of %q = %q %d %v", key, v, got, err)
		}
		must(other.Put(ctx, key, []byte("other"), 0))(t)
	}
	_, rev, err := r.Get(ctx, keys[0])
	if err := errors.Join(err, r.Delete(ctx, keys[0], rev)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Put(ctx, keys[0], nil, rev); !errors.Is(err, freshet.ErrConflict) {
		t.Errorf("put over a deleted record: %v", err)
	}
	again := must(r.Put(ctx, keys[0], []byte("again"), 0))(t)
	if want[keys[0]] = "again"; again <= rev {
		t.Errorf("revision %d after %d", again, rev)
	}
	if err := r.Delete(ctx, keys[1], 0); err != nil {
		t.Fatal(err)
	}
	delete(want, keys[1])
	got := map[string]string{}
	list := must(r.List(ctx))(t)
	for _, rec := range list {
		got[rec.Key] = string(rec.Value)
	}
	if !maps.Equal(got, want) || !slices.IsSortedFunc(list, func(a, b journal.Record) int { return strings.Compare(a.Key, b.Key) }) {
		t.Errorf("list is %v; want %v", got, want)
	}
	if _, err := r.Put(ctx, "large", make([]byte, 5<<20), 0); !errors.Is(err, freshet.ErrTooLarge) {
		t.Errorf("put of 5 MiB: %v", err)
	}
}

func TestOneRecordWriterWins(t *testing.T) {
	j := open(t, t.TempDir())
	r := j.Records("a")
	var rev uint64
	for round := range 50 {
		won := make(chan uint64, 8)
		var all sync.WaitGroup
		for range cap(won) {
			all.Go(func() {
				next, err := r.Put(t.Context(), "k", nil, rev)
				if err == nil {
					won <- next
				} else if !errors.Is(err, freshet.ErrConflict) && !errors.Is(err, freshet.ErrExists) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if len(won) != 1 {
			t.Fatalf("round %d has %d winners", round, len(won))
		}
		if rev = <-won; round%5 == 4 {
			if err := r.Delete(t.Context(), "k", rev); err != nil {
				t.Fatal(err)
			}
			rev = 0
		}
	}
}

// TestWatch has watchers, one of them slow, that must end with what the writers left.
func TestWatch(t *testing.T) {
	t.Parallel()
	e := must(engine.Open(engine.Config{Dir: t.TempDir(), Sync: "1m"}))(t)
	defer func() { _ = e.Close() }()
	r, noise := on(t, e, journal.Config{}).Records("a"), on(t, e, journal.Config{}).Records("b")
	must(r.Put(t.Context(), "before", []byte("x"), 0))(t)
	// Changes that were dropped must be noticed before the check that comes every ten seconds.
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	half := make(chan struct{})
	var all sync.WaitGroup
	views := make([]map[string]string, 3)
	for i := range views {
		views[i] = map[string]string{}
		watched := on(t, e, journal.Config{}).Records("a")
		all.Go(func() {
			last := uint64(0)
			for c, err := range watched.Watch(ctx) {
				if err != nil {
					t.Error(err)
					return
				}
				if c.Revision <= last {
					t.Errorf("revision %d after %d", c.Revision, last)
				}
				last = c.Revision
				if c.Deleted {
					delete(views[i], c.Key)
				} else {
					views[i][c.Key] = string(c.Value)
				}
				if i == 0 && len(views[i]) == 5 {
					<-half // misses more than is kept for it
				}
				if c.Key == "end" {
					return
				}
			}
			t.Error("ended before the end")
		})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	want := map[string]string{"before": "x", "end": ""}
	for i := range 1000 {
		key := fmt.Sprint("k", rng.IntN(20))
		_, rev, err := r.Get(ctx, key)
		if err != nil && !errors.Is(err, freshet.ErrNotFound) {
			t.Fatal(err)
		}
		if rev != 0 && rng.IntN(3) == 0 {
			if err := r.Delete(ctx, key, rev); err != nil {
				t.Fatal(err)
			}
			delete(want, key)
		} else {
			want[key] = fmt.Sprint(i)
			must(r.Put(ctx, key, []byte(want[key]), rev))(t)
		}
		if i == 500 {
			close(half)
		}
		if i%3 == 0 {
			must(noise.Put(ctx, fmt.Sprint(i), nil, 0))(t)
		}
	}
	must(r.Put(ctx, "end", nil, 0))(t)
	all.Wait()
	for i, view := range views {
		if !maps.Equal(view, want) {
			t.Errorf("watcher %d has %v; want %v", i, view, want)
		}
	}
}
