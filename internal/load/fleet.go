package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// A FleetConfig says which subscribers there are.
type FleetConfig struct {
	Addr        string      // host:port of the server
	TLS         *tls.Config // nil: plain HTTP
	Subscribers int
	Topics      int // subscriber i follows topic i modulo Topics
	Quiet       int // the last ones of Subscribers, that follow topic number Topics
	// Request makes the head of the request for a topic after an event id, "" for none: everything up to
	// and with the empty line.
	Request    func(topic int, lastID string) []byte
	Start      func(topic int) string // the event id to begin with; nil: none
	WebSocket  bool                   // not server-sent events
	Revisions  bool                   // ids begin with the revision, as Freshet's do, and are checked
	AtATime    int                    // connections begun and not answered yet; 128
	Want       int                    // events after which a subscriber is complete; 0: no such thing
	Verify     float64                // share of subscribers that keep their document and compare it
	Slow       float64                // share of subscribers that Pause stops; they verify too
	Goroutines bool                   // one per connection, as on systems other than Linux, and with TLS

	ledger *ledger
}

// A Tally is what subscribers got.
type Tally struct {
	Open       int   // connections now
	Events     int64 // dispatched, of any kind
	Stamped    int64 // with a stamp in the window
	Bytes      int64 // received, headers included
	Faults     int64 // error events
	Gaps       int64 // messages missed
	Repeats    int64 // revisions that came again, or out of order
	Skipped    int64 // revisions of documents that were left out for a combined patch
	Resets     int64 // histories begun anew
	Lost       int64 // connections that ended though nobody here ended them
	Refused    int64 // connections that did not come about
	Verified   int64 // documents compared and right
	Wrong      int64 // documents compared and different
	Latency    Histogram
	Opening    Histogram // from connect to the header
	Completion Histogram // from connect to the last of the events wanted

	since, until int64
	last         int64 // when the last stamped event came, ns
	failure      error
	refusal      error // why the last of those that are Refused was
	lastFault    []byte
}

func (t *Tally) add(o *Tally) {
	t.Open += o.Open
	t.Events += o.Events
	t.Stamped += o.Stamped
	t.Bytes += o.Bytes
	t.Faults += o.Faults
	t.Gaps += o.Gaps
	t.Repeats += o.Repeats
	t.Skipped += o.Skipped
	t.Resets += o.Resets
	t.Lost += o.Lost
	t.Refused += o.Refused
	t.Verified += o.Verified
	t.Wrong += o.Wrong
	t.Latency.Add(&o.Latency)
	t.Opening.Add(&o.Opening)
	t.Completion.Add(&o.Completion)
	t.last = max(t.last, o.last)
	if o.failure != nil {
		t.failure = o.failure
	}
	if o.refusal != nil {
		t.refusal = o.refusal
	}
	if o.lastFault != nil {
		t.lastFault = o.lastFault
	}
}

// A Fleet is any number of subscribers of one server.
type Fleet struct {
	config FleetConfig
	loops  []*loop
}

// StartFleet begins to connect. The caller ends it with Close.
func StartFleet(ctx context.Context, c FleetConfig) (*Fleet, error) {
	addr, err := new(net.Resolver).LookupNetIP(ctx, "ip", hostOf(c.Addr))
	if err != nil || len(addr) == 0 {
		return nil, fmt.Errorf("server %s: %w", c.Addr, err)
	}
	if c.AtATime == 0 {
		c.AtATime = 128
	}
	f := &Fleet{config: c}
	for range max(runtime.NumCPU()/2, 1) {
		l := &loop{fleet: f, tapes: map[int]*tape{}, atATime: max(c.AtATime/max(runtime.NumCPU()/2, 1), 1)}
		l.tally.since = math.MaxInt64
		if l.network, err = newNetwork(l, addr[0].Unmap(), portOf(c.Addr), c); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.loops = append(f.loops, l)
	}
	every := func(share float64, i int) bool { // evenly spread, the first of them at once
		return share > 0 && int(float64(i)*share) != int(float64(i-1)*share) || share > 0 && i == 0
	}
	for i := range c.Subscribers {
		l := f.loops[i%len(f.loops)]
		topic := i % c.Topics
		if i >= c.Subscribers-c.Quiet {
			topic = c.Topics
		}
		s := &subscriber{loop: l, index: i, topic: topic, slow: every(c.Slow, i)}
		s.verify = s.slow || every(c.Verify, i)
		if c.Start != nil {
			s.id = []byte(c.Start(s.topic))
			s.revision, _ = digits(s.id)
		}
		l.subscribers = append(l.subscribers, s)
	}
	f.each(func(l *loop) {
		for _, s := range l.subscribers {
			l.connect(s)
		}
	})
	return f, nil
}

// opened is the status of an answer that is a stream.
func (f *Fleet) opened() int {
	if f.config.WebSocket {
		return http.StatusSwitchingProtocols
	}
	return http.StatusOK
}

func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}

func portOf(addr string) int {
	_, port, _ := net.SplitHostPort(addr) // a bad one does not connect, and says so
	n, _ := strconv.Atoi(port)
	return n
}

// each runs fn in every loop and returns when all have.
func (f *Fleet) each(fn func(*loop)) {
	var wg sync.WaitGroup
	for _, l := range f.loops {
		wg.Add(1)
		if !l.network.do(func() {
			defer wg.Done()
			fn(l)
		}) {
			wg.Done()
		}
	}
	wg.Wait()
}

// Tally is what came so far.
func (f *Fleet) Tally() *Tally {
	total := &Tally{}
	var mu sync.Mutex
	f.each(func(l *loop) {
		mu.Lock()
		defer mu.Unlock()
		total.add(&l.tally)
	})
	return total
}

// Window starts all counts anew, connections excepted. From now on events count as stamped whose
// stamps are in [since, until).
func (f *Fleet) Window(since, until time.Time) {
	f.each(func(l *loop) {
		l.tally = Tally{Open: l.tally.Open, since: since.UnixNano(), until: until.UnixNano()}
	})
}

// Drop cuts every connection at once; each comes back after a random part of jitter, with the id of
// the last event it got.
func (f *Fleet) Drop(jitter time.Duration) {
	f.each(func(l *loop) {
		for _, s := range l.subscribers {
			l.drop(s)
			l.later(s, time.Duration(rand.Int64N(int64(jitter)+1))) //nolint:gosec // no secret
		}
	})
}

// Pause makes the slow subscribers stop or go on reading.
func (f *Fleet) Pause(on bool) {
	f.each(func(l *loop) {
		for _, s := range l.subscribers {
			if s.slow && s.state == stateOpen {
				l.network.pause(s, on)
			}
		}
	})
}

// final says how many verifying subscribers end with the newest document of their topic, and of those
// how many are slow ones.
func (f *Fleet) final() (right, wrong int) {
	var mu sync.Mutex
	f.each(func(l *loop) {
		mu.Lock()
		defer mu.Unlock()
		for _, s := range l.subscribers {
			if !s.verify {
				continue
			}
			st, _ := findStamp(s.doc)
			if same, _ := f.config.ledger.holds(s.topic, s.doc); same && st.number == f.config.ledger.last(s.topic) {
				right++
			} else {
				wrong++
			}
		}
	})
	return right, wrong
}

// Close ends every connection and waits for the loops.
func (f *Fleet) Close() error {
	var errs []error
	for _, l := range f.loops {
		errs = append(errs, l.network.close())
	}
	return errors.Join(errs...)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
