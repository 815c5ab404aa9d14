// Package httppoller asks an HTTP API for JSON again and again.
package httppoller

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"freshet"
	"freshet/internal/egress"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/credentials"
	"freshet/internal/flow/source/filter"
	"freshet/internal/flow/source/formats"
	"freshet/internal/flow/source/origin"
	"freshet/internal/flow/source/webhook"
	"freshet/internal/settings"
	"freshet/jsonpatch"
)

// Kind is the type http-poller.
func Kind() source.Kind {
	return source.Kind{
		Name:    "http-poller",
		Summary: "Asks an HTTP API for JSON again and again.",
		Notes:   notes + "\n" + formats.Notes,
		Feeds:   []freshet.Kind{freshet.KindSnapshot, freshet.KindEvent},
		Config:  config{},
		Check:   source.Check[config],
		Period: func(conf json.RawMessage) time.Duration {
			var c config
			if settings.Read(conf, &c) != nil {
				return 0
			}
			return time.Duration(c.PollingPeriod)
		},
		New: newPoller,
	}
}

//go:embed notes.md
var notes string

func newPoller(conf json.RawMessage, env source.Env) (source.Source, error) {
	c := &config{}
	if wrong := settings.Read(conf, c); wrong != nil {
		return nil, wrong
	}
	own := env
	own.Client = c.TLS.Client(env)
	signer, err := c.Authorization.New(own)
	if err != nil {
		return nil, fmt.Errorf("http-poller: %w", err)
	}
	var hook source.Verifier
	if c.Hook != nil {
		hook = webhook.NewVerifier(*c.Hook, env)
	}
	return &poller{
		hook:          hook,
		filters:       cmp.Or(env.Filters, filter.Runner(&filter.Here{})),
		computedNames: slices.Sorted(maps.Keys(c.Computed)),
		guard:         guard{schema: c.schema, shrink: c.ShrinkGuard},

		config:  c,
		client:  own.Client,
		foreign: env.Client,
		signer:  signer,
		origins: cmp.Or(env.Origins, &origin.Origins{}),
		home:    origin.Name(c.target),
		written: c.target.String(),
		accept:  []string{acceptOf(c.Format)}, encodings: []string{"gzip, deflate"},
		secrets: env.Secrets,
		limit:   cmp.Or(int64(env.Limit), freshet.DefaultPayload),
		log:     cmp.Or(env.Log, slog.New(slog.DiscardHandler)),
		phase:   env.Phase,
		turn:    turn{asked: make(chan struct{}, 1)},
		digests: digester{maphash.MakeSeed(), maphash.MakeSeed()},
	}, nil
}

// A poller is the Source of the type http-poller. What it knows of upstream outlives a Run, so that
// a topic whose subscribers come and go still makes conditional requests and still waits as long as
// it was told to. Only the goroutine in Run uses it.
type poller struct {
	*config
	client    source.Client // for the origin of the configured URL
	foreign   source.Client // for others
	signer    credentials.Signer
	origins   *origin.Origins
	home      string   // the name of the configured URL's origin
	written   string   // the configured URL
	accept    []string // values of fields that each request has, which nobody changes
	encodings []string
	secrets   settings.Vault
	limit     int64 // bytes of an answer, decompressed
	log       *slog.Logger
	phase     float64 // where in the period polls are to be, by the clock, 0 to 1; 0: anywhere
	digests   digester

	filters       filter.Runner
	computedNames []string // sorted
	guard         guard
	fresh, kept   []page      // of the answer that is being read, and of the one that the sink took last
	header        http.Header // of the first page of the answer that is being read
	succeeded     time.Time   // when the last poll that succeeded was begun

	planned func(next time.Time)  // tells the sink
	waits   func(until time.Time) // tells it too …
	waited  bool                  // … and notes it here

	last    *digest    // of the answer that the sink took last; nil: none
	valid   validators // of that answer
	failed  int        // polls in a row that ended in a fault
	due     time.Time  // when the next poll is to be
	stays   time.Time  // until when the last answer said that it stays as it is
	rhythm  rhythm
	turn    turn
	hook    source.Verifier // nil: there is none
	told    bool            // somebody asked for the poll that is made now
	until   time.Time       // upstream asked for no request before
	because freshet.Fault
}

// Run polls once in each period, at once where the last poll of an earlier Run is longer ago. Periods are
// counted between the times at which polls are due, so that one which comes late does not move the others:
// polls that meet once would else stay together. A poll that takes longer than the period skips those
// that it missed: after a pause of any length there is one poll.
func (p *poller) Run(ctx context.Context, to source.Sink) error {
	p.planned = to.Planned
	p.waits = func(until time.Time) {
		p.waited = true
		to.Planned(until)
	}
	p.recall(ctx, to)
	if wait := time.Until(p.until); wait > 0 {
		to.Fault(ctx, p.because, 0)
	}
	if now := time.Now(); now.Sub(p.due) > p.period(now)/16 { // it was due while nobody wanted it
		p.due = inWindow(p.Windows, now)
	}
	if !p.sleepUntilDue(ctx) {
		return nil
	}
	for {
		if closed := p.origin(p.target).Closed(); closed != nil {
			if !p.waitFor(ctx, to, closed) {
				return nil
			}
			continue
		}
		now := time.Now()
		to.Planned(now.Add(p.period(now))) // as far as is known before the answer
		ok := p.poll(ctx, to)
		now = time.Now()
		if ctx.Err() != nil {
			p.due = p.due.Add(p.period(now)) // the request that was cut off counts
			return nil
		}
		if ok {
			p.failed = 0
		} else {
			p.failed++
		}
		p.due = p.next(now)
		if !p.sleepUntilDue(ctx) {
			return nil
		}
	}
}

// waitFor waits until the origin may be asked again: with others, but not all at once.
func (p *poller) waitFor(ctx context.Context, to source.Sink, closed *origin.ClosedError) bool {
	if closed.Because.Code != 0 {
		to.Fault(ctx, closed.Because, 0)
	}
	spread := min(p.period(time.Now()), time.Minute)
	p.due = inWindow(p.Windows, closed.Until.Add(time.Duration(p.phase*float64(spread))))
	to.Planned(p.due)
	return source.Sleep(ctx, time.Until(p.due))
}

// period is how far apart polls are to be now.
func (p *poller) period(now time.Time) time.Duration {
	if p.Adaptive == nil {
		return time.Duration(p.PollingPeriod)
	}
	return p.rhythm.period(p.Adaptive, time.Duration(p.PollingPeriod), now)
}

// next is when the poll after the one that is over is due.
func (p *poller) next(now time.Time) time.Time {
	period := p.period(now)
	due := nextPoll(p.due, now, period, p.failed)
	if p.phase > 0 && p.failed == 0 && p.Adaptive == nil {
		due = due.Add(towards(phaseIn(period, p.phase), due, period))
	}
	if due.Before(p.stays) {
		due = p.stays
	}
	if due.Before(p.until) {
		due = p.until
	}
	if in := inWindow(p.Windows, due); in.After(due) {
		// Topics whose windows open at the same time do not all begin at once.
		due = in.Add(time.Duration(p.phase * float64(min(period, time.Minute))))
	}
	return due
}

// plan tells when the next poll will be: when it is due, and its origin takes a request.
func (p *poller) plan() {
	if at := p.origin(p.target).Next(); at.After(p.due) {
		p.planned(at)
		return
	}
	p.planned(p.due)
}

// poll gets one payload to the sink, or one fault, and reports which. While the poll before ended
// in a fault there are no retries: a server that is down gets one request at a time, at growing
// distances, until it answers.
func (p *poller) poll(ctx context.Context, to source.Sink) (ok bool) {
	for attempt := 0; ; attempt++ {
		start := time.Now()
		p.turn.begin(start)
		a, fail := p.document(ctx, start)
		now := time.Now()
		if ctx.Err() != nil {
			return false
		}
		if fail == nil {
			return p.deliver(ctx, to, a, start, now)
		}
		fail.fault.Time = now
		p.log.DebugContext(ctx, "poll failed", "url", egress.Show(p.target), "attempt", attempt+1, "code", fail.fault.Code, "err", fail.err)
		pause := source.Jitter(source.BackOff(attempt, time.Duration(p.RetryInitial), time.Duration(p.RetryMax), p.RetryFactor))
		if fail.retryAfter > 0 {
			p.until, p.because = now.Add(fail.retryAfter), fail.fault
			p.turn.forbid(p.until)
			pause = max(pause, fail.retryAfter)
		}
		if !fail.passing || p.failed > 0 || attempt >= p.RetryMaxAttempts || fail.retryAfter > time.Duration(p.RetryMax) {
			to.Fault(ctx, fail.fault, now.Sub(start))
			return false
		}
		if !source.Sleep(ctx, pause) {
			return false
		}
	}
}

// document makes one attempt at the whole document.
func (p *poller) document(ctx context.Context, now time.Time) (*answer, *failure) {
	at := p.address(now)
	if p.Pagination != nil {
		return p.pages(ctx, at)
	}
	q := asking{limit: p.limit}
	if p.last != nil {
		q.valid, q.expected = p.valid, p.last.size
	}
	return p.fetch(ctx, at, q)
}

// deliver hands an answer to the sink, and remembers it if the sink takes it.
func (p *poller) deliver(ctx context.Context, to source.Sink, a *answer, start, at time.Time) (ok bool) {
	took := at.Sub(start)
	p.stays = time.Time{}
	if !p.IgnoreCache {
		p.stays = at.Add(freshFor(a.header))
	}
	if a.notModified {
		p.kept, p.succeeded = p.fresh, start
		to.Unchanged(ctx, at, took)
		return true
	}
	now := p.digests.of(a.body)
	if p.last != nil && *p.last == now {
		p.valid, p.kept, p.succeeded = a.valid, p.fresh, start
		to.Unchanged(ctx, at, took)
		return true
	}
	missed := p.hook != nil && !p.told && p.last != nil
	p.last, p.valid, p.kept = nil, validators{}, nil // until the sink has taken this one
	value, fail := p.payload(ctx, a)
	if fail != nil {
		fail.fault.Time = at
		p.log.DebugContext(ctx, "answer refused", "url", egress.Show(p.target), "code", fail.fault.Code, "err", fail.err)
		to.Fault(ctx, fail.fault, took)
		return false
	}
	if err := to.Payload(ctx, source.Payload{Data: value, Time: at, Took: took, Mark: p.mark(start, len(value)), Missed: missed}); err != nil {
		_, faulty := errors.AsType[freshet.Fault](err)
		return !faulty // anything else is no reason to ask upstream less often
	}
	p.last, p.valid, p.kept, p.succeeded = &now, a.valid, p.fresh, start
	p.guard.took(value)
	p.rhythm.note(true, at)
	return true
}

// payload is what an answer comes to.
func (p *poller) payload(ctx context.Context, a *answer) (value []byte, fail *failure) {
	if value = a.body; !a.whole {
		if value, fail = p.decode(a); fail != nil {
			return nil, fail
		}
		if p.PayloadPointer != "" {
			var err error
			if value, err = jsonpatch.Lookup(value, p.PayloadPointer); err != nil {
				return nil, p.noPart(err)
			}
		}
	}
	if value, fail = p.transformed(ctx, value); fail != nil {
		return nil, fail
	}
	if fail = p.guard.admits(value, p.digests); fail != nil {
		return nil, fail
	}
	return value, nil
}

// decode is an answer's body as JSON.
func (p *poller) decode(a *answer) ([]byte, *failure) {
	if p.GraphQL != nil {
		if f := graphQLErrors(a.body); f != nil {
			return nil, f
		}
	}
	body, label, err := inUTF8(a.header, a.body, p.Format)
	if err != nil {
		return nil, faultf(freshet.FaultFormat, "upstream's answer is in the charset %.40q, which is not known", label)
	}
	data, err := formats.Parse(p.Format, body, p.FormatOptions)
	switch {
	case err != nil:
		f := faultf(freshet.FaultFormat, "upstream's answer is not %s", p.Format)
		if at, ok := errors.AsType[*csv.ParseError](err); ok { // which quotes nothing
			f.fault.Message += fmt.Sprintf(": line %d, %v", at.Line, at.Err)
		}
		f.err = err // may quote what upstream sent
		return nil, f
	case int64(len(data)) > p.limit:
		return nil, faultf(freshet.FaultSize, "upstream's answer is larger as JSON than limits.payload, %v", freshet.Bytes(p.limit))
	}
	return data, nil
}

// A mark is what a poller wants to know after a restart.
type mark struct {
	Succeeded time.Time `json:"succeeded"` // the start of the poll
	Size      int       `json:"size"`      // of the payload, in bytes
}

// mark is that of a payload; "" where nobody will ask.
func (p *poller) mark(start time.Time, size int) string {
	if len(p.Computed) == 0 && !p.ShrinkGuard {
		return ""
	}
	text, err := json.Marshal(mark{start.UTC(), size})
	if err != nil {
		return "" // cannot be: the year has four digits
	}
	return string(text)
}

// recall reads the mark of the last payload that was taken, where nothing is known yet.
func (p *poller) recall(ctx context.Context, to source.Sink) {
	if !p.succeeded.IsZero() || len(p.Computed) == 0 && !p.ShrinkGuard {
		return
	}
	text, err := to.Mark(ctx)
	var m mark
	if err == nil && text != "" && json.Unmarshal([]byte(text), &m) == nil {
		p.succeeded, p.guard.size = m.Succeeded, m.Size
	}
}

// retries says whether a status is one that the configuration retries.
func (p *poller) retries(status int) bool { return slices.Contains(p.RetryOnHTTPCodes, status) }

// A digest stands for an answer, so that the whole of it need not be kept to tell whether the next
// is the same: 128 bits by secret seeds, which nobody can aim at and chance does not meet.
type digest struct {
	size int
	sums [2]uint64
}

type digester [2]maphash.Seed

func (d *digester) of(body []byte) digest {
	return digest{len(body), [2]uint64{maphash.Bytes(d[0], body), maphash.Bytes(d[1], body)}}
}
