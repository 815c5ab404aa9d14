// Package origin keeps the peace with upstreams: what all topics together ask of one origin (RFC 6454) stays
// within its budget, waits as long as it asks for, and is little while it fails.
package origin

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"

	"freshet"
)

// A Budget bounds the requests to one origin.
type Budget struct {
	Rate        float64 // requests a second, evenly spread; 0: no bound
	Concurrency int     // requests at a time; 0: DefaultConcurrency
}

// DefaultConcurrency is how many requests to one origin there are at a time.
const DefaultConcurrency = 64

// mostKnown is how many origins are remembered before those are forgotten of which nothing is to be known.
const mostKnown = 10_000

const (
	opensAfter   = 5 // failures in a row of an origin, of any topic
	firstProbe   = time.Second
	longestProbe = time.Minute
)

// Origins are those that anything was asked of. It is safe for concurrent use. Its zero value has no budgets.
type Origins struct {
	Default Budget
	Named   map[string]Budget // by origin, as Name writes it

	mu    sync.Mutex
	known map[string]*Origin
}

// Name is the origin of a URL: scheme, host in lower case, and port where it is not the scheme's own.
func Name(u *url.URL) string {
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	port := u.Port()
	if port == "" || u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		return u.Scheme + "://" + host
	}
	return u.Scheme + "://" + host + ":" + port
}

// Of is the origin of a URL.
func (o *Origins) Of(u *url.URL) *Origin { return o.Called(Name(u)) }

// Called is the origin of a name, as Name writes it.
func (o *Origins) Called(name string) *Origin {
	o.mu.Lock()
	defer o.mu.Unlock()
	if found, ok := o.known[name]; ok {
		return found
	}
	budget, ok := o.Named[name]
	if !ok {
		budget = o.Default
	}
	if budget.Concurrency <= 0 {
		budget.Concurrency = DefaultConcurrency
	}
	found := &Origin{budget: budget, slots: make(chan struct{}, budget.Concurrency)}
	if o.known == nil {
		o.known = map[string]*Origin{}
	}
	if len(o.known) >= mostKnown { // whoever redirects may name any number of them
		maps.DeleteFunc(o.known, func(_ string, old *Origin) bool { return old.idle() })
	}
	o.known[name] = found
	return found
}

// An Origin is what is known of one.
type Origin struct {
	budget Budget
	slots  chan struct{} // of requests under way

	mu      sync.Mutex
	next    time.Time     // before which no request is to begin, by the rate
	spacing time.Duration // between requests, as the origin's own limits demand …
	expires time.Time     // … until then
	until   time.Time     // the origin wants no request before
	because freshet.Fault // what it answered then
	failed  int           // requests in a row …
	whose   any           // … the last of them by this topic …
	several bool          // … and others by another
	probe   time.Time     // where the circuit is open: when the next attempt may be
}

// open says whether the circuit is: a topic alone waits long enough by itself.
func (o *Origin) open() bool { return o.failed >= opensAfter && o.several }

// A ClosedError says that no request may begin now.
type ClosedError struct {
	Until   time.Time
	Because freshet.Fault // what subscribers are told; the zero Fault: nothing is wrong
}

func (e *ClosedError) Error() string {
	return "the origin is not asked before " + e.Until.UTC().Format(time.RFC3339) + ": " + e.Because.Message
}

// idle says whether nothing is to be remembered of the origin.
func (o *Origin) idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	return len(o.slots) == 0 && o.failed == 0 && o.closed(now) == nil && !o.next.After(now) && !o.expires.After(now)
}

// Closed is why no request may begin now; nil: one may.
func (o *Origin) Closed() *ClosedError {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closed(time.Now())
}

func (o *Origin) closed(now time.Time) *ClosedError {
	switch {
	case o.until.After(now):
		return &ClosedError{o.until, o.because}
	case o.open() && o.probe.After(now):
		return &ClosedError{o.probe, o.because}
	}
	return nil
}

// Next is when a request may begin at the earliest that is asked for now. Others may take that turn.
func (o *Origin) Next() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	if closed := o.closed(time.Now()); closed != nil && closed.Until.After(o.next) {
		return closed.Until
	}
	return o.next
}

// Acquire waits until a request may begin. done must be called when its answer has been read. It returns
// ctx's error where that ends first, or a *ClosedError, with done nil.
func (o *Origin) Acquire(ctx context.Context) (done func(), err error) {
	return o.AcquireTelling(ctx, nil)
}

// AcquireTelling is Acquire for who wants to be told, once it is known, until when it waits.
func (o *Origin) AcquireTelling(ctx context.Context, waits func(until time.Time)) (done func(), err error) {
	select {
	case o.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	begin, closed := o.reserve()
	if closed != nil {
		<-o.slots
		return nil, closed
	}
	wait := time.Until(begin)
	if wait <= 0 {
		return func() { <-o.slots }, nil
	}
	if waits != nil {
		waits(begin)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		if closed := o.refused(); closed != nil { // while this one waited for its turn
			<-o.slots
			return nil, closed
		}
		return func() { <-o.slots }, nil
	case <-ctx.Done():
		<-o.slots
		return nil, context.Cause(ctx)
	}
}

// refused is the origin's own wish for no request now.
func (o *Origin) refused() *ClosedError {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.until.After(time.Now()) {
		return &ClosedError{o.until, o.because}
	}
	return nil
}

// reserve is when the next request may begin. Those that would have been before are not made up for.
func (o *Origin) reserve() (begin time.Time, closed *ClosedError) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if closed := o.closed(now); closed != nil {
		return now, closed
	}
	begin = now
	if o.next.After(now) {
		begin = o.next
	}
	spacing := time.Duration(0)
	if o.budget.Rate > 0 {
		spacing = time.Duration(float64(time.Second) / o.budget.Rate)
	}
	if o.expires.After(begin) {
		spacing = max(spacing, o.spacing)
	}
	o.next = begin.Add(spacing)
	if o.open() { // this is the probe; the others wait for what comes of it
		o.probe = now.Add(o.pause())
	}
	return begin, nil
}

// pause is how long an open circuit waits for the next attempt.
func (o *Origin) pause() time.Duration {
	longest := min(firstProbe<<min(o.failed-opensAfter, 10), longestProbe)
	return longest/2 + rand.N(longest/2+1) //nolint:gosec // nobody gains by guessing it
}

// Wait takes note that the origin wants no request for a time, and of what it answered.
func (o *Origin) Wait(until time.Time, because freshet.Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if until.After(o.until) {
		o.until, o.because = until, because
	}
}

// Remaining takes note of the origin's own limit: how many requests are left until it is reset. To wait for
// that is no fault.
func (o *Origin) Remaining(requests int, reset time.Time) {
	now := time.Now()
	left := reset.Sub(now)
	if left <= 0 {
		return
	}
	if requests <= 0 {
		o.Wait(reset, freshet.Fault{})
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spacing, o.expires = left/time.Duration(requests), reset
}

// Succeeded takes note of an answer, whatever it says.
func (o *Origin) Succeeded() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failed, o.several, o.whose, o.probe = 0, false, nil, time.Time{}
}

// Failed takes note of a request of a topic that got no answer, or one that says that the server is at fault.
func (o *Origin) Failed(whose any, because freshet.Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.several = o.several || o.failed > 0 && o.whose != whose
	o.failed, o.whose = o.failed+1, whose
	if o.open() {
		o.because = because
		o.probe = time.Now().Add(o.pause())
	}
}
