package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"freshet"
)

// resume lets clients come back that have missed messages, and measures until each has them all.
func (r *run) resume(ctx context.Context) error {
	if err := r.create(ctx, pushed(r.prefix, freshet.KindEvent, r.Topics)); err != nil {
		return err
	}
	from := make([]string, r.Topics)
	r.say("publishing %d messages that are missed", r.Behind)
	for i := range from {
		for k := range r.Behind + 1 {
			id, err := r.publisher.one(ctx, func(s stamp) post { return r.postTo(i, message(s, r.Size)) })
			if err != nil {
				return err
			}
			if k == 0 {
				from[i] = unquote(id)
			}
		}
		if r.server.Earliest != "" {
			from[i] = r.server.Earliest
		}
	}
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	want := r.Behind
	if r.server.Earliest != "" {
		want++ // the first one is not known, and so not left out
	}
	cpu, _, err := r.usage()
	if err != nil {
		return err
	}
	began := time.Now()
	err = r.connect(ctx, func(c *FleetConfig) {
		c.Want = want
		c.Start = func(topic int) string { return from[topic] }
	})
	if err != nil {
		return err
	}
	t, err := r.fleet.gather(ctx, 30*time.Second, "have all they missed", func(t *Tally) int { return int(t.Completion.Count()) }, r.say)
	wall := time.Since(began)
	if err != nil && !errors.Is(err, errLate) {
		return err
	}
	after, memory, err := r.usage()
	if err != nil {
		return err
	}
	r.report.count(t)
	r.report.Published, r.report.Memory = int64(r.Topics*(r.Behind+1)), memory
	r.report.Expected, r.report.Delivered = int64(r.Subscribers*want), t.Events
	r.report.Missing = r.report.Expected - t.Events
	r.report.rates(t, t.Events, wall, after-cpu)
	r.report.quantiles(&t.Completion)
	return nil
}

func unquote(etag string) string {
	if len(etag) > 1 && etag[0] == '"' && etag[len(etag)-1] == '"' {
		return etag[1 : len(etag)-1]
	}
	return etag
}

// storm drops every connection at once while messages are published.
func (r *run) storm(ctx context.Context) error {
	r.Publishers = 1 // one after the other, so that the order is known
	if err := r.ready(ctx); err != nil {
		return err
	}
	start := time.Now()
	r.fleet.Window(start, start.Add(time.Hour))
	publishing := make(chan sent, 1)
	d := 2*time.Second + 2*r.Jitter
	go func() { publishing <- r.publisher.run(ctx, r.Rate, d, r.message) }()
	stop := r.watch(ctx)
	defer stop()
	err := sleep(ctx, time.Second)
	var back time.Duration
	if err == nil {
		r.say("dropping %d connections", r.Subscribers)
		dropped := time.Now()
		r.fleet.Drop(r.Jitter)
		err = r.fleet.Ready(ctx, r.Jitter+30*time.Second, r.say)
		back = time.Since(dropped)
	}
	sent := <-publishing
	if err != nil {
		return fmt.Errorf("not everybody came back: %w", err)
	}
	expected := sent.messages * int64(r.Subscribers) / int64(r.Topics)
	t, err := r.fleet.Until(ctx, tail, func(t *Tally) bool { return t.Stamped >= expected })
	if err != nil && !errors.Is(err, errLate) {
		return err
	}
	r.report.delivery(t, expected, time.Duration(t.last-start.UnixNano()), 0)
	r.report.Published = sent.messages
	r.report.Back = back.Seconds()
	return nil
}

// slow compares the latency of the others before and while some readers have stopped reading, and what
// those cost the server.
func (r *run) slow(ctx context.Context) error {
	r.Publishers = 1 // documents must come in their order
	if err := r.create(ctx, pushed(r.prefix, freshet.KindSnapshot, r.Topics)); err != nil {
		return err
	}
	r.ledger = newLedger(r.Topics)
	docs := make([]*document, r.Topics)
	for i := range docs {
		docs[i] = newDocument(i, r.Size, 0.25)
	}
	publish := func(s stamp) post {
		topic := s.number % r.Topics
		doc, number := docs[topic].next(s.at)
		r.ledger.put(topic, number, doc)
		return r.postTo(topic, doc)
	}
	for range r.Topics {
		if _, err := r.publisher.one(ctx, publish); err != nil {
			return err
		}
	}
	if err := r.connect(ctx, func(c *FleetConfig) { c.Slow = r.Slow }); err != nil {
		return err
	}
	phase := func(d time.Duration) (*phase, error) {
		p := &phase{}
		cpu, _, err := r.usage()
		if err != nil {
			return nil, err
		}
		start := time.Now()
		r.fleet.Window(start, start.Add(d))
		peak, stop := r.peak(ctx, d), r.watch(ctx)
		sent := r.publisher.run(ctx, r.Rate, d, publish)
		stop()
		p.memory = <-peak
		r.report.Published += sent.messages
		if ctx.Err() == nil && sent.failed > 0 {
			return nil, fmt.Errorf("not everything could be published: %w", sent.failure)
		}
		if err := sleep(ctx, settle); err != nil {
			return nil, err
		}
		p.tally, p.took = r.fleet.Tally(), time.Since(start)
		after, _, err := r.usage()
		p.cpu = after - cpu
		return p, err
	}
	r.publisher.run(ctx, r.Rate, time.Second, publish)
	if err := r.fleet.stay(); err != nil {
		return err
	}
	// What grows to its level with time alone, such as the caches of the journal, is not to count.
	r.say("everybody reads, until memory is at its level")
	if _, err := phase(r.Duration); err != nil {
		return err
	}
	r.say("everybody reads")
	before, err := phase(r.Duration)
	if err != nil {
		return err
	}
	r.say("%.0f %% of the readers stop for %s", 100*r.Slow, r.Duration)
	r.fleet.Pause(true)
	during, err := phase(r.Duration)
	if err != nil {
		return err
	}
	r.say("they read again")
	r.fleet.Pause(false)
	return r.compare(ctx, before, during)
}

// A phase is what came in a part of a scenario, and what it cost.
type phase struct {
	tally     *Tally
	took, cpu time.Duration
	memory    int64 // the most that the server held
}

// peak is the most memory that the server holds while d passes.
func (r *run) peak(ctx context.Context, d time.Duration) <-chan int64 {
	most := make(chan int64, 1)
	go func() {
		var peak int64
		for end := time.Now().Add(d); ; {
			if _, memory, err := r.usage(); err == nil { // one that is not known fails elsewhere
				peak = max(peak, memory)
			}
			if !time.Now().Before(end) || sleep(ctx, min(d/20, time.Until(end)+time.Millisecond)) != nil {
				most <- peak
				return
			}
		}
	}()
	return most
}

// compare reports the phases, once those who stopped had the time to end with the newest document.
func (r *run) compare(ctx context.Context, before, during *phase) error {
	right, wrong := r.fleet.final()
	for deadline := time.Now().Add(tail); wrong > 0 && time.Now().Before(deadline); right, wrong = r.fleet.final() {
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	slow := max(int(r.Slow*float64(r.Subscribers)), 1)
	r.report.delivery(during.tally, during.tally.Stamped, during.took, during.cpu)
	r.report.Expected, r.report.Missing = 0, 0 // documents are combined: what came is what counts
	r.report.P99Before = ms(before.tally.Latency.Quantile(0.99))
	r.report.MemoryBase, r.report.Memory = before.memory, during.memory
	r.report.MemoryPerSlow = r.each("slow reader", during.memory-before.memory, slow)
	r.report.Final, r.report.FinalWrong = right, wrong
	end := r.fleet.Tally()
	r.report.Lost, r.report.Wrong, r.report.Verified = end.Lost, end.Wrong, end.Verified
	return nil
}
