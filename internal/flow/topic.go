package flow

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"freshet"
	"freshet/internal/flow/fanout"
	"freshet/internal/flow/source"
	"freshet/jsonpatch"
)

const (
	// A client that reconnects is back within that time, so its source is not stopped for it.
	sourceLingers = 3 * time.Second
	// What a feed holds in memory serves readers that come back.
	feedLingers = time.Minute
	// How long the last keyframe may take when a source stops.
	stopTakes = 5 * time.Second
)

// depth bounds how deep a payload may be nested: parsers of clients fail from 1000 on.
const depth = 256

// A topic is one topic on this node.
type topic struct {
	flow *Flow
	name freshet.TopicName
	id   freshet.TopicID
	kind freshet.Kind

	mu        sync.Mutex
	conf      *freshet.Topic // replaced, never changed
	source    source.Source
	period    time.Duration // how often the source asks upstream; 0: it never does
	runner    *runner       // knows the topic's state, whether the source runs or not; nil: nobody asked yet
	followers int
	feed      *fanout.Feed
	endFeed   context.CancelCauseFunc
	running   *run          // nil: the source is stopped
	lingering *time.Timer   // stops the source
	feedTimer *time.Timer   // ends the feed
	grace     time.Duration // of an ad-hoc topic: how long it outlives its last follower
	expiry    *time.Timer   // ends an ad-hoc topic
	removed   bool
	keys      *keyring // of posts; nil: none had one
}

// A run is the time between a start and a stop of a source.
type run struct {
	stop  context.CancelFunc
	hurry func() // somebody waits for the first payload
	done  chan struct{}
}

func newTopic(f *Flow, name freshet.TopicName, kind freshet.Kind) *topic {
	return &topic{flow: f, name: name, id: f.ID(name), kind: kind}
}

// log is made when it is needed, as thousands of idle topics never need theirs.
func (t *topic) log() *slog.Logger { return t.flow.Log.With("topic", string(t.name)) }

// configure makes the topic run as c says, after a pause of up to so long where nobody waits for it; a source that runs
// is exchanged.
func (t *topic) configure(c *freshet.Topic, src source.Source, pause time.Duration) {
	t.mu.Lock()
	t.conf, t.source, t.period = c, src, t.flow.periodOf(c.Source)
	t.runner = nil
	t.setKeysLocked()
	t.mu.Unlock()
	t.stopSource() // the one before; nothing starts until it has ended
	t.startIfWanted(pause)
}

// startIfWanted starts the source of a topic that is followed or always on, after a pause where nobody waits for it.
func (t *topic) startIfWanted(pause time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.followers > 0:
		t.startLocked(0)
	case t.conf.Source.AlwaysOn && t.period > 0 && pause > 0:
		t.startLocked(rand.N(min(pause, t.period))) //nolint:gosec // spreads load, guards nothing
	case t.conf.Source.AlwaysOn:
		t.startLocked(0)
	}
}

// hurry has a source that is wanted begin now.
func (t *topic) hurry() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running != nil {
		t.running.hurry()
	}
}

// runnerLocked is the topic's runner. Of many topics most are idle, and spare the memory for it.
func (t *topic) runnerLocked() *runner {
	if t.runner == nil {
		t.runner = t.newRunner(*t.conf)
	}
	return t.runner
}

func (t *topic) newRunner(c freshet.Topic) *runner {
	c.History = bounds(c.History)
	c.Limits.Payload = orDefault(c.Limits.Payload, freshet.DefaultPayload)
	differ, err := jsonpatch.NewDiffer(jsonpatch.Options{
		ArrayKeys: c.Diff.ArrayKeys, Ignore: c.Diff.Ignore, Sets: c.Diff.Sets, Tolerance: c.Diff.Tolerance, NumericEqual: c.Diff.NumericEqual,
	})
	if err != nil { // the catalog lets no such topic in
		t.log().Error("diff options are ignored", "err", err)
		differ, _ = jsonpatch.NewDiffer(jsonpatch.Options{})
	}
	r := &runner{
		topic: c, id: t.id, store: t.flow.Journal, differ: differ, stats: t.flow.stats, log: t.log(),
		limits: jsonpatch.Limits{Depth: depth, Size: int(c.Limits.Payload)}, told: t.flow.Watch, checked: make(chan struct{}), offer: t.offer, period: t.period, pushed: t.flow.isPushed(c.Source.Type),
	}
	if r.told == nil {
		r.told = func(Change) {}
	}
	return r
}

// bounds are those of a history with the defaults filled in.
func bounds(h freshet.History) freshet.History {
	h.MaxAge = orDefault(h.MaxAge, freshet.DefaultMaxAge)
	h.MaxEvents = orDefault(h.MaxEvents, freshet.DefaultMaxEvents)
	h.MaxBytes = orDefault(h.MaxBytes, freshet.DefaultMaxBytes)
	return h
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// offer passes a document on to the feed, where there is one.
func (t *topic) offer(r freshet.Revision, tag freshet.Tag, doc []byte) {
	t.mu.Lock()
	feed := t.feed
	t.mu.Unlock()
	if feed != nil {
		feed.Offer(r, tag, bytes.Clone(doc))
	}
}

// startLocked starts the source, after a pause or once somebody follows. One that is being stopped is
// left to who stops it.
func (t *topic) startLocked(pause time.Duration) {
	if t.running != nil || t.removed || t.flow.base.Err() != nil {
		return
	}
	ctx, stop := context.WithCancel(t.flow.base)
	hurried := make(chan struct{})
	r := &run{stop, sync.OnceFunc(func() { close(hurried) }), make(chan struct{})}
	t.running = r
	src, sink := t.source, t.runnerLocked()
	sink.reported.Store(false)
	t.flow.wg.Go(func() {
		defer close(r.done)
		if pause > 0 {
			sink.Planned(time.Now().Add(pause))
		}
		select {
		case <-time.After(pause):
		case <-hurried:
		case <-ctx.Done():
		}
		t.runSource(ctx, src, sink)
	})
}

func (t *topic) runSource(ctx context.Context, src source.Source, sink *runner) {
	if err := src.Run(ctx, sink); err != nil && ctx.Err() == nil {
		t.log().ErrorContext(ctx, "the source cannot work", "err", err)
		sink.Fault(ctx, freshet.NewFault(freshet.FaultStartup, "%s", err.Error()), 0)
		<-ctx.Done()
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTakes)
	defer cancel()
	sink.stop(last)
}

// stopSource ends the source and returns once it has.
func (t *topic) stopSource() {
	t.mu.Lock()
	r := t.running
	t.mu.Unlock()
	if r == nil {
		return
	}
	r.stop()
	<-r.done
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running == r {
		t.running = nil
	}
}

func (t *topic) follow() *Follower {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.followers++
	t.startFeedLocked()
	if t.startLocked(0); t.running != nil {
		t.running.hurry()
	}
	return &Follower{topic: t, Feed: t.feed, Topic: t.conf}
}

func (t *topic) startFeedLocked() {
	if t.feed != nil {
		return
	}
	ctx, end := context.WithCancelCause(t.flow.base)
	feed := fanout.New(t.flow.Journal, t.id, t.kind, t.log())
	t.feed, t.endFeed = feed, end
	t.setKeysLocked()
	t.flow.wg.Go(func() { feed.Run(ctx) })
}

// setKeysLocked tells the feed by what items are known.
func (t *topic) setKeysLocked() {
	if t.feed == nil {
		return
	}
	if err := t.feed.SetKeys(t.conf.Diff.ArrayKeys); err != nil { // the catalog lets no such topic in
		t.log().Error("keys of arrays are ignored", "err", err)
	}
}

// unfollow is one follower less. After the last, what runs for them lingers a little.
func (t *topic) unfollow() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.followers--; t.followers > 0 {
		return
	}
	t.lingering = after(t.lingering, sourceLingers, func() {
		t.mu.Lock()
		wanted := t.followers > 0 || t.conf.Source.AlwaysOn
		t.mu.Unlock()
		if !wanted {
			t.stopSource()
			t.startIfWanted(0) // somebody may have come meanwhile
		}
	})
	if t.grace > 0 {
		t.expiry = after(t.expiry, t.grace, func() { t.flow.expire(t) })
	}
	t.feedTimer = after(t.feedTimer, feedLingers, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.followers == 0 && t.feed != nil {
			t.endFeed(ErrIdle)
			t.feed = nil
		}
	})
}

// ErrIdle is why a feed ends that nobody follows.
var ErrIdle = fmt.Errorf("nobody follows: %w", freshet.ErrUnavailable)

func after(timer *time.Timer, d time.Duration, do func()) *time.Timer {
	if timer != nil {
		timer.Stop()
	}
	return time.AfterFunc(d, do)
}

func (t *topic) remove() {
	t.stopSource()
	t.mu.Lock()
	t.removed = true
	r := t.runner
	if t.feed != nil {
		t.endFeed(fmt.Errorf("%w: %s was deleted", freshet.ErrNotFound, t.name))
		t.feed = nil
	}
	t.mu.Unlock()
	if r != nil {
		r.retire()
	}
}

func (t *topic) trim(ctx context.Context) {
	t.mu.Lock()
	r, h := t.runner, bounds(t.conf.History)
	t.mu.Unlock()
	if r != nil {
		r.trim(ctx)
	} else {
		trim(ctx, t.flow.Journal, t.id, h, t.log())
	}
}

// status is what the topic is doing; with a look into the store, where its state is not in memory.
func (t *topic) status(peek bool) *freshet.Status {
	t.mu.Lock()
	s := &freshet.Status{State: "idle", Subscribers: t.followers}
	if t.running != nil {
		s.State = "running"
	}
	r := t.runner
	t.mu.Unlock()
	loaded := false
	if r == nil && t.period > 0 {
		s.Stale, s.StaleReason = true, unasked
	}
	if r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		loaded = r.loaded
		s.Freshness, _ = t.freshnessLocked(r, s.State == "running", time.Now())
	}
	if !loaded {
		if peek {
			t.peek(s)
		}
		return s
	}
	if s.Revision = r.head.Revision; r.docAt.Sequence > 0 {
		s.EventID, s.LastChange = r.docAt.ID(), r.docAt.Time
	}
	if r.doc != nil {
		s.Bytes = len(r.doc.Bytes())
	}
	if s.Fault = r.fault; r.fault != nil {
		s.State = "failing"
	}
	return s
}

// isPushed says whether data arrives at a type of source by POST.
func (f *Flow) isPushed(sourceType string) bool {
	k, ok := f.Sources.Lookup(sourceType)
	return ok && k.Pushed
}

// periodOf is how often a source asks upstream; 0 where it never does.
func (f *Flow) periodOf(s freshet.Source) time.Duration {
	k, ok := f.Sources.Lookup(s.Type)
	if !ok || k.Period == nil {
		return 0
	}
	return k.Period(s.Config)
}

// polls says whether the source asks an upstream.
func (t *topic) polls() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.period > 0
}
