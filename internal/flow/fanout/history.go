package fanout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"freshet"
	"freshet/jsonpatch"
)

func applyAll(doc []byte, patches [][]byte) (_ []byte, err error) {
	if doc == nil {
		return nil, errors.New("no document to start from")
	}
	for _, p := range patches {
		if doc, err = jsonpatch.Apply(doc, p); err != nil {
			return nil, fmt.Errorf("rebuild a document: %w", err)
		}
	}
	return doc, nil
}

// documentAt is the document that a reader at a position has.
func (f *Feed) documentAt(ctx context.Context, at freshet.Position) ([]byte, error) {
	ev, err := f.AtEvent(ctx, at)
	return ev.Data, err
}

// AtEvent rebuilds what a topic held at an event: a snapshot, or the message of an event topic.
// freshet.ErrGone where the history does not have it.
func (f *Feed) AtEvent(ctx context.Context, at freshet.Position) (freshet.Event, error) {
	ev, err := f.rebuild(ctx, at.Sequence)
	if err == nil && (ev.Revision != at.Revision || ev.Tag != at.Tag) {
		err = fmt.Errorf("event %s: %w", at, freshet.ErrGone)
	}
	return ev, err
}

// AtTime rebuilds what a topic held at a time. freshet.ErrGone where the history does not reach there.
func (f *Feed) AtTime(ctx context.Context, t time.Time) (freshet.Event, error) {
	last, err := f.journal.Before(ctx, f.id, t)
	if err != nil {
		return freshet.Event{}, fmt.Errorf("look up the last event before %s: %w", t, err)
	}
	return f.rebuild(ctx, last.Sequence)
}

func (f *Feed) rebuild(ctx context.Context, upTo uint64) (freshet.Event, error) {
	if f.kind == freshet.KindEvent {
		return f.journal.Entry(ctx, f.id, upTo)
	}
	doc, err := f.journal.Keyframe(ctx, f.id, upTo)
	if err != nil {
		return freshet.Event{}, fmt.Errorf("read keyframe: %w", err)
	}
	for ev, err := range f.journal.Read(ctx, f.id, doc.Sequence) {
		if err != nil {
			return freshet.Event{}, fmt.Errorf("read after %d: %w", doc.Sequence, err)
		}
		if ev.Sequence > upTo {
			break
		}
		if doc, err = step(doc, ev); err != nil {
			return freshet.Event{}, err
		}
	}
	if doc.Sequence == 0 {
		return freshet.Event{}, freshet.ErrGone
	}
	return doc, nil
}

// step is the snapshot after an event.
func step(doc, ev freshet.Event) (freshet.Event, error) {
	switch ev.Type {
	case freshet.TypeSnapshot, freshet.TypeEvent:
		return ev, nil
	case freshet.TypePatch:
		data, err := jsonpatch.Apply(doc.Data, ev.Data)
		if err != nil {
			return freshet.Event{}, fmt.Errorf("rebuild revision %d: %w", ev.Revision, err)
		}
		return freshet.Event{Position: ev.Position, Type: freshet.TypeSnapshot, Time: ev.Time, Data: data}, nil
	}
	return doc, nil // a fault changes nothing
}

// A Range is a part of a topic's history: after an event or at and after a time, up to and including
// an event or a time. Zero fields are open ends.
type Range struct {
	After, UpTo freshet.Position
	Since, Till time.Time
}

func (r Range) before(ev freshet.Event) bool {
	return ev.Sequence <= r.After.Sequence || ev.Time.Before(r.Since)
}

func (r Range) beyond(ev freshet.Event) bool {
	return r.UpTo.Sequence > 0 && ev.Sequence > r.UpTo.Sequence || !r.Till.IsZero() && ev.Time.After(r.Till)
}

// History yields a part of the topic's history. Of a document it starts with the snapshot that the
// first patch applies to, so that it can be replayed by itself.
func (f *Feed) History(ctx context.Context, r Range) iter.Seq2[freshet.Event, error] {
	return func(yield func(freshet.Event, error) bool) {
		doc, err := f.start(ctx, r)
		if err != nil {
			yield(freshet.Event{}, err)
			return
		}
		started := f.kind == freshet.KindEvent
		for ev, err := range f.journal.Read(ctx, f.id, doc.Sequence) {
			if err != nil {
				yield(freshet.Event{}, err)
				return
			}
			if r.beyond(ev) {
				break
			}
			if r.before(ev) {
				if doc, err = step(doc, ev); err != nil {
					yield(freshet.Event{}, err)
					return
				}
				continue
			}
			if !started && doc.Sequence > 0 && !yield(doc, nil) {
				return
			}
			started = true
			if !yield(ev, nil) {
				return
			}
		}
		if !started && doc.Sequence > 0 {
			yield(doc, nil)
		}
	}
}

// start is the snapshot from which the range can be replayed: the last keyframe before it, or the
// first event that is kept.
func (f *Feed) start(ctx context.Context, r Range) (freshet.Event, error) {
	oldest, err := f.journal.Oldest(ctx, f.id)
	if err != nil {
		return freshet.Event{}, fmt.Errorf("look up the oldest event: %w", err)
	}
	from := max(oldest.Sequence, r.After.Sequence)
	if f.kind == freshet.KindEvent {
		return freshet.Event{Position: freshet.Position{Sequence: r.After.Sequence}}, nil
	}
	doc, err := f.journal.Keyframe(ctx, f.id, from)
	if err != nil {
		return freshet.Event{}, fmt.Errorf("read keyframe: %w", err)
	}
	return doc, nil
}

// gapEntry tells the reader of an event topic what it has missed for good. It has no id: the reader's
// position stays what it was until the next message.
func gapEntry(had freshet.Position, oldest freshet.Event) *Entry {
	message := fmt.Sprintf("the history after event %s is no longer kept; it goes on with the oldest message kept, %s", had, oldest.ID())
	if had.Sequence == 0 {
		message = fmt.Sprintf("the event id is not one of this topic's history; it goes on with the oldest message kept, %s", oldest.ID())
	}
	if oldest.Sequence == 0 {
		message = "the event id is not one of this topic's history, of which nothing is kept; it goes on with the next message"
	}
	return FaultEntry(freshet.NewFault(freshet.FaultGap, "%s", message))
}

// FaultEntry is an error that one reader alone is told. It has no position and so no id.
func FaultEntry(f freshet.Fault) *Entry {
	data, err := json.Marshal(f)
	if err != nil {
		panic(err) // a struct of plain fields always marshals
	}
	return &Entry{Event: freshet.Event{Type: freshet.TypeError, Time: f.Time, Data: data}}
}
