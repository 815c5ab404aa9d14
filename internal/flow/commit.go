package flow

import (
	"bytes"
	"context"
	"errors"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/jsonpatch"
)

// A push is a payload on its way into the journal. What comes while the disk is busy with the pushes before
// waits and is then stored together, so that a topic takes in far more than the disk can confirm one by one.
type push struct {
	payload source.Payload
	turn    chan bool     // true: it is done; false: it is on this one to commit what waits
	event   freshet.Event // zero: nothing changed
	err     error
}

// take takes one payload. The event is in the journal when it returns.
func (r *runner) take(ctx context.Context, p source.Payload) (freshet.Event, error) {
	mine := r.takeAll(ctx, []source.Payload{p})[0]
	return mine.event, mine.err
}

// takeAll takes payloads, in their order, and returns what came of each.
func (r *runner) takeAll(ctx context.Context, ps []source.Payload) []*push {
	mine := make([]*push, len(ps))
	for i, p := range ps {
		mine[i] = &push{payload: p, turn: make(chan bool, 1)}
	}
	r.queueMu.Lock()
	r.queue = append(r.queue, mine...)
	first := !r.committing && len(mine) > 0
	r.committing = r.committing || first
	r.queueMu.Unlock()
	for i, p := range mine {
		if i == 0 && first || !<-p.turn {
			r.commit(ctx, p)
		}
	}
	return mine
}

// commit stores what waits, of which mine is the first, and leaves it to the next to go on.
func (r *runner) commit(ctx context.Context, mine *push) {
	group := r.dequeue()
	if len(group) > 1 {
		ctx = context.WithoutCancel(ctx) // the others have not gone away
	}
	r.mu.Lock()
	r.storeLocked(ctx, group)
	r.reportLocked()
	r.mu.Unlock()
	for _, p := range group {
		if p != mine {
			p.turn <- true
		}
	}
	r.queueMu.Lock()
	defer r.queueMu.Unlock()
	if r.committing = len(r.queue) > 0; r.committing {
		r.queue[0].turn <- false
	}
}

// dequeue takes as many pushes as may be stored at once.
func (r *runner) dequeue() []*push {
	const most = 256 // as many as a feed keeps for its readers several times over
	r.queueMu.Lock()
	defer r.queueMu.Unlock()
	n, size := 0, 0
	for n < min(len(r.queue), most) {
		if size += len(r.queue[n].payload.Data); !r.store.Fits(n+1, size) {
			break
		}
		n++
	}
	group := r.queue[:n:n]
	if r.queue = r.queue[n:]; len(r.queue) == 0 {
		r.queue = nil
	}
	return group
}

// storeLocked appends what the pushes change, in their order, and tells each what came of it.
func (r *runner) storeLocked(ctx context.Context, group []*push) {
	const attempts = 3 // an owner that was deposed meets another's event at most now and then
	var err error
	var changes []change
	var events []freshet.Event
	for range attempts {
		if err = r.loadLocked(ctx); err != nil {
			break
		}
		if changes, events = r.changesLocked(group); len(events) == 0 {
			break
		}
		if err = r.appendLocked(ctx, events); err == nil {
			break
		}
		r.loaded = false // what the journal holds is not what was thought; read it again
		if !errors.Is(err, freshet.ErrConflict) {
			break
		}
	}
	switch {
	case err == nil:
		r.adoptLocked(ctx, changes, events)
	case ctx.Err() == nil:
		r.log.ErrorContext(ctx, "a payload could not be stored", "err", err)
	}
	r.answerLocked(ctx, group, err)
}

// answerLocked tells pushes what came of them.
func (r *runner) answerLocked(ctx context.Context, group []*push, err error) {
	for _, p := range group {
		fault, refused := errors.AsType[freshet.Fault](p.err)
		switch {
		case refused:
			r.stats.polled(r.topic.Name, "error", p.payload.Took)
			if !r.pushed { // the mistake of who pushes is theirs alone
				r.faultLocked(ctx, fault)
			}
			continue
		case err != nil:
			p.err = err
			r.stats.polled(r.topic.Name, "error", p.payload.Took)
			continue
		case p.event.Sequence == 0:
			r.stats.polled(r.topic.Name, "unchanged", p.payload.Took)
			r.recoveredLocked(ctx, p.payload.Time)
		default:
			r.stats.polled(r.topic.Name, "changed", p.payload.Took)
		}
		r.success = p.payload.Time
	}
}

// A change is what belongs to the event that a push leads to.
type change struct {
	push *push
	ops  int // operations of a patch
	size int // bytes of the document, or message, after it
}

// changesLocked are the events that the pushes lead to, one after the other. The document is then the one
// after all of them, so the topic has to be loaded anew if they cannot be appended. A push that is no
// payload gets its fault.
func (r *runner) changesLocked(group []*push) (changes []change, events []freshet.Event) {
	at := r.head
	for _, p := range group {
		if p.payload.Mark != "" {
			r.mark = p.payload.Mark
		}
		next, err := r.parseLocked(p.payload.Data)
		if err != nil {
			p.err = formatFault(err, r.limits)
			continue
		}
		ev, ops := r.changeLocked(at, next, p.payload.Time)
		if ev.Type == "" {
			continue
		}
		doc := next.Bytes()
		if len(group) > 1 && ev.Type != freshet.TypePatch {
			ev.Data = bytes.Clone(ev.Data) // the next document is parsed into the same memory
		}
		if r.topic.Kind == freshet.KindSnapshot {
			r.offer(ev.Revision, ev.Tag, doc)
			r.doc, r.spare = next, r.doc
		}
		changes, events = append(changes, change{p, ops, len(doc)}), append(events, ev)
		at = ev.Position
	}
	return changes, events
}

func (r *runner) parseLocked(data []byte) (*jsonpatch.Document, error) {
	if r.spare == nil {
		r.spare = new(jsonpatch.Document)
	}
	next := r.spare
	if err := next.Parse(data, r.doc, r.limits); err != nil {
		return nil, err
	}
	return next, nil
}

// changeLocked is the event after a position that leads from the document to next; none where they are equal.
func (r *runner) changeLocked(after freshet.Position, next *jsonpatch.Document, at time.Time) (ev freshet.Event, ops int) {
	ev = freshet.Event{Time: at, Position: freshet.Position{Revision: after.Revision + 1}}
	doc := next.Bytes()
	if r.topic.Kind == freshet.KindEvent {
		ev.Type, ev.Data = freshet.TypeEvent, doc
		ev.Tag = tagOf([]byte(after.Tag), doc) // chained: equal messages in two histories differ
		return ev, 1
	}
	ev.Tag = tagOf(doc)
	if r.doc == nil {
		ev.Type, ev.Data = freshet.TypeSnapshot, doc
		return ev, 1
	}
	start := time.Now()
	patch, stats := r.differ.Append(r.patch[:0], r.doc, next)
	r.stats.diff.Observe(time.Since(start).Seconds())
	r.patch = patch
	switch {
	case len(patch) == 0:
		return freshet.Event{}, 0
	case stats.Whole || len(patch) >= len(doc):
		ev.Type, ev.Data = freshet.TypeSnapshot, doc
	default:
		ev.Type, ev.Data = freshet.TypePatch, bytes.Clone(patch)
	}
	return ev, stats.Ops
}
