package flow

import (
	"fmt"
	"time"

	"freshet"
	"freshet/internal/flow/source"
)

// overdue is by how much a poll may be late, beyond its period, before the topic is stale: an attempt may
// take that long.
const overdue = 10 * time.Second

// unasked is why a topic is stale whose source does not run.
const unasked = "nobody follows the topic, so its upstream is not asked"

// freshness says how fresh the topic is now, when that may be otherwise without a report of the source, zero
// where it will not, and what closes when there is a report.
func (t *topic) freshness(now time.Time) (f freshet.Freshness, until time.Time, report <-chan struct{}) {
	t.mu.Lock()
	r, running := t.runnerLocked(), t.running != nil
	t.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	f, until = t.freshnessLocked(r, running, now)
	return f, until, r.checked
}

// freshnessLocked judges by what the runner, which is locked, knows.
func (t *topic) freshnessLocked(r *runner, running bool, now time.Time) (f freshet.Freshness, until time.Time) {
	f.LastSuccess = r.success
	if running {
		f.NextPoll = r.plan
	}
	if !r.success.IsZero() {
		f.Age = freshet.Duration(max(0, now.Sub(r.success)).Round(time.Millisecond))
	}
	stale := func(at time.Time, reason string) {
		switch {
		case f.Stale || at.IsZero():
		case at.After(now):
			if until.IsZero() || at.Before(until) {
				until = at
			}
		default:
			f.Stale, f.StaleReason = true, reason
		}
	}
	if r.fault != nil {
		stale(now, r.fault.Message)
	}
	if bound := time.Duration(r.topic.Source.StaleAfter); bound > 0 && !r.success.IsZero() {
		stale(r.success.Add(bound), "nothing was heard of the upstream for longer than source.staleAfter, "+r.topic.Source.StaleAfter.String())
	}
	switch period := r.period; {
	case period == 0:
	case !running && !r.success.IsZero():
		stale(r.success.Add(period+overdue), unasked)
	case !running:
		stale(now, unasked)
	case running && !r.plan.IsZero():
		stale(r.plan.Add(period+overdue), "a poll is overdue")
	}
	return f, until
}

// Freshness is that of the follower's topic. until is when it may be otherwise without a report of the
// source, zero where it will not; report closes when there is one.
func (f *Follower) Freshness() (is freshet.Freshness, until time.Time, report <-chan struct{}) {
	return f.topic.freshness(time.Now())
}

// Poll asks the source of a topic to look at its upstream now, and returns when that may be at the earliest.
// freshet.ErrNotAllowed: the source does not poll; freshet.ErrInactive: it does not run, as nobody follows the
// topic and it is not always on.
func (f *Flow) Poll(name freshet.TopicName) (notBefore time.Time, err error) {
	t, err := f.topic(name)
	if err != nil {
		return time.Time{}, err
	}
	t.mu.Lock()
	src, running, conf := t.source, t.running != nil, t.conf
	t.mu.Unlock()
	p, ok := src.(source.Poller)
	switch {
	case !ok:
		return time.Time{}, fmt.Errorf("%w: the source of %s, %s, does not poll", freshet.ErrNotAllowed, name, conf.Source.Type)
	case !running:
		return time.Time{}, fmt.Errorf("%w: nobody follows %s and it is not always on", freshet.ErrInactive, name)
	}
	notBefore = p.PollNow()
	t.hurry()
	return notBefore, nil
}
