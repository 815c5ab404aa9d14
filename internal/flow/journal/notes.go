package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"freshet"
)

const (
	headerNote = "Freshet-Note" // what the writer of a message noted beside its entries
	maxNote    = 3 << 10        // leaves room for the other headers (headerRoom)
)

func isNote(s string) bool {
	return len(s) <= maxNote && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' })
}

// A Note is what a writer noted about events that it appended at once.
type Note struct {
	Text   string
	Events []freshet.Event
}

// Notes yields the notes on a topic's last events, the oldest first: on so many events at least, or on those
// of so many bytes together, where there are that many. An error ends it.
func (j *Journal) Notes(ctx context.Context, id freshet.TopicID, events int, bytes int64) iter.Seq2[Note, error] {
	return func(yield func(Note, error) bool) {
		if err := j.notes(ctx, j.feed(id), events, bytes, func(n Note) bool { return yield(n, nil) }); err != nil {
			yield(Note{}, fmt.Errorf("notes of %s: %w", id, err))
		}
	}
}

func (j *Journal) notes(ctx context.Context, at place, events int, bytes int64, yield func(Note) bool) error {
	last, m, err := j.last(ctx, at)
	if errors.Is(err, errNone) {
		return nil
	}
	if err != nil {
		return err
	}
	next, err := search(1, last, func(seq uint64) (uint64, bool, error) {
		o, err := j.origin(ctx, at, seq)
		return o.seq, o.seq >= last || m.count-o.past <= uint64(events) && m.bytes-o.before <= uint64(bytes), err //nolint:gosec // not negative
	})
	for err == nil && next <= last {
		var page []message
		var more bool
		if page, more, err = j.page(ctx, at.stream, query{Next: at.entry(), Seq: next}); err != nil {
			break
		}
		for _, msg := range page {
			next = msg.seq + 1
			done, err := j.note(ctx, at, msg, yield)
			if done || err != nil {
				return err
			}
		}
		if !more && next <= last { // this replica lags behind, or the last one is gone
			if last, _, err = j.last(ctx, at); errors.Is(err, errNone) {
				return nil
			}
			wait(ctx)
		}
	}
	return err
}

// note yields the note of a message, if it has one; done: the caller is.
func (j *Journal) note(ctx context.Context, at place, msg message, yield func(Note) bool) (done bool, err error) {
	text := msg.header.Get(headerNote)
	if text == "" {
		return false, nil
	}
	all, err := j.entries(ctx, at, msg)
	if errors.Is(err, errParts) { // retention has come by
		return false, nil
	}
	if err != nil {
		return false, err
	}
	n := Note{Text: text}
	for _, e := range all {
		n.Events = append(n.Events, e.Event)
	}
	return !yield(n), nil
}
