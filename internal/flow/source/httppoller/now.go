package httppoller

import (
	"context"
	"sync"
	"time"

	"freshet/internal/flow/source"
)

// apart is how far apart polls are at least that somebody asks for.
const apart = time.Second

// A turn is where others than the goroutine in Run may ask for a poll.
type turn struct {
	asked chan struct{} // holds one while a poll was asked for

	mu    sync.Mutex
	began time.Time // when the last attempt was made
	until time.Time // upstream wants no request before
}

func (t *turn) begin(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.began = at
}

func (t *turn) forbid(until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until = until
}

// earliest is when a poll may be that is asked for now.
func (t *turn) earliest() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if soon := t.began.Add(apart); soon.After(t.until) {
		return soon
	}
	return t.until
}

// PollNow asks for a poll now, outside of the period and of windows, and returns when it may be at the
// earliest: a second after the one before, and never before what upstream asked for and its budget allows. Those who ask before it
// is made share it.
func (p *poller) PollNow() (notBefore time.Time) {
	notBefore = p.turn.earliest()
	if at := p.origin(p.target).Next(); at.After(notBefore) {
		notBefore = at
	}
	select {
	case p.turn.asked <- struct{}{}:
	default:
	}
	return notBefore
}

// HasHook says whether the upstream may tell of news.
func (p *poller) HasHook() bool { return p.hook != nil }

// Hook polls for a delivery of the upstream.
func (p *poller) Hook(d source.Delivery) (reply []byte, err error) {
	a, err := p.hook.Verify(d)
	if err == nil && a.Reply == nil {
		p.PollNow()
	}
	return a.Reply, err
}

// sleepUntilDue waits until the next poll is due, or asked for; it returns false when ctx has ended.
func (p *poller) sleepUntilDue(ctx context.Context) bool {
	p.plan()
	p.told = false
	for {
		timer := time.NewTimer(time.Until(p.due))
		select {
		case <-timer.C:
			return ctx.Err() == nil
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-p.turn.asked:
			timer.Stop()
			p.told = true
		}
		at := time.Now()
		if e := p.turn.earliest(); e.After(at) {
			at = e
		}
		if at.Before(p.due) {
			p.due = at
			p.plan()
		}
	}
}
