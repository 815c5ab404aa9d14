package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"freshet"
)

// Head is the topic's last event, as the leader of the store has it: its Position is where an Append
// goes on. Where retention emptied the log it is the keyframe. The zero Event says that the topic
// has no history. ErrBroken: the log ends before the keyframe, so that its end was lost.
func (j *Journal) Head(ctx context.Context, id freshet.TopicID) (freshet.Event, error) {
	// The keyframe first: the log only ever grows away from it.
	key, err := j.Keyframe(ctx, id, Latest)
	if err != nil {
		return freshet.Event{}, err
	}
	at := j.feed(id)
	msg, err := j.strong(ctx, at.stream, query{Last: at.entry()})
	if errors.Is(err, errNone) {
		return key, nil
	}
	var last Entry
	if err == nil {
		last, err = j.lastOf(ctx, at, msg)
	}
	switch {
	case errors.Is(err, errParts):
		return freshet.Event{}, fmt.Errorf("head of %s: %w: %w", id, err, ErrBroken)
	case err != nil:
		return freshet.Event{}, fmt.Errorf("head of %s: %w", id, err)
	case last.Sequence < key.Sequence:
		return freshet.Event{}, fmt.Errorf("head of %s: the log ends at %s, its keyframe is of %s: %w", id, last.Position, key.Position, ErrBroken)
	}
	return last.Event, nil
}

// lastOf is the last entry of a message.
func (j *Journal) lastOf(ctx context.Context, at place, msg message) (Entry, error) {
	all, err := j.entries(ctx, at, msg)
	if err != nil {
		return Entry{}, err
	}
	return all[len(all)-1], nil
}

// Oldest is the first entry that is kept; the zero Entry when the log is empty.
func (j *Journal) Oldest(ctx context.Context, id freshet.TopicID) (Entry, error) {
	at := j.feed(id)
	for from := uint64(1); ; {
		msg, err := j.strong(ctx, at.stream, query{Next: at.entry(), Seq: from})
		if errors.Is(err, errNone) {
			return Entry{}, nil
		}
		var all []Entry
		if err == nil {
			all, err = j.entries(ctx, at, msg)
		}
		if err == nil {
			return all[0], nil
		}
		if !errors.Is(err, errParts) {
			return Entry{}, fmt.Errorf("oldest entry of %s: %w", id, err)
		}
		from = msg.seq + 1 // retention has taken the beginning of this one
	}
}

// Lookup is the entry with exactly this sequence. freshet.ErrGone: it is not, or no longer, in the
// log of this topic.
func (j *Journal) Lookup(ctx context.Context, id freshet.TopicID, sequence uint64) (Entry, error) {
	e, err := j.lookup(ctx, j.feed(id), sequence)
	if errors.Is(err, errNone) || errors.Is(err, errParts) {
		err = freshet.ErrGone
	}
	if err != nil {
		return Entry{}, fmt.Errorf("entry %d of %s: %w", sequence, id, err)
	}
	return e, nil
}

// lookup is the entry with exactly this sequence, or errNone.
func (j *Journal) lookup(ctx context.Context, at place, sequence uint64) (Entry, error) {
	all, err := j.around(ctx, at, sequence)
	if err != nil {
		return Entry{}, err
	}
	for _, e := range all {
		if e.Sequence == sequence {
			return e, nil
		}
	}
	return Entry{}, errNone
}

// around are the entries of the message that an entry with this sequence is in, or errNone.
func (j *Journal) around(ctx context.Context, at place, sequence uint64) ([]Entry, error) {
	msg, err := j.strong(ctx, at.stream, query{Next: at.entry(), Seq: max(messageOf(sequence), 1)})
	if err == nil && msg.seq != messageOf(sequence) {
		err = errNone
	}
	if err != nil {
		return nil, err
	}
	return j.entries(ctx, at, msg)
}

// LookupTime is the last entry whose Time is not after t. It takes the times of a log to rise with
// its sequences, as those of one source do. freshet.ErrGone: the log has none that old, or is empty.
func (j *Journal) LookupTime(ctx context.Context, id freshet.TopicID, t time.Time) (Entry, error) {
	e, err := j.lookupTime(ctx, j.feed(id), t)
	if errors.Is(err, errNone) || errors.Is(err, errParts) {
		err = freshet.ErrGone
	}
	if err != nil {
		return Entry{}, fmt.Errorf("entry of %s at %s: %w", id, t.Format(time.RFC3339Nano), err)
	}
	return e, nil
}

func (j *Journal) lookupTime(ctx context.Context, at place, t time.Time) (Entry, error) {
	last, m, err := j.last(ctx, at)
	if err != nil {
		return Entry{}, err
	}
	if !m.at.After(t) {
		return j.lookup(ctx, at, sequence(last, m.n))
	}
	// The first message whose last entry is after t: the entry sought is in it, or the one before it.
	after, err := search(1, last, func(seq uint64) (uint64, bool, error) {
		o, err := j.origin(ctx, at, seq)
		return o.seq, o.at.After(t), err
	})
	if err != nil {
		return Entry{}, err
	}
	msg, err := j.strong(ctx, at.stream, query{Next: at.entry(), Seq: after})
	if err != nil {
		return Entry{}, err
	}
	m, err = msg.meta()
	if err == nil && m.n > 1 {
		var all []Entry
		if all, err = j.entries(ctx, at, msg); err == nil {
			for _, e := range slices.Backward(all) {
				if !e.Time.After(t) {
					return e, nil
				}
			}
		}
	}
	if err != nil {
		return Entry{}, err
	}
	return j.lookup(ctx, at, m.prev) // not kept, or none, when the first entry is after t already
}

// Read yields what came after a sequence, 0 for all, up to the end that it finds. The sequence must
// be one of the topic's, or that of its keyframe, or its first entry's Prev.
//
// Errors end it: freshet.ErrGone when retention has passed the sequence or the topic does not have
// it; ErrBroken when an entry is missing in the middle; freshet.ErrUnavailable; ctx's.
func (j *Journal) Read(ctx context.Context, id freshet.TopicID, after uint64) iter.Seq2[freshet.Event, error] {
	return func(yield func(freshet.Event, error) bool) {
		r := reader{j: j, id: id, at: j.feed(id), last: after}
		r.read(ctx, yield)
	}
}

// A reader goes along one topic's chain.
type reader struct {
	j    *Journal
	id   freshet.TopicID
	at   place
	last uint64 // sequence of the last entry that was read
	sure bool   // last is known to be an entry of the topic
	drops
}

// read yields all that the store has after last; it is false when the caller is done, or was told
// of an error.
func (r *reader) read(ctx context.Context, yield func(freshet.Event, error) bool) bool {
	for {
		done, err := r.pages(ctx, yield)
		if err == nil && !done && !r.sure {
			done, err = r.check(ctx, yield)
		}
		if err != nil {
			yield(freshet.Event{}, fmt.Errorf("read %s after %d: %w", r.id, r.last, err))
			return false
		}
		if done || r.sure {
			return !done
		}
		wait(ctx) // it grew just now, or this replica lags behind
	}
}

// pages yields what comes after last, page by page; done: the caller is.
func (r *reader) pages(ctx context.Context, yield func(freshet.Event, error) bool) (done bool, err error) {
	for more := true; more; {
		var page []message
		page, more, err = r.j.page(ctx, r.at.stream, query{Next: r.at.entry(), Seq: messageOf(r.last) + 1})
		if err != nil {
			return false, err
		}
		for _, msg := range page {
			all, err := r.j.entries(ctx, r.at, msg)
			if err == nil && r.amid(all[0].Prev) {
				if done, err := r.restOfMessage(ctx, yield); done || err != nil {
					return done, err
				}
			}
			if err == nil && all[0].Prev != r.last || errors.Is(err, errParts) {
				err = r.why(ctx, msg.seq)
			}
			if err != nil {
				return false, err
			}
			if !r.yield(all, yield) {
				return true, nil
			}
		}
	}
	return false, nil
}

// yield passes on the entries that come after last, which is among them or before them.
func (r *reader) yield(all []Entry, yield func(freshet.Event, error) bool) bool {
	for _, e := range all {
		if e.Sequence <= r.last {
			continue
		}
		r.last, r.sure = e.Sequence, true
		if !yield(e.Event, nil) {
			return false
		}
	}
	return true
}

// amid says whether a message that ends at a sequence is the one that last is in, and has more after it.
func (r *reader) amid(end uint64) bool {
	return r.last > 0 && end > r.last && messageOf(end) == messageOf(r.last)
}

// restOfMessage yields what comes after last in the same message.
func (r *reader) restOfMessage(ctx context.Context, yield func(freshet.Event, error) bool) (done bool, err error) {
	all, err := r.j.around(ctx, r.at, r.last)
	if errors.Is(err, errNone) || errors.Is(err, errParts) {
		return false, freshet.ErrGone // retention has come by
	}
	if err != nil {
		return false, err
	}
	return !r.yield(all, yield), nil
}

// why says what it means that the message at seq does not follow the one read last.
func (r *reader) why(ctx context.Context, seq uint64) error {
	first, err := r.j.Oldest(ctx, r.id)
	switch {
	case err != nil:
		return err
	case !r.sure: // last is no entry of this history
		return freshet.ErrGone
	case first.Sequence == 0 || messageOf(first.Sequence) >= seq: // retention has come by
		return freshet.ErrGone
	}
	return fmt.Errorf("message %d does not follow: %w", seq, ErrBroken)
}

// check finds out whether last, after which there was no message, is the end of this history, and yields
// what comes after it in its own message.
func (r *reader) check(ctx context.Context, yield func(freshet.Event, error) bool) (done bool, err error) {
	message, m, err := r.j.last(ctx, r.at)
	end := m.position(message).Sequence
	switch {
	case err == nil && r.amid(end):
		return r.restOfMessage(ctx, yield)
	case err == nil && message > messageOf(r.last):
		return false, nil // the next read shows how it goes on
	case errors.Is(err, errNone): // it ended at the keyframe, or never began
		_, m, err = r.j.last(ctx, r.j.snap(r.id))
		end = m.prev
	}
	if err != nil && !errors.Is(err, errNone) {
		return false, err
	}
	if end != r.last {
		return false, freshet.ErrGone
	}
	r.sure = true
	return false, nil
}
