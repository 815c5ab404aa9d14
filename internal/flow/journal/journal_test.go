package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/internal/engine"
	"freshet/internal/flow/journal"
)

// open makes a journal on a real engine in a directory of the test.
func open(t testing.TB, dir string) *journal.Journal {
	t.Helper()
	e, err := engine.Open(engine.Config{Dir: dir, Sync: "1m"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return on(t, e, journal.Config{})
}

func on(t testing.TB, e *engine.Engine, c journal.Config) *journal.Journal {
	t.Helper()
	j, err := journal.Open(t.Context(), e.Conn(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// patch is an event as a topic would append it.
func patch(rev int, data string) freshet.Event {
	return freshet.Event{
		Position: freshet.Position{Revision: freshet.Revision(rev), Tag: freshet.Tag(fmt.Sprintf("t%d", rev))},
		Type:     freshet.TypePatch, Time: time.Unix(1_700_000_000+int64(rev), 123).UTC(), Data: []byte(data),
	}
}

// fill appends revisions head+1 to to and returns them as stored.
func fill(t testing.TB, j *journal.Journal, id freshet.TopicID, head freshet.Position, to int) []freshet.Event {
	t.Helper()
	var all []freshet.Event
	for rev := int(head.Revision) + 1; rev <= to; rev++ {
		ev := patch(rev, fmt.Sprintf(`[%d]`, rev))
		ev.Position = must(j.AppendOne(t.Context(), id, head, ev))(t)
		head = ev.Position
		all = append(all, ev)
	}
	return all
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func collect(seq iter.Seq2[freshet.Event, error]) (all []freshet.Event, err error) {
	for e, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
	return all, nil
}

func same(a, b freshet.Event) bool {
	return a.Position == b.Position && a.Type == b.Type && a.Time.Equal(b.Time) && bytes.Equal(a.Data, b.Data)
}

func TestID(t *testing.T) {
	if got := journal.ID("prices"); got != journal.ID("prices") || got == journal.ID("price") ||
		len(got) != 26 || strings.Trim(string(got), "abcdefghijklmnopqrstuvwxyz234567") != "" {
		t.Errorf("ID = %q", got)
	}
	if got, want := journal.ID("prices"), freshet.TopicID("72a7soip7y64rwvercfh3rbqzy"); got != want {
		t.Errorf("ID = %q; stores written before have it as %q", got, want)
	}
}

func TestAppendReadsBack(t *testing.T) {
	j, id := open(t, t.TempDir()), journal.ID("a")
	if h := must(j.Head(t.Context(), id))(t); h.Position != (freshet.Position{}) {
		t.Errorf("head of nothing is %v", h.Position)
	}
	if got, err := collect(j.Read(t.Context(), id, 0)); err != nil || len(got) != 0 {
		t.Errorf("read of nothing = %v, %v", got, err)
	}
	events := []freshet.Event{
		{Position: freshet.Position{Revision: 1, Tag: "9f86d081"}, Type: freshet.TypeSnapshot, Time: time.Now(), Data: []byte(`{"eur":1.0}`)},
		{Position: freshet.Position{Revision: 2, Tag: "a"}, Type: freshet.TypePatch, Time: time.Now(), Data: []byte(`[]`)},
		{Position: freshet.Position{Revision: 2, Tag: "a"}, Type: freshet.TypeError, Time: time.Now(), Data: []byte(`{"code":70000}`)},
		{Position: freshet.Position{Revision: 2, Tag: "a"}, Type: freshet.TypeRecovered, Time: time.Now()},
		{Position: freshet.Position{Revision: 3}, Type: freshet.TypeEvent, Data: []byte("\x00\xff\r\n")},
	}
	var head freshet.Position
	for i := range events {
		at := must(j.AppendOne(t.Context(), id, head, events[i]))(t)
		if at.Revision != events[i].Revision || at.Tag != events[i].Tag || at.Sequence <= head.Sequence {
			t.Fatalf("appended at %v after %v", at, head)
		}
		head, events[i].Position = at, at
	}
	got, err := collect(j.Read(t.Context(), id, 0))
	if err != nil || !slices.EqualFunc(got, events, same) {
		t.Errorf("read %v, %v; want %v", got, err, events)
	}
	if h := must(j.Head(t.Context(), id))(t); !same(h, events[4]) {
		t.Errorf("head %v; want %v", h, events[4])
	}
	for i, e := range events {
		got, err := collect(j.Read(t.Context(), id, e.Sequence))
		if err != nil || !slices.EqualFunc(got, events[i+1:], same) {
			t.Errorf("read after %d = %v, %v", i, got, err)
		}
		if l, err := j.Lookup(t.Context(), id, e.Sequence); err != nil || !same(l.Event, e) {
			t.Errorf("lookup of %d = %v, %v", i, l, err)
		}
	}
	for _, bad := range []freshet.Event{{}, {Type: "a b"}, {Type: "patch", Position: freshet.Position{Tag: "-"}}} {
		if at, err := j.AppendOne(t.Context(), id, head, bad); err == nil {
			t.Errorf("append of %+v = %v", bad, at)
		}
	}
	for _, wrong := range []uint64{head.Sequence + 1, 1 << 62} {
		if _, err := collect(j.Read(t.Context(), id, wrong)); !errors.Is(err, freshet.ErrGone) {
			t.Errorf("read after %d: %v", wrong, err)
		}
		if _, err := j.Lookup(t.Context(), id, wrong); !errors.Is(err, freshet.ErrGone) {
			t.Errorf("lookup of %d: %v", wrong, err)
		}
	}
}

func TestAppendIsFenced(t *testing.T) {
	dir := t.TempDir()
	e := must(engine.Open(engine.Config{Dir: dir, Sync: "1m"}))(t)
	defer func() { _ = e.Close() }()
	a, b, id := on(t, e, journal.Config{}), on(t, e, journal.Config{}), journal.ID("a")
	first := must(a.AppendOne(t.Context(), id, freshet.Position{}, patch(1, "1")))(t)
	second := must(b.AppendOne(t.Context(), id, first, patch(2, "2")))(t)
	for name, try := range map[string]func() (freshet.Position, error){
		"an old head": func() (freshet.Position, error) { return a.AppendOne(t.Context(), id, first, patch(2, "other")) },
		"no head": func() (freshet.Position, error) {
			return a.AppendOne(t.Context(), id, freshet.Position{}, patch(1, "other"))
		},
		"a head not stored": func() (freshet.Position, error) {
			return a.AppendOne(t.Context(), id, freshet.Position{Revision: 9, Sequence: 99}, patch(10, ""))
		},
		"another tag": func() (freshet.Position, error) {
			p := second
			p.Tag = "x"
			return a.AppendOne(t.Context(), id, p, patch(3, ""))
		},
		"another topic": func() (freshet.Position, error) {
			return a.AppendOne(t.Context(), journal.ID("b"), second, patch(3, ""))
		},
	} {
		if at, err := try(); !errors.Is(err, journal.ErrFenced) {
			t.Errorf("append after %s = %v, %v", name, at, err)
		}
	}
	if got, err := collect(a.Read(t.Context(), id, 0)); err != nil || len(got) != 2 {
		t.Errorf("read %v, %v", got, err)
	}
	if _, err := a.AppendOne(t.Context(), id, second, patch(3, "3")); err != nil {
		t.Errorf("append after the head: %v", err)
	}
}

func TestKeyframe(t *testing.T) {
	j, id := open(t, t.TempDir()), journal.ID("a")
	if k := must(j.Keyframe(t.Context(), id, journal.Latest))(t); k.Position != (freshet.Position{}) {
		t.Errorf("keyframe of nothing: %v", k)
	}
	events := fill(t, j, id, freshet.Position{}, 5)
	put := func(i int, want error) {
		t.Helper()
		k := events[i]
		k.Type, k.Data = freshet.TypeSnapshot, fmt.Appendf(nil, `{"v":%d}`, i)
		if err := j.PutKeyframe(t.Context(), id, k); !errors.Is(err, want) {
			t.Errorf("put of %d: %v; want %v", i, err, want)
		}
		if got, err := j.Keyframe(t.Context(), id, journal.Latest); want == nil && (err != nil || !same(got, k)) {
			t.Errorf("keyframe %v, %v; want %v", got, err, k)
		}
	}
	put(1, nil)
	put(1, nil)
	put(3, nil)
	put(2, journal.ErrFenced)
	put(4, nil)
	fault := patch(5, "{}") // same revision, later
	fault.Tag, fault.Type = events[4].Tag, freshet.TypeError
	at := must(j.AppendOne(t.Context(), id, events[4].Position, fault))(t)
	if err := j.PutKeyframe(t.Context(), id, freshet.Event{Position: at, Type: freshet.TypeSnapshot}); err != nil {
		t.Error(err)
	}
	put(4, journal.ErrFenced)
}

func TestLargeBodies(t *testing.T) {
	t.Parallel()
	j, id := open(t, t.TempDir()), journal.ID("a")
	var head freshet.Position
	var events []freshet.Event
	for i, size := range []int{1 << 10, 20 << 20, 3, 4 << 20, 4<<20 - 4<<10} {
		ev := patch(i+1, strings.Repeat(fmt.Sprint(i), size))
		ev.Position = must(j.AppendOne(t.Context(), id, head, ev))(t)
		head, events = ev.Position, append(events, ev)
		if err := j.PutKeyframe(t.Context(), id, ev); err != nil {
			t.Fatal(err)
		}
		if k := must(j.Keyframe(t.Context(), id, journal.Latest))(t); !same(k, ev) {
			t.Errorf("keyframe of %d bytes differs", size)
		}
	}
	if got, err := collect(j.Read(t.Context(), id, 0)); err != nil || !slices.EqualFunc(got, events, same) {
		t.Errorf("read %d events, %v", len(got), err)
	}
	if h := must(j.Head(t.Context(), id))(t); !same(h, events[len(events)-1]) {
		t.Error("head differs")
	}
	if _, err := j.AppendOne(t.Context(), id, head, patch(9, strings.Repeat("x", freshet.MaxPayload+1))); !errors.Is(err, freshet.ErrTooLarge) {
		t.Errorf("append of too much: %v", err)
	}
	if err := j.Trim(t.Context(), id, 0, 2, 0); err != nil {
		t.Fatal(err)
	}
	if o := must(j.Oldest(t.Context(), id))(t); !same(o.Event, events[3]) {
		t.Errorf("oldest after a trim is %v", o.Position)
	}
	if got, err := collect(j.Read(t.Context(), id, events[2].Sequence)); err != nil || !slices.EqualFunc(got, events[3:], same) {
		t.Errorf("read %d events after a trim, %v", len(got), err)
	}
}

func TestDelete(t *testing.T) {
	j, id, other := open(t, t.TempDir()), journal.ID("a"), journal.ID("b")
	events := fill(t, j, id, freshet.Position{}, 3)
	fill(t, j, other, freshet.Position{}, 1)
	if err := j.PutKeyframe(t.Context(), id, events[2]); err != nil {
		t.Fatal(err)
	}
	if err := j.PutKeyframe(t.Context(), "orphan", events[2]); err != nil {
		t.Fatal(err)
	}
	want := []freshet.TopicID{id, other, "orphan"}
	slices.Sort(want)
	if got := must(j.Topics(t.Context()))(t); !slices.Equal(got, want) {
		t.Errorf("topics %v; want %v", got, want)
	}
	for range 2 {
		if err := j.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := j.AppendOne(t.Context(), id, events[2].Position, patch(4, "")); !errors.Is(err, journal.ErrFenced) {
		t.Errorf("append to what was deleted: %v", err)
	}
	if h := must(j.Head(t.Context(), id))(t); h.Position != (freshet.Position{}) {
		t.Errorf("head after delete %v", h)
	}
	again := fill(t, j, id, freshet.Position{}, 2)
	if again[0].Sequence <= events[2].Sequence {
		t.Errorf("sequence %d was given again", again[0].Sequence)
	}
	if _, err := collect(j.Read(t.Context(), id, events[1].Sequence)); !errors.Is(err, freshet.ErrGone) {
		t.Errorf("read after an entry of the history before: %v", err)
	}
}

func TestTailHistoryThenLive(t *testing.T) {
	j, id := open(t, t.TempDir()), journal.ID("a")
	events := fill(t, j, id, freshet.Position{}, 3)
	// The last entry is dropped on its way, as many are. That must be noticed before the check that
	// comes every ten seconds.
	ctx, stop := context.WithTimeout(t.Context(), 8*time.Second)
	defer stop()
	var got []freshet.Event
	for e, err := range j.Tail(ctx, id, events[0].Sequence) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
		switch len(got) {
		case 2:
			events = append(events, fill(t, j, id, events[2].Position, 300)...)
		case 299:
			stop()
		}
	}
	if !slices.EqualFunc(got, events[1:], same) {
		t.Errorf("%d events; want %d", len(got), len(events)-1)
	}
}
