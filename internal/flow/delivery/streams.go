package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"freshet"
	"freshet/internal/flow/fanout"
)

// A stream is a connection of a subscription whose subscriber comes for its events. What was written to it is
// where the subscription is.
type stream struct {
	d      *Deliveries
	sub    *freshet.Subscription
	end    context.CancelCauseFunc
	mu     sync.Mutex
	closed bool
}

// Attach takes a connection of a subscription up: where it goes on from (empty: nowhere yet), a context that ends
// with the subscription or with another connection of it, what is to be told of each batch that was written, and
// that it is over. ErrInactive where the subscription is not active.
func (d *Deliveries) Attach(ctx context.Context, id freshet.SubscriptionID) (at string, live context.Context, sent func(fanout.Batch), leave func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.all[id]
	if e == nil {
		return "", nil, nil, nil, fmt.Errorf("%w: subscription %s", freshet.ErrNotFound, id)
	}
	if e.sub.Status != freshet.SubscriptionActive {
		return "", nil, nil, nil, fmt.Errorf("%w: %s is %s", ErrInactive, id, e.sub.Status)
	}
	for s := range e.streams { // the new connection takes the place of one that may be dead
		s.finish(fmt.Errorf("%w: another connection has taken the place of this one", ErrInactive))
	}
	live, end := context.WithCancelCause(ctx)
	s := &stream{d: d, sub: e.sub, end: end}
	e.streams[s] = struct{}{}
	leave = func() {
		d.mu.Lock()
		delete(e.streams, s)
		d.mu.Unlock()
		end(nil)
	}
	return d.places.get(id).At, live, s.sent, leave, nil
}

// sent moves the cursor to the last event of a batch.
func (s *stream) sent(b fanout.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	at := s.d.places.get(s.sub.ID)
	moved := false
	for _, e := range b.Entries {
		if e.Sequence > 0 {
			at.At, at.Time, moved = e.ID(), e.Time, true
		}
	}
	if moved {
		at.Delivered = time.Now().UTC()
		s.d.places.set(s.sub.Topic, s.sub.ID, at)
	}
}

// endStreams ends the connections of a subscription.
func (e *entry) endStreams(cause error) {
	for s := range e.streams {
		s.finish(cause)
	}
}

func (s *stream) finish(cause error) {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end(cause)
}

// ErrInactive says that a subscription gets nothing now.
var ErrInactive = errors.New("subscription not active")

// Begin is where a subscription goes on from that has had the event at, or nothing yet, as a cursor of its mode.
func Begin(ctx context.Context, feed *fanout.Feed, kind freshet.Kind, s *freshet.Subscription, at string) (*fanout.Cursor, error) {
	w, err := walk(ctx, feed, kind, s, place{At: at})
	if err != nil {
		return nil, err
	}
	return w.cursor, nil
}
