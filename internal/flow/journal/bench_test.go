package journal_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"freshet"
	"freshet/internal/engine"
	"freshet/internal/flow/journal"
)

func BenchmarkAppend(b *testing.B) {
	for _, mode := range []string{engine.SyncAlways, "1m"} {
		for _, size := range []int{1 << 10, 50 << 10} {
			b.Run(fmt.Sprintf("sync=%s/%dKB", mode, size>>10), func(b *testing.B) {
				e := must(engine.Open(engine.Config{Dir: b.TempDir(), Sync: mode}))(b)
				defer func() { _ = e.Close() }()
				j, id := on(b, e, journal.Config{}), journal.ID("a")
				var head freshet.Position
				b.SetBytes(int64(size))
				ev := patch(1, strings.Repeat("x", size))
				for b.Loop() {
					ev.Revision++
					head = must(j.AppendOne(b.Context(), id, head, ev))(b)
				}
			})
		}
	}
}

func BenchmarkHead(b *testing.B) {
	for _, size := range []int{1 << 10, 50 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			j, id := open(b, b.TempDir()), journal.ID("a")
			must(j.AppendOne(b.Context(), id, freshet.Position{}, patch(1, strings.Repeat("x", size))))(b)
			for b.Loop() {
				must(j.Head(b.Context(), id))(b)
			}
		})
	}
}

// BenchmarkTail measures from before an append to when the tail yields it.
func BenchmarkTail(b *testing.B) {
	j, id := open(b, b.TempDir()), journal.ID("a")
	ctx, stop := context.WithCancel(b.Context())
	arrived := make(chan error)
	var followed sync.WaitGroup
	followed.Go(func() {
		for _, err := range j.Tail(ctx, id, 0) {
			arrived <- err
		}
	})
	var head freshet.Position
	ev := patch(1, strings.Repeat("x", 1<<10))
	for b.Loop() {
		ev.Revision++
		head = must(j.AppendOne(b.Context(), id, head, ev))(b)
		if err := <-arrived; err != nil {
			b.Fatal(err)
		}
	}
	stop()
	followed.Wait()
}

func BenchmarkRead(b *testing.B) {
	j, id := open(b, b.TempDir()), journal.ID("a")
	fill(b, j, id, freshet.Position{}, 10_000)
	start := time.Now()
	n := 0
	for b.Loop() {
		for _, err := range j.Read(b.Context(), id, 0) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
	}
	b.ReportMetric(float64(n)/time.Since(start).Seconds(), "entries/s")
}
