package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"freshet"
)

// Trim removes the oldest entries until what is left is within all three bounds: Time not before
// now less maxAge, at most maxEvents entries, at most maxBytes of bodies. A bound of 0 is none. It
// cuts only right after a keyframe, so that each revision that is kept can be rebuilt: as many
// entries more are kept as lie between two keyframes. The last entry is never removed.
//
// It reads some 20 entries of a log that it has to cut, whatever its length, and none of one that
// this process appends to and that is within its bounds.
func (j *Journal) Trim(ctx context.Context, id freshet.TopicID, maxAge time.Duration, maxEvents int, maxBytes int64) error {
	if err := j.trim(ctx, id, maxAge, maxEvents, maxBytes); err != nil && !errors.Is(err, errNone) {
		return fmt.Errorf("trim %s: %w", id, err)
	}
	return nil
}

func (j *Journal) trim(ctx context.Context, id freshet.TopicID, maxAge time.Duration, maxEvents int, maxBytes int64) error {
	at := j.feed(id)
	j.mu.Lock()
	t, known := j.tails[id]
	j.mu.Unlock()
	if !known || t.stored == 0 {
		last, m, err := j.last(ctx, at)
		if err != nil {
			return err
		}
		t = tail{stored: last, count: m.count, bytes: m.bytes}
	}
	within := func(o origin) bool {
		return (maxAge <= 0 || time.Since(o.at) <= maxAge) &&
			(maxEvents <= 0 || t.count-o.past <= uint64(maxEvents)) &&
			(maxBytes <= 0 || t.bytes-o.before <= uint64(maxBytes))
	}
	if t.oldest.seq == 0 {
		oldest, err := j.origin(ctx, at, 1)
		if err != nil {
			return err
		}
		j.setOldest(id, oldest)
		t.oldest = oldest
	}
	if within(t.oldest) {
		return nil
	}
	_, key, err := j.last(ctx, j.snap(id))
	if err != nil {
		return err // without a keyframe nothing may go
	}
	framed := messageOf(key.prev)
	first, err := search(t.oldest.seq, min(t.stored, framed+1), func(seq uint64) (uint64, bool, error) {
		o, err := j.origin(ctx, at, seq)
		return o.seq, o.seq > framed || o.seq >= t.stored || within(o), err
	})
	if err != nil {
		return err
	}
	return j.cut(ctx, id, first)
}

// cut removes the messages before first, but not those since the last keyframe before it, and the
// keyframes before that.
func (j *Journal) cut(ctx context.Context, id freshet.TopicID, first uint64) error {
	at, snap := j.feed(id), j.snap(id)
	frame, m, err := j.frame(ctx, snap, sequence(first, 1)-1)
	var keep origin
	for err == nil {
		if keep, err = j.origin(ctx, at, messageOf(m.prev)+1); err != nil || keep.prev == m.prev {
			break
		}
		// The keyframe is of an entry amid a message, which cannot be cut in two.
		var amid origin
		if amid, err = j.origin(ctx, at, messageOf(m.prev)); err == nil {
			frame, m, err = j.frame(ctx, snap, amid.prev)
		}
	}
	if err != nil {
		return err
	}
	if err := j.dropFrames(ctx, snap, frame.seq); err != nil {
		return err
	}
	// The parts of the entry to keep lie between the message before it and its own.
	if err := j.purge(ctx, at.stream, at.all(), messageOf(keep.prev)+1); err != nil {
		return err
	}
	j.setOldest(id, keep)
	return nil
}

// An origin is what Trim has to know of a message that may be the first to be kept.
type origin struct {
	seq    uint64    // of the message
	prev   uint64    // sequence of the entry before its first
	at     time.Time // of its last entry
	past   uint64    // entries before this message, as meta counts them
	before uint64    // sizes of all those
}

// origin is the first message at a number or later, or errNone.
func (j *Journal) origin(ctx context.Context, at place, seq uint64) (origin, error) {
	msg, err := j.direct(ctx, at.stream, query{Next: at.entry(), Seq: max(seq, 1)})
	if err != nil {
		return origin{}, err
	}
	m, err := msg.meta()
	return origin{msg.seq, m.prev, m.at, m.count - uint64(m.n), m.bytes - m.size}, err //nolint:gosec // 1 at least
}

// setOldest remembers the first message kept of a log whose end is remembered.
func (j *Journal) setOldest(id freshet.TopicID, o origin) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if t, ok := j.tails[id]; ok && t.stored >= o.seq {
		t.oldest = o
		j.tails[id] = t
	}
}

// search finds the first message of a log, between two numbers, for which found is true; it must be
// true for all after that. found looks at the first message at a number or later and says where that
// is, or errNone. Where it is true for none the result is one past the end.
func search(from, to uint64, found func(seq uint64) (at uint64, ok bool, err error)) (uint64, error) {
	for from <= to {
		mid := from + (to-from)/2
		at, ok, err := found(mid)
		switch {
		case errors.Is(err, errNone), err == nil && ok:
			to = mid - 1
		case err != nil:
			return 0, err
		default:
			from = at + 1
		}
	}
	return from, nil
}

// Delete removes the topic's log and its keyframe. An Append after it starts with the zero Position;
// one of a writer that had the old head is fenced. What is not there is no error.
func (j *Journal) Delete(ctx context.Context, id freshet.TopicID) error {
	j.forget(id)
	defer j.forget(id)
	for _, at := range []place{j.snap(id), j.feed(id)} {
		if err := j.purge(ctx, at.stream, at.all(), 0); err != nil {
			return fmt.Errorf("delete %s: %w", id, err)
		}
	}
	return nil
}

// Topics lists the ids that have a log or a keyframe, in order.
func (j *Journal) Topics(ctx context.Context) ([]freshet.TopicID, error) {
	var ids []freshet.TopicID
	for _, s := range j.streams(-1) {
		if len(s.Subjects) != 1 || strings.HasPrefix(s.Subjects[0], j.subject("r", "")) {
			continue
		}
		subjects, err := j.subjects(ctx, s.Name, s.Subjects[0])
		if err != nil {
			return nil, fmt.Errorf("list topics: %w", err)
		}
		for _, subject := range subjects {
			if tokens := strings.Split(subject, "."); len(tokens) > 3 {
				ids = append(ids, freshet.TopicID(tokens[3]))
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// subjects lists those of a stream that match a filter.
func (j *Journal) subjects(ctx context.Context, stream, filter string) ([]string, error) {
	var all []string
	for {
		var info struct {
			refusal
			Total int `json:"total"`
			State struct {
				Subjects map[string]uint64 `json:"subjects"`
			} `json:"state"`
		}
		if err := j.api(ctx, "STREAM.INFO."+stream, map[string]any{"subjects_filter": filter, "offset": len(all)}, &info); err != nil {
			return nil, err
		}
		for subject := range info.State.Subjects {
			all = append(all, subject)
		}
		if len(info.State.Subjects) == 0 || len(all) >= info.Total {
			return all, nil
		}
	}
}
