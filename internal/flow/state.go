package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"freshet"
	"freshet/internal/flow/fanout"
	"freshet/internal/flow/journal"
	"freshet/jsonpatch"
)

// A keyframe is written once the patches since the last one weigh as much as the document (but not for
// less than keyframeBytes), or after so many events; the history is trimmed to its bounds then. When a
// source stops, a quarter of that is enough, to make the next start quick.
const (
	keyframeBytes  = 64 << 10
	keyframeEvents = 1024
)

// loadLocked reads the state from the journal, where it is not known. A history that is damaged is begun
// anew: its readers get a snapshot that says so, never a patch that does not fit.
func (r *runner) loadLocked(ctx context.Context) error {
	if r.loaded {
		return nil
	}
	err := r.readLocked(ctx)
	if errors.Is(err, journal.ErrBroken) {
		err = r.readLocked(ctx) // what is dropped is gone, so look twice
	}
	if errors.Is(err, journal.ErrBroken) {
		r.log.ErrorContext(ctx, "the topic's history is damaged: it is begun anew", "err", err)
		if err := r.store.Delete(ctx, r.id); err != nil {
			return fmt.Errorf("begin a damaged history anew: %w", err)
		}
		err = r.readLocked(ctx)
	}
	if err != nil {
		return fmt.Errorf("load the topic's last state: %w", err)
	}
	r.loaded = true
	return nil
}

func (r *runner) readLocked(ctx context.Context) error {
	base, err := r.store.Keyframe(ctx, r.id, journal.Latest)
	if err != nil {
		return err
	}
	data := base.Data
	r.head, r.docAt, r.framed, r.fault, r.doc = base.Position, base, base.Position, nil, nil
	r.since, r.events, r.mark = 0, 0, base.Mark
	r.noteFaultLocked(ctx, base)
	for ev, err := range r.store.Read(ctx, r.id, base.Sequence) {
		if err != nil {
			return err
		}
		switch ev.Type {
		case freshet.TypeSnapshot, freshet.TypeEvent:
			data, r.docAt = ev.Data, ev
		case freshet.TypePatch:
			if data, err = jsonpatch.Apply(data, ev.Data); err != nil {
				return fmt.Errorf("revision %d: %w: %w", ev.Revision, journal.ErrBroken, err)
			}
			r.docAt = ev
		}
		r.noteFaultLocked(ctx, ev)
		if ev.Mark != "" {
			r.mark = ev.Mark
		}
		r.head, r.since, r.events = ev.Position, r.since+len(ev.Data), r.events+1
	}
	r.message = nil
	if r.topic.Kind == freshet.KindEvent {
		r.message = data
	} else if r.docAt.Sequence > 0 {
		if r.doc, err = jsonpatch.Parse(data, fanout.StoredLimits); err != nil {
			return fmt.Errorf("revision %d: %w: %w", r.docAt.Revision, journal.ErrBroken, err)
		}
	}
	r.docAt.Data = nil
	return nil
}

func (r *runner) noteFaultLocked(ctx context.Context, ev freshet.Event) {
	r.fault = nil
	if ev.Type == freshet.TypeError {
		r.fault = &freshet.Fault{}
		if err := json.Unmarshal(ev.Data, r.fault); err != nil {
			r.log.WarnContext(ctx, "a stored fault cannot be read", "sequence", ev.Sequence, "err", err)
		}
	}
}

// tidyLocked writes a keyframe where it is time for one, or for a part of what makes it time.
func (r *runner) tidyLocked(ctx context.Context, part int) {
	size := len(r.message)
	if r.doc != nil {
		size = len(r.doc.Bytes())
	}
	events := max(1, min(keyframeEvents, r.topic.History.MaxEvents/4))
	if r.since*part >= max(keyframeBytes, size) || r.events*part >= events {
		r.keyframeLocked(ctx)
	}
}

// keyframeLocked keeps the document beside the patches and drops what is older than the history's bounds.
func (r *runner) keyframeLocked(ctx context.Context) {
	if r.docAt.Sequence > 0 && r.framed != r.docAt.Position {
		frame := r.docAt
		frame.Mark = r.mark
		frame.Data = r.message
		if r.doc != nil {
			frame.Type, frame.Data = freshet.TypeSnapshot, r.doc.Bytes()
		}
		if err := r.store.PutKeyframe(ctx, r.id, frame); err != nil {
			r.log.WarnContext(ctx, "keyframe not written; the next one will do", "err", err)
			return
		}
		r.framed = frame.Position
	}
	r.since, r.events = 0, 0
	r.trimLocked(ctx)
}

func (r *runner) trimLocked(ctx context.Context) {
	trim(ctx, r.store, r.id, r.topic.History, r.log)
}

func trim(ctx context.Context, store Journal, id freshet.TopicID, h freshet.History, log *slog.Logger) {
	if err := store.Trim(ctx, id, time.Duration(h.MaxAge), h.MaxEvents, int64(h.MaxBytes)); err != nil {
		log.WarnContext(ctx, "history not trimmed; the next time will do", "err", err)
	}
}

// stop leaves a keyframe, so that the next start is quick.
func (r *runner) stop(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loaded {
		r.tidyLocked(ctx, 4)
	}
}

// trim drops what the history has too much, also of a topic that does not change any more.
func (r *runner) trim(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trimLocked(ctx)
}

// peek says of a topic whose state is not in memory what its last event shows.
func (t *topic) peek(s *freshet.Status) {
	ctx, cancel := context.WithTimeout(t.flow.base, time.Second)
	defer cancel()
	last, err := t.flow.Journal.Head(ctx, t.id)
	if err != nil || last.Sequence == 0 {
		return // a status says what is known
	}
	s.Revision, s.EventID, s.LastChange = last.Revision, last.ID(), last.Time
	if last.Type == freshet.TypeSnapshot || last.Type == freshet.TypeEvent {
		s.Bytes = len(last.Data)
	}
}
