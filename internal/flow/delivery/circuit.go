package delivery

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// circuits hold back what would go to an endpoint that fails, whichever subscriptions it is of. Once several attempts
// in a row have failed, first attempts wait: those that are made again, each by its subscription's schedule, show when
// the endpoint is back, and besides one first attempt after each pause. An endpoint is what a target names, or else
// the target of one subscription.
type circuits struct {
	log *slog.Logger

	mu  sync.Mutex
	all map[string]*circuit // of endpoints whose last attempt failed
}

type circuit struct {
	failures int           // in a row
	probe    time.Time     // when the next first attempt may be made
	closed   chan struct{} // closed when the endpoint accepts something
}

const (
	openAfter     = 5 // failures in a row
	shortestProbe = 5 * time.Second
	longestProbe  = time.Minute
)

// pass waits until a first attempt may be made at an endpoint. False: ctx has ended.
func (c *circuits) pass(ctx context.Context, endpoint string) bool {
	for ctx.Err() == nil {
		c.mu.Lock()
		one := c.all[endpoint]
		now := time.Now()
		if one == nil || one.failures < openAfter {
			c.mu.Unlock()
			return true
		}
		if !now.Before(one.probe) {
			one.probe = now.Add(one.pause()) // the others wait for what comes of this one
			c.mu.Unlock()
			return true
		}
		closed, wait := one.closed, one.probe.Sub(now)
		c.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-closed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return false
}

// ask lets one first attempt be made at an endpoint now, as somebody wants to know.
func (c *circuits) ask(endpoint string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.all[endpoint]; one != nil {
		one.probe = time.Now()
	}
}

// pause is how long first attempts are held back, more with each failure.
func (c *circuit) pause() time.Duration {
	pause := shortestProbe
	for range c.failures - openAfter {
		if pause *= 2; pause >= longestProbe {
			return longestProbe
		}
	}
	return pause
}

// report takes note of what came of an attempt; nil: it was accepted. What an endpoint refuses of one subscription, by
// a status 4xx, says nothing of the others. name is what people know the endpoint by.
func (c *circuits) report(endpoint, name string, cause error) {
	if r, ok := errors.AsType[*Refusal](cause); ok && r.Status >= 400 && r.Status < 500 && r.Status != http.StatusTooManyRequests && r.Status != http.StatusRequestTimeout {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.all[endpoint]
	if cause == nil {
		if one != nil {
			delete(c.all, endpoint)
			close(one.closed)
			if one.failures >= openAfter {
				c.log.Info("an endpoint accepts deliveries again", "endpoint", name)
			}
		}
		return
	}
	if one == nil {
		one = &circuit{closed: make(chan struct{})}
		c.all[endpoint] = one
	}
	if one.failures++; one.failures >= openAfter {
		one.probe = time.Now().Add(one.pause())
	}
	if one.failures == openAfter {
		c.log.Warn("an endpoint fails: new deliveries to it wait", "endpoint", name, "failures", one.failures)
	}
}

// open is how many endpoints are held back from.
func (c *circuits) open() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.all {
		if one.failures >= openAfter {
			n++
		}
	}
	return n
}
