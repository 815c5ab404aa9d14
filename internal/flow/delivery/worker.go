package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"freshet"
	"freshet/internal/flow/fanout"
	"freshet/internal/flow/source"
)

// Where a subscription may start, besides at an event or a time, and what it may do when it is behind.
const (
	StartNow       = "now"
	StartBeginning = "beginning"
	BehindLatest   = "latest"
	BehindAll      = "all"
)

// A worker delivers to one subscription.
type worker struct {
	d        *Deliveries
	sub      *freshet.Subscription // replaced with the worker, never changed
	target   Target
	schedule []freshet.Duration
	parallel int    // deliveries at a time; 1: in order
	endpoint string // where they go, as circuits know it
	log      *slog.Logger
	stop     context.CancelFunc
	done     chan struct{}

	mu     sync.Mutex
	place  place
	stored <-chan struct{} // closed once the place is; nil: it is
	slow   bool            // the last attempt took long
}

// run delivers until ctx ends, or until there is to be no attempt any more.
func (w *worker) run(ctx context.Context) {
	defer close(w.done)
	defer w.target.Close()
	const shortest, longest = 50 * time.Millisecond, 5 * time.Second
	for wait := shortest; ; wait = min(2*wait, longest) {
		began := time.Now()
		err := w.follow(ctx)
		if stopped, ok := errors.AsType[*stoppedError](err); ok {
			w.d.halted(w, stopped)
			return
		}
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Minute {
			wait = shortest
		}
		w.log.DebugContext(ctx, "the topic is followed anew", "err", err, "wait", wait)
		if !source.Sleep(ctx, wait) {
			return
		}
	}
}

// A stoppedError is why a subscription gets nothing any more.
type stoppedError struct {
	status freshet.SubscriptionStatus
	reason string
}

func (e *stoppedError) Error() string { return e.reason }

// errSuperseded says that there is something newer than what was about to be tried again.
var errSuperseded = errors.New("superseded")

// follow delivers what the topic's feed has until that ends.
func (w *worker) follow(ctx context.Context) error {
	f, err := w.d.Follow(w.sub.Topic)
	if err != nil {
		return err
	}
	defer f.Leave()
	if err := f.Feed.Wait(ctx); err != nil {
		return err
	}
	walker, err := w.walk(ctx, f)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var flights flights
	defer func() {
		cancel()
		flights.wait()
	}()
	var last time.Time // of a delivery
	for {
		if interval := time.Duration(w.sub.MinInterval); interval > 0 && !last.IsZero() {
			if !source.Sleep(ctx, time.Until(last.Add(interval))) {
				return ctx.Err()
			}
			if w.conflates(f) { // as one change, and not one by one
				if walker, err = w.walk(ctx, f); err != nil {
					return err
				}
			}
		}
		changed := f.Feed.Changed()
		messages, err := w.gather(ctx, walker)
		if err != nil {
			return err
		}
		if len(messages) == 0 {
			select {
			case <-changed:
				continue
			case <-flights.failed():
				return flights.err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		err = w.deliverAll(ctx, f, messages, &flights)
		last = time.Now()
		if errors.Is(err, errSuperseded) {
			walker, err = w.walk(ctx, f)
		}
		if err != nil {
			return err
		}
	}
}

func (w *worker) walk(ctx context.Context, f *Following) (*walker, error) {
	w.mu.Lock()
	at := w.place
	w.mu.Unlock()
	return walk(ctx, f.Feed, f.Topic.Kind, w.sub, at)
}

// conflates says whether what is superseded is skipped.
func (w *worker) conflates(f *Following) bool {
	return f.Topic.Kind == freshet.KindSnapshot && w.sub.Behind != BehindAll && w.parallel == 1
}

// gather is what there is to deliver; with batches it waits a little for more.
func (w *worker) gather(ctx context.Context, walker *walker) ([]Message, error) {
	messages, err := walker.next(ctx)
	b := w.sub.Batch
	if err != nil || b == nil || b.MaxWait == 0 || len(messages) == 0 || len(messages) >= b.MaxEvents {
		return messages, err
	}
	if !source.Sleep(ctx, time.Duration(b.MaxWait)) {
		return nil, ctx.Err()
	}
	more, err := walker.next(ctx)
	return append(messages, more...), err
}

// deliverAll delivers messages, in their order, by themselves or in batches.
func (w *worker) deliverAll(ctx context.Context, f *Following, messages []Message, flights *flights) error {
	for i := 0; len(messages) > 0; i++ {
		n := w.size(messages)
		group := messages[:n:n]
		messages = messages[n:]
		if i > 0 && w.sub.MinInterval > 0 && !source.Sleep(ctx, time.Duration(w.sub.MinInterval)) {
			return ctx.Err()
		}
		if w.parallel > 1 {
			if err := flights.launch(ctx, w, group); err != nil {
				return err
			}
			continue
		}
		if err := w.deliver(ctx, f, group); err != nil {
			return err
		}
	}
	return nil
}

// size is how many of the messages go together.
func (w *worker) size(messages []Message) int {
	b := w.sub.Batch
	if b == nil {
		return 1
	}
	bytes := 0
	for i, m := range messages {
		if bytes += len(m.Data); i > 0 && bytes > int(b.MaxBytes) || i == b.MaxEvents {
			return i
		}
	}
	return len(messages)
}

// deliver delivers one group until it is accepted.
func (w *worker) deliver(ctx context.Context, f *Following, group []Message) error {
	began := f.Feed.Head()
	for {
		w.mu.Lock()
		next, attempts := w.place.Next, w.place.Attempts
		w.mu.Unlock()
		if wait := time.Until(next); attempts > 0 && wait > 0 {
			if !source.Sleep(ctx, wait) {
				return ctx.Err()
			}
			if w.conflates(f) && f.Feed.Head() != began {
				return errSuperseded
			}
		}
		if err := w.await(ctx); err != nil {
			return err
		}
		d := w.delivery(group, attempts+1)
		err := w.attempt(ctx, d)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			w.delivered(group)
			return nil
		}
		w.mu.Lock()
		w.place.Attempts, w.place.Next = d.Attempt, time.Time{}
		if d.more {
			w.place.Next = time.Now().Add(d.wait).UTC()
		}
		w.mu.Unlock()
		if err := w.failed(ctx, d, err, true); err != nil {
			return err
		}
	}
}

// await returns once the place is stored.
func (w *worker) await(ctx context.Context) error {
	w.mu.Lock()
	stored := w.stored
	w.mu.Unlock()
	if stored == nil {
		return ctx.Err()
	}
	select {
	case <-stored:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *worker) delivery(group []Message, attempt int) *Delivery {
	last := group[len(group)-1]
	return &Delivery{
		ID: string(w.sub.ID) + "_" + last.MessageID(), Subscription: w.sub.ID, Topic: w.sub.Topic,
		Messages: group, Batched: w.sub.Batch != nil, Attempt: attempt, Purpose: PurposeEvent,
	}
}

// attempt makes one attempt, in its lane, and writes it down.
func (w *worker) attempt(ctx context.Context, d *Delivery) error {
	if d.Purpose == PurposeEvent && d.Attempt == 1 && !w.d.circuits.pass(ctx, w.endpoint) {
		return ctx.Err()
	}
	w.mu.Lock()
	slow := w.slow
	w.mu.Unlock()
	var err error
	if !w.d.lanes.run(ctx, slow, func(leave func()) { err = w.attemptNow(ctx, d, leave) }) {
		return ctx.Err()
	}
	return err
}

// attemptNow makes an attempt that has its place in a lane.
func (w *worker) attemptNow(ctx context.Context, d *Delivery, leave func()) error {
	start := time.Now()
	err := w.target.Deliver(ctx, d)
	took := time.Since(start)
	leave()
	w.mu.Lock()
	w.slow = took > slowAfter || err != nil
	w.mu.Unlock()
	if err != nil {
		d.wait, d.more = w.wait(d.Attempt, err)
	}
	if ctx.Err() == nil { // an attempt that was broken off says nothing of the endpoint
		name := w.endpoint
		if name == string(w.sub.ID) { // it is this subscription's alone
			name = cmp.Or(d.Exchange.Request.To, name)
		}
		w.d.circuits.report(w.endpoint, name, err)
	}
	w.d.meters.attempt(w.sub.Type, err, took, len(d.Messages))
	w.record(ctx, d, start, took, err)
	return err
}

// record writes an attempt down.
func (w *worker) record(ctx context.Context, d *Delivery, start time.Time, took time.Duration, err error) {
	last := d.Messages[len(d.Messages)-1]
	e := &d.Exchange
	e.Subscription, e.Topic, e.Delivery, e.Purpose, e.Attempt = d.Subscription, d.Topic, d.ID, d.Purpose, d.Attempt
	e.EventID, e.EventType, e.Events = last.MessageID(), last.Type, len(d.Messages)
	e.Start, e.Millis, e.Outcome = start.UTC(), float64(took.Microseconds())/1000, OutcomeDelivered
	if err != nil {
		e.Outcome, e.Error = OutcomeFailed, err.Error()
		if d.Purpose == PurposeEvent && d.more {
			e.Next = start.Add(took + d.wait).UTC()
		}
	}
	if err := w.d.Exchanges.Add(e); err != nil {
		w.log.WarnContext(ctx, "an exchange is not in the log", "err", err)
	}
}

// delivered moves the cursor.
func (w *worker) delivered(group []Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := place{At: w.place.At, Time: w.place.Time, Delivered: time.Now().UTC(), Error: w.place.Error}
	for _, m := range group {
		if m.Sequence > 0 {
			next.At, next.Time = m.ID(), m.Time
		}
	}
	w.place = next
	w.stored = w.d.places.set(w.sub.Topic, w.sub.ID, next)
}

// failed keeps why an attempt failed, and of what where everything before that was delivered: it is next. An error
// means that there is to be no other.
func (w *worker) failed(ctx context.Context, d *Delivery, cause error, next bool) error {
	refusal, _ := errors.AsType[*Refusal](cause)
	last := d.Messages[len(d.Messages)-1].MessageID()
	w.mu.Lock()
	w.place.Error = &freshet.DeliverError{Time: time.Now().UTC(), EventID: last, Message: cause.Error()}
	if refusal != nil {
		w.place.Error.Code = refusal.Status
	}
	if next {
		w.place.Failed = failureOf(d.Messages)
	}
	way := ""
	if w.place.Failed != nil && w.place.Failed.At == last {
		way = fmt.Sprintf("; POST /v1/subscriptions/%s:skip goes on after it", w.sub.ID)
	}
	w.stored = w.d.places.set(w.sub.Topic, w.sub.ID, w.place)
	w.mu.Unlock()
	if d.Attempt == 1 && d.more {
		w.log.InfoContext(ctx, "a delivery failed, and is tried again", "event", last, "err", cause)
	}
	switch {
	case refusal != nil && refusal.Gone:
		return &stoppedError{freshet.SubscriptionSuspended, "the receiver wants nothing any more: " + cause.Error()}
	case !d.more:
		return &stoppedError{freshet.SubscriptionDisabled, fmt.Sprintf("event %s could not be delivered in %d attempts, the last of which ended with: %s%s", last, d.Attempt, cause, way)}
	}
	return nil
}

// wait is how long to wait after so many attempts that failed; false: there is no other.
func (w *worker) wait(attempts int, cause error) (time.Duration, bool) {
	d, more := pause(w.schedule, attempts+1)
	if refusal, ok := errors.AsType[*Refusal](cause); ok {
		if refusal.Gone {
			return 0, false
		}
		d = max(d, refusal.RetryAfter)
	}
	return d, more
}

// A Following is a topic that is followed.
type Following struct {
	Feed  *fanout.Feed
	Topic *freshet.Topic
	Leave func()
}
