package fanout_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"freshet"
	"freshet/internal/flow/fanout"
	"freshet/jsonpatch"
)

// becomes makes a document the owner's next revision.
func (o *owner) becomes(t *testing.T, doc string) {
	t.Helper()
	ev := freshet.Event{Time: time.Now(), Type: freshet.TypeSnapshot, Data: []byte(doc)}
	if o.doc != nil {
		patch, err := jsonpatch.Diff(o.doc, ev.Data)
		if err != nil {
			t.Fatal(err)
		}
		ev.Type, ev.Data = freshet.TypePatch, patch
	}
	o.rev++
	o.tag = freshet.Tag(fmt.Sprintf("%08x", o.rand.Uint32()))
	ev.Position = freshet.Position{Revision: o.rev, Tag: o.tag}
	o.doc = []byte(doc)
	o.at = o.log.add(ev)
	synctest.Wait()
}

// said is what a batch says, for people.
func said(b fanout.Batch) string {
	all := make([]string, len(b.Entries))
	for i, e := range b.Entries {
		all[i] = fmt.Sprintf("%s %d %s", e.Type, e.Revision, e.Data)
	}
	return strings.Join(all, " | ")
}

const (
	filler = `"text":"a text that makes a change smaller than the document"`
	doc1   = `{"n":1,"l":[{"id":1,"q":1},{"id":2,"q":2}],` + filler + `}`
	doc2   = `{"n":2,"l":[{"id":2,"q":2},{"id":1,"q":1}],` + filler + `}`
	doc3   = `{"n":2,"l":[{"id":2,"q":2},{"id":3,"q":3}],"m":true,` + filler + `}`
	doc4   = `{"n":2,"l":[{"id":3,"q":3},{"id":2,"q":2}],"m":true,` + filler + `}`
	doc5   = `{"n":null,"l":[],` + filler + `}`
)

func TestModesTellOneEvent(t *testing.T) {
	const (
		merge2   = `merge-patch 2 {"n":2,"l":[{"id":2,"q":2},{"id":1,"q":1}]}`
		merge3   = `merge-patch 3 {"l":[{"id":2,"q":2},{"id":3,"q":3}],"m":true}`
		merge13  = `merge-patch 3 {"n":2,"l":[{"id":2,"q":2},{"id":3,"q":3}],"m":true}`
		merge4   = `merge-patch 4 {"l":[{"id":3,"q":3},{"id":2,"q":2}]}`
		changes2 = `changes 2 {"created":[],"updated":[],"deleted":[],"patch":[{"op":"replace","path":"/n","value":2}]}`
		changes3 = `changes 3 {"created":[{"array":"/l","key":3,"value":{"id":3,"q":3}}],"updated":[],"deleted":[{"array":"/l","key":1,"previous":{"id":1,"q":1}}],"keys":{"/l":"id"},"patch":[{"op":"add","path":"/m","value":true}]}`
		items3   = `changes 3 {"created":[{"array":"/l","key":3,"value":{"id":3,"q":3}}],"updated":[],"deleted":[{"array":"/l","key":1,"previous":{"id":1,"q":1}}],"keys":{"/l":"id"},"patch":[{"op":"replace","path":"/n","value":2},{"op":"add","path":"/m","value":true}]}`
		changes5 = `changes 5 {"created":[],"updated":[],"deleted":[{"array":"/l","key":3,"previous":{"id":3,"q":3}},{"array":"/l","key":2,"previous":{"id":2,"q":2}}],"keys":{"/l":"id"},"patch":[{"op":"replace","path":"/n","value":null},{"op":"remove","path":"/m"}]}`
	)
	for _, tt := range []struct {
		mode                             freshet.Mode
		second, third, both, fourth, end string
	}{
		{freshet.ModeMergePatch, merge2, merge3, merge13, merge4, "snapshot 5 " + doc5},
		{freshet.ModeChanges, changes2, changes3, items3, "", changes5},
	} {
		t.Run(string(tt.mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOwner(1)
				o.becomes(t, doc1)
				feed := start(t, o.log, freshet.KindSnapshot)
				live, other, slow := feed.Follow(tt.mode), feed.Follow(tt.mode), feed.Follow(tt.mode)
				first := next(t, live)
				if got := said(first); got != "snapshot 1 "+doc1 || said(next(t, other)) != got || said(next(t, slow)) != got {
					t.Fatalf("begins with %s", got)
				}
				expect := func(what string, c *fanout.Cursor, want string) fanout.Batch {
					t.Helper()
					b := next(t, c)
					if said(b) != want || b.Reset != "" {
						t.Errorf("%s: %s\nwant %s", what, said(b), want)
					}
					return b
				}
				o.becomes(t, doc2)
				b := expect("live", live, tt.second)
				if shared := expect("another", other, tt.second); shared.Entries[0] != b.Entries[0] {
					t.Error("what one reader was given was made again for another")
				}
				o.becomes(t, doc3)
				expect("live", live, tt.third)
				expect("two revisions at once", slow, tt.both)
				again, ok := resume(t, feed, tt.mode, first.Entries[0].ID())
				if b := expect("resumed", again, tt.both); !ok || b.Entries[0].Revision != 3 {
					t.Errorf("resumed %v", ok)
				}
				o.note(freshet.TypeError)
				synctest.Wait()
				expect("a fault", live, `error 3 {"code":70500}`)
				o.becomes(t, doc4) // the order alone
				if tt.fourth == "" {
					o.note(freshet.TypeError)
					synctest.Wait()
					if b := next(t, other); len(b.Entries) != 2 { // the third revision, and the second fault
						t.Errorf("a reader behind got %s", said(b))
					}
					if got := said(next(t, live)); !strings.HasPrefix(got, `recovered 4 {"datetime":"`) || !strings.HasSuffix(got, ` | error 4 {"code":70500}`) {
						t.Errorf("the order alone, after a fault: %s", got)
					}
				} else {
					expect("the order alone", live, tt.fourth)
				}
				o.becomes(t, doc5)
				expect("null", live, tt.end)
				expect("nothing", live, "")
				if b := next(t, feed.Reset(tt.mode, fanout.ResetUnknown)); said(b) != "snapshot 5 "+doc5 || b.Reset != fanout.ResetUnknown {
					t.Errorf("a reset: %s %s", b.Reset, said(b))
				}
			})
		})
	}
}

// From the journal, too, it is one event, and the keys are those of the topic.
func TestModesResumeFromTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwner(1)
		text := strings.Repeat("x", 20_000)
		doc := func(n int) string {
			return fmt.Sprintf(`{"l":[{"id":1,"sku":"a","n":%d},{"id":2,"sku":"b","n":0}],"text":%q}`, n, text[n:])
		}
		o.becomes(t, doc(0))
		at := o.at.ID()
		o.log.keyframe(o.at, o.doc)
		feed := start(t, o.log, freshet.KindSnapshot)
		if err := feed.SetKeys(map[string]string{"/l": "sku"}); err != nil {
			t.Fatal(err)
		}
		for n := 1; n <= 80; n++ {
			o.becomes(t, doc(n))
		}
		o.becomes(t, fmt.Sprintf(`{"l":[{"id":1,"sku":"a","n":5},{"id":2,"sku":"b","n":0}],"text":%q}`, text))
		for mode, want := range map[freshet.Mode]string{
			freshet.ModeMergePatch: `merge-patch 82 {"l":[{"id":1,"sku":"a","n":5},{"id":2,"sku":"b","n":0}]}`,
			freshet.ModeChanges:    `changes 82 {"created":[],"updated":[{"array":"/l","key":"a","value":{"id":1,"sku":"a","n":5},"previous":{"id":1,"sku":"a","n":0}}],"deleted":[],"keys":{"/l":"sku"}}`,
		} {
			c, resumed := resume(t, feed, mode, at)
			if got := said(next(t, c)); !resumed || got != want {
				t.Errorf("%s: resumed %v with %.400s", mode, resumed, got)
			}
		}
		if err := feed.SetKeys(map[string]string{"l": "id"}); err == nil {
			t.Error("a pointer without a slash was accepted")
		}
	})
}

// Whoever walks along the history is told of each revision by itself, the order of items alone included.
func TestStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := start(t, newLog(), freshet.KindSnapshot)
		for _, tt := range []struct {
			mode              freshet.Mode
			before, now, want string
		}{
			{freshet.ModeMergePatch, doc1, doc2, `merge-patch 7 {"n":2,"l":[{"id":2,"q":2},{"id":1,"q":1}]}`},
			{freshet.ModeMergePatch, doc4, doc5, `snapshot 7 ` + doc5},
			{freshet.ModeMergePatch, doc4, doc4, `merge-patch 7 {}`},
			{freshet.ModeChanges, doc3, doc4, `changes 7 {"created":[],"updated":[],"deleted":[]}`},
			{freshet.ModeChanges, doc1, doc2, `changes 7 {"created":[],"updated":[],"deleted":[],"patch":[{"op":"replace","path":"/n","value":2}]}`},
			{freshet.ModeChanges, doc1, `[]`, `snapshot 7 []`},
		} {
			ev, err := feed.Step(tt.mode, []byte(tt.before), freshet.Event{Position: freshet.Position{Revision: 7}, Type: freshet.TypeSnapshot, Data: []byte(tt.now)})
			if got := fmt.Sprintf("%s %d %s", ev.Type, ev.Revision, ev.Data); err != nil || got != tt.want {
				t.Errorf("%s from %s: %s, %v; want %s", tt.mode, tt.before, got, err, tt.want)
			}
		}
		if _, err := feed.Step(freshet.ModeChanges, []byte(`{`), freshet.Event{Data: []byte(doc1)}); err == nil {
			t.Error("half a document is one")
		}
	})
}
