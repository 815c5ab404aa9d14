package source

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"time"

	"freshet"
	"freshet/internal/egress"
	"freshet/jsonpatch"
)

func httpPoller() Kind {
	return Kind{
		Name:    "http-poller",
		Summary: "Asks an HTTP API for JSON again and again.",
		Feeds:   []freshet.Kind{freshet.KindSnapshot, freshet.KindEvent},
		Check: func(config json.RawMessage) freshet.Invalid {
			_, wrong := parsePollerConfig(config)
			return wrong
		},
		New: func(config json.RawMessage, env Env) (Source, error) {
			c, wrong := parsePollerConfig(config)
			if wrong != nil {
				return nil, wrong
			}
			return &poller{
				pollerConfig: c,
				client:       env.Client,
				limit:        cmp.Or(int64(env.Limit), freshet.DefaultPayload),
				log:          cmp.Or(env.Log, slog.New(slog.DiscardHandler)),
			}, nil
		},
	}
}

// A poller is the Source of the type http-poller. What it knows of upstream outlives a Run, so that
// a topic whose subscribers come and go still makes conditional requests and still waits as long as
// it was told to. Only the goroutine in Run uses it.
type poller struct {
	*pollerConfig
	client Client
	limit  int64 // bytes of an answer, decompressed
	log    *slog.Logger

	last    []byte     // the answer that the sink took last; nil: none
	valid   validators // of last
	failed  int        // polls in a row that ended in a fault
	until   time.Time  // upstream asked for no request before
	because freshet.Fault
}

// Run polls at once, then once in each period, counted from start to start. A poll that takes
// longer than that skips the periods that it missed: after a pause of any length there is one poll.
func (p *poller) Run(ctx context.Context, to Sink) error {
	if wait := time.Until(p.until); wait > 0 {
		to.Fault(ctx, p.because, 0)
		if !sleep(ctx, wait) {
			return nil
		}
	}
	for {
		start := time.Now()
		ok := p.poll(ctx, to)
		if ctx.Err() != nil {
			return nil
		}
		if ok {
			p.failed = 0
		} else {
			p.failed++
		}
		next := nextPoll(start, time.Now(), time.Duration(p.PollingPeriod), p.failed)
		if next.Before(p.until) {
			next = p.until
		}
		if !sleep(ctx, time.Until(next)) {
			return nil
		}
	}
}

// poll gets one payload to the sink, or one fault, and reports which. While the poll before ended
// in a fault there are no retries: a server that is down gets one request at a time, at growing
// distances, until it answers.
func (p *poller) poll(ctx context.Context, to Sink) (ok bool) {
	for attempt := 0; ; attempt++ {
		start := time.Now()
		a, fail := p.fetch(ctx)
		now := time.Now()
		if ctx.Err() != nil {
			return false
		}
		if fail == nil {
			return p.deliver(ctx, to, a, now, now.Sub(start))
		}
		fail.fault.Time = now
		p.log.DebugContext(ctx, "poll failed", "url", egress.Show(p.target), "attempt", attempt+1, "code", fail.fault.Code, "err", fail.err)
		pause := jitter(backOff(attempt, time.Duration(p.RetryInitial), time.Duration(p.RetryMax), p.RetryFactor))
		if fail.retryAfter > 0 {
			p.until, p.because = now.Add(fail.retryAfter), fail.fault
			pause = max(pause, fail.retryAfter)
		}
		if !fail.passing || p.failed > 0 || attempt >= p.RetryMaxAttempts || fail.retryAfter > time.Duration(p.RetryMax) {
			to.Fault(ctx, fail.fault, now.Sub(start))
			return false
		}
		if !sleep(ctx, pause) {
			return false
		}
	}
}

// deliver hands an answer to the sink, and remembers it if the sink takes it.
func (p *poller) deliver(ctx context.Context, to Sink, a *answer, at time.Time, took time.Duration) (ok bool) {
	if a.notModified {
		to.Unchanged(ctx, at, took)
		return true
	}
	if p.last != nil && bytes.Equal(a.body, p.last) {
		p.valid = a.valid
		to.Unchanged(ctx, at, took)
		return true
	}
	value := a.body
	if p.PayloadPointer != "" {
		var err error
		if value, err = jsonpatch.Lookup(a.body, p.PayloadPointer); err != nil {
			p.last, p.valid = nil, validators{}
			to.Fault(ctx, freshet.Fault{
				Time: at, Code: freshet.FaultFormat, Category: "publication",
				Message: "upstream's answer has no value at payloadPointer " + p.PayloadPointer + ", or is not JSON",
			}, took)
			return false
		}
	}
	if err := to.Payload(ctx, Payload{Data: value, Time: at, Took: took}); err != nil {
		p.last, p.valid = nil, validators{}
		_, faulty := errors.AsType[freshet.Fault](err)
		return !faulty // anything else is no reason to ask upstream less often
	}
	p.last, p.valid = a.body, a.valid
	return true
}

// retries says whether a status is one that the configuration retries.
func (p *poller) retries(status int) bool { return slices.Contains(p.RetryOnHTTPCodes, status) }
