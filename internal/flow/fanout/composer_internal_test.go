package fanout

import (
	"errors"
	"fmt"
	"testing"

	"freshet"
)

func revision(n int) *Entry {
	return &Entry{Event: freshet.Event{
		Position: freshet.Position{Revision: freshet.Revision(n), Sequence: uint64(n), Tag: "t"}, Type: freshet.TypeSnapshot,
		Data: fmt.Appendf(nil, `{"n":%d,"text":"a text that makes a patch smaller"}`, n),
	}}
}

// Whoever follows revision by revision finds the document before at hand; it is let go once nobody does.
func TestDocumentBeforeIsAtHand(t *testing.T) {
	for _, mode := range []freshet.Mode{freshet.ModeMergePatch, freshet.ModeChanges} {
		var c composer
		rebuilt := 0
		rebuild := func(n int) func() ([]byte, error) {
			return func() ([]byte, error) { rebuilt++; return revision(n).Data, nil }
		}
		compose := func(from int, target *Entry) []*Entry {
			at := revision(from).Position
			at.Sequence += 1000 // as after a fault, which leaves the document as it was
			return c.compose(place{at, mode, false}, target, rebuild(from))
		}
		for n := 2; n <= 10; n++ {
			target := revision(n)
			c.revised()
			first, second := compose(n-1, target), compose(n-1, target)
			if len(first) != 1 || len(second) != 1 || first[0] != second[0] || first[0].Type != freshet.EventType(mode) {
				t.Fatalf("%s to revision %d: %v, %v", mode, n, first, second)
			}
		}
		if rebuilt != 1 {
			t.Errorf("%s: rebuilt %d documents; want the first alone", mode, rebuilt)
		}
		if c.compose(place{revision(3).Position, mode, false}, c.target, rebuild(3)); rebuilt != 2 {
			t.Errorf("%s: a reader behind was given the wrong document", mode)
		}
		for range keepFor {
			c.revised()
		}
		if c.before != nil || c.to != nil || c.spare != nil || c.made != nil || c.target != nil {
			t.Errorf("%s: documents are kept for nobody", mode)
		}
		if got := compose(29, revision(30)); len(got) != 1 || rebuilt != 3 {
			t.Errorf("%s: after a pause %v", mode, got)
		}
	}
}

// Readers of patches keep no document before.
func TestPatchesKeepNoDocumentBefore(t *testing.T) {
	var c composer
	for n := 2; n <= 4; n++ {
		c.compose(place{revision(n - 1).Position, freshet.ModeSnapshotPatch, false}, revision(n), func() ([]byte, error) { return revision(n - 1).Data, nil })
	}
	if c.before != nil {
		t.Error("a document is kept that nobody needs")
	}
	if got := c.compose(place{}, revision(5), func() ([]byte, error) { return nil, errors.New("gone") }); len(got) != 1 || got[0].Revision != 5 || got[0].Type != freshet.TypeSnapshot {
		t.Errorf("of a reader whose document is gone: %v", got)
	}
}
