package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"freshet"
)

const (
	// tailBuffer is how many entries wait for a reader; what comes beyond is dropped and read from
	// the log later, so that a slow reader costs a bounded amount of memory.
	tailBuffer = 64
	// tailCheck is how often a tail without news asks the log: only that shows that the last entry
	// of all was lost on the way.
	tailCheck = 10 * time.Second
)

// Tail yields what came after a sequence and then what comes, each entry once and in order, until
// ctx ends. It outlasts a store that does not answer for a while. Errors end it: those of Read, of
// which freshet.ErrGone and ErrBroken mean that the topic has to be loaded afresh, and
// freshet.ErrUnavailable when the connection is closed.
func (j *Journal) Tail(ctx context.Context, id freshet.TopicID, after uint64) iter.Seq2[freshet.Event, error] {
	return func(yield func(freshet.Event, error) bool) {
		live := make(chan *nats.Msg, tailBuffer)
		sub, err := j.nc.ChanSubscribe(j.live(id), live) // first, so that nothing falls in between
		if err != nil {
			yield(freshet.Event{}, fmt.Errorf("follow %s: %w: %w", id, err, freshet.ErrUnavailable))
			return
		}
		defer func() { _ = sub.Unsubscribe() }() // fails only when the connection has ended
		r := reader{j: j, id: id, at: j.feed(id), last: after}
		for r.catchUp(ctx, yield) && r.follow(ctx, sub, live, yield) {
		}
	}
}

// catchUp reads what the log has, as often as it takes. It is false when the tail is over.
func (r *reader) catchUp(ctx context.Context, yield func(freshet.Event, error) bool) bool {
	var failed error
	relay := func(e freshet.Event, err error) bool {
		failed = err
		return err == nil && yield(e, nil)
	}
	for !r.read(ctx, relay) {
		switch {
		case ctx.Err() != nil:
			return false
		case failed == nil: // the caller has enough
			return false
		case !errors.Is(failed, freshet.ErrUnavailable) || r.j.nc.IsClosed():
			yield(freshet.Event{}, failed)
			return false
		}
		r.j.log.WarnContext(ctx, "the journal does not answer", "topic", r.id, "err", failed)
		failed = nil
	}
	return true
}

// follow yields live entries. It is true when the log has to be read: there is a gap, or it is time.
func (r *reader) follow(ctx context.Context, sub *nats.Subscription, live <-chan *nats.Msg, yield func(freshet.Event, error) bool) bool {
	check := time.NewTimer(tailCheck + rand.N(tailCheck/4)) //nolint:gosec // spreads load
	defer check.Stop()
	for {
		if r.missed(sub, len(live)) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-check.C:
			_, err := r.j.direct(ctx, r.at.stream, query{Next: r.at.entry(), Seq: messageOf(r.last) + 1})
			if !errors.Is(err, errNone) {
				return true
			}
			check.Reset(tailCheck)
		case msg := <-live:
			got, err := received(msg)
			if err != nil {
				return true
			}
			m, err := got.meta()
			if err != nil || m.parts > 0 || m.prev != r.last {
				if err == nil && m.position(got.seq).Sequence <= r.last {
					continue // read before
				}
				return true
			}
			all, err := r.j.entries(ctx, r.at, got)
			if err != nil {
				return true
			}
			if !r.yield(all, yield) {
				return false
			}
		}
	}
}

// drops counts the live messages that were lost before the store was last read.
type drops struct{ seen int }

// missed says that messages were dropped since, and nothing is waiting. While something is, the gap
// shows in the next message or at the next call.
func (d *drops) missed(sub *nats.Subscription, waiting int) bool {
	if waiting > 0 {
		return false
	}
	n, err := sub.Dropped()
	if err != nil {
		return true // the connection has ended, which reading the store shows
	}
	missed := n != d.seen
	d.seen = n
	return missed
}
