package delivery

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// lanes bound the attempts under way. As many as a processor works off best at a time have the fast lane. An
// attempt that waits long for its receiver makes room there, and the next ones of its subscription start in the
// slow lane, so that receivers that hang do not hold up those that answer.
type lanes struct {
	fast, slow chan struct{}
	seats      sync.Pool // of *seat
}

const (
	fastEach  = 32 // attempts for each processor
	slowInAll = 8192
	slowAfter = 50 * time.Millisecond
)

func newLanes() *lanes {
	return &lanes{fast: make(chan struct{}, fastEach*runtime.GOMAXPROCS(0)), slow: make(chan struct{}, slowInAll)}
}

// enter waits for a place; slow says that the last attempt took long. leave gives it up, and is to be called once.
// False: ctx has ended.
func (l *lanes) enter(ctx context.Context, slow bool) (leave func(), ok bool) {
	lane := l.fast
	if slow {
		lane = l.slow
	}
	select {
	case lane <- struct{}{}:
	case <-ctx.Done():
		return nil, false
	}
	if slow {
		return func() { <-lane }, true
	}
	s, ok := l.seats.Get().(*seat)
	if !ok {
		s = l.newSeat()
	}
	s.taken.Store(true)
	s.timer.Reset(slowAfter)
	return s.leave, true
}

// A seat is a place in the fast lane, for as long as its attempt is fast. It is used again: there are thousands a
// second.
type seat struct {
	lanes *lanes
	timer *time.Timer
	taken atomic.Bool
	leave func()
}

func (l *lanes) newSeat() *seat {
	s := &seat{lanes: l}
	s.timer = time.AfterFunc(time.Hour, s.free)
	s.timer.Stop()
	s.leave = func() {
		again := s.timer.Stop() // else free may be under way
		s.free()
		if again {
			l.seats.Put(s)
		}
	}
	return s
}

func (s *seat) free() {
	if s.taken.CompareAndSwap(true, false) {
		<-s.lanes.fast
	}
}
