package fanout_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"freshet"
	"freshet/internal/flow/fanout"
	"freshet/jsonpatch"
)

// An owner appends the revisions of a document to a log, as a topic's owner does.
type owner struct {
	log    *log
	rev    freshet.Revision
	tag    freshet.Tag
	doc    []byte
	at     freshet.Event // the last change
	rand   *rand.Rand
	values map[string]any
}

func newOwner(seed uint64) *owner {
	return &owner{log: newLog(), rand: rand.New(rand.NewPCG(seed, 1)), values: map[string]any{"text": "a long text that makes a patch smaller than the document"}}
}

func (o *owner) change(t *testing.T) {
	t.Helper()
	for {
		switch n := o.rand.IntN(1000); {
		case n < 10:
			o.values["nothing"] = nil // no merge patch can say that
		case n < 300:
			o.items(n)
		default:
			delete(o.values, "nothing")
			o.values[fmt.Sprintf("k%d", o.rand.IntN(20))] = o.rand.IntN(1000)
		}
		doc, err := json.Marshal(o.values)
		if err != nil {
			t.Fatal(err)
		}
		ev := freshet.Event{Time: time.Now(), Type: freshet.TypeSnapshot, Data: doc}
		if o.doc != nil && o.rand.IntN(10) > 0 {
			ev.Type = freshet.TypePatch
			if ev.Data, err = jsonpatch.Diff(o.doc, doc); err != nil {
				t.Fatal(err)
			}
			if string(ev.Data) == "[]" {
				continue
			}
		}
		o.rev++
		o.tag = freshet.Tag(fmt.Sprintf("%08x", o.rand.Uint32()))
		ev.Position = freshet.Position{Revision: o.rev, Tag: o.tag}
		o.doc = doc
		o.at = o.log.add(ev)
		return
	}
}

// items changes what has a key: an item is created, updated or deleted, or they change their order.
func (o *owner) items(n int) {
	list, _ := o.values["items"].([]any)
	at := o.rand.IntN(len(list) + 1)
	switch {
	case at == len(list) || len(list) < 4:
		list = append(list, map[string]any{"id": o.rand.IntN(1 << 30), "text": "an item that was created"})
	case n%4 == 0:
		list = slices.Delete(list, at, at+1)
	case n%4 == 1:
		o.rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	default:
		list[at].(map[string]any)["n"] = n
	}
	o.values["items"] = list
}

func (o *owner) note(kind freshet.EventType) {
	ev := freshet.Event{Position: freshet.Position{Revision: o.rev, Tag: o.tag}, Time: time.Now(), Type: kind}
	if kind == freshet.TypeError {
		ev.Data = []byte(`{"code":70500}`)
	}
	o.log.add(ev)
}

// A reader applies what a cursor gives it and knows whether that fits.
type reader struct {
	doc    []byte
	id     string
	rev    freshet.Revision
	events int
	faulty bool // the last that it knows is that the topic is not up to date
}

func (r *reader) take(t *testing.T, b fanout.Batch) {
	t.Helper()
	for _, e := range b.Entries {
		r.events++
		if e.Sequence > 0 {
			r.id = e.ID()
		}
		switch e.Type {
		case freshet.TypeSnapshot:
			r.doc = e.Data
		case freshet.TypePatch:
			doc, err := jsonpatch.Apply(r.doc, e.Data)
			if err != nil {
				t.Fatalf("patch %s to revision %d does not fit %s: %v", e.Data, e.Revision, r.doc, err)
			}
			r.doc = doc
		case freshet.TypeMergePatch:
			doc, err := jsonpatch.ApplyMerge(r.doc, e.Data)
			if err != nil {
				t.Fatal(err)
			}
			r.doc = doc
		case freshet.TypeChanges:
			doc, err := jsonpatch.ApplyChanges(r.doc, e.Data)
			if err != nil {
				t.Fatalf("changes %s to revision %d do not fit %s: %v", e.Data, e.Revision, r.doc, err)
			}
			r.doc = doc
		default:
			r.faulty = e.Type == freshet.TypeError
			continue
		}
		if e.Revision < r.rev && b.Reset == "" {
			t.Fatalf("revision %d after %d", e.Revision, r.rev)
		}
		r.rev, r.faulty = e.Revision, false
	}
}

// equal says whether two documents are the same, but for the order of the items that have a key.
func equal(t *testing.T, a, b []byte) bool {
	t.Helper()
	sorted := func(text []byte) []byte {
		var doc map[string]json.RawMessage
		var items []map[string]any
		err := json.Unmarshal(text, &doc)
		if err == nil && doc["items"] != nil {
			err = json.Unmarshal(doc["items"], &items)
		}
		slices.SortFunc(items, func(a, b map[string]any) int { return cmp.Compare(a["id"].(float64), b["id"].(float64)) })
		again, errItems := json.Marshal(items)
		if err := errors.Join(err, errItems); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		doc["items"] = again
		all, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	return jsonpatch.Equal(sorted(a), sorted(b))
}

func start(t *testing.T, l *log, kind freshet.Kind) *fanout.Feed {
	t.Helper()
	feed := fanout.New(l, "topic", kind, slog.New(slog.DiscardHandler))
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(done)
		feed.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	if err := feed.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return feed
}

func next(t *testing.T, c *fanout.Cursor) fanout.Batch {
	t.Helper()
	b, err := c.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func resume(t *testing.T, f *fanout.Feed, mode freshet.Mode, id string) (*fanout.Cursor, bool) {
	t.Helper()
	at, err := freshet.ParsePosition(id)
	if err != nil {
		t.Fatal(err)
	}
	c, ok, err := f.Resume(t.Context(), mode, at)
	if err != nil {
		t.Fatal(err)
	}
	return c, ok
}

// Readers of every habit end with the owner's document, whatever happens in between.
func TestReadersEndWithTheDocument(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOwner(seed)
				for range o.rand.IntN(3) {
					o.change(t)
				}
				feed := start(t, o.log, freshet.KindSnapshot)
				modes := []freshet.Mode{
					freshet.ModeSnapshotPatch, freshet.ModeSnapshotOnly, freshet.ModeSnapshotPatch, freshet.ModeSnapshotPatch,
					freshet.ModeMergePatch, freshet.ModeChanges, freshet.ModeMergePatch, freshet.ModeChanges,
				}
				cursors, readers := make([]*fanout.Cursor, len(modes)), make([]reader, len(modes))
				for step := range 2000 {
					switch n := o.rand.IntN(100); {
					case n < 70:
						o.change(t)
						if o.rand.IntN(2) == 0 {
							synctest.Wait() // else the feed sees several at once
						}
					case n < 73:
						o.note(freshet.TypeError)
					case n < 76:
						o.note(freshet.TypeRecovered)
					case n < 80 && o.doc != nil:
						o.log.keyframe(o.at, o.doc)
					case n < 81 && len(o.log.frames) > 0:
						o.log.trim()
					case n < 82:
						o.log.breakTail(errors.New("broken on purpose"))
						time.Sleep(3 * time.Second)
					}
					for i, mode := range modes {
						switch {
						case cursors[i] == nil && readers[i].id == "":
							cursors[i] = feed.Follow(mode)
						case cursors[i] == nil:
							cursors[i], _ = resume(t, feed, mode, readers[i].id)
						}
						if i%4 == 3 && step%400 != 0 {
							continue // slow: it falls out of what is in memory
						}
						if o.rand.IntN(3) == 0 {
							readers[i].take(t, next(t, cursors[i]))
						}
						if o.rand.IntN(20) == 0 {
							cursors[i] = nil // its connection breaks
						}
					}
				}
				time.Sleep(5 * time.Second) // a feed that loads afresh waits a little
				for i, c := range cursors {
					if c == nil {
						c, _ = resume(t, feed, modes[i], readers[i].id)
					}
					for b := next(t, c); len(b.Entries) > 0; b = next(t, c) {
						readers[i].take(t, b)
					}
					same := jsonpatch.Equal(readers[i].doc, o.doc)
					if modes[i] == freshet.ModeChanges {
						same = equal(t, readers[i].doc, o.doc)
					}
					if _, fault := feed.Current(); readers[i].faulty != (fault != nil) {
						t.Errorf("reader %d (%s): fault %v; the topic has %v", i, modes[i], readers[i].faulty, fault)
					}
					if !same {
						t.Errorf("reader %d (%s) has %s, the owner %s", i, modes[i], readers[i].doc, o.doc)
					}
				}
			})
		})
	}
}

func TestResumeIsOnePatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwner(1)
		o.change(t)
		feed := start(t, o.log, freshet.KindSnapshot)
		var r reader
		r.take(t, next(t, feed.Follow(freshet.ModeSnapshotPatch)))
		before := r.doc
		for o.values["k0"] = 1; o.rev < 4; {
			o.change(t)
		}
		synctest.Wait()
		c, resumed := resume(t, feed, freshet.ModeSnapshotPatch, r.id)
		b := next(t, c)
		if !resumed || len(b.Entries) != 1 || b.Entries[0].Revision != 4 {
			t.Fatalf("resumed %v with %d entries; want one that leads to revision 4", resumed, len(b.Entries))
		}
		r.take(t, b)
		if !jsonpatch.Equal(r.doc, o.doc) || jsonpatch.Equal(before, o.doc) {
			t.Errorf("ended with %s; want %s", r.doc, o.doc)
		}
		again, _ := resume(t, feed, freshet.ModeSnapshotPatch, "1-1-"+r.id[len(r.id)-8:])
		if b := next(t, again); b.Reset != fanout.ResetUnknown {
			t.Errorf("an id with another tag was resumed: %+v", b)
		}
	})
}

// Behind what is in memory, a reader still gets one patch, made from the journal.
func TestResumeFromTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwner(2)
		o.change(t)
		o.log.keyframe(o.at, o.doc)
		feed := start(t, o.log, freshet.KindSnapshot)
		var r reader
		r.take(t, next(t, feed.Follow(freshet.ModeSnapshotPatch)))
		r.doc, r.id = o.doc, o.log.events[0].ID()
		for range 1000 {
			o.change(t)
		}
		o.values = map[string]any{"text": o.values["text"], "k0": -1}
		o.change(t)
		synctest.Wait()
		c, resumed := resume(t, feed, freshet.ModeSnapshotPatch, r.id)
		b := next(t, c)
		if !resumed || b.Reset != "" || len(b.Entries) != 1 {
			t.Fatalf("resumed %v, %q, %d entries", resumed, b.Reset, len(b.Entries))
		}
		r.take(t, b)
		if !jsonpatch.Equal(r.doc, o.doc) {
			t.Errorf("ended with %s; want %s", r.doc, o.doc)
		}
		o.log.keyframe(o.at, o.doc)
		o.log.trim()
		c, resumed = resume(t, feed, freshet.ModeSnapshotPatch, "1-1-"+string(o.log.frames[0].Tag))
		if b := next(t, c); resumed || len(b.Entries) != 1 || b.Entries[0].Type != freshet.TypeSnapshot || b.Reset == "" {
			t.Errorf("resumed %v after the history was trimmed: %+v", resumed, b)
		}
	})
}

func message(l *log, n int) freshet.Event {
	return l.add(freshet.Event{Position: freshet.Position{Revision: freshet.Revision(n), Tag: "t"}, Type: freshet.TypeEvent, Time: time.Now(), Data: fmt.Appendf(nil, `{"n":%d}`, n)})
}

// A new reader of messages is told first what is wrong, like one of a document, once, and not what is over.
func TestNewReaderOfAFailingEventTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog()
		note := func(kind freshet.EventType) freshet.Event {
			return l.add(freshet.Event{Position: freshet.Position{Revision: 1, Tag: "t"}, Type: kind, Time: time.Now(), Data: []byte(`{"code":70500}`)})
		}
		message(l, 1)
		fault := note(freshet.TypeError)
		feed := start(t, l, freshet.KindEvent)
		c := feed.Follow(freshet.ModeEvent)
		if b := next(t, c); len(b.Entries) != 1 || b.Entries[0].Position != fault.Position || b.Reset != "" {
			t.Errorf("first %+v, want the fault", b)
		}
		if b := next(t, c); len(b.Entries) != 0 {
			t.Errorf("then %+v", b)
		}
		late := feed.Follow(freshet.ModeEvent) // the fault is over before it asks
		two := message(l, 2)
		synctest.Wait()
		if b := next(t, c); len(b.Entries) != 1 || b.Entries[0].Position != two.Position {
			t.Errorf("then %+v, want the message", b)
		}
		if b := next(t, late); len(b.Entries) != 2 || b.Entries[0].Position != fault.Position || b.Entries[1].Position != two.Position {
			t.Errorf("one that asks later gets %+v", b)
		}
		if b := next(t, feed.Follow(freshet.ModeEvent)); len(b.Entries) != 0 {
			t.Errorf("one that comes later gets %+v", b)
		}
	})
}

func TestEventsAreNeverSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog()
		first := message(l, 1)
		feed := start(t, l, freshet.KindEvent)
		live, slow := feed.Follow(freshet.ModeEvent), feed.Follow(freshet.ModeEvent)
		want := 2
		collect := func(c *fanout.Cursor, from int) (last int) {
			t.Helper()
			for b := next(t, c); len(b.Entries) > 0; b = next(t, c) {
				for _, e := range b.Entries {
					if e.Type != freshet.TypeEvent {
						t.Fatalf("got %s %s", e.Type, e.Data)
					}
					if int(e.Revision) != from {
						t.Fatalf("message %d; want %d", e.Revision, from)
					}
					from++
				}
			}
			return from
		}
		for n := 2; n <= 3000; n++ {
			message(l, n)
			if n%100 == 0 {
				synctest.Wait()
				want = collect(live, want)
			}
		}
		if want != 3001 {
			t.Errorf("the live reader got up to %d", want-1)
		}
		if _, err := slow.Next(t.Context()); !errors.Is(err, fanout.ErrSlow) {
			t.Errorf("a reader that fell out of memory got %v; want ErrSlow", err)
		}
		c, resumed := resume(t, feed, freshet.ModeEvent, first.ID())
		if got := collect(c, 2); !resumed || got != 3001 {
			t.Errorf("resumed %v, got up to %d", resumed, got-1)
		}
		if c, resumed = resume(t, feed, freshet.ModeEvent, freshet.Position{}.String()); !resumed || collect(c, 1) != 3001 {
			t.Errorf("resumed %v from before the first message", resumed)
		}
		if got := collect(feed.FollowAll(freshet.ModeEvent), 1); got != 3001 {
			t.Errorf("from the beginning: up to %d", got-1)
		}
		l.keyframe(l.events[2999], []byte(`{}`))
		for n := 3001; n <= 3003; n++ {
			message(l, n)
		}
		l.trim()
		synctest.Wait()
		c, resumed = resume(t, feed, freshet.ModeEvent, first.ID())
		b := next(t, c)
		if resumed || b.Reset != fanout.ResetExpired || len(b.Entries) != 2 || b.Entries[0].Type != freshet.TypeError || b.Entries[1].Revision != 3001 {
			t.Errorf("resumed %v over a gap: %s, %d entries", resumed, b.Reset, len(b.Entries))
		}
		if got := collect(c, 3002); got != 3004 {
			t.Errorf("after the gap: up to %d", got-1)
		}
		for id, reset := range map[string]string{"0-0-": fanout.ResetExpired, "3001-1-x": fanout.ResetUnknown} {
			if c, resumed = resume(t, feed, freshet.ModeEvent, id); resumed || next(t, c).Reset != reset {
				t.Errorf("%s: resumed %v; want %s", id, resumed, reset)
			}
		}
	})
}

func TestHistoryReplacedUnderALiveReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwner(3)
		for range 5 {
			o.change(t)
		}
		feed := start(t, o.log, freshet.KindSnapshot)
		c := feed.Follow(freshet.ModeSnapshotPatch)
		var r reader
		r.take(t, next(t, c))
		o.log.replace()
		o.rev, o.doc, o.values = 0, nil, map[string]any{"new": true}
		o.change(t)
		o.log.breakTail(freshet.ErrGone)
		time.Sleep(time.Minute)
		b := next(t, c)
		if len(b.Entries) != 1 || b.Entries[0].Type != freshet.TypeSnapshot {
			t.Fatalf("got %+v; want a snapshot", b)
		}
		r.rev = 0
		r.take(t, b)
		if !jsonpatch.Equal(r.doc, o.doc) {
			t.Errorf("ended with %s; want %s", r.doc, o.doc)
		}
	})
}

func TestHistoryCanBeReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOwner(4)
		docs := map[freshet.Revision][]byte{}
		var at []freshet.Event
		for range 50 {
			time.Sleep(time.Second)
			o.change(t)
			docs[o.rev] = o.doc
			at = append(at, o.log.events[len(o.log.events)-1])
			if o.rev%20 == 0 {
				o.log.keyframe(o.at, o.doc)
			}
		}
		feed := start(t, o.log, freshet.KindSnapshot)
		for _, tt := range []struct {
			name  string
			r     fanout.Range
			first freshet.Revision // of the first line
			last  freshet.Revision
		}{
			{"all", fanout.Range{}, 1, 50},
			{"after an event", fanout.Range{After: at[29].Position}, 30, 50},
			{"up to an event", fanout.Range{UpTo: at[9].Position}, 1, 10},
			{"between times", fanout.Range{Since: at[24].Time, Till: at[34].Time}, 24, 35},
			{"nothing new", fanout.Range{After: at[49].Position}, 50, 50},
		} {
			var r reader
			for ev, err := range feed.History(t.Context(), tt.r) {
				if err != nil {
					t.Fatal(tt.name, err)
				}
				if r.events == 0 && (ev.Type != freshet.TypeSnapshot || ev.Revision != tt.first) {
					t.Errorf("%s: starts with a %s of revision %d; want a snapshot of %d", tt.name, ev.Type, ev.Revision, tt.first)
				}
				r.take(t, fanout.Batch{Entries: []*fanout.Entry{{Event: ev}}})
			}
			if r.rev != tt.last || !jsonpatch.Equal(r.doc, docs[tt.last]) {
				t.Errorf("%s: replay ends at revision %d with %s; want %d, %s", tt.name, r.rev, r.doc, tt.last, docs[tt.last])
			}
		}
		for _, i := range []int{0, 19, 20, 33, 49} {
			ev, err := feed.AtEvent(t.Context(), at[i].Position)
			ev2, err2 := feed.AtTime(t.Context(), at[i].Time.Add(time.Millisecond))
			if want := docs[at[i].Revision]; errors.Join(err, err2) != nil || !jsonpatch.Equal(ev.Data, want) || !jsonpatch.Equal(ev2.Data, want) {
				t.Errorf("at revision %d: %s, %v; %s, %v; want %s", at[i].Revision, ev.Data, err, ev2.Data, err2, want)
			}
		}
		wrong := at[3].Position
		wrong.Tag = "ffffffff"
		if _, err := feed.AtEvent(t.Context(), wrong); !errors.Is(err, freshet.ErrGone) {
			t.Errorf("a revision of another history: %v; want ErrGone", err)
		}
	})
}
