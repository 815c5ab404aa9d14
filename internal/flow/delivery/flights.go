package delivery

import (
	"context"
	"sync"
	"time"
)

// flights are deliveries under way in parallel. The cursor follows those that are done, up to the first that
// is not. While several fail in a row no others are begun: those that are tried again show when the receiver is
// back.
type flights struct {
	running sync.WaitGroup
	room    chan struct{}
	ended   chan struct{} // closed where the subscription stops, with err

	mu       sync.Mutex
	all      []*flight // in the order of their events
	err      error
	failures int           // in a row
	calm     chan struct{} // closed at the next success; nil: nothing waits for it
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
	if calm := f.troubled(); calm != nil {
		select {
		case <-calm:
		case <-f.ended:
			return f.err
		case <-ctx.Done():
			return ctx.Err()
		}
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
		f.mu.Lock()
		f.failures++
		f.mu.Unlock()
		if stop := w.failed(ctx, d, err); stop != nil {
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
	if f.failures = 0; f.calm != nil {
		close(f.calm)
		f.calm = nil
	}
	n := 0
	for n < len(f.all) && f.all[n].done {
		n++
	}
	if n > 0 {
		w.delivered(f.all[n-1].group)
		f.all = f.all[n:]
	}
}

// troubled is closed when the receiver accepts something again; nil where it does.
func (f *flights) troubled() <-chan struct{} {
	const many = 5
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failures < many {
		return nil
	}
	if f.calm == nil {
		f.calm = make(chan struct{})
	}
	return f.calm
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
