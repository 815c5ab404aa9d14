package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"freshet"
)

// Params are how much load there is. A scenario ignores what it does not use; a zero field takes the
// default of the scenario.
type Params struct {
	Subscribers int
	Topics      int           // subscribers are spread over them evenly
	Quiet       int           // further connections, of fixed, that follow a topic to which nothing is published
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
	Batch       int           // messages in one post at most, where the server takes several: those that are due
	AtATime     int           // connections begun and not answered yet
	Goroutines  bool          // a goroutine per subscriber instead of one event loop, as on systems other than Linux

	// Progress is told what goes on; nil: nobody is.
	Progress func(text string)
}

// The bounds of Params.
const (
	MaxSubscribers = 100_000 // and topics
	MaxRate        = 1e6
	MinSize        = 50 // of a payload, bytes: it says when it was made, and which it is
	MaxSize        = freshet.DefaultPayload
	MaxBehind      = 100_000
	MaxBatch       = 1000
	MaxBatchSize   = 16 << 20 // of a batch, bytes
	MaxAtOnce      = 10_000   // publishers, and connections begun
)

// A Scenario is one kind of load.
type Scenario struct {
	Name     string
	Summary  string
	Uses     []string // the Params that it uses, by the names of the flags of freshet bench
	Defaults Params
	run      func(*run, context.Context) error
}

// Scenarios are all that there are.
func Scenarios() []Scenario {
	uses := func(names string) []string { return strings.Fields("subscribers topics at-a-time " + names) }
	return []Scenario{
		{
			"fixed", "messages at a fixed rate", uses("size rate duration publishers batch"),
			Params{Subscribers: 1000, Topics: 1, Size: 100, Rate: 20, Duration: 10 * time.Second},
			(*run).fixed,
		},
		{
			"saturate", "raise the rate until p99 reaches 100 ms", uses("size rate duration publishers batch"),
			Params{Subscribers: 1000, Topics: 1, Size: 100, Rate: 20, Duration: 2 * time.Second},
			(*run).saturate,
		},
		{
			"burst", "one message to everybody at once, ten times", uses("size"),
			Params{Subscribers: 10_000, Topics: 1, Size: 100},
			(*run).burst,
		},
		{
			"idle", "connections that hold still: what one costs", uses("duration"),
			Params{Subscribers: 10_000, Topics: 1, Duration: 10 * time.Second},
			(*run).idle,
		},
		{
			"topics", "topics that nobody follows: what one costs",
			[]string{"topics", "duration"},
			Params{Topics: 10_000, Duration: 10 * time.Second},
			(*run).idleTopics,
		},
		{"poll", "documents of a synthetic API, polled", uses("size duration period renewed verify"), Params{
			Subscribers: 3000, Topics: 100, Size: 50_000, Period: 500 * time.Millisecond, Renewed: 0.2, Verify: 0.01, Duration: 10 * time.Second,
		}, (*run).poll},
		{
			"resume", "clients that come back and have missed messages", uses("size behind"),
			Params{Subscribers: 1000, Topics: 1, Size: 1000, Behind: 100},
			(*run).resume,
		},
		{
			"storm", "every connection dropped at once; all come back", uses("size rate jitter"),
			Params{Subscribers: 10_000, Topics: 1, Size: 100, Rate: 5, Jitter: 2 * time.Second},
			(*run).storm,
		},
		{
			"slow", "some readers stop reading for a while", uses("size rate duration slow verify"),
			Params{Subscribers: 1000, Topics: 1, Size: 6000, Rate: 100, Slow: 0.05, Duration: 20 * time.Second},
			(*run).slow,
		},
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
	if p.Topics == 0 && p.Subscribers > 0 && d.Subscribers > 0 { // each topic has a follower
		p.Topics = min(p.Subscribers, d.Topics)
	}
	if p.Subscribers == 0 && d.Subscribers > 0 {
		p.Subscribers = max(p.Topics, d.Subscribers)
	}
	p.Topics = cmp.Or(p.Topics, d.Topics)
	p.Size = cmp.Or(p.Size, d.Size)
	p.Rate = cmp.Or(p.Rate, d.Rate)
	p.Duration = cmp.Or(p.Duration, d.Duration)
	p.Period = cmp.Or(p.Period, d.Period)
	p.Renewed = cmp.Or(p.Renewed, d.Renewed)
	p.Verify = cmp.Or(p.Verify, d.Verify)
	p.Slow = cmp.Or(p.Slow, d.Slow)
	p.Jitter = cmp.Or(p.Jitter, d.Jitter)
	p.Behind = cmp.Or(p.Behind, d.Behind)
	p.Publishers = cmp.Or(p.Publishers, 32)
	p.Batch = cmp.Or(p.Batch, 1)
	p.AtATime = cmp.Or(p.AtATime, 128)
	if p.Progress == nil {
		p.Progress = func(string) {}
	}
	return p
}

// Check says why the scenario cannot be run with p; nil: it can.
func (s Scenario) Check(p Params) error {
	p = p.or(s.Defaults)
	followed := slices.Contains(s.Uses, "subscribers")
	switch {
	case p.Topics < 1 || p.Topics > MaxSubscribers:
		return fmt.Errorf("the number of topics must be 1 to %d", MaxSubscribers)
	case followed && (p.Subscribers < 1 || p.Subscribers > MaxSubscribers):
		return fmt.Errorf("the number of subscribers must be 1 to %d", MaxSubscribers)
	case followed && p.Topics > p.Subscribers:
		return fmt.Errorf("each topic needs a subscriber: there are %d topics and %d subscribers", p.Topics, p.Subscribers)
	case p.Quiet < 0 || p.Quiet > MaxSubscribers-p.Subscribers || p.Quiet > 0 && s.Name != "fixed":
		return fmt.Errorf("quiet connections are for fixed, with at most %d in all", MaxSubscribers)
	case p.Duration < 0 || p.Duration > time.Hour || p.Jitter < 0 || p.Jitter > time.Hour:
		return errors.New("an hour is the longest that a load may last")
	case p.Period < 0 || p.Period > time.Hour:
		return errors.New("an hour is the longest that a polling period may be")
	case p.Size != 0 && (p.Size < MinSize || p.Size > MaxSize):
		return fmt.Errorf("a payload must have %d to %d bytes", MinSize, MaxSize)
	case max(p.Verify, p.Slow, p.Renewed) > 1 || min(p.Verify, p.Slow, p.Renewed) < 0:
		return errors.New("a share is 0 to 1")
	case p.Rate < 0 || p.Rate > MaxRate:
		return fmt.Errorf("the rate must be 0 to %.0f messages per second", MaxRate)
	case p.Behind < 0 || p.Behind > MaxBehind:
		return fmt.Errorf("the messages that were missed must be 1 to %d", MaxBehind)
	case p.Batch < 1 || p.Batch > MaxBatch || p.Batch*p.Size > MaxBatchSize:
		return fmt.Errorf("a batch must be 1 to %d messages, and %d bytes at most", MaxBatch, MaxBatchSize)
	case min(p.Publishers, p.AtATime) < 1 || max(p.Publishers, p.AtATime) > MaxAtOnce:
		return fmt.Errorf("connections at a time must be 1 to %d", MaxAtOnce)
	}
	return nil
}
