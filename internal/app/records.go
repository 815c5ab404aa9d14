package app

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"freshet"
	"freshet/internal/flow/fanout"
	"freshet/internal/flow/journal"
)

// records are the journal's keyed records as the catalog wants them.
type records struct{ *journal.Records }

func (r records) List(ctx context.Context, each func(key string, value []byte, revision uint64) error) error {
	all, err := r.Records.List(ctx)
	if err != nil {
		return err
	}
	for _, rec := range all {
		if err := each(rec.Key, rec.Value, rec.Revision); err != nil {
			return err
		}
	}
	return nil
}

// store is the journal as the flow wants it.
type store struct{ *journal.Journal }

func (s store) Oldest(ctx context.Context, id freshet.TopicID) (freshet.Event, error) {
	e, err := s.Journal.Oldest(ctx, id)
	return e.Event, err
}

func (s store) Entry(ctx context.Context, id freshet.TopicID, sequence uint64) (freshet.Event, error) {
	if sequence > 0 && sequence < journal.FirstSequence {
		return freshet.Event{}, fmt.Errorf("entry %d of %s: %w", sequence, id, fanout.ErrNever)
	}
	e, err := s.Lookup(ctx, id, sequence)
	return e.Event, err
}

func (s store) Before(ctx context.Context, id freshet.TopicID, t time.Time) (freshet.Event, error) {
	e, err := s.LookupTime(ctx, id, t)
	return e.Event, err
}

// Read takes 0 as "from the oldest", which the journal knows by what came before it.
func (s store) Read(ctx context.Context, id freshet.TopicID, after uint64) iter.Seq2[freshet.Event, error] {
	if after > 0 {
		return s.Journal.Read(ctx, id, after)
	}
	return func(yield func(freshet.Event, error) bool) {
		oldest, err := s.Journal.Oldest(ctx, id)
		if err != nil {
			yield(freshet.Event{}, err)
			return
		}
		for ev, err := range s.Journal.Read(ctx, id, oldest.Prev) {
			if !yield(ev, err) {
				return
			}
		}
	}
}

func (s store) Append(ctx context.Context, id freshet.TopicID, head freshet.Position, events []freshet.Event, note string) error {
	err := s.Journal.Append(ctx, id, head, events, note)
	if errors.Is(err, journal.ErrFenced) {
		err = fmt.Errorf("%w: %w", freshet.ErrConflict, err)
	}
	return err
}
