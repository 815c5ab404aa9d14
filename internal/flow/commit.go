package flow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/jsonpatch"
)

// A push is a payload on its way into the journal. What comes while the disk is busy with the pushes before
// waits and is then stored together, so that a topic takes in far more than the disk can confirm one by one.
type push struct {
	payload source.Payload
	more    [][]byte  // data of further payloads that are to be stored together with it
	key     *key      // what the post is remembered by; nil: it is not
	turn    chan bool // true: it is done; false: it is on this one to commit what waits

	settled int              // payloads that are in the journal, or changed nothing
	changed int              // of those, how many led to an event
	last    freshet.Position // of the last of those events
	err     error
}

// payloads is how many there are, and their size in bytes.
func (p *push) payloads() (n, size int) {
	size = len(p.payload.Data)
	for _, data := range p.more {
		size += len(data)
	}
	return 1 + len(p.more), size
}

// take takes pushes, in their order. When it returns, each has what came of it.
func (r *runner) take(ctx context.Context, mine ...*push) {
	r.queueMu.Lock()
	r.queue = append(r.queue, mine...)
	first := !r.committing && len(mine) > 0
	for i, p := range mine {
		if i > 0 || !first { // the first has its turn
			p.turn = make(chan bool, 1)
		}
	}
	r.committing = r.committing || first
	r.queueMu.Unlock()
	for i, p := range mine {
		if i == 0 && first || !<-p.turn {
			r.commit(ctx, p)
		}
	}
}

// commit stores what waits, of which mine is the first, and leaves it to the next to go on.
func (r *runner) commit(ctx context.Context, mine *push) {
	group := r.dequeue()
	if len(group) > 1 {
		ctx = context.WithoutCancel(ctx) // the others have not gone away
	}
	r.mu.Lock()
	for rest := group; len(rest) > 0; {
		rest = rest[r.storeLocked(ctx, rest):]
	}
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

// mostAtOnce is how many payloads are stored at once: a feed keeps several times as many for its readers.
const mostAtOnce = 256

// dequeue takes as many pushes as may be stored at once: the first, and those that fit beside it.
func (r *runner) dequeue() []*push {
	r.queueMu.Lock()
	defer r.queueMu.Unlock()
	n, payloads, size, keys := 0, 0, 0, 0
	for _, p := range r.queue {
		more, bytes := p.payloads()
		payloads, size = payloads+more, size+bytes
		if p.key != nil {
			keys++
		}
		if n > 0 && (payloads > mostAtOnce || keys > mostKeysAtOnce || !r.store.Fits(payloads, size)) {
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

// storeLocked appends what the first of the pushes change, in their order, tells each what came of it, and returns how
// many they are: all, or those up to one that is a fault of the source, which stands before what comes after it.
func (r *runner) storeLocked(ctx context.Context, group []*push) (n int) {
	if r.retired {
		r.answerLocked(ctx, group, fmt.Errorf("%w: %s was deleted", freshet.ErrNotFound, r.topic.Name))
		return len(group)
	}
	n = len(group)
	const attempts = 3 // an owner that was deposed meets another's event at most now and then
	var err error
	var changes []change
	var events []freshet.Event
	for range attempts {
		if err = r.loadLocked(ctx); err != nil {
			break
		}
		if n, changes, events = r.changesLocked(group); len(events) == 0 {
			break
		}
		if err = r.appendLocked(ctx, events, noteOf(changes)); err == nil {
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
	if err != nil {
		n = len(group) // nothing overtakes what could not be stored
	}
	r.answerLocked(ctx, group[:n], err)
	return n
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
			p.err, p.settled = err, 0
			r.stats.polled(r.topic.Name, "error", p.payload.Took)
			continue
		case p.changed == 0:
			r.stats.polled(r.topic.Name, "unchanged", p.payload.Took)
			r.recoveredLocked(ctx, p.payload.Time)
		default:
			r.stats.polled(r.topic.Name, "changed", p.payload.Took)
			if p.payload.Missed {
				r.stats.missed.WithLabelValues(r.stats.label(r.topic.Name)).Inc()
			}
		}
		r.success = p.payload.Time
	}
}

// A change is what belongs to the event that a push leads to.
type change struct {
	push *push
	ops  int // operations of a patch
	size int // bytes of the document, or message, after it
	upTo int // payloads of the push that are settled with it
}

// changesLocked are the events that the pushes lead to, one after the other. The document is then the one
// after all of them, so the topic has to be loaded anew if they cannot be appended. A push that is no
// payload gets its fault, and where that is one of the source, the pushes after it are left for later.
func (r *runner) changesLocked(group []*push) (n int, changes []change, events []freshet.Event) {
	at := r.head
	for i, p := range group {
		if p.payload.Mark != "" {
			r.mark = p.payload.Mark
		}
		p.settled = 0
		alone := len(group) == 1 && len(p.more) == 0
		for data := p.payload.Data; ; data = p.more[p.settled-1] {
			next, err := r.parseLocked(data)
			if err != nil {
				p.err = formatFault(err, r.limits, p.payload.Name)
				if !r.pushed {
					return i + 1, changes, events
				}
				break
			}
			if ev, ops := r.changeLocked(at, next, p.payload.Time); ev.Type != "" {
				changes = append(changes, change{p, ops, len(next.Bytes()), p.settled + 1})
				events = append(events, r.nextLocked(ev, next, alone))
				at = ev.Position
			}
			if p.settled++; p.settled > len(p.more) {
				break
			}
		}
	}
	return len(group), changes, events
}

// nextLocked makes next the document. The event is one that owns its data, unless it is alone: the document
// after the next is parsed into the same memory.
func (r *runner) nextLocked(ev freshet.Event, next *jsonpatch.Document, alone bool) freshet.Event {
	doc := next.Bytes()
	if !alone && ev.Type != freshet.TypePatch {
		ev.Data = bytes.Clone(ev.Data)
	}
	if r.topic.Kind == freshet.KindSnapshot {
		r.offer(ev.Revision, ev.Tag, doc)
		r.doc, r.spare = next, r.doc
	}
	return ev
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
