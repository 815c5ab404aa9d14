// Package load puts a server under load and measures what its subscribers get.
//
// Run makes topics, connects subscribers, publishes or lets the server poll a synthetic API, and
// reports what came: how much, how late, what was missing, and what it cost the server. Publisher,
// origin and subscribers share one clock, the host's.
package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"freshet"
)

// Run puts a server under the load of a scenario, and takes away what it made. It is over by itself:
// what does not come in time is reported as missing.
func Run(ctx context.Context, server *Server, scenario Scenario, p Params) (report *Report, err error) {
	live := p.Progress != nil
	if err := scenario.Check(p); err != nil {
		return nil, err
	}
	if err := server.Check(); err != nil {
		return nil, err
	}
	p = p.or(scenario.Defaults)
	r := &run{server: server, Params: p, live: live, report: &Report{Scenario: scenario.Name, Subscribers: p.Subscribers, Topics: p.Topics, Quiet: p.Quiet, Size: p.Size}}
	if doubt := server.doubt(); doubt != "" {
		r.say("%s", doubt)
		r.report.Notes = append(r.report.Notes, doubt)
	}
	r.prefix = "bench-" + strconv.FormatUint(rand.Uint64N(36*36*36*36*36*36), 36) + "-" //nolint:gosec // no secret
	defer func() {
		// What was made is removed though ctx has ended.
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, r.close(after))
	}()
	if err := scenario.run(r, ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", scenario.Name, err)
	}
	if r.report.Expected > 0 && r.report.Delivered == 0 {
		return nil, fmt.Errorf("%s: none of the %s that were due came", scenario.Name, count(int(r.report.Expected), "event"))
	}
	return r.report, nil
}

// A run is one scenario under way.
type run struct {
	Params
	server    *Server
	live      bool // somebody looks at the progress
	report    *Report
	prefix    string // of the topics' names
	topics    []freshet.Topic
	made      int // of them, for certain
	origin    *Origin
	ledger    *ledger
	fleet     *Fleet
	first     *Fleet // followers that are not measured; nil: none
	publisher *publisher
}

func (r *run) close(ctx context.Context) error {
	var errs []error
	if r.publisher != nil {
		r.publisher.close()
	}
	if r.fleet != nil {
		errs = append(errs, r.fleet.Close())
	}
	if r.first != nil && r.first != r.fleet {
		errs = append(errs, r.first.Close())
	}
	errs = append(errs, r.remove(ctx))
	if r.origin != nil {
		errs = append(errs, r.origin.Close())
	}
	return errors.Join(errs...)
}

func (r *run) say(format string, args ...any) { r.Progress(fmt.Sprintf(format, args...)) }

// watch tells each second what comes, until it is stopped.
func (r *run) watch(ctx context.Context) (stop func()) {
	if !r.live {
		return func() {} // asking the subscribers takes a little of their time
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		last := r.fleet.Tally().Events
		for n := 1; sleep(ctx, time.Second) == nil; n++ {
			t := r.fleet.Tally()
			r.say("%3d s: %s events/s, p99 %.1f ms so far, %s%s", n, thousands(int(max(t.Events-last, 0))), ms(t.Latency.Quantile(0.99)), count(t.Open, "connection"), refusals(t))
			last = t.Events
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// create makes the topics.
func (r *run) create(ctx context.Context, topics []freshet.Topic) error {
	r.topics = append(r.topics, topics...)
	if r.publisher == nil {
		r.publisher = newPublisher(r.server, r.Publishers)
	}
	if r.server.Create == nil {
		return nil
	}
	r.say("making %s", count(len(topics), "topic"))
	made, err := inParallel(ctx, topics, r.server.Create)
	r.made += made
	if err != nil {
		return fmt.Errorf("make the topics: %w", err)
	}
	return nil
}

// remove takes the topics away, those too whose creation failed, as that may be less certain than it looks.
func (r *run) remove(ctx context.Context) error {
	if r.server.Remove == nil || len(r.topics) == 0 {
		return nil
	}
	if r.made > 0 {
		r.say("removing %s", count(r.made, "topic"))
	}
	if _, err := inParallel(ctx, r.topics, r.server.Remove); err != nil && r.made > 0 {
		return fmt.Errorf("topics whose names begin with %s are left behind: %w", r.prefix, err)
	}
	return nil
}

// connect brings every subscriber to the server. change may alter what they are.
func (r *run) connect(ctx context.Context, change func(*FleetConfig)) error {
	c := FleetConfig{
		Addr: r.server.Addr, TLS: r.server.TLS, Subscribers: r.Subscribers + r.Quiet, Topics: r.Topics, Quiet: r.Quiet, Revisions: r.server.Revisions,
		AtATime: r.AtATime, Verify: r.Verify, Goroutines: r.Goroutines, WebSocket: r.server.WebSocket, ledger: r.ledger,
		Request: func(topic int, lastID string) []byte { return r.server.request(string(r.topics[topic].Name), lastID) },
	}
	if change != nil {
		change(&c)
	}
	r.say("connecting %s", count(c.Subscribers, "subscriber"))
	var err error
	if r.fleet, err = StartFleet(ctx, c); err != nil {
		return err
	}
	if c.Want > 0 {
		return nil
	}
	return r.fleet.Ready(ctx, 30*time.Second+time.Duration(c.Subscribers)*perConnect, r.say)
}

// perConnect is how long a connection may take to come about on average, with a TLS handshake on both ends.
const perConnect = 5 * time.Millisecond

// message is the post of a message; topics take turns.
func (r *run) message(s stamp) post {
	return r.postTo(s.number%r.Topics, message(s, r.Size))
}

// messages is the post of several messages, to the topic whose turn it is.
func (r *run) messages(s []stamp) post {
	if len(s) == 1 {
		return r.message(s[0])
	}
	bodies := make([][]byte, len(s))
	for i := range s {
		bodies[i] = message(s[i], r.Size)
	}
	target, header, body := r.server.PublishBatch(string(r.topics[s[0].number%r.Topics].Name), bodies)
	return post{target, header, body}
}

func (r *run) postTo(topic int, body []byte) post {
	target, header, body := r.server.Publish(string(r.topics[topic].Name), body)
	return post{target, header, body}
}

// usage is what the server has used so far, and holds now.
func (r *run) usage() (cpu time.Duration, memory int64, err error) {
	cpu, err = processTime(r.server.Processes)
	if err != nil {
		return 0, 0, err
	}
	memory, err = processMemory(r.server.Processes)
	return cpu, memory, err
}
