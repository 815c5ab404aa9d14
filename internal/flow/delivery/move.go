package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"freshet"
)

// Rewind moves the cursor of a subscription back to what there was at a time, so that what came since is
// delivered again, and forgets failed attempts. A subscription that is active does so at once.
func (d *Deliveries) Rewind(ctx context.Context, s *freshet.Subscription, since time.Time) error {
	at, err := d.before(ctx, s.Topic, since)
	if err != nil {
		return err
	}
	return d.move(ctx, s.ID, func(is place) (place, error) { return place{At: at, Error: is.Error}, nil })
}

// ErrNothingToSkip says that no delivery to a subscription has failed that it could be spared.
var ErrNothingToSkip = errors.New("nothing to skip")

// A Skipped is what a subscription was spared.
type Skipped struct {
	EventID string `json:"eventId"` // the last event of it
	Events  int    `json:"events"`  // more than one, of a batch
}

// Skip moves the cursor of a subscription past the one delivery, an event or a batch, that failed and was not accepted
// since. Where an event is named it has to be that one. ErrNothingToSkip where there is none. A subscription that is
// active goes on at once.
func (d *Deliveries) Skip(ctx context.Context, s *freshet.Subscription, event string) (skipped Skipped, err error) {
	if _, sent := d.Kinds.Lookup(s.Type); !sent {
		return skipped, fmt.Errorf("%w: subscribers of type %s come for their events", ErrNothingToSkip, s.Type)
	}
	err = d.move(ctx, s.ID, func(is place) (place, error) {
		switch f := is.Failed; {
		case f == nil && is.Attempts > 0:
			return place{}, fmt.Errorf("%w: what failed has no place in the history, set the subscription to a time with :recover", ErrNothingToSkip)
		case f == nil:
			return place{}, fmt.Errorf("%w: no delivery to subscription %s has failed that is next", ErrNothingToSkip, s.ID)
		case event != "" && event != f.At:
			return place{}, fmt.Errorf("%w: what failed is event %s, not %.60s", ErrNothingToSkip, f.At, event)
		default:
			skipped = Skipped{f.At, f.Events}
			// Who is sent what changes needs a whole document after this.
			gap := is.Skipped || f.Document && s.Mode != freshet.ModeSnapshotOnly
			return place{At: f.At, Time: f.Time, Delivered: is.Delivered, Error: is.Error, Skipped: gap}, nil
		}
	})
	if err == nil {
		d.Log.InfoContext(ctx, "a subscription goes on after what could not be delivered", "subscription", string(s.ID), "topic", string(s.Topic), "event", skipped.EventID, "events", skipped.Events)
	}
	return skipped, err
}

// failureOf is a delivery that failed; nil where it has no place in the history.
func failureOf(group []Message) *failure {
	f := &failure{Events: len(group)}
	for _, m := range group {
		if m.Sequence > 0 {
			f.At, f.Time = m.ID(), m.Time
		}
		switch m.Type {
		case freshet.TypeEvent, freshet.TypeError, freshet.TypeRecovered:
		default:
			f.Document = true
		}
	}
	if f.At == "" {
		return nil
	}
	return f
}

// move has a subscription go on from another place, and returns once that is stored.
func (d *Deliveries) move(ctx context.Context, id freshet.SubscriptionID, to func(place) (place, error)) error {
	stored, err := d.moveTo(id, to)
	if err != nil {
		return err
	}
	select {
	case <-stored:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("store the cursor: %w", ctx.Err())
	}
}

func (d *Deliveries) moveTo(id freshet.SubscriptionID, to func(place) (place, error)) (stored <-chan struct{}, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.all[id]
	if e == nil {
		return nil, fmt.Errorf("%w: subscription %s", freshet.ErrNotFound, id)
	}
	if _, err := to(d.places.get(id)); err != nil { // an attempt under way is not broken off for nothing
		return nil, err
	}
	active := e.worker != nil
	e.halt()
	next, err := to(d.places.get(id)) // where it is now that nothing moves it any more
	if err == nil {
		stored = d.places.set(e.sub.Topic, id, next)
	}
	if active {
		err = errors.Join(err, d.startLocked(e, true))
	}
	return stored, err
}

// before is the id of the last event at or before a time; that of the position before all events, where the history
// begins later.
func (d *Deliveries) before(ctx context.Context, topic freshet.TopicName, t time.Time) (string, error) {
	f, err := d.Follow(topic)
	if err != nil {
		return "", err
	}
	defer f.Leave()
	if err := f.Feed.Wait(ctx); err != nil {
		return "", err
	}
	switch ev, err := f.Feed.AtTime(ctx, t); {
	case err == nil:
		return ev.ID(), nil
	case !errors.Is(err, freshet.ErrGone):
		return "", fmt.Errorf("look for what was at %s: %w", t.UTC().Format(time.RFC3339), err)
	}
	return freshet.Position{}.String(), nil
}
