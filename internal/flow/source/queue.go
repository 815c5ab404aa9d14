package source

import (
	"context"
	"sync"
	"time"

	"freshet"
)

// Most that is handed over by one call, and that a Queue holds: one payload of any size is let in.
const (
	BatchPayloads = 256
	BatchBytes    = 1 << 20
)

// An Item is what a connection brought: a payload, or else a fault, or that upstream is well again.
type Item struct {
	Payload Payload
	Fault   *freshet.Fault
	Fine    bool
}

// A Queue is between the goroutine that receives from upstream and the one that hands over: while that
// writes, what comes meanwhile is gathered for the next write. One that is full lets the receiver wait, and
// so upstream. It is for one of each; make it with NewQueue.
type Queue struct {
	mu    sync.Mutex
	items []Item
	bytes int
	ended bool
	err   error
	more  chan struct{} // there is something, or the end
	room  chan struct{}
}

// NewQueue returns an empty queue.
func NewQueue() *Queue { return &Queue{more: make(chan struct{}, 1), room: make(chan struct{}, 1)} }

// Put adds an item as soon as there is room. It returns false when ctx has ended before.
func (q *Queue) Put(ctx context.Context, item Item) bool {
	for !q.tryPut(item) {
		select {
		case <-q.room:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func (q *Queue) tryPut(item Item) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	size := len(item.Payload.Data)
	if n := len(q.items); n > 0 && (n >= BatchPayloads || q.bytes+size > BatchBytes) {
		return false
	}
	q.items, q.bytes = append(q.items, item), q.bytes+size
	wake(q.more)
	return true
}

// End says that nothing comes any more, and why. The first reason counts.
func (q *Queue) End(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.ended {
		q.ended, q.err = true, err
		wake(q.more)
	}
}

// HandOver hands what comes to the sink, as much as there is at a time, until the queue has ended and is
// empty: then it returns why. stored, which may be nil, is called after each write, with what was written.
func (q *Queue) HandOver(ctx context.Context, to Sink, stored func([]Item)) error {
	for {
		items, ended, err := q.take()
		if len(items) > 0 {
			if !Deliver(ctx, to, items) {
				return ctx.Err()
			}
			if stored != nil {
				stored(items)
			}
			continue
		}
		if ended {
			return err
		}
		select {
		case <-q.more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (q *Queue) take() (items []Item, ended bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	items, q.items, q.bytes = q.items, nil, 0
	wake(q.room)
	return items, q.ended, q.err
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Deliver offers payloads and tells the rest, in their order, with one write for payloads that follow each
// other. It returns false when ctx has ended before all were stored.
func Deliver(ctx context.Context, to Sink, items []Item) bool {
	var batch []Payload
	flush := func() bool {
		ok := len(batch) == 0 || Offer(ctx, to, batch...)
		batch = nil // the sink may keep it
		return ok
	}
	for _, item := range items {
		if item.Fault == nil && !item.Fine {
			batch = append(batch, item.Payload)
			continue
		}
		if !flush() {
			return false
		}
		if item.Fine {
			to.Unchanged(ctx, time.Now(), 0)
		} else {
			to.Fault(ctx, *item.Fault, 0)
		}
	}
	return flush()
}
