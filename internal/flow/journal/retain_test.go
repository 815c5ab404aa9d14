package journal_test

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"freshet"
	"freshet/internal/engine"
	"freshet/internal/flow/journal"
)

// history is what a topic should hold.
type history struct {
	id     freshet.TopicID
	events []freshet.Event
	kept   int   // index of the first that is
	keys   []int // indices of the keyframes
}

// key is the index of the last keyframe, or -1.
func (h *history) key() int {
	if len(h.keys) == 0 {
		return -1
	}
	return h.keys[len(h.keys)-1]
}

func (h *history) head() freshet.Position {
	if len(h.events) == 0 {
		return freshet.Position{}
	}
	return h.events[len(h.events)-1].Position
}

// trim is what Trim should do, the slow way.
func (h *history) trim(maxAge time.Duration, maxEvents int, maxBytes int64) {
	within := func(from int) bool {
		sum := int64(0)
		for _, e := range h.events[from:] {
			sum += int64(len(e.Data))
		}
		return (maxEvents == 0 || len(h.events)-from <= maxEvents) && (maxBytes == 0 || sum <= maxBytes) &&
			(maxAge == 0 || time.Since(h.events[from].Time) <= maxAge)
	}
	first := h.kept
	for first <= h.key() && first < len(h.events)-1 && !within(first) {
		first++
	}
	for i, k := range h.keys {
		if k < first && k+1 > h.kept && (i+1 == len(h.keys) || h.keys[i+1] >= first) {
			h.kept, h.keys = k+1, h.keys[i:]
			return
		}
	}
}

func (h *history) check(t *testing.T, j *journal.Journal) {
	t.Helper()
	if len(h.events) == 0 {
		return
	}
	oldest := must(j.Oldest(t.Context(), h.id))(t)
	if !same(oldest.Event, h.events[h.kept]) {
		t.Errorf("oldest of %s is %v; want %v", h.id, oldest.Position, h.events[h.kept].Position)
	}
	if got, err := collect(j.Read(t.Context(), h.id, oldest.Prev)); err != nil || !slices.EqualFunc(got, h.events[h.kept:], same) {
		t.Errorf("%d entries, %v; want %d", len(got), err, len(h.events)-h.kept)
	}
	if h.kept > 0 {
		if _, err := collect(j.Read(t.Context(), h.id, 0)); !errors.Is(err, freshet.ErrGone) {
			t.Errorf("read from the start after retention: %v", err)
		}
	}
	if h.kept > 1 {
		if _, err := collect(j.Read(t.Context(), h.id, h.events[h.kept-2].Sequence)); !errors.Is(err, freshet.ErrGone) {
			t.Errorf("read after what is gone: %v", err)
		}
	}
	for _, k := range h.keys {
		rest, err := collect(j.Read(t.Context(), h.id, h.events[k].Sequence))
		if err != nil || !slices.EqualFunc(rest, h.events[k+1:], same) {
			t.Errorf("%d entries after a keyframe, %v; want %d", len(rest), err, len(h.events)-k-1)
		}
		if frame, err := j.Keyframe(t.Context(), h.id, h.events[k].Sequence); err != nil || !same(frame, h.events[k]) {
			t.Errorf("keyframe at %v: %v, %v", h.events[k].Position, frame.Position, err)
		}
	}
}

// TestTrim plays random appends, keyframes and trims of topics that share a stream, against a model.
func TestTrim(t *testing.T) {
	t.Parallel()
	e := must(engine.Open(engine.Config{Dir: t.TempDir(), Sync: "1m"}))(t)
	defer func() { _ = e.Close() }()
	j := on(t, e, journal.Config{})
	topics := make([]history, 5)
	for i, name := 0, 0; i < len(topics); name++ {
		id := journal.ID(freshet.TopicName(fmt.Sprint(name)))
		h := fnv.New32a()
		_, _ = h.Write([]byte(id))
		if h.Sum32()%16 == 7 { // one stream, as the journal shards now; otherwise this tests less
			topics[i] = history{id: id}
			i++
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	start := time.Now().Add(-time.Hour)
	cuts := 0
	for step := range 1000 {
		h := &topics[rng.IntN(len(topics))]
		switch n := rng.IntN(40); {
		case n < 30:
			ev := patch(len(h.events)+1, strings.Repeat("x", rng.IntN(50)))
			ev.Time = start.Add(time.Duration(step) * time.Second)
			ev.Position = must(j.AppendOne(t.Context(), h.id, h.head(), ev))(t)
			h.events = append(h.events, ev)
		case n < 34 && len(h.events) > 0:
			key := max(h.kept-1, h.key(), 0) // not of an entry that is gone, but for the one before the first
			key += rng.IntN(len(h.events) - key)
			if key != h.key() {
				h.keys = append(h.keys, key)
			}
			if err := j.PutKeyframe(t.Context(), h.id, h.events[key]); err != nil {
				t.Fatal(err)
			}
		case n == 35:
			j = on(t, e, journal.Config{}) // remembers nothing
		case n > 35 && len(h.events) > 0:
			var age time.Duration
			var events int
			var bytes int64
			left := h.events[h.kept:]
			switch rng.IntN(3) {
			case 0:
				age = time.Since(left[rng.IntN(len(left))].Time) + 500*time.Millisecond
			case 1:
				events = 1 + rng.IntN(len(left)+2)
			case 2:
				for _, ev := range left[rng.IntN(len(left)):] {
					bytes += int64(len(ev.Data))
				}
				bytes = max(bytes, 1)
			}
			before := h.kept
			if h.trim(age, events, bytes); h.kept > before {
				cuts++
			}
			if err := j.Trim(t.Context(), h.id, age, events, bytes); err != nil {
				t.Fatal(err)
			}
			h.check(t, j)
		}
		if t.Failed() {
			t.Fatalf("at step %d", step)
		}
	}
	for i := range topics {
		topics[i].check(t, j)
	}
	if cuts < 20 {
		t.Errorf("only %d trims had something to do", cuts)
	}
}

func TestTrimNeedsAKeyframe(t *testing.T) {
	j, id := open(t, t.TempDir()), journal.ID("a")
	if err := j.Trim(t.Context(), id, 1, 1, 1); err != nil {
		t.Errorf("trim of nothing: %v", err)
	}
	events := fill(t, j, id, freshet.Position{}, 10)
	if err := j.Trim(t.Context(), id, 1, 1, 1); err != nil {
		t.Fatal(err)
	}
	if got := must(j.Oldest(t.Context(), id))(t); got.Revision != 1 {
		t.Errorf("oldest is %v; without a keyframe nothing may go", got.Position)
	}
	for _, ev := range []freshet.Event{events[4], events[8]} {
		if err := j.PutKeyframe(t.Context(), id, ev); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Trim(t.Context(), id, 0, 3, 0); err != nil {
		t.Fatal(err)
	}
	if got := must(j.Oldest(t.Context(), id))(t); got.Revision != 6 {
		t.Errorf("oldest is %v; want 6, the first after a keyframe", got.Position)
	}
	if err := j.Trim(t.Context(), id, 1, 1, 1); err != nil {
		t.Fatal(err)
	}
	if got := must(j.Oldest(t.Context(), id))(t); got.Revision != 10 {
		t.Errorf("oldest is %v; the last is always kept", got.Position)
	}
}

// streamOf finds the stream that holds a sequence of a topic.
func streamOf(t *testing.T, e *engine.Engine, id freshet.TopicID) jetstream.Stream {
	t.Helper()
	js := must(jetstream.New(e.Conn()))(t)
	for info := range js.ListStreams(t.Context(), jetstream.WithStreamListSubject("fr.f.*."+string(id)+".e")).Info() {
		s := must(js.Stream(t.Context(), info.Config.Name))(t)
		if m, err := s.GetLastMsgForSubject(t.Context(), "fr.f.*."+string(id)+".e"); err == nil && m != nil {
			return s
		}
	}
	t.Fatalf("no stream holds %s", id)
	return nil
}

func TestEmptiedLogGoesOnFromTheKeyframe(t *testing.T) {
	e := must(engine.Open(engine.Config{Dir: t.TempDir(), Sync: "1m"}))(t)
	defer func() { _ = e.Close() }()
	for _, fresh := range []bool{false, true} { // with what the journal remembers, and without
		j, id := on(t, e, journal.Config{}), journal.ID(freshet.TopicName(fmt.Sprint(fresh)))
		events := fill(t, j, id, freshet.Position{}, 3)
		if err := j.PutKeyframe(t.Context(), id, events[2]); err != nil {
			t.Fatal(err)
		}
		if err := streamOf(t, e, id).Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		if fresh {
			j = on(t, e, journal.Config{})
		}
		if h := must(j.Head(t.Context(), id))(t); !same(h, events[2]) {
			t.Errorf("head is %v; want %v", h, events[2])
		}
		if o, err := j.Oldest(t.Context(), id); err != nil || o.Sequence != 0 {
			t.Errorf("oldest is %v, %v", o, err)
		}
		if got, err := collect(j.Read(t.Context(), id, events[2].Sequence)); err != nil || len(got) != 0 {
			t.Errorf("read after the keyframe: %v, %v", got, err)
		}
		for _, after := range []uint64{0, events[1].Sequence} {
			if _, err := collect(j.Read(t.Context(), id, after)); !errors.Is(err, freshet.ErrGone) {
				t.Errorf("read after %d: %v", after, err)
			}
		}
		for _, head := range []freshet.Position{{}, events[1].Position} {
			if at, err := j.AppendOne(t.Context(), id, head, patch(9, "")); !errors.Is(err, journal.ErrFenced) {
				t.Errorf("append after %v = %v, %v", head, at, err)
			}
		}
		more := fill(t, j, id, events[2].Position, 5)
		if got, err := collect(j.Read(t.Context(), id, events[2].Sequence)); err != nil || !slices.EqualFunc(got, more, same) {
			t.Errorf("read %v, %v; want %v", got, err, more)
		}
		if err := j.Trim(t.Context(), id, 0, 1, 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamageIsNoticed(t *testing.T) {
	e := must(engine.Open(engine.Config{Dir: t.TempDir(), Sync: "1m"}))(t)
	defer func() { _ = e.Close() }()
	j := on(t, e, journal.Config{})
	t.Run("an entry is missing", func(t *testing.T) {
		id := journal.ID("hole")
		events := fill(t, j, id, freshet.Position{}, 5)
		if err := streamOf(t, e, id).DeleteMsg(t.Context(), events[2].Sequence>>10); err != nil {
			t.Fatal(err)
		}
		got, err := collect(j.Read(t.Context(), id, 0))
		if !errors.Is(err, journal.ErrBroken) || len(got) != 2 {
			t.Errorf("read %d, %v", len(got), err)
		}
		if got, err := collect(j.Tail(t.Context(), id, 0)); !errors.Is(err, journal.ErrBroken) || len(got) != 2 {
			t.Errorf("tail %d, %v", len(got), err)
		}
	})
	t.Run("the end is missing", func(t *testing.T) {
		id := journal.ID("end")
		events := fill(t, j, id, freshet.Position{}, 5)
		if err := j.PutKeyframe(t.Context(), id, events[4]); err != nil {
			t.Fatal(err)
		}
		if err := streamOf(t, e, id).DeleteMsg(t.Context(), events[4].Sequence>>10); err != nil {
			t.Fatal(err)
		}
		if h, err := j.Head(t.Context(), id); !errors.Is(err, journal.ErrBroken) {
			t.Errorf("head %v, %v", h, err)
		}
	})
	t.Run("not an entry", func(t *testing.T) {
		id := journal.ID("strange")
		events := fill(t, j, id, freshet.Position{}, 1)
		subject := streamOf(t, e, id).CachedInfo().Config.Subjects[0]
		subject = strings.TrimSuffix(subject, ">") + string(id) + ".e"
		if _, err := e.Conn().Request(subject, []byte("hello"), time.Second); err != nil {
			t.Fatal(err)
		}
		if h, err := j.Head(t.Context(), id); !errors.Is(err, journal.ErrBroken) {
			t.Errorf("head %v, %v", h, err)
		}
		if got, err := collect(j.Read(t.Context(), id, events[0].Sequence)); !errors.Is(err, journal.ErrBroken) {
			t.Errorf("read %v, %v", got, err)
		}
	})
}

func TestLookupTime(t *testing.T) {
	j, id := open(t, t.TempDir()), journal.ID("a")
	if _, err := j.LookupTime(t.Context(), id, time.Now()); !errors.Is(err, freshet.ErrGone) {
		t.Errorf("in an empty log: %v", err)
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var head freshet.Position
	for i := range 50 {
		fill(t, j, journal.ID(freshet.TopicName(fmt.Sprint(i))), freshet.Position{}, 2) // others in between
		ev := patch(i+1, "")
		ev.Time = start.Add(time.Duration(i/2) * time.Minute) // two at each minute
		head = must(j.AppendOne(t.Context(), id, head, ev))(t)
		if i == 39 {
			if err := j.PutKeyframe(t.Context(), id, freshet.Event{Position: head, Type: freshet.TypeSnapshot}); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(at time.Duration, want freshet.Revision) {
		t.Helper()
		e, err := j.LookupTime(t.Context(), id, start.Add(at))
		if want == 0 && !errors.Is(err, freshet.ErrGone) || want != 0 && (err != nil || e.Revision != want) {
			t.Errorf("at %v: %v, %v; want %d", at, e.Position, err, want)
		}
	}
	check(-1, 0)
	check(time.Hour, 50)
	for i := range 25 {
		check(time.Duration(i)*time.Minute, freshet.Revision(2*i+2))
		check(time.Duration(i)*time.Minute+time.Second, freshet.Revision(2*i+2))
	}
	if err := j.PutKeyframe(t.Context(), id, freshet.Event{Position: head, Type: freshet.TypeSnapshot}); err != nil {
		t.Fatal(err)
	}
	if err := j.Trim(t.Context(), id, 0, 10, 0); err != nil {
		t.Fatal(err)
	}
	check(19*time.Minute, 0)
	check(20*time.Minute, 42)
}

// TestBudgetTakesTheOldest: beyond the disk budget the oldest go, bodies in parts included, and what
// is left is still a chain.
func TestBudgetTakesTheOldest(t *testing.T) {
	t.Parallel()
	e := must(engine.Open(engine.Config{Dir: t.TempDir(), Sync: "1m"}))(t)
	defer func() { _ = e.Close() }()
	j, id := on(t, e, journal.Config{MaxBytes: 1}), journal.ID("a")
	var head freshet.Position
	var events []freshet.Event
	for i := range 7 {
		ev := patch(i+1, strings.Repeat("x", 5<<20-i))
		ev.Position = must(j.AppendOne(t.Context(), id, head, ev))(t)
		head, events = ev.Position, append(events, ev)
	}
	oldest := must(j.Oldest(t.Context(), id))(t)
	if n := len(events) - int(oldest.Revision) + 1; n < 2 || n > 3 {
		t.Errorf("%d of %d entries of 5 MiB fit into 16 MiB", n, len(events))
	}
	got, err := collect(j.Read(t.Context(), id, oldest.Prev))
	if err != nil || !slices.EqualFunc(got, events[oldest.Revision-1:], same) {
		t.Errorf("read %d, %v", len(got), err)
	}
	if _, err := collect(j.Read(t.Context(), id, 0)); !errors.Is(err, freshet.ErrGone) {
		t.Errorf("read from the start: %v", err)
	}
	if _, err := j.AppendOne(t.Context(), id, head, patch(99, strings.Repeat("x", 9<<20))); !errors.Is(err, freshet.ErrTooLarge) {
		t.Errorf("append of more than fits: %v", err)
	}
}
