package journal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"freshet"
	"freshet/internal/engine"
	"freshet/internal/flow/journal"
)

// many makes a store of topics with history and keyframes.
func many(t testing.TB, dir string, topics, entries int) {
	t.Helper()
	e := must(engine.Open(engine.Config{Dir: dir, Sync: "1m"}))(t)
	j := on(t, e, journal.Config{})
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := w; i < topics; i += 16 {
				id := journal.ID(freshet.TopicName(fmt.Sprint("topic", i)))
				ev := patch(1, `[{"op":"replace","path":"/eur","value":1.09}]`)
				for head := (freshet.Position{}); int(head.Revision) < entries; head = ev.Position {
					ev.Revision = head.Revision + 1
					var err error
					if ev.Position, err = j.AppendOne(t.Context(), id, head, ev); err != nil {
						t.Error(err)
						return
					}
				}
				if err := j.PutKeyframe(t.Context(), id, ev); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// ready opens the store and reads one head, which ends what has to be waited for.
func ready(t testing.TB, dir string) (*engine.Engine, *journal.Journal, freshet.Event) {
	t.Helper()
	e := must(engine.Open(engine.Config{Dir: dir, Sync: "1m"}))(t)
	j := on(t, e, journal.Config{})
	return e, j, must(j.Head(t.Context(), journal.ID("topic7")))(t)
}

// dropIndexes removes the files from which the store learns what its blocks hold, without which it
// reads all of them, as after a crash.
func dropIndexes(t testing.TB, dir string) {
	t.Helper()
	indexes := must(filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*", "msgs", "index.db")))(t)
	if len(indexes) == 0 {
		t.Fatal("the store has no index files")
	}
	for _, index := range indexes {
		if err := os.Remove(index); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpensManyTopics(t *testing.T) {
	t.Parallel()
	const topics, entries = 1000, 3
	dir := t.TempDir()
	many(t, dir, topics, entries)
	for range 2 {
		e, j, head := ready(t, dir)
		if ids := must(j.Topics(t.Context()))(t); len(ids) != topics || head.Revision != entries {
			t.Errorf("%d topics, head %v", len(ids), head.Position)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		dropIndexes(t, dir)
	}
}

// BenchmarkOpen is how long a store of 10 000 topics takes until it answers.
func BenchmarkOpen(b *testing.B) {
	for _, crashed := range []bool{false, true} {
		b.Run(fmt.Sprintf("crashed=%v", crashed), func(b *testing.B) {
			dir := b.TempDir()
			many(b, dir, 10_000, 20)
			for b.Loop() {
				b.StopTimer()
				if crashed {
					dropIndexes(b, dir)
				}
				b.StartTimer()
				e, _, _ := ready(b, dir)
				b.StopTimer()
				if err := e.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
