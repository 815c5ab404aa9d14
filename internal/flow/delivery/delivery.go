package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freshet"
	"freshet/internal/flow/fanout"
)

// A Config is what deliveries work with. At is the revision that a topic was at at a time, and whether its history
// reaches back there; where it does not, the one before the oldest that is kept.
type Config struct {
	Kinds     Set
	Follow    func(freshet.TopicName) (*Following, error)
	Head      func(freshet.TopicName) freshet.Position // of the topic, without following it
	At        func(ctx context.Context, topic freshet.TopicName, t time.Time) (then freshet.Revision, kept bool, err error)
	Records   Records // of the cursors
	Exchanges *Log
	Env       Env
	Metrics   prometheus.Registerer
	Log       *slog.Logger
	// Halted is told that a subscription was suspended or disabled, and why. It stores that, and calls Put.
	Halted func(id freshet.SubscriptionID, status freshet.SubscriptionStatus, reason string)
}

// Deliveries are the subscriptions of a server: their cursors, and of those that are sent to the workers. Close
// them.
type Deliveries struct {
	Config
	lanes    *lanes
	circuits *circuits
	places   *places
	meters   *meters
	base     context.Context //nolint:containedctx // of all workers; ended by Close
	stop     context.CancelFunc
	halts    sync.WaitGroup

	mu  sync.Mutex
	all map[freshet.SubscriptionID]*entry
}

// An entry is a subscription.
type entry struct {
	sub     *freshet.Subscription
	worker  *worker // nil: nothing is sent
	streams map[*stream]struct{}
	origin  *freshet.Revision // of a subscription that has had nothing yet, what its lag counts from; nil: not known
}

// Open reads the cursors.
func Open(ctx context.Context, c Config) (*Deliveries, error) {
	places, err := openPlaces(ctx, c.Records, c.Log)
	if err != nil {
		return nil, err
	}
	d := &Deliveries{Config: c, lanes: newLanes(), circuits: &circuits{log: c.Log, all: map[string]*circuit{}}, places: places, all: map[freshet.SubscriptionID]*entry{}}
	d.base, d.stop = context.WithCancel(context.WithoutCancel(ctx))
	d.meters = newMeters(c.Metrics, d)
	return d, nil
}

// Put makes a subscription work as it says, with its secrets; it is not to be changed any more. One that is
// there already goes on where it is; after a time in which it was not active its attempts begin anew.
func (d *Deliveries) Put(s *freshet.Subscription) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.all[s.ID]
	if e == nil {
		e = &entry{streams: map[*stream]struct{}{}}
		d.all[s.ID] = e
	}
	e.halt()
	resumed := e.sub != nil && e.sub.Status != freshet.SubscriptionActive && s.Status == freshet.SubscriptionActive
	e.sub = s
	if at := d.places.get(s.ID); resumed && at.Attempts > 0 {
		at.Attempts, at.Next = 0, time.Time{}
		d.places.set(s.Topic, s.ID, at)
	}
	if s.Status != freshet.SubscriptionActive {
		e.endStreams(fmt.Errorf("%w: %s is %s", ErrInactive, s.ID, s.Status))
		return nil
	}
	return d.startLocked(e, resumed)
}

// startLocked has a subscription delivered to, if it is one that is sent to: other subscribers come themselves. Where
// somebody has just asked for that it does not wait for an endpoint that fails.
func (d *Deliveries) startLocked(e *entry, asked bool) error {
	kind, ok := d.Kinds.Lookup(e.sub.Type)
	if !ok || d.base.Err() != nil {
		return nil
	}
	w, err := d.newWorker(kind, e.sub)
	if err != nil {
		return err
	}
	if asked {
		d.circuits.ask(w.endpoint)
	}
	ctx, stop := context.WithCancel(d.base)
	w.stop, e.worker = stop, w
	go w.run(ctx)
	return nil
}

func (d *Deliveries) newWorker(kind Kind, s *freshet.Subscription) (*worker, error) {
	env := d.Env
	env.Log = d.Log.With("subscription", string(s.ID), "topic", string(s.Topic))
	target, err := kind.New(s, env)
	if err != nil {
		return nil, fmt.Errorf("subscription %s: %w", s.ID, err)
	}
	w := &worker{d: d, sub: s, target: target, schedule: Standard(), parallel: 1, endpoint: string(s.ID), log: env.Log, done: make(chan struct{}), place: d.places.get(s.ID)}
	if p, ok := target.(Planned); ok {
		w.schedule, w.parallel = p.Plan()
	}
	if e, ok := target.(Endpointed); ok {
		w.endpoint = e.Endpoint()
	}
	return w, nil
}

// halt ends the worker and returns once it has ended.
func (e *entry) halt() {
	if e.worker == nil {
		return
	}
	e.worker.stop()
	e.worker.target.Close() // an attempt under way does not hold it up
	<-e.worker.done
	e.worker = nil
}

// halted is called by a worker that has ended by itself. That another has taken its place meanwhile, as somebody
// resumed the subscription or had it skip what failed, is the newer wish.
func (d *Deliveries) halted(w *worker, why *stoppedError) {
	w.log.WarnContext(d.base, "the subscription gets nothing any more", "status", string(why.status), "reason", why.reason)
	d.meters.halted.WithLabelValues(w.sub.Type, string(why.status)).Inc()
	d.halts.Go(func() {
		if d.isCurrent(w) {
			d.Halted(w.sub.ID, why.status, why.reason)
		}
	})
}

// isCurrent says whether no other worker has taken the place of one. While the deliveries are closed none does.
func (d *Deliveries) isCurrent(w *worker) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.all[w.sub.ID]
	return d.base.Err() != nil || e != nil && e.worker == w
}

// Remove ends a subscription and forgets where it was.
func (d *Deliveries) Remove(id freshet.SubscriptionID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.all[id]
	if e == nil {
		return
	}
	e.halt()
	e.endStreams(fmt.Errorf("%w: subscription %s was deleted", freshet.ErrNotFound, id))
	delete(d.all, id)
	d.places.remove(id)
}

// Test makes one attempt to deliver data, one JSON value, outside of the subscription's order. It is for
// subscriptions of any status.
func (d *Deliveries) Test(ctx context.Context, s *freshet.Subscription, data []byte) (*Exchange, error) {
	now := time.Now().UTC()
	return d.once(ctx, s, PurposeTest, Message{Event: freshet.Event{Type: TypeTest, Time: now, Data: data}})
}

// TypeTest is the type of the event that a test delivers.
const TypeTest freshet.EventType = "test"

// Redeliver makes one attempt to deliver an event of the history, outside of the subscription's order: a
// snapshot of what the topic held then, or the message. freshet.ErrGone where the history has it no more.
func (d *Deliveries) Redeliver(ctx context.Context, s *freshet.Subscription, id string) (*Exchange, error) {
	at, err := freshet.ParsePosition(id)
	if err != nil {
		return nil, freshet.Invalid{{Pointer: "/eventId", Detail: fmt.Sprintf("%.60q is not the id of an event", id)}}
	}
	f, err := d.Follow(s.Topic)
	if err != nil {
		return nil, err
	}
	defer f.Leave()
	if err := f.Feed.Wait(ctx); err != nil {
		return nil, err
	}
	ev, err := eventAt(ctx, f, at, s.Mode)
	if err != nil {
		return nil, err
	}
	return d.once(ctx, s, PurposeRedeliver, Message{Event: ev})
}

// eventAt is an event as it was sent, if the history has it so: a patch, or a document.
func eventAt(ctx context.Context, f *Following, at freshet.Position, mode freshet.Mode) (freshet.Event, error) {
	if mode == freshet.ModeSnapshotPatch && at.Sequence > 0 {
		for ev, err := range f.Feed.History(ctx, fanout.Range{After: freshet.Position{Sequence: at.Sequence - 1}, UpTo: at}) {
			if err == nil && ev.Position == at {
				return ev, nil
			}
		}
	}
	ev, err := f.Feed.AtEvent(ctx, at)
	if errors.Is(err, freshet.ErrGone) || errors.Is(err, fanout.ErrNever) {
		err = freshet.ErrGone // what the journal says of it helps nobody
	}
	if err != nil {
		return freshet.Event{}, fmt.Errorf("event %s of topic %s: %w", at, f.Topic.Name, err)
	}
	return ev, nil
}

func (d *Deliveries) once(ctx context.Context, s *freshet.Subscription, purpose string, m Message) (*Exchange, error) {
	kind, ok := d.Kinds.Lookup(s.Type)
	if !ok {
		return nil, fmt.Errorf("%w: nothing is sent to subscriptions of type %s, which come for it", freshet.ErrNotAllowed, s.Type)
	}
	w, err := d.newWorker(kind, s)
	if err != nil {
		return nil, err
	}
	defer w.target.Close()
	delivery := w.delivery([]Message{m}, 1)
	delivery.Purpose = purpose
	_ = w.attempt(ctx, delivery) // what came of it is in the exchange
	return &delivery.Exchange, nil
}

// Close ends all deliveries and returns once they have ended.
func (d *Deliveries) Close() {
	d.stop()
	d.mu.Lock()
	for _, e := range d.all {
		e.halt()
		e.endStreams(fmt.Errorf("the server is stopping: %w", freshet.ErrUnavailable))
	}
	d.mu.Unlock()
	d.halts.Wait()
	d.places.close()
	d.Exchanges.Close()
}
