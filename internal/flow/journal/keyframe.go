package journal

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/nats-io/nuid"

	"freshet"
)

// Latest is after every entry.
const Latest = math.MaxUint64

// Keyframe is the topic's document in full as of the last keyframe at or before an entry's sequence, with
// the Position that it results from; the zero Event when there is none.
func (j *Journal) Keyframe(ctx context.Context, id freshet.TopicID, upTo uint64) (freshet.Event, error) {
	at := j.snap(id)
	for {
		msg, m, err := j.frame(ctx, at, upTo)
		if errors.Is(err, errNone) {
			return freshet.Event{}, nil
		}
		if err != nil {
			return freshet.Event{}, fmt.Errorf("keyframe of %s: %w", id, err)
		}
		body, err := j.body(ctx, at, msg, m)
		if errors.Is(err, errParts) {
			// Its parts are gone: it was trimmed meanwhile, or they were damaged.
			if again, _, err2 := j.frame(ctx, at, upTo); err2 != nil || again.seq != msg.seq {
				continue
			}
			err = fmt.Errorf("%w: %w", err, ErrBroken)
		}
		if err != nil {
			return freshet.Event{}, fmt.Errorf("keyframe of %s: %w", id, err)
		}
		return freshet.Event{Position: m.result(), Type: m.kind, Time: m.at, Data: body, Mark: m.mark}, nil
	}
}

// frame is the message of the last keyframe at or before an entry's sequence, or errNone.
func (j *Journal) frame(ctx context.Context, at place, upTo uint64) (message, meta, error) {
	msg, err := j.strong(ctx, at.stream, query{Last: at.entry()})
	if err != nil {
		return message{}, meta{}, err
	}
	m, err := msg.meta()
	if err != nil || m.prev <= upTo {
		return msg, m, err
	}
	below, err := j.frameBelow(ctx, at, msg.seq, upTo)
	if err != nil {
		return message{}, meta{}, err
	}
	if msg, err = j.direct(ctx, at.stream, query{Next: at.entry(), Seq: below}); err != nil {
		return message{}, meta{}, err
	}
	m, err = msg.meta()
	return msg, m, err
}

// frameBelow is where among the keyframes up to last the last one lies that is of an entry at or before a
// sequence, or errNone.
func (j *Journal) frameBelow(ctx context.Context, at place, last, upTo uint64) (below uint64, err error) {
	_, err = search(1, last, func(seq uint64) (uint64, bool, error) {
		msg, err := j.direct(ctx, at.stream, query{Next: at.entry(), Seq: seq})
		if err != nil {
			return 0, false, err
		}
		m, err := msg.meta()
		if err == nil && m.prev <= upTo {
			below = msg.seq
		}
		return msg.seq, m.prev > upTo, err
	})
	if err == nil && below == 0 {
		err = errNone
	}
	return below, err
}

// dropFrames removes the keyframes before one.
func (j *Journal) dropFrames(ctx context.Context, at place, before uint64) error {
	for seq := uint64(1); ; {
		msg, err := j.direct(ctx, at.stream, query{Next: at.entry(), Seq: seq})
		if err != nil || msg.seq >= before {
			if err == nil || errors.Is(err, errNone) {
				return j.purge(ctx, at.stream, at.entry(), before)
			}
			return err
		}
		m, err := msg.meta()
		if err != nil {
			return err
		}
		if m.parts > 0 {
			if err := j.purge(ctx, at.stream, at.parts(m.nonce), 0); err != nil {
				return err
			}
		}
		seq = msg.seq + 1
	}
}

// PutKeyframe adds a keyframe of the topic. The event's Data is the whole document, its Position that of
// the entry it results from. Trim removes those that the history that it keeps does not need. Keyframes
// never go back: one of the same position is left as it is, and ErrFenced says that a newer one is there.
// Other errors as for Append.
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
	case err == nil && had.result() == ev.Position:
		return nil
	case err == nil && (had.prev >= ev.Sequence || had.rev > ev.Revision):
		return fmt.Errorf("there is one at %s: %w", had.result(), ErrFenced)
	}
	m := meta{
		kind: ev.Type, rev: ev.Revision, tag: ev.Tag, prev: ev.Sequence, at: ev.Time,
		size: uint64(len(ev.Data)), n: 1, nonce: nuid.Next(), mark: ev.Mark,
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
		case errors.Is(err, errNone) && old != 0:
			return 0, errWrongLast
		}
		return 0, err
	})
	if errors.Is(err, errWrongLast) {
		return ErrFenced
	}
	return err
}
