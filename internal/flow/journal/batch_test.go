package journal_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"freshet"
	"freshet/internal/flow/journal"
)

// inBatches appends entries, some of them several at once, and returns them as stored and how many each
// append had.
func inBatches(t testing.TB, j *journal.Journal, id freshet.TopicID, sizes ...int) (all []freshet.Event) {
	t.Helper()
	var head freshet.Position
	for _, n := range sizes {
		var batch []freshet.Event
		for range n {
			rev := len(all) + len(batch) + 1
			batch = append(batch, patch(rev, strings.Repeat("x\n", rev%5)))
		}
		if err := j.Append(t.Context(), id, head, batch, ""); err != nil {
			t.Fatal(err)
		}
		head = batch[n-1].Position
		all = append(all, batch...)
	}
	return all
}

// Entries that were appended at once are read as if they had come one by one, wherever the reader begins.
func TestBatchReadsBack(t *testing.T) {
	j, id := open(t, t.TempDir()), journal.ID("a")
	events := inBatches(t, j, id, 1, 3, 1, 1, 1024, 2)
	if h := must(j.Head(t.Context(), id))(t); !same(h, events[len(events)-1]) {
		t.Errorf("head %v", h)
	}
	for i := 0; i < len(events); i += 1 + i/8 {
		e := events[i]
		if got, err := collect(j.Read(t.Context(), id, e.Sequence)); err != nil || !slices.EqualFunc(got, events[i+1:], same) {
			t.Errorf("read after %d: %d entries, %v", i, len(got), err)
		}
		if l, err := j.Lookup(t.Context(), id, e.Sequence); err != nil || !same(l.Event, e) || i > 0 && l.Prev != events[i-1].Sequence {
			t.Errorf("lookup of %d = %v, %v", i, l, err)
		}
		if l, err := j.LookupTime(t.Context(), id, e.Time); err != nil || !same(l.Event, e) {
			t.Errorf("lookup at the time of %d = %v, %v", i, l, err)
		}
	}
	last := events[len(events)-1].Sequence
	for _, never := range []uint64{1, last + 1, events[0].Sequence + 1} {
		if _, err := j.Lookup(t.Context(), id, never); !errors.Is(err, freshet.ErrGone) {
			t.Errorf("lookup of %d: %v", never, err)
		}
	}
	if _, err := collect(j.Read(t.Context(), id, last+1)); !errors.Is(err, freshet.ErrGone) {
		t.Errorf("read after what never was: %v", err)
	}
}

func TestBatchIsFollowed(t *testing.T) {
	j, id := open(t, t.TempDir()), journal.ID("a")
	events := inBatches(t, j, id, 5)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	got := events[:2:2]
	more := make(chan struct{})
	go func() {
		defer close(more)
		head := events[4].Position
		for round := range 30 {
			batch := []freshet.Event{patch(6+2*round, "a"), patch(7+2*round, "b")}
			if err := j.Append(ctx, id, head, batch, ""); err != nil {
				t.Error(err)
				return
			}
			head = batch[1].Position
		}
	}()
	for ev, err := range j.Tail(ctx, id, events[1].Sequence) { // amid the first batch
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, ev); len(got) == 65 {
			break
		}
	}
	<-more
	for i, ev := range got {
		if int(ev.Revision) != i+1 || i > 0 && ev.Sequence <= got[i-1].Sequence {
			t.Fatalf("entry %d is %v", i, ev.Position)
		}
	}
}

// All of a batch is stored, or nothing.
func TestBatchIsRefused(t *testing.T) {
	j, id := open(t, t.TempDir()), journal.ID("a")
	events := inBatches(t, j, id, 2)
	strange := patch(4, "")
	strange.Tag = "a b"
	large := patch(4, strings.Repeat("x", 4<<20))
	for name, tt := range map[string]struct {
		head freshet.Position
		ev   freshet.Event
		want error
	}{
		"amid another":  {events[0].Position, patch(4, ""), journal.ErrFenced},
		"too large":     {events[1].Position, large, freshet.ErrTooLarge},
		"not to encode": {events[1].Position, strange, nil},
	} {
		if err := j.Append(t.Context(), id, tt.head, []freshet.Event{patch(3, ""), tt.ev}, ""); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := j.Append(t.Context(), id, events[1].Position, make([]freshet.Event, 1025), ""); err == nil {
		t.Error("1025 entries were taken")
	}
	if got, err := collect(j.Read(t.Context(), id, 0)); err != nil || len(got) != 2 {
		t.Errorf("read %d, %v", len(got), err)
	}
}

// What Trim leaves of batches is a whole history: it begins right after a keyframe.
func TestBatchesAreTrimmed(t *testing.T) {
	j := open(t, t.TempDir())
	rng := rand.New(rand.NewPCG(3, 4))
	cuts := 0
	for round := range 40 {
		id := journal.ID(freshet.TopicName(fmt.Sprint(round)))
		var sizes []int
		for range 20 {
			sizes = append(sizes, 1+rng.IntN(6))
		}
		events := inBatches(t, j, id, sizes...)
		for i := range events {
			if rng.IntN(3) == 0 {
				if err := j.PutKeyframe(t.Context(), id, events[i]); err != nil {
					t.Fatal(err)
				}
			}
		}
		most := 1 + rng.IntN(len(events))
		if err := j.Trim(t.Context(), id, 0, most, 0); err != nil {
			t.Fatal(err)
		}
		oldest := must(j.Oldest(t.Context(), id))(t)
		left, err := collect(j.Read(t.Context(), id, oldest.Prev))
		if err != nil || !slices.EqualFunc(left, events[len(events)-len(left):], same) {
			t.Fatalf("round %d: %d left, %v", round, len(left), err)
		}
		from := len(events) - len(left)
		base := must(j.Keyframe(t.Context(), id, left[0].Sequence-1))(t)
		if from > 0 && base.Sequence != oldest.Prev {
			t.Errorf("round %d: what is left begins with %v, the keyframe before it is %v", round, left[0].Position, base.Position)
		}
		if from > 0 {
			cuts++
		}
	}
	if cuts < 10 {
		t.Errorf("only %d histories were cut", cuts)
	}
}
