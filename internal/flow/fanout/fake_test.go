package fanout_test

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"freshet"
)

// log is a journal in memory.
type log struct {
	mu     sync.Mutex
	events []freshet.Event
	frames []freshet.Event
	grown  chan struct{}
	last   uint64 // sequence
	broken error  // what Tail ends with, once
}

func newLog() *log { return &log{grown: make(chan struct{})} }

// add appends an event whose sequence has holes, as those of a topic that shares a stream have.
func (l *log) add(ev freshet.Event) freshet.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last += 1 + l.last%3
	ev.Sequence = l.last
	l.events = append(l.events, ev)
	l.wakeLocked()
	return ev
}

func (l *log) wakeLocked() {
	close(l.grown)
	l.grown = make(chan struct{})
}

// keyframe keeps a document with the position of the event that led to it.
func (l *log) keyframe(of freshet.Event, doc []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of.Type, of.Data = freshet.TypeSnapshot, doc
	l.frames = append(l.frames, of)
}

// trim drops all events before the last keyframe.
func (l *log) trim() {
	l.mu.Lock()
	defer l.mu.Unlock()
	frame := l.frames[len(l.frames)-1]
	for i, ev := range l.events {
		if ev.Sequence == frame.Sequence {
			l.events, l.frames = l.events[i+1:], []freshet.Event{frame}
			return
		}
	}
}

// breakTail makes the tails that are read end.
func (l *log) breakTail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = err
	l.wakeLocked()
}

// replace forgets everything, as a topic that is deleted and made again.
func (l *log) replace() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events, l.frames = nil, nil
}

func (l *log) Oldest(context.Context, freshet.TopicID) (freshet.Event, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.events) == 0 {
		return freshet.Event{}, nil
	}
	return l.events[0], nil
}

func (l *log) Entry(_ context.Context, _ freshet.TopicID, seq uint64) (freshet.Event, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ev := range l.events {
		if ev.Sequence == seq {
			return ev, nil
		}
	}
	return freshet.Event{}, freshet.ErrGone
}

func (l *log) Before(_ context.Context, _ freshet.TopicID, t time.Time) (last freshet.Event, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err = freshet.ErrGone
	for _, ev := range l.events {
		if !ev.Time.After(t) {
			last, err = ev, nil
		}
	}
	return last, err
}

func (l *log) Keyframe(_ context.Context, _ freshet.TopicID, upTo uint64) (last freshet.Event, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ev := range l.frames {
		if ev.Sequence <= upTo {
			last = ev
		}
	}
	return last, nil
}

// after is what follows a sequence, and whether the history reaches there.
func (l *log) after(seq uint64) ([]freshet.Event, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.broken; err != nil {
		l.broken = nil
		return nil, nil, err
	}
	if seq == 0 {
		return l.events, l.grown, nil
	}
	known := len(l.frames) > 0 && l.frames[0].Sequence == seq
	for i, ev := range l.events {
		if ev.Sequence > seq {
			if !known {
				break
			}
			return l.events[i:], l.grown, nil
		}
		known = ev.Sequence == seq
	}
	if !known {
		return nil, nil, fmt.Errorf("after %d: %w", seq, freshet.ErrGone)
	}
	return nil, l.grown, nil
}

func (l *log) Read(_ context.Context, _ freshet.TopicID, after uint64) iter.Seq2[freshet.Event, error] {
	return func(yield func(freshet.Event, error) bool) {
		events, _, err := l.after(after)
		if err != nil {
			yield(freshet.Event{}, err)
			return
		}
		for _, ev := range events {
			if !yield(ev, nil) {
				return
			}
		}
	}
}

func (l *log) Tail(ctx context.Context, _ freshet.TopicID, after uint64) iter.Seq2[freshet.Event, error] {
	return func(yield func(freshet.Event, error) bool) {
		for {
			events, grown, err := l.after(after)
			if err != nil {
				yield(freshet.Event{}, err)
				return
			}
			for _, ev := range events {
				if after = ev.Sequence; !yield(ev, nil) {
					return
				}
			}
			select {
			case <-grown:
			case <-ctx.Done():
				return
			}
		}
	}
}
