package journal

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nuid"

	"freshet"
)

// Keyframe is the topic's document in full, with the Position that it results from; the zero Event
// when there is none.
func (j *Journal) Keyframe(ctx context.Context, id freshet.TopicID) (freshet.Event, error) {
	at := j.snap(id)
	for {
		msg, err := j.strong(ctx, at.stream, query{Last: at.entry()})
		if errors.Is(err, errNone) {
			return freshet.Event{}, nil
		}
		if err != nil {
			return freshet.Event{}, fmt.Errorf("keyframe of %s: %w", id, err)
		}
		m, err := msg.meta()
		if err != nil {
			return freshet.Event{}, fmt.Errorf("keyframe of %s: %w", id, err)
		}
		body, err := j.body(ctx, at, msg, m)
		if errors.Is(err, errParts) {
			// Its parts are gone: a newer one took its place meanwhile, or they were damaged.
			if seq, _, err2 := j.last(ctx, at); err2 != nil || seq != msg.seq {
				continue
			}
			err = fmt.Errorf("%w: %w", err, ErrBroken)
		}
		if err != nil {
			return freshet.Event{}, fmt.Errorf("keyframe of %s: %w", id, err)
		}
		return freshet.Event{Position: m.position(m.prev), Type: m.kind, Time: m.at, Data: body}, nil
	}
}

// PutKeyframe replaces the topic's keyframe. The event's Data is the whole document, its Position
// that of the entry it results from. A keyframe never goes back: one of the same position is left
// as it is, and ErrFenced says that a newer one is there. Other errors as for Append.
func (j *Journal) PutKeyframe(ctx context.Context, id freshet.TopicID, ev freshet.Event) error {
	if err := j.putKeyframe(ctx, id, ev); err != nil {
		return fmt.Errorf("keyframe of %s at %s: %w", id, ev.Position, err)
	}
	return nil
}

func (j *Journal) putKeyframe(ctx context.Context, id freshet.TopicID, ev freshet.Event) error {
	if len(ev.Data) > freshet.MaxPayload {
		return fmt.Errorf("%d bytes: %w", len(ev.Data), freshet.ErrTooLarge)
	}
	at := j.snap(id)
	old, had, err := j.last(ctx, at)
	switch {
	case err != nil && !errors.Is(err, errNone):
		return err
	case err == nil && had.position(had.prev) == ev.Position:
		return nil
	case err == nil && (had.prev >= ev.Sequence || had.rev > ev.Revision):
		return fmt.Errorf("there is one at %s: %w", had.position(had.prev), ErrFenced)
	}
	m := meta{
		kind: ev.Type, rev: ev.Revision, tag: ev.Tag, prev: ev.Sequence, at: ev.Time,
		size: uint64(len(ev.Data)), nonce: nuid.Next(),
	}
	_, err = j.store(ctx, at, m, ev.Data, old, func(ctx context.Context) (uint64, error) {
		seq, got, err := j.last(ctx, at)
		switch {
		case err == nil && got.nonce == m.nonce:
			return seq, nil
		case err == nil && seq == old:
			return 0, errNone
		case err == nil:
			return 0, ErrFenced
		}
		return 0, err
	})
	if errors.Is(err, errWrongLast) {
		return ErrFenced
	}
	if err == nil && had.parts > 0 {
		err = j.purge(ctx, at.stream, at.parts(had.nonce), 0)
	}
	return err
}
