package webhook

import (
	"context"
	"sync"
	"time"
)

// A pace spreads requests evenly, so many a second.
type pace struct {
	between time.Duration

	mu   sync.Mutex
	next time.Time
}

func newPace(rate float64) *pace {
	if rate <= 0 {
		return &pace{}
	}
	return &pace{between: time.Duration(float64(time.Second) / rate)}
}

// wait returns once the next request may begin.
func (p *pace) wait(ctx context.Context) error {
	if p.between == 0 {
		return nil
	}
	p.mu.Lock()
	begin := time.Now()
	if p.next.After(begin) {
		begin = p.next
	}
	p.next = begin.Add(p.between)
	p.mu.Unlock()
	timer := time.NewTimer(time.Until(begin))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
