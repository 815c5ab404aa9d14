package delivery

import (
	"context"
	"sync"
	"time"
)

// flights are deliveries under way in parallel. The cursor follows those that are done, up to the first that
// is not.
type flights struct {
	running sync.WaitGroup
	room    chan struct{}
	ended   chan struct{} // closed where the subscription stops, with err

	mu  sync.Mutex
	all []*flight // in the order of their events
	err error
}

type flight struct {
	group []Message
	done  bool
}

// launch delivers a group beside others, once there is room.
func (f *flights) launch(ctx context.Context, w *worker, group []Message) error {
	if f.room == nil {
		f.room, f.ended = make(chan struct{}, w.parallel), make(chan struct{})
	}
	select {
	case f.room <- struct{}{}:
	case <-f.ended:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
	one := &flight{group: group}
	f.mu.Lock()
	f.all = append(f.all, one)
	f.mu.Unlock()
	f.running.Go(func() {
		defer func() { <-f.room }()
		f.fly(ctx, w, one)
	})
	return nil
}

func (f *flights) fly(ctx context.Context, w *worker, one *flight) {
	for attempt := 1; ; attempt++ {
		d := w.delivery(one.group, attempt)
		err := w.attempt(ctx, d)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			f.landed(w, one)
			return
		}
		if stop := w.failed(ctx, d, err, f.first(one)); stop != nil {
			f.stop(stop)
			return
		}
		select {
		case <-time.After(d.wait):
		case <-f.ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

// landed moves the cursor as far as all is done.
func (f *flights) landed(w *worker, one *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one.done = true
	n := 0
	for n < len(f.all) && f.all[n].done {
		n++
	}
	if n > 0 {
		w.delivered(f.all[n-1].group)
		f.all = f.all[n:]
	}
}

// first says whether all before a flight is done.
func (f *flights) first(one *flight) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.all) > 0 && f.all[0] == one
}

func (f *flights) stop(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
		close(f.ended)
	}
}

// failed is closed when the subscription stops; nil where nothing was launched.
func (f *flights) failed() <-chan struct{} { return f.ended }

func (f *flights) wait() { f.running.Wait() }
