package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"freshet"
)

// tail is how long what was published may take to come before it counts as missing.
const tail = 5 * time.Second

// publish posts messages for a time and reports what came of them.
func (r *run) publish(ctx context.Context, rate float64, d time.Duration) (*Tally, sent, error) {
	cpu, _, err := r.usage()
	if err != nil {
		return nil, sent{}, err
	}
	start := time.Now()
	r.fleet.Window(start, start.Add(time.Hour))
	stop := r.watch(ctx)
	most := r.Batch
	if r.server.PublishBatch == nil {
		most = 1
	}
	sent := r.publisher.runBatches(ctx, rate, d, most, r.messages)
	stop()
	if err := ctx.Err(); err != nil {
		return nil, sent, context.Cause(ctx)
	}
	if sent.messages == 0 {
		return nil, sent, fmt.Errorf("nothing could be published: %w", sent.failure)
	}
	expected := sent.messages * int64(r.Subscribers) / int64(r.Topics)
	t, err := r.fleet.Until(ctx, tail, func(t *Tally) bool { return t.Stamped >= expected })
	if err != nil && !errors.Is(err, errLate) {
		return nil, sent, err
	}
	after, memory, err := r.usage()
	if err != nil {
		return nil, sent, err
	}
	r.report.delivery(t, expected, max(d, time.Duration(t.last-start.UnixNano())), after-cpu)
	r.report.Published, r.report.Unpublished, r.report.Memory = sent.messages, sent.failed, memory
	return t, sent, nil
}

// settle lets what connecting left behind come to rest.
const settle = 300 * time.Millisecond

func (r *run) ready(ctx context.Context) error {
	if err := r.create(ctx, pushed(r.prefix, freshet.KindEvent, r.Topics+min(r.Quiet, 1))); err != nil {
		return err
	}
	if err := r.connect(ctx, nil); err != nil {
		return err
	}
	// The first messages find cold paths; they count nowhere.
	r.publisher.run(ctx, 20, settle, r.message)
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	return r.fleet.stay()
}

func (r *run) fixed(ctx context.Context) error {
	if err := r.ready(ctx); err != nil {
		return err
	}
	r.say("publishing %.0f messages a second for %s", r.Rate, r.Duration)
	_, _, err := r.publish(ctx, r.Rate, r.Duration)
	return err
}

// saturate raises the rate by half until p99 reaches 100 ms or what is published does not get through
// in its time, and then looks between the last two rates, until they are a fifth apart or less. A step that fails is
// tried twice more, as somebody else may have had the processor.
func (r *run) saturate(ctx context.Context) error {
	if err := r.ready(ctx); err != nil {
		return err
	}
	best := *r.report
	var steps []Step
	low, high := 0.0, math.Inf(1) // rates that got through, and did not
	for rate, tries := r.Rate, 0; high > 1.2*low && !(low == 0 && tries == 3); {
		t, sent, err := r.publish(ctx, rate, r.Duration)
		if err != nil {
			return err
		}
		step := Step{Rate: rate, EventsPerSecond: r.report.EventsPerSecond, P99: r.report.P99}
		wanted := rate * float64(r.Subscribers) / float64(r.Topics)
		step.Good = t.Latency.Quantile(0.99) < 100*time.Millisecond && r.report.EventsPerSecond > 0.95*wanted &&
			r.report.Missing == 0 && sent.failed == 0
		steps = append(steps, step)
		r.say("%.0f events/s wanted, %.0f came, p99 %.1f ms", wanted, step.EventsPerSecond, step.P99)
		switch tries++; {
		case step.Good:
			best, low, tries = *r.report, rate, 0
		case tries < 3 || low == 0:
			continue
		default:
			high, tries = rate, 0
		}
		if rate = 1.5 * low; high < math.Inf(1) {
			rate = math.Sqrt(low * high)
		}
	}
	*r.report = best
	r.report.Steps = steps
	if best.EventsPerSecond == 0 {
		r.report.Notes = append(r.report.Notes, fmt.Sprintf("not even the first rate, %s messages/s, got through with p99 under 100 ms (it was %.1f ms): begin with a lower --rate",
			strconv.FormatFloat(r.Rate, 'f', -1, 64), steps[0].P99))
	}
	return nil
}

const bursts = 10

// burst sends single messages, each once the one before has come everywhere.
func (r *run) burst(ctx context.Context) error {
	if err := r.ready(ctx); err != nil {
		return err
	}
	cpu, _, err := r.usage()
	if err != nil {
		return err
	}
	var all Tally
	var last []time.Duration // when the last subscriber had it
	for i := range bursts {
		r.say("burst %d of %d", i+1, bursts)
		r.fleet.Window(time.Now(), time.Now().Add(time.Hour))
		if _, err := r.publisher.one(ctx, r.message); err != nil {
			return err
		}
		t, err := r.fleet.Until(ctx, tail, func(t *Tally) bool { return t.Stamped >= int64(r.Subscribers/r.Topics) })
		if err != nil && !errors.Is(err, errLate) {
			return err
		}
		all.add(t)
		last = append(last, t.Latency.Max())
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	after, memory, err := r.usage()
	if err != nil {
		return err
	}
	r.report.delivery(&all, int64(bursts*(r.Subscribers/r.Topics)), 0, after-cpu)
	r.report.Published, r.report.Memory = bursts, memory
	slices.Sort(last)
	r.report.Burst = ms(last[len(last)/2])
	return nil
}

// firstFollowers gives each of several topics a follower, so that what a topic costs that is followed is
// not taken for a cost of the connections to come.
func (r *run) firstFollowers(ctx context.Context) error {
	if r.Topics == 1 {
		return nil
	}
	if err := r.connect(ctx, func(c *FleetConfig) { c.Subscribers = r.Topics }); err != nil {
		return err
	}
	r.first = r.fleet
	return nil
}

// idle measures what connections cost that nothing is sent on.
func (r *run) idle(ctx context.Context) error {
	if err := r.create(ctx, pushed(r.prefix, freshet.KindEvent, r.Topics)); err != nil {
		return err
	}
	for range r.Topics { // each has begun, and costs what it costs
		if _, err := r.publisher.one(ctx, r.message); err != nil {
			return err
		}
	}
	if err := r.firstFollowers(ctx); err != nil {
		return err
	}
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	before, base, err := r.usage()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := r.connect(ctx, nil); err != nil {
		return err
	}
	r.report.ConnectsPerSecond = float64(r.Subscribers) / time.Since(began).Seconds()
	connected, _, err := r.usage()
	if err != nil {
		return err
	}
	r.say("%d connected, holding for %s", r.Subscribers, r.Duration)
	if err := sleep(ctx, r.Duration); err != nil {
		return err
	}
	held, memory, err := r.usage()
	if err != nil {
		return err
	}
	t := r.fleet.Tally()
	r.report.count(t)
	r.report.Seconds = r.Duration.Seconds()
	r.report.CPUPerConnect = us(connected-before) / float64(r.Subscribers)
	r.report.IdleCPU = 100 * (held - connected).Seconds() / r.Duration.Seconds()
	r.report.MemoryBase, r.report.Memory = base, memory
	r.report.MemoryPerConnection = r.each("connection", memory-base, r.Subscribers)
	if t.Open != r.Subscribers {
		return fmt.Errorf("only %d of %d connections stayed open", t.Open, r.Subscribers)
	}
	return nil
}

// idleTopics measures what topics cost that nothing happens to.
func (r *run) idleTopics(ctx context.Context) error {
	const first = 10 // find the server cold, and are no part of what is measured
	topics := pushed(r.prefix, freshet.KindSnapshot, r.Topics+first)
	for i := range topics {
		topics[i].Source.AlwaysOn = false
	}
	if err := r.create(ctx, topics[:first]); err != nil {
		return err
	}
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	_, base, err := r.usage()
	if err != nil {
		return err
	}
	if err := r.create(ctx, topics[first:]); err != nil {
		return err
	}
	r.say("holding for %s", r.Duration)
	if err := sleep(ctx, r.Duration); err != nil {
		return err
	}
	_, memory, err := r.usage()
	if err != nil {
		return err
	}
	r.report.Subscribers, r.report.Seconds = 0, r.Duration.Seconds()
	r.report.MemoryBase, r.report.Memory = base, memory
	r.report.MemoryPerTopic = r.each("topic", memory-base, r.Topics)
	return nil
}

// documents waits until everybody has one. Where the server cannot get at them it says so at once.
func (r *run) documents(ctx context.Context) error {
	came := func(t *Tally) bool { return t.Events-t.Faults >= int64(r.Subscribers) }
	t, err := r.fleet.Until(ctx, 20*time.Second+r.Period, func(t *Tally) bool { return came(t) || t.Faults > 0 })
	switch {
	case err != nil && !errors.Is(err, errLate):
		return err
	case t.Faults > 0:
		return fmt.Errorf("the server cannot poll the synthetic API at %s: %s; %s", r.origin.URL(0), said(t.lastFault), allow)
	case err != nil:
		return fmt.Errorf("no documents come from the synthetic API at %s: %w; %s", r.origin.URL(0), err, allow)
	}
	if err := sleep(ctx, 2*r.Period); err != nil {
		return err
	}
	return r.fleet.stay()
}

// allow is what lets a server poll the synthetic API.
const allow = "it must be allowed to reach loopback: egress: {allow: [127.0.0.0/8]} in its configuration or FRESHET_EGRESS_ALLOW=127.0.0.0/8; freshet dev is"

// said is the message of a fault.
func said(fault []byte) string {
	var f struct{ Message string }
	if json.Unmarshal(fault, &f) == nil && f.Message != "" {
		return f.Message
	}
	return string(fault)
}

// poll lets the server poll documents, and measures from the origin's answer.
func (r *run) poll(ctx context.Context) (err error) {
	if r.origin, err = StartOrigin(ctx, r.Topics, r.Size, r.Renewed); err != nil {
		return err
	}
	r.ledger = r.origin.ledger
	topics, err := polled(r.prefix, r.origin, r.Topics, r.Period)
	if err != nil {
		return err
	}
	if err := r.create(ctx, topics); err != nil {
		return err
	}
	if err := r.connect(ctx, nil); err != nil {
		return err
	}
	if err := r.documents(ctx); err != nil {
		return err
	}
	r.say("following for %s", r.Duration)
	cpu, _, err := r.usage()
	if err != nil {
		return err
	}
	// The fleet must count from the start of the window on, so that it begins a moment later.
	start := time.Now().Add(20 * time.Millisecond)
	end := start.Add(r.Duration)
	r.origin.window(start, end)
	r.fleet.Window(start, end)
	stop := r.watch(ctx)
	err = sleep(ctx, time.Until(end))
	stop()
	if err != nil {
		return err
	}
	polls := r.origin.inWindow()
	after, memory, err := r.usage()
	if err != nil {
		return err
	}
	expected := polls * int64(r.Subscribers) / int64(r.Topics)
	r.report.Published, r.report.Memory = polls, memory
	t, err := r.fleet.Until(ctx, time.Second, func(t *Tally) bool { return t.Stamped >= expected })
	if err != nil && !errors.Is(err, errLate) {
		return err
	}
	r.report.delivery(t, expected, r.Duration, after-cpu)
	return nil
}
