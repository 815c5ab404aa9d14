// Package load puts a server under load and measures what its subscribers get.
//
// Run makes topics, connects subscribers, publishes or lets the server poll a synthetic API, and
// reports what came: how much, how late, what was missing, and what it cost the server. Publisher,
// origin and subscribers share one clock, the host's.
package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"freshet"
)

// Params are how much load there is. What a scenario does not speak of it ignores; a zero field takes
// the default of the scenario.
type Params struct {
	Subscribers int
	Topics      int           // subscribers are spread over them evenly
	Size        int           // of a message or document, bytes
	Rate        float64       // messages per second, all topics together
	Duration    time.Duration // of what is measured; of one step where the rate rises
	Period      time.Duration // of polls
	Renewed     float64       // share of a document's records that each poll finds renewed, 0 to 1
	Verify      float64       // share of subscribers that apply every patch and compare the document, 0 to 1
	Slow        float64       // share of subscribers that stop reading for Duration, 0 to 1
	Jitter      time.Duration // in which those that were dropped come back
	Behind      int           // messages that those who resume have missed
	Publishers  int           // connections that post
	AtATime     int           // connections begun and not answered yet
	Goroutines  bool          // a goroutine per subscriber instead of one event loop, as on systems other than Linux

	// Progress is told what goes on; nil: nobody is.
	Progress func(text string)
}

// MaxSubscribers bounds Params.Subscribers.
const MaxSubscribers = 100_000

// A Scenario is one kind of load.
type Scenario struct {
	Name     string
	Summary  string
	Defaults Params
	run      func(*run, context.Context) error
}

// Scenarios are all that there are.
func Scenarios() []Scenario {
	return []Scenario{
		{"fixed", "messages at a fixed rate", Params{Subscribers: 1000, Topics: 1, Size: 100, Rate: 20, Duration: 10 * time.Second}, (*run).fixed},
		{"saturate", "raise the rate until p99 reaches 100 ms", Params{Subscribers: 1000, Topics: 1, Size: 100, Rate: 20, Duration: 2 * time.Second}, (*run).saturate},
		{"burst", "one message to everybody at once, ten times", Params{Subscribers: 10_000, Topics: 1, Size: 100}, (*run).burst},
		{"idle", "connections that hold still: what one costs", Params{Subscribers: 10_000, Topics: 1, Duration: 10 * time.Second}, (*run).idle},
		{"topics", "topics that nobody follows: what one costs", Params{Subscribers: 1, Topics: 10_000}, (*run).idleTopics},
		{"poll", "documents of a synthetic API, polled", Params{
			Subscribers: 3000, Topics: 100, Size: 50_000, Period: 500 * time.Millisecond, Renewed: 0.2, Verify: 0.01, Duration: 10 * time.Second,
		}, (*run).poll},
		{"resume", "clients that come back and have missed messages", Params{Subscribers: 1000, Topics: 1, Size: 1000, Behind: 100}, (*run).resume},
		{"storm", "every connection dropped at once; all come back", Params{Subscribers: 10_000, Topics: 1, Size: 100, Rate: 5, Jitter: 2 * time.Second}, (*run).storm},
		{"slow", "some readers stop reading for a while", Params{Subscribers: 1000, Topics: 1, Size: 6000, Rate: 100, Slow: 0.05, Duration: 20 * time.Second}, (*run).slow},
	}
}

// Find returns the scenario of that name.
func Find(name string) (Scenario, bool) {
	all := Scenarios()
	i := slices.IndexFunc(all, func(s Scenario) bool { return s.Name == name })
	if i < 0 {
		return Scenario{}, false
	}
	return all[i], true
}

func (p Params) or(d Params) Params {
	p.Subscribers = cmp.Or(p.Subscribers, d.Subscribers)
	p.Topics = cmp.Or(p.Topics, d.Topics)
	p.Size = cmp.Or(p.Size, d.Size)
	p.Rate = cmp.Or(p.Rate, d.Rate)
	p.Duration = cmp.Or(p.Duration, d.Duration, 10*time.Second)
	p.Period = cmp.Or(p.Period, d.Period)
	p.Renewed = cmp.Or(p.Renewed, d.Renewed)
	p.Verify = cmp.Or(p.Verify, d.Verify)
	p.Slow = cmp.Or(p.Slow, d.Slow)
	p.Jitter = cmp.Or(p.Jitter, d.Jitter)
	p.Behind = cmp.Or(p.Behind, d.Behind)
	p.Publishers = cmp.Or(p.Publishers, 32)
	p.AtATime = cmp.Or(p.AtATime, 128)
	if p.Progress == nil {
		p.Progress = func(string) {}
	}
	return p
}

func (p Params) check(scenario string) error {
	switch {
	case scenario == "topics" && p.Topics > 0 && p.Topics <= MaxSubscribers: // nobody follows
		return nil
	case p.Subscribers < 1 || p.Subscribers > MaxSubscribers:
		return fmt.Errorf("the number of subscribers must be 1 to %d", MaxSubscribers)
	case p.Topics < 1 || p.Topics > p.Subscribers:
		return errors.New("there must be a topic at least, and a subscriber at least for each")
	case p.Duration > time.Hour:
		return errors.New("an hour is the longest that a load may last")
	case p.Size > freshet.DefaultPayload:
		return fmt.Errorf("a payload may have %d bytes at most", freshet.DefaultPayload)
	case p.Verify > 1 || p.Slow > 1 || p.Renewed > 1 || min(p.Verify, p.Slow, p.Renewed) < 0:
		return errors.New("a share is 0 to 1")
	case p.Rate < 0 || p.Rate > 1e6:
		return errors.New("the rate must be 1 to 1000000 messages per second")
	}
	return nil
}

// Run puts a server under the load of a scenario, and takes away what it made. It is over by itself:
// what does not come in time is reported as missing.
func Run(ctx context.Context, server *Server, scenario Scenario, p Params) (report *Report, err error) {
	live := p.Progress != nil
	p = p.or(scenario.Defaults)
	if err := p.check(scenario.Name); err != nil {
		return nil, err
	}
	r := &run{server: server, Params: p, live: live, report: &Report{Scenario: scenario.Name, Subscribers: p.Subscribers, Topics: p.Topics, Size: p.Size}}
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
	origin    *Origin
	ledger    *ledger
	fleet     *Fleet
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
	if r.server.Remove != nil && len(r.topics) > 0 {
		r.say("removing the topics")
		if err := r.server.Remove(ctx, r.topics); err != nil {
			errs = append(errs, fmt.Errorf("topics whose names begin with %s are left behind: %w", r.prefix, err))
		}
	}
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
			r.say("%3d s: %s events/s, p99 %.1f ms so far, %d connections", n, thousands(int(max(t.Events-last, 0))), ms(t.Latency.Quantile(0.99)), t.Open)
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
	r.topics = topics
	r.publisher = newPublisher(r.server, r.Publishers)
	if r.server.Create == nil {
		return nil
	}
	r.say("making %d topics", len(topics))
	if err := r.server.Create(ctx, topics); err != nil {
		return fmt.Errorf("make the topics: %w", err)
	}
	return nil
}

// connect brings every subscriber to the server. change may alter what they are.
func (r *run) connect(ctx context.Context, change func(*FleetConfig)) error {
	c := FleetConfig{
		Addr: r.server.Addr, TLS: r.server.TLS, Subscribers: r.Subscribers, Topics: r.Topics, Revisions: r.server.Revisions,
		AtATime: r.AtATime, Verify: r.Verify, Goroutines: r.Goroutines, ledger: r.ledger,
		Request: func(topic int, lastID string) []byte { return r.server.request(string(r.topics[topic].Name), lastID) },
	}
	if change != nil {
		change(&c)
	}
	r.say("connecting %d subscribers", c.Subscribers)
	var err error
	if r.fleet, err = StartFleet(ctx, c); err != nil {
		return err
	}
	if c.Want > 0 {
		return nil
	}
	return r.fleet.Ready(ctx, 30*time.Second+time.Duration(c.Subscribers)*perConnect)
}

// perConnect is how long a connection may take to come about on average, with a TLS handshake on both ends.
const perConnect = 5 * time.Millisecond

// message is the post of a message; topics take turns.
func (r *run) message(s stamp) post {
	return r.postTo(s.number%len(r.topics), message(s, r.Size))
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
