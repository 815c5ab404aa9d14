package journal_test

import (
	"fmt"
	"strings"
	"testing"

	"freshet"
	"freshet/internal/engine"
	"freshet/internal/flow/journal"
)

// What is noted about events is found again with them, also by who opens the store anew; no farther back than
// one wants to look.
func TestNotes(t *testing.T) {
	dir, id := t.TempDir(), journal.ID("a")
	notes := func(j *journal.Journal, events int, bytes int64) (got []string) {
		t.Helper()
		for n, err := range j.Notes(t.Context(), id, events, bytes) {
			if err != nil {
				t.Fatal(err)
			}
			last := n.Events[len(n.Events)-1]
			got = append(got, fmt.Sprintf("%s:%d of %d", n.Text, last.Revision, len(n.Events)))
			if ev := must(j.Lookup(t.Context(), id, last.Sequence))(t); !same(ev.Event, last) {
				t.Errorf("%s is of %v, stored is %v", n.Text, last, ev)
			}
		}
		return got
	}
	e := must(engine.Open(engine.Config{Dir: dir, Sync: "1m"}))(t)
	j := on(t, e, journal.Config{})
	if got := notes(j, 10, 1000); len(got) != 0 {
		t.Errorf("notes of nothing: %q", got)
	}
	var head freshet.Position
	for i, note := range []string{"one", "", "two", "three"} {
		events := []freshet.Event{patch(2*i+1, "[1]"), patch(2*i+2, "[2]")}
		if err := j.Append(t.Context(), id, head, events, note); err != nil {
			t.Fatal(err)
		}
		head = events[1].Position
	}
	large := []freshet.Event{patch(9, strings.Repeat("x", 5<<20))}
	if err := j.Append(t.Context(), id, head, large, "large"); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"a\r\nb", "\x00", "é", " a", strings.Repeat("x", 4<<10)} {
		if err := j.Append(t.Context(), id, large[0].Position, []freshet.Event{patch(10, "")}, bad); err == nil {
			t.Errorf("%.10q was stored", bad)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir)
	for _, tt := range []struct {
		events int
		bytes  int64
		want   string
	}{
		{100, 1 << 30, "[one:2 of 2 two:6 of 2 three:8 of 2 large:9 of 1]"},
		{5, 1 << 30, "[two:6 of 2 three:8 of 2 large:9 of 1]"},
		{4, 1 << 30, "[three:8 of 2 large:9 of 1]"},
		{100, 1000, "[large:9 of 1]"},
		{0, 0, "[large:9 of 1]"},
	} {
		if got := fmt.Sprint(notes(j, tt.events, tt.bytes)); got != tt.want {
			t.Errorf("notes on the last %d, %d bytes: %s; want %s", tt.events, tt.bytes, got, tt.want)
		}
	}
}
