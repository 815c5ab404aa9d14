package delivery

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// lanes bound the attempts under way. As many as a processor works off best at a time have the fast lane. An
// attempt that waits long for its receiver makes room there, and the next ones of its subscription start in the
// slow lane, so that receivers that hang do not hold up those that answer.
type lanes struct {
	fast, slow chan struct{}
}

const (
	fastEach  = 32 // attempts for each processor
	slowInAll = 8192
	slowAfter = 50 * time.Millisecond
)

func newLanes() *lanes {
	return &lanes{make(chan struct{}, fastEach*runtime.GOMAXPROCS(0)), make(chan struct{}, slowInAll)}
}

// enter waits for a place; slow says that the last attempt took long. leave gives it up. False: ctx has ended.
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
	free := sync.OnceFunc(func() { <-lane })
	timer := time.AfterFunc(slowAfter, free)
	return func() {
		timer.Stop()
		free()
	}, true
}
