package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"freshet"
)

// store is Records in memory, each write of which takes a while.
type store struct {
	mu     sync.Mutex
	values map[string][]byte
	revs   map[string]uint64
	puts   int
	took   time.Duration
	broken error
}

func (s *store) Put(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	time.Sleep(s.took)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.puts++
	switch {
	case s.broken != nil:
		return 0, s.broken
	case s.revs[key] != revision:
		return 0, freshet.ErrConflict
	}
	if s.values == nil {
		s.values, s.revs = map[string][]byte{}, map[string]uint64{}
	}
	s.values[key] = value
	s.revs[key]++
	return s.revs[key], nil
}

func (s *store) Get(_ context.Context, key string) ([]byte, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revs[key] == 0 {
		return nil, 0, freshet.ErrNotFound
	}
	return s.values[key], s.revs[key], nil
}

func (s *store) List(_ context.Context, each func(string, []byte, uint64) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, value := range s.values {
		if err := each(key, value, s.revs[key]); err != nil {
			return err
		}
	}
	return nil
}

// Cursors that move at the same time are stored by few writes, also those of more subscriptions than a page has,
// and are there again at the next start.
func TestPlacesGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{took: 3 * time.Millisecond}
		p, err := openPlaces(t.Context(), s, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		const n = 600
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				for round := range 3 {
					<-p.set("topic", freshet.SubscriptionID(fmt.Sprint("s", i)), place{At: fmt.Sprintf("%d-1-a", round+1)})
				}
			})
		}
		wg.Wait()
		if s.puts > 3*3*2 { // three pages, three rounds, and what came just too late for one
			t.Errorf("%d writes", s.puts)
		}
		p.remove("s7")
		p.close()
		again, err := openPlaces(t.Context(), s, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer again.close()
		for i := range n {
			want := "3-1-a"
			if i == 7 {
				want = ""
			}
			if got := again.get(freshet.SubscriptionID(fmt.Sprint("s", i))); got.At != want {
				t.Fatalf("s%d is at %q, want %q", i, got.At, want)
			}
		}
	})
}

// A store that fails for a while, or has been written to by a write of ours that nobody confirmed, is tried until it
// takes the cursor.
func TestPlacesPersist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{broken: errors.New("away")}
		p, err := openPlaces(t.Context(), s, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		stored := p.set("topic", "a", place{At: "1-1-a"})
		time.Sleep(time.Minute)
		select {
		case <-stored:
			t.Fatal("it is stored, though the store is away")
		default:
		}
		s.mu.Lock()
		s.broken, s.values, s.revs = nil, map[string][]byte{"topic/0": []byte("{}")}, map[string]uint64{"topic/0": 5}
		s.mu.Unlock()
		<-stored
		if value, _, err := s.Get(t.Context(), "topic/0"); err != nil || string(value) != `{"a":{"at":"1-1-a"}}` {
			t.Errorf("%s, %v", value, err)
		}
	})
}

// Receivers that hang do not hold up those that answer, however many they are.
func TestLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes()
		release := make(chan struct{})
		var hanging sync.WaitGroup
		for range cap(l.fast) * 3 {
			hanging.Go(func() {
				l.run(t.Context(), false, func(leave func()) {
					<-release
					leave()
				})
			})
		}
		synctest.Wait()
		start := time.Now()
		if !l.run(t.Context(), false, func(leave func()) { leave() }) || time.Since(start) > 3*slowAfter {
			t.Errorf("one that answers waited %v", time.Since(start))
		}
		close(release)
		hanging.Wait()
		for range cap(l.fast) * 3 { // over seats that are used again
			l.run(t.Context(), false, func(leave func()) { leave() })
		}
		ran := false
		if !l.run(t.Context(), true, func(leave func()) { ran = true; leave() }) || !ran || len(l.fast) != 0 || len(l.slow) != 0 {
			t.Errorf("%d and %d places are taken", len(l.fast), len(l.slow))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		release = make(chan struct{})
		for range cap(l.fast) {
			hanging.Go(func() { l.run(t.Context(), false, func(func()) { <-release }) })
		}
		synctest.Wait()
		if l.run(ctx, false, func(func()) { t.Error("one whose context has ended is made") }) {
			t.Error("one whose context has ended does not wait")
		}
		close(release)
		hanging.Wait()
		if len(l.fast) != 0 {
			t.Errorf("%d places are taken of attempts that are over", len(l.fast))
		}
		time.Sleep(2 * idleAfter) // nobody is left
	})
}

// The schedule is that of Standard Webhooks, and up to a tenth later.
func TestPause(t *testing.T) {
	schedule := Standard()
	for i, want := range []time.Duration{0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour} {
		for range 20 {
			if got, ok := pause(schedule, i+1); !ok || got < want || got > want+want/10 {
				t.Errorf("attempt %d after %v, want %v", i+1, got, want)
			}
		}
	}
	if _, ok := pause(schedule, 11); ok {
		t.Error("there is an eleventh attempt")
	}
}

// The log keeps no more than it may, finds what it has, and passes over what a crash has cut.
func TestLog(t *testing.T) {
	dir := t.TempDir()
	l, err := OpenLog(LogConfig{Dir: dir, MaxBytes: 64 << 10, MaxAge: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	const n = 2000
	begin := time.Now().UTC()
	for i := range n {
		e := &Exchange{Subscription: freshet.SubscriptionID(fmt.Sprint("s", i%2)), EventID: fmt.Sprint("event-", i), Delivery: fmt.Sprint("delivery-", i), Start: begin.Add(time.Duration(i) * time.Millisecond), Outcome: OutcomeDelivered, Response: &Response{Status: 200 + i%3}}
		if i%10 == 0 {
			e.Outcome = OutcomeFailed
		}
		if err := l.Add(e); err != nil {
			t.Fatal(err)
		}
		if i%50 == 0 {
			if _, err := l.Find(Filter{Subscription: "s0"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	all, err := l.Find(Filter{})
	if err != nil || len(all) < 50 || len(all) >= n || all[0].EventID != "event-1999" {
		t.Fatalf("%d exchanges, %v", len(all), err)
	}
	var size int64
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		info, _ := os.Stat(f)
		size += info.Size()
	}
	if size > 64<<10+20<<10 {
		t.Errorf("%d bytes in %d files", size, len(files))
	}
	for name, tt := range map[string]struct {
		f     Filter
		right func(Exchange) bool
	}{
		"subscription": {Filter{Subscription: "s1"}, func(e Exchange) bool { return e.Subscription == "s1" }},
		"outcome":      {Filter{Outcome: OutcomeFailed}, func(e Exchange) bool { return e.Outcome == OutcomeFailed }},
		"status":       {Filter{Status: 201}, func(e Exchange) bool { return e.Response.Status == 201 }},
		"event":        {Filter{EventID: "event-1998"}, func(e Exchange) bool { return e.EventID == "event-1998" }},
		"delivery":     {Filter{EventID: "delivery-1998"}, func(e Exchange) bool { return e.EventID == "event-1998" }},
		"time":         {Filter{Since: begin.Add(1990 * time.Millisecond), Till: begin.Add(1995 * time.Millisecond)}, func(e Exchange) bool { return e.EventID >= "event-1990" && e.EventID <= "event-1995" }},
	} {
		found, err := l.Find(tt.f)
		if err != nil || len(found) == 0 || len(found) == len(all) {
			t.Errorf("%s: %d of %d, %v", name, len(found), len(all), err)
		}
		for _, e := range found {
			if !tt.right(e) {
				t.Errorf("%s: %+v", name, e)
			}
		}
	}
	l.Close()
	last := files[len(files)-1]
	f, err := os.OpenFile(last, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString(`{"id":"cut`)
	_ = f.Close()
	if l, err = OpenLog(LogConfig{Dir: dir, MaxBytes: 64 << 10, MaxAge: time.Hour}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if again, err := l.Find(Filter{}); err != nil || len(again) != len(all) {
		t.Errorf("after a crash %d exchanges, %v, want %d", len(again), err, len(all))
	}
}
