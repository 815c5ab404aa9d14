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
//
// Attempts in the fast lane are made by a few goroutines that go from one to the next, and not by those of the
// subscriptions: the stacks of these stay small, and those of the few stay in the processor's cache.
type lanes struct {
	fast, slow chan struct{}
	seats      sync.Pool // of *seat
	work       chan *seat
}

const (
	fastEach  = 32 // attempts for each processor
	slowInAll = 8192
	slowAfter = 50 * time.Millisecond
	idleAfter = 10 * time.Second // a goroutine ends that had nothing to do
)

func newLanes() *lanes {
	return &lanes{fast: make(chan struct{}, fastEach*runtime.GOMAXPROCS(0)), slow: make(chan struct{}, slowInAll), work: make(chan *seat)}
}

// run makes an attempt in its lane, once there is room, and returns when it is over; slow says that the last one took
// long. attempt may call leave once, when it needs its place no more. False: ctx has ended before it began.
func (l *lanes) run(ctx context.Context, slow bool, attempt func(leave func())) bool {
	lane := l.fast
	if slow {
		lane = l.slow
	}
	select {
	case lane <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	if slow {
		attempt(func() { <-lane })
		return true
	}
	s, ok := l.seats.Get().(*seat)
	if !ok {
		s = l.newSeat()
	}
	s.attempt = attempt
	s.taken.Store(true)
	s.timer.Reset(slowAfter)
	select {
	case l.work <- s:
	default:
		go l.serve(s)
	}
	<-s.over
	inTime := s.timer.Stop() // else free may be under way
	s.free()
	if inTime {
		s.attempt = nil
		l.seats.Put(s)
	}
	return true
}

// serve makes one attempt after the other.
func (l *lanes) serve(s *seat) {
	idle := time.NewTimer(idleAfter)
	defer idle.Stop()
	for {
		s.attempt(s.leave)
		s.over <- struct{}{}
		idle.Reset(idleAfter)
		select {
		case s = <-l.work:
		case <-idle.C:
			return
		}
	}
}

// A seat is a place in the fast lane, for as long as its attempt is fast. It is used again, as there are thousands of
// attempts a second; one whose time was over is not.
type seat struct {
	lanes   *lanes
	attempt func(leave func())
	over    chan struct{} // gets one when the attempt is
	timer   *time.Timer
	taken   atomic.Bool // there is a place to give up
	leave   func()
}

func (l *lanes) newSeat() *seat {
	s := &seat{lanes: l, over: make(chan struct{}, 1)}
	s.leave = s.free
	s.timer = time.AfterFunc(time.Hour, s.free)
	s.timer.Stop()
	return s
}

func (s *seat) free() {
	if s.taken.CompareAndSwap(true, false) {
		<-s.lanes.fast
	}
}
