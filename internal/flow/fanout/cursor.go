package fanout

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"freshet"
)

// ErrSlow is what the follower of an event topic gets whose reader fell out of the history in memory. It
// is a SlowError then, which says where the reader may go on.
var ErrSlow = errors.New("the reader is too slow")

// A SlowError is ErrSlow with the position that the reader has.
type SlowError struct {
	At           freshet.Position
	Subscription freshet.SubscriptionID // stored, that the reader is
}

func (e *SlowError) Error() string { return ErrSlow.Error() }

// Is says that it is ErrSlow.
func (e *SlowError) Is(target error) bool { return target == ErrSlow }

// Event is what the reader is told before it is cut. It has the reader's position, as one that has had no event yet
// would not know where to go on.
func (e *SlowError) Event() freshet.Event {
	ev := FaultEntry(freshet.NewFault(freshet.FaultSlow, "too slow: the messages not yet sent are no longer in memory; reconnect with the last event id to get them")).Event
	ev.Position = e.At
	return Addressed(ev, e.Subscription)
}

// Why a reader's event id was not honoured.
const (
	ResetExpired = "history-expired" // older than what is kept
	ResetUnknown = "id-unknown"      // of another history, or not one of ours
	ResetSkipped = "event-skipped"   // a stored subscription was spared an event that could not be delivered
)

// A Batch is what a follower's reader lacks.
type Batch struct {
	Entries []*Entry
	Reset   string // why the first entry does not follow what the reader has; empty where it does
	Behind  int    // how many events the reader lacked
}

// A Cursor is one follower of a feed. It is for one goroutine. Cursors are compared with ==.
type Cursor struct {
	feed  *Feed
	mode  freshet.Mode
	pos   freshet.Position // what the reader has
	fresh bool             // the reader has nothing: it starts with the document
	past  bool             // of an event topic, still reading from the journal
	reset string           // to be told with the next batch
	join  bool             // give what is lacking as one patch
	wrong *Entry           // what was wrong with the source when a reader of messages came, to be told first; nil: nothing

	subscription freshet.SubscriptionID // stored, that the reader is; what it is told of faults names it
}

// Follow is a cursor for a reader that has nothing: it gets the document first, or messages from now on; and in
// either case what is wrong with the source.
func (f *Feed) Follow(mode freshet.Mode) *Cursor {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := &Cursor{feed: f, mode: mode, fresh: true}
	if mode == freshet.ModeEvent {
		c.fresh, c.pos, c.wrong = false, f.head, f.fault
	}
	return c
}

// FollowAll is a cursor for a reader of an event topic that wants everything that is kept.
func (f *Feed) FollowAll(mode freshet.Mode) *Cursor {
	return &Cursor{feed: f, mode: mode, past: true}
}

// Resume is a cursor for a reader that is at a position, and whether that is a place to go on from.
func (f *Feed) Resume(ctx context.Context, mode freshet.Mode, at freshet.Position) (c *Cursor, resumed bool, err error) {
	f.mu.Lock()
	found, head := f.ring.find(at) >= 0, f.head
	f.mu.Unlock()
	if found {
		return &Cursor{feed: f, mode: mode, pos: at, join: true}, true, nil
	}
	reason := ResetUnknown
	if at.Sequence <= head.Sequence {
		switch kept, err := f.journal.Entry(ctx, f.id, at.Sequence); {
		case err == nil && kept.Position == at:
			return &Cursor{feed: f, mode: mode, pos: at, past: true, join: true}, true, nil
		case errors.Is(err, ErrNever):
		case errors.Is(err, freshet.ErrGone):
			oldest, err := f.journal.Oldest(ctx, f.id)
			if err == nil && at == (freshet.Position{}) && mode == freshet.ModeEvent && oldest.Revision <= 1 {
				return f.FollowAll(mode), true, nil // it came in before the first message, which is still there
			}
			if err == nil && couldBeBefore(at, oldest) {
				reason = ResetExpired
			}
		case err != nil:
			return nil, false, fmt.Errorf("look up event %s: %w", at, err)
		}
	}
	return f.Reset(mode, reason), false, nil
}

// couldBeBefore says whether a position may have been in the history before the oldest event that is kept.
func couldBeBefore(at freshet.Position, oldest freshet.Event) bool {
	last := oldest.Revision
	if changes(oldest) {
		last--
	}
	return at.Sequence < oldest.Sequence && at.Revision <= last
}

// Reset is a cursor for a reader whose event id cannot be honoured.
func (f *Feed) Reset(mode freshet.Mode, reason string) *Cursor {
	c := &Cursor{feed: f, mode: mode, fresh: true, reset: reason}
	if mode == freshet.ModeEvent {
		c.fresh, c.past = false, true
	}
	return c
}

// Position is where a reader of messages goes on from; false where it is to begin with something else.
func (c *Cursor) Position() (at freshet.Position, ok bool) {
	return c.pos, c.mode == freshet.ModeEvent && !c.fresh && !c.past
}

// Feed is what the cursor follows.
func (c *Cursor) Feed() *Feed { return c.feed }

// Live says whether the cursor needs the journal no more: Next does not block then, and need not be
// given a context that ends.
func (c *Cursor) Live() bool {
	if !c.past {
		return true
	}
	if c.reset != "" {
		return false // what it has to say first takes a look into the journal
	}
	c.feed.mu.Lock()
	defer c.feed.mu.Unlock()
	c.past = c.feed.ring.find(c.pos) < 0
	return !c.past
}

// Next is what the reader lacks now; an empty batch where that is nothing. ErrSlow, or why the feed ended.
// Readers whose cursors are equal lack the same.
func (c *Cursor) Next(ctx context.Context) (Batch, error) {
	b, err := c.next(ctx)
	if c.subscription == "" {
		return b, err
	}
	return b.addressed(c.subscription), err
}

func (c *Cursor) next(ctx context.Context) (Batch, error) {
	f := c.feed
	f.mu.Lock()
	if f.ended != nil {
		defer f.mu.Unlock()
		return Batch{}, f.ended
	}
	if c.fresh {
		defer f.mu.Unlock()
		return c.firstLocked(), nil
	}
	if c.past && c.reset != "" {
		f.mu.Unlock()
		return c.overGap(ctx)
	}
	at := f.ring.find(c.pos)
	if at < 0 {
		f.mu.Unlock()
		return c.outside(ctx)
	}
	c.past = false
	lacking := f.ring.entries[at+1:]
	if c.wrong != nil {
		lacking = append([]*Entry{c.wrong}, lacking...)
		c.wrong = nil
	}
	if len(lacking) == 0 {
		f.mu.Unlock()
		c.join = false
		return Batch{}, nil
	}
	if c.mode == freshet.ModeEvent {
		defer f.mu.Unlock()
		return c.allLocked(lacking), nil
	}
	return c.conflate(at)
}

// firstLocked is how a reader that has nothing starts: the document, then what is wrong with it.
func (c *Cursor) firstLocked() Batch {
	f := c.feed
	b := Batch{Reset: c.reset}
	if f.fault != nil && f.fault.Position != c.pos {
		b.Entries = []*Entry{f.fault}
	}
	if f.current != nil {
		b.Entries = append([]*Entry{f.current}, b.Entries...)
		c.fresh, c.reset = false, ""
	}
	if len(b.Entries) == 0 {
		return Batch{}
	}
	c.pos = f.head // what the two do not say is a fault that is over
	return b
}

func (c *Cursor) allLocked(lacking []*Entry) Batch {
	b := Batch{Entries: slices.Clone(lacking), Reset: c.reset, Behind: len(lacking)}
	c.reset, c.pos = "", lacking[len(lacking)-1].Position
	return b
}

// conflate gives a reader of a document what it lacks since the ring's entry at an index, in as few
// bytes as may be. It unlocks the feed, which its caller has locked.
func (c *Cursor) conflate(at int) (Batch, error) {
	const live = 8 // a reader so few events behind gets them one by one
	f := c.feed
	lacking := f.ring.entries[at+1:]
	current, fault, head := f.current, f.fault, f.head
	bytes, count := 0, 0
	for _, e := range lacking {
		if changes(e.Event) {
			bytes, count = bytes+len(e.Data), count+1
		}
	}
	join := c.join || count > live || current != nil && bytes > len(current.Data)
	c.join = false
	switch {
	case count == 0 || c.mode == freshet.ModeSnapshotPatch && (count == 1 || !join):
		defer f.mu.Unlock()
		return c.allLocked(lacking), nil
	case c.mode == freshet.ModeSnapshotOnly:
		f.mu.Unlock()
		b := Batch{Entries: []*Entry{current}, Behind: len(lacking)}
		c.pos = head
		return withFault(b, fault), nil
	}
	behind := len(lacking)
	from, patches := f.ring.rebuild(at)
	p := place{c.pos, c.mode, f.ring.entries[at].Type == freshet.TypeError}
	f.mu.Unlock()
	joined := f.composer.compose(p, current, func() ([]byte, error) { return applyAll(from, patches) })
	c.pos = head
	return withFault(Batch{Entries: joined, Behind: behind}, fault), nil
}

func withFault(b Batch, fault *Entry) Batch {
	if fault != nil {
		b.Entries = append(b.Entries, fault)
	}
	return b
}

// outside serves a reader whose position is not in the ring.
func (c *Cursor) outside(ctx context.Context) (Batch, error) {
	switch {
	case c.mode == freshet.ModeEvent && c.past:
		return c.pastEvents(ctx)
	case c.mode == freshet.ModeEvent:
		return Batch{}, &SlowError{At: c.pos, Subscription: c.subscription}
	}
	f := c.feed
	f.mu.Lock()
	current, fault, head := f.current, f.fault, f.head
	f.mu.Unlock()
	past, pos := c.past, c.pos
	c.past, c.join, c.pos = false, false, head
	if current == nil {
		c.fresh, c.reset = true, ResetUnknown
		return Batch{}, nil
	}
	b := Batch{Entries: []*Entry{current}}
	if past && c.mode != freshet.ModeSnapshotOnly {
		p := place{pos, c.mode, fault == nil} // whether it was told of a fault is not known; that there is none is true
		b.Entries = f.composer.compose(p, current, func() ([]byte, error) { return f.documentAt(ctx, pos) })
	}
	return withFault(b, fault), nil
}

// pastEvents reads from the journal what came after the reader's position, a part at a time.
func (c *Cursor) pastEvents(ctx context.Context) (Batch, error) {
	const most, mostBytes = 256, ringBytes
	f := c.feed
	b, bytes := Batch{}, 0
	for ev, err := range f.journal.Read(ctx, f.id, c.pos.Sequence) {
		if errors.Is(err, freshet.ErrGone) && len(b.Entries) == 0 {
			return c.overGap(ctx)
		}
		if err != nil {
			return Batch{}, fmt.Errorf("read after %s: %w", c.pos, err)
		}
		c.pos = ev.Position
		b.Entries, bytes = append(b.Entries, &Entry{Event: ev}), bytes+len(ev.Data)
		if len(b.Entries) == most || bytes > mostBytes {
			break
		}
	}
	if len(b.Entries) == 0 { // the store has nothing newer, so the reader is at its head
		c.past = false
	}
	return b, nil
}

// overGap goes on with the oldest message kept, after telling the reader what it missed.
func (c *Cursor) overGap(ctx context.Context) (Batch, error) {
	oldest, err := c.feed.journal.Oldest(ctx, c.feed.id)
	if err != nil {
		return Batch{}, fmt.Errorf("look up the oldest event: %w", err)
	}
	b := Batch{Reset: c.reset, Entries: []*Entry{gapEntry(c.pos, oldest)}}
	c.reset, c.pos = "", oldest.Position
	if oldest.Sequence > 0 {
		b.Entries = append(b.Entries, &Entry{Event: oldest})
	}
	return b, nil
}
