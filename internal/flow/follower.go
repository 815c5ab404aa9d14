package flow

import (
	"context"
	"errors"
	"sync"
	"time"

	"freshet"
	"freshet/internal/flow/fanout"
)

// A Follower follows a topic until it is closed.
type Follower struct {
	Feed  *fanout.Feed
	Topic *freshet.Topic // as configured when the follower came; not to be changed
	topic *topic
	once  sync.Once
}

// Sent takes note of a batch that was written to the sockets of so many followers, of so many bytes in all.
func (f *Follower) Sent(b fanout.Batch, bytes, readers int) {
	m := f.topic.flow.stats
	if b.Behind > 0 {
		m.lag.Observe(float64(b.Behind))
	}
	m.bytes.WithLabelValues("out", m.label(f.Topic.Name)).Add(float64(bytes))
	doc, _ := f.Feed.Current()
	for _, e := range b.Entries {
		if isChange(e.Type) && doc != nil {
			m.saved.Add(float64(readers * max(0, len(doc.Data)-len(e.Data))))
		}
	}
	if len(b.Entries) == 1 && isChange(b.Entries[0].Type) && b.Reset == "" {
		m.latency.Observe(time.Since(b.Entries[0].Time).Seconds())
	}
}

// isChange says whether an event tells what changed, and not the whole.
func isChange(t freshet.EventType) bool {
	return t == freshet.TypePatch || t == freshet.TypeMergePatch || t == freshet.TypeChanges
}

// Subscribers is how many follow the topic, this one included.
func (f *Follower) Subscribers() int {
	f.topic.mu.Lock()
	defer f.topic.mu.Unlock()
	return f.topic.followers
}

// Left closes the follower of a stream that has ended.
func (f *Follower) Left(cause error) {
	if errors.Is(cause, fanout.ErrSlow) {
		f.topic.flow.stats.slow.Inc()
	}
	f.Close()
}

// Close ends the following. It may be called again.
func (f *Follower) Close() { f.once.Do(f.topic.unfollow) }

// Fresh waits until what the feed holds is at most one polling period old: until the source has reported
// since it was started, and the feed has what came of it; or until ctx ends. It returns what keeps the
// topic from being up to date.
func (f *Follower) Fresh(ctx context.Context) *freshet.Fault {
	fault, head := f.reported(ctx)
	for {
		changed := f.Feed.Changed()
		if f.Feed.Head().Sequence >= head {
			return fault
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fault
		}
	}
}

func (f *Follower) reported(ctx context.Context) (fault *freshet.Fault, head uint64) {
	t := f.topic
	t.mu.Lock()
	r, period := t.runnerLocked(), t.period
	t.mu.Unlock()
	for {
		r.mu.Lock()
		reported, fault, head, checked := r.reported.Load() || period == 0 || time.Since(r.success) < period, r.fault, r.head.Sequence, r.checked
		plan := r.plan
		r.mu.Unlock()
		if reported {
			return fault, head
		}
		// A plan that is further off than a period is that of a window, and not of the poll after one that is made now.
		if till, bounded := ctx.Deadline(); bounded && plan.After(till) && time.Until(plan) > period+period/2 {
			fault := freshet.NewFault(freshet.FaultConnection, "the upstream is asked again at %s, and not before", plan.UTC().Format(time.RFC3339))
			return &fault, 0
		}
		select {
		case <-checked:
		case <-ctx.Done():
			fault := freshet.NewFault(freshet.FaultConnection, "the upstream has not answered yet")
			return &fault, 0
		}
	}
}
