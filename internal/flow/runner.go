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
	"sync/atomic"
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
	pushed bool          // payloads come by POST
	period time.Duration // how often the source asks upstream; 0: it never does
	stats  *meters
	log    *slog.Logger

	queueMu    sync.Mutex
	queue      []*push // guarded by queueMu
	committing bool    // guarded by queueMu: one of those who push stores what is there

	mu       sync.Mutex
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
	reported atomic.Bool         // the source has reported since it was started
	success  time.Time           // when it last obtained or confirmed the document
	retired  bool                // the topic is deleted
	plan     time.Time           // when the source will poll next; zero: it does not say
	mark     string              // where in its upstream the source was after what it last handed over
}

// Payload takes payloads: what changed is in the journal when it returns nil.
func (r *runner) Payload(ctx context.Context, ps ...source.Payload) error {
	mine := make([]*push, len(ps))
	for i, p := range ps {
		mine[i] = &push{payload: p}
	}
	r.take(ctx, mine...)
	var fault error
	for _, p := range mine {
		if _, refused := errors.AsType[freshet.Fault](p.err); p.err != nil && !refused {
			return p.err
		} else if refused {
			fault = p.err
		}
	}
	return fault
}

// Planned takes note of when the source will poll next.
func (r *runner) Planned(next time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.plan = next
}

// Mark is where in its upstream the source was after what the journal holds.
func (r *runner) Mark(ctx context.Context) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.loadLocked(ctx)
	return r.mark, err
}

// tagOf is a short hash of what a revision holds.
func tagOf(parts ...[]byte) freshet.Tag {
	var h xxhash.Digest
	h.Reset()
	for _, p := range parts {
		_, _ = h.Write(p) // never fails
	}
	s := strconv.FormatUint(h.Sum64(), 16)
	for len(s) < 16 {
		s = "0" + s
	}
	return freshet.Tag(s[:8])
}

func (r *runner) appendLocked(ctx context.Context, events []freshet.Event, note string) error {
	events[len(events)-1].Mark = r.mark
	if err := r.store.Append(ctx, r.id, r.head, events, note); err != nil {
		return fmt.Errorf("append revision %d: %w", events[0].Revision, err)
	}
	r.head = events[len(events)-1].Position
	for _, ev := range events {
		r.since += len(ev.Data)
	}
	r.events += len(events)
	return nil
}

// adoptLocked takes note of events that were appended. The document is the one after them already.
func (r *runner) adoptLocked(ctx context.Context, changes []change, events []freshet.Event) {
	if len(events) == 0 {
		return
	}
	if r.fault != nil {
		r.fault = nil
		r.log.InfoContext(ctx, "the source works again")
	}
	for i, ev := range events {
		c := changes[i]
		c.push.changed++
		c.push.last = ev.Position
		r.stats.published(r.topic.Name, ev)
		r.told(Change{Time: ev.Time, Topic: r.topic.Name, Type: ev.Type, Revision: ev.Revision, Operations: c.ops, Bytes: len(ev.Data), DocumentBytes: c.size})
	}
	r.docAt = events[len(events)-1]
	if r.topic.Kind == freshet.KindEvent {
		r.message = bytes.Clone(r.docAt.Data)
	}
	r.docAt.Data = nil
	r.tidyLocked(ctx, 1)
}

// retire has nothing stored any more, for what is posted just now must not begin a deleted history anew.
func (r *runner) retire() {
	r.mu.Lock()
	r.retired = true
	r.mu.Unlock()
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
		if ctx.Err() == nil { // else the source was stopped, and nobody waits for what it has to say
			r.log.ErrorContext(ctx, "a fault could not be told", "fault", f.Message, "err", err)
		}
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
	ev := freshet.Event{Position: pos, Type: t, Time: at, Data: data}
	if err := r.appendLocked(ctx, []freshet.Event{ev}, ""); err != nil {
		r.loaded = false
		if ctx.Err() == nil { // else the source was stopped, and tells again when it is started
			r.log.ErrorContext(ctx, "a change of the source's state could not be stored", "type", string(t), "err", err)
		}
		return false
	}
	r.stats.published(r.topic.Name, ev)
	return true
}

func (r *runner) reportLocked() {
	r.reported.Store(true)
	close(r.checked)
	r.checked = make(chan struct{})
}

// formatFault says in the incumbent's terms why a payload is refused, which has a name or none.
func formatFault(err error, limits jsonpatch.Limits, name fmt.Stringer) freshet.Fault {
	what := "the payload"
	if name != nil {
		what = name.String()
	}
	switch {
	case errors.Is(err, jsonpatch.ErrSize):
		return freshet.NewFault(freshet.FaultSize, "%s is larger than %s (limits.payload)", what, freshet.Bytes(limits.Size))
	case errors.Is(err, jsonpatch.ErrDepth):
		return freshet.NewFault(freshet.FaultFormat, "%s is nested deeper than %d levels", what, limits.Depth)
	}
	return freshet.NewFault(freshet.FaultFormat, "%s is not one JSON value: %s", what, err.Error())
}
