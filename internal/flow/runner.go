package flow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/jsonpatch"
)

// A runner is the owner's end of one topic: it takes what the source obtains, finds what changed, and
// appends that to the journal before anyone is told. It is the topic's source.Sink.
type runner struct {
	topic  freshet.Topic
	id     freshet.TopicID
	store  Journal
	differ *jsonpatch.Differ
	limits jsonpatch.Limits
	offer  func(freshet.Revision, freshet.Tag, []byte) // of the document's bytes, which the next payload overwrites
	told   func(Change)
	pushed bool // payloads come by POST
	stats  *meters
	log    *slog.Logger

	mu       sync.Mutex // one payload at a time: pushed ones come from many requests
	loaded   bool
	head     freshet.Position
	doc      *jsonpatch.Document // the document at docAt; nil: none yet, or an event topic
	spare    *jsonpatch.Document // memory for the next one
	docAt    freshet.Event       // the event that led to it, without data; of an event topic the last message
	message  []byte              // the last message of an event topic
	fault    *freshet.Fault      // what subscribers were told and is not over
	patch    []byte              // scratch
	framed   freshet.Position    // where the last keyframe is
	since    int                 // bytes appended since
	events   int                 // events appended since
	checked  chan struct{}       // closed and replaced whenever the source has reported
	reported bool                // the source has reported since it was started
	success  time.Time           // when it last obtained or confirmed the document
}

// Payload takes one payload: what changed is in the journal when it returns nil.
func (r *runner) Payload(ctx context.Context, p source.Payload) error {
	_, err := r.take(ctx, p)
	return err
}

func (r *runner) take(ctx context.Context, p source.Payload) (freshet.Event, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.reportLocked()
	next, err := r.parseLocked(p.Data)
	if err != nil {
		fault := formatFault(err, r.limits)
		r.stats.polled(r.topic.Name, "error", p.Took)
		if !r.pushed { // the mistake of who pushes is theirs alone
			r.faultLocked(ctx, fault)
		}
		return freshet.Event{}, fault
	}
	ev, err := r.publishLocked(ctx, next, p.Time)
	switch {
	case err != nil:
		r.stats.polled(r.topic.Name, "error", p.Took)
		r.loaded = false // what the journal holds is not what was thought; read it again
		if ctx.Err() == nil {
			r.log.ErrorContext(ctx, "a payload could not be stored", "err", err)
		}
		return freshet.Event{}, err
	case ev.Sequence == 0:
		r.stats.polled(r.topic.Name, "unchanged", p.Took)
		r.recoveredLocked(ctx, p.Time)
	default:
		r.stats.polled(r.topic.Name, "changed", p.Took)
	}
	r.success = p.Time
	return ev, nil
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

// publishLocked appends what next changes. The zero Event: nothing.
func (r *runner) publishLocked(ctx context.Context, next *jsonpatch.Document, at time.Time) (freshet.Event, error) {
	const attempts = 3 // an owner that was deposed meets another's event at most now and then
	var err error
	for range attempts {
		if err = r.loadLocked(ctx); err != nil {
			return freshet.Event{}, err
		}
		ev, ops := r.changeLocked(next, at)
		if ev.Type == "" {
			return freshet.Event{}, nil
		}
		doc := next.Bytes()
		if r.topic.Kind == freshet.KindSnapshot {
			r.offer(ev.Revision, ev.Tag, doc)
		}
		if ev, err = r.appendLocked(ctx, ev); err == nil {
			r.adoptLocked(ctx, next, ev, ops)
			return ev, nil
		}
		r.loaded = false
		if !errors.Is(err, freshet.ErrConflict) {
			break
		}
	}
	return freshet.Event{}, err
}

// changeLocked is the event that leads from the document to next; none where they are equal.
func (r *runner) changeLocked(next *jsonpatch.Document, at time.Time) (ev freshet.Event, ops int) {
	ev = freshet.Event{Time: at, Position: freshet.Position{Revision: r.head.Revision + 1}}
	doc := next.Bytes()
	if r.topic.Kind == freshet.KindEvent {
		ev.Type, ev.Data = freshet.TypeEvent, doc
		ev.Tag = tagOf([]byte(r.head.Tag), doc) // chained: equal messages in two histories differ
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
		ev.Type, ev.Data = freshet.TypePatch, append([]byte(nil), patch...)
	}
	return ev, stats.Ops
}

// tagOf is a short hash of what a revision holds.
func tagOf(parts ...[]byte) freshet.Tag {
	h := xxhash.New()
	for _, p := range parts {
		_, _ = h.Write(p) // never fails
	}
	s := strconv.FormatUint(h.Sum64(), 16)
	for len(s) < 16 {
		s = "0" + s
	}
	return freshet.Tag(s[:8])
}

func (r *runner) appendLocked(ctx context.Context, ev freshet.Event) (freshet.Event, error) {
	pos, err := r.store.Append(ctx, r.id, r.head, ev)
	if err != nil {
		return ev, fmt.Errorf("append revision %d: %w", ev.Revision, err)
	}
	ev.Position, r.head = pos, pos
	r.since += len(ev.Data)
	r.events++
	return ev, nil
}

// adoptLocked makes next the document.
func (r *runner) adoptLocked(ctx context.Context, next *jsonpatch.Document, ev freshet.Event, ops int) {
	size := len(next.Bytes())
	if r.topic.Kind == freshet.KindSnapshot {
		r.doc, r.spare = next, r.doc
	}
	if r.fault != nil {
		r.fault = nil
		r.log.InfoContext(ctx, "the source works again")
	}
	r.docAt = ev
	if r.docAt.Data = nil; r.topic.Kind == freshet.KindEvent {
		r.message = bytes.Clone(ev.Data)
	}
	r.stats.published(r.topic.Name, ev)
	r.told(Change{Time: ev.Time, Topic: r.topic.Name, Type: ev.Type, Revision: ev.Revision, Operations: ops, Bytes: len(ev.Data), DocumentBytes: size})
	r.tidyLocked(ctx, 1)
}

// Unchanged takes note that the document is still current.
func (r *runner) Unchanged(ctx context.Context, at time.Time, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.reportLocked()
	r.stats.polled(r.topic.Name, "not_modified", took)
	r.success = at
	r.recoveredLocked(ctx, at)
}

// Fault tells subscribers what is wrong, once for each change of state.
func (r *runner) Fault(ctx context.Context, f freshet.Fault, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.reportLocked()
	r.stats.polled(r.topic.Name, "error", took)
	r.faultLocked(ctx, f)
}

func (r *runner) faultLocked(ctx context.Context, f freshet.Fault) {
	if err := r.loadLocked(ctx); err != nil {
		r.log.ErrorContext(ctx, "a fault could not be told", "fault", f.Message, "err", err)
		return
	}
	if r.fault != nil && r.fault.Code == f.Code {
		return
	}
	data, err := json.Marshal(f)
	if err != nil {
		r.log.ErrorContext(ctx, "a fault could not be told", "fault", f.Message, "err", err)
		return
	}
	if r.noteLocked(ctx, freshet.TypeError, data, f.Time) {
		r.fault = &f
		r.log.WarnContext(ctx, "the source fails", "code", f.Code, "message", f.Message)
		r.told(Change{Time: f.Time, Topic: r.topic.Name, Type: freshet.TypeError, Revision: r.head.Revision, Fault: &f})
	}
}

func (r *runner) recoveredLocked(ctx context.Context, at time.Time) {
	if err := r.loadLocked(ctx); err != nil || r.fault == nil {
		return
	}
	data, err := json.Marshal(map[string]time.Time{"datetime": at})
	if err != nil {
		r.log.ErrorContext(ctx, "a recovery could not be told", "err", err)
		return
	}
	if r.noteLocked(ctx, freshet.TypeRecovered, data, at) {
		r.fault = nil
		r.log.InfoContext(ctx, "the source works again")
		r.told(Change{Time: at, Topic: r.topic.Name, Type: freshet.TypeRecovered, Revision: r.head.Revision})
	}
}

// noteLocked appends an event that is no new revision.
func (r *runner) noteLocked(ctx context.Context, t freshet.EventType, data []byte, at time.Time) bool {
	pos := freshet.Position{Revision: r.head.Revision, Tag: r.head.Tag}
	if pos.Tag == "" {
		pos.Tag = "0"
	}
	ev, err := r.appendLocked(ctx, freshet.Event{Position: pos, Type: t, Time: at, Data: data})
	if err != nil {
		r.loaded = false
		r.log.ErrorContext(ctx, "a change of the source's state could not be stored", "type", string(t), "err", err)
		return false
	}
	r.stats.published(r.topic.Name, ev)
	return true
}

func (r *runner) reportLocked() {
	r.reported = true
	close(r.checked)
	r.checked = make(chan struct{})
}

// formatFault says in the incumbent's terms why a payload is refused.
func formatFault(err error, limits jsonpatch.Limits) freshet.Fault {
	f := freshet.Fault{Time: time.Now().UTC(), Category: "publication", Code: freshet.FaultFormat, Message: "the payload is not one JSON value: " + err.Error()}
	switch {
	case errors.Is(err, jsonpatch.ErrSize):
		f.Code, f.Message = freshet.FaultSize, fmt.Sprintf("the payload is larger than %s (limits.payload)", freshet.Bytes(limits.Size))
	case errors.Is(err, jsonpatch.ErrDepth):
		f.Message = fmt.Sprintf("the payload is nested deeper than %d levels", limits.Depth)
	}
	return f
}
