package client

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"freshet"
	"freshet/client/internal/sse"
)

// ErrEnded means that the server ended the stream for good: its topic was deleted. It is a freshet.ErrGone.
var ErrEnded error = endedError{}

type endedError struct{}

func (endedError) Error() string { return "the topic was deleted" }
func (endedError) Unwrap() error { return freshet.ErrGone }

// FollowOptions tunes Follow. Its zero value follows from now on in the topic's default mode.
type FollowOptions struct {
	Mode freshet.Mode // what to be sent; the topic's default

	// LastEventID resumes after an event. Document is the document held there, which the patches that
	// follow apply to; without it Update.Doc stays nil until the next snapshot.
	LastEventID string
	Document    []byte

	// From "beginning" starts an event topic with the oldest message kept, where LastEventID is empty.
	From string

	// Silence is how long nothing may come, not even a heartbeat (the server sends one every 5 s),
	// before the connection is taken for dead. Default 30 s.
	Silence time.Duration

	// OnRetry is told why a connection ended and how long until the next; an error from it ends Follow.
	OnRetry func(err error, wait time.Duration) error

	// Status asks for an update of the type freshet.TypeStatus whenever the topic becomes stale, or fresh, or
	// stale for another reason, and at the beginning. It changes nothing of the document.
	Status bool

	Compress bool // ask for gzip

	// Raw gets a copy of the streams line by line, heartbeats included; of an update, before it is
	// yielded.
	Raw io.Writer
}

// Follow yields what happens to a topic, a name or an absolute URL. It connects again for ever when
// a connection ends or fails, after the time that the server asked for, more where that does not
// help, never in step with others; and it resumes where it was. A patch that does not fit is never
// applied: the document is fetched afresh, and the next update says so by its Reset.
//
// It ends without an error when ctx does. An error is its last item: ErrEnded, or a Problem that a
// new attempt would not mend (freshet.ErrNotFound, freshet.ErrMode, freshet.ErrNotAllowed …).
func (c *Client) Follow(ctx context.Context, topic string, o FollowOptions) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		f := follower{client: c, topic: topic, options: o, state: state{id: o.LastEventID, doc: o.Document}, retry: defaultRetry}
		err := f.run(ctx, func(u Update) bool { return yield(u, nil) })
		if err != nil && ctx.Err() == nil && !errors.Is(err, errBreak) {
			yield(Update{}, fmt.Errorf("follow %s: %w", topic, err))
		}
	}
}

const (
	defaultSilence = 30 * time.Second
	defaultRetry   = time.Second      // until the server says something else
	maxWait        = 30 * time.Second // unless the server asks for more
)

// A follower is one call of Follow.
type follower struct {
	client  *Client
	topic   string
	options FollowOptions
	state   state
	retry   time.Duration // what the server asked for last
	failed  int           // connections since the last progress
}

// lost is why a connection ended that is worth another. Every other error is final.
type lost struct {
	why  error
	wait time.Duration // the server asks for at least this
}

func (l *lost) Error() string { return l.why.Error() }
func (l *lost) Unwrap() error { return l.why }

func (f *follower) run(ctx context.Context, yield func(Update) bool) error {
	for {
		start := time.Now()
		err := f.connect(ctx, yield)
		l, again := errors.AsType[*lost](err)
		if !again || ctx.Err() != nil {
			return err
		}
		if time.Since(start) > maxWait {
			f.failed = 0 // a quiet topic, whose connection held longer than any wait
		}
		wait := max(f.backOff(), l.wait)
		f.failed++
		if f.options.OnRetry != nil {
			if err := f.options.OnRetry(l.why, wait); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// backOff is never less than the server asked for, doubles from one vain connection to the next, and
// is spread by half, so that the clients of a server that restarts do not come back as one.
func (f *follower) backOff() time.Duration {
	wait := f.retry
	for range f.failed {
		if wait >= maxWait {
			break
		}
		wait = min(2*max(wait, 100*time.Millisecond), maxWait)
	}
	return wait + rand.N(wait/2+1) //nolint:gosec // spreading load needs no secret
}

// connect follows one connection to its end. It never returns nil.
func (f *follower) connect(ctx context.Context, yield func(Update) bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := f.options.Silence
	if silence <= 0 {
		silence = defaultSilence
	}
	watch := time.AfterFunc(silence, func() { cancel(fmt.Errorf("nothing came for %v", silence)) })
	defer watch.Stop()

	req, err := f.request(ctx)
	if err != nil {
		return err
	}
	res, err := f.client.do(req)
	if p, ok := errors.AsType[*Problem](err); ok {
		if p.passes() {
			return &lost{p, p.RetryAfter}
		}
		return p
	}
	if err != nil {
		return &lost{cause(ctx, err), 0}
	}
	defer res.Body.Close()
	if err := checkStream(res); err != nil {
		return err
	}
	body := &pulse{r: res.Body, watch: watch, silence: silence}
	var stream io.Reader = body
	compressed := res.Header.Get("Content-Encoding") == "gzip"
	if compressed {
		if stream, err = gzip.NewReader(body); err != nil {
			return &lost{cause(ctx, err), 0}
		}
	}
	reader := sse.NewReader(stream, int(f.client.limit), f.state.id)
	if f.options.Raw != nil {
		reader.Tap(f.options.Raw)
	}
	err = f.read(reader, yield, func(e sse.Event) int {
		if compressed {
			return body.take()
		}
		return e.Bytes
	})
	if l, ok := errors.AsType[*lost](err); ok {
		if limit := res.Header.Get("Freshet-Over-Limit"); limit != "" {
			l.why = fmt.Errorf("%w: the server has as many streams as its limit allows (%s)", freshet.ErrUnavailable, limit)
		}
		l.why = cause(ctx, l.why)
	}
	return err
}

// cause is why an operation under ctx really failed.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}

func (f *follower) request(ctx context.Context) (*http.Request, error) {
	if strings.ContainsFunc(f.state.id, unicode.IsControl) {
		f.state.id = "" // no header can carry it, so that it would fail for ever
	}
	query := url.Values{}
	if f.options.From != "" && f.state.id == "" {
		query.Set("from", f.options.From)
	}
	if f.options.Status {
		query.Set("status", "true")
	}
	u, err := f.client.live(f.topic, query)
	if err != nil {
		return nil, err
	}
	// The mode goes into Accept: an absolute URL's query is not ours.
	accept := eventStream
	if f.options.Mode != "" {
		accept = mime.FormatMediaType(eventStream, map[string]string{"mode": string(f.options.Mode)})
	}
	encoding := "identity" // otherwise Go asks for gzip by itself
	if f.options.Compress {
		encoding = "gzip"
	}
	return f.client.request(ctx, http.MethodGet, u, nil, "Accept", accept, "Accept-Encoding", encoding,
		"Cache-Control", "no-store", "Last-Event-ID", f.state.id)
}

const eventStream = "text/event-stream"

func checkStream(res *http.Response) error {
	if res.StatusCode == http.StatusNoContent {
		return ErrEnded
	}
	if got, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); got != eventStream {
		return fmt.Errorf("the answer is %q with status %d, not %s: is this a Freshet server?", got, res.StatusCode, eventStream)
	}
	return nil
}

// read yields the events of one connection. It never returns nil.
func (f *follower) read(s *sse.Reader, yield func(Update) bool, bytes func(sse.Event) int) error {
	for {
		e, err := s.Next()
		if retry, ok := s.Retry(); ok {
			f.retry = retry
		}
		if errors.Is(err, sse.ErrTooLong) {
			return fmt.Errorf("%w: %w", freshet.ErrTooLarge, err)
		}
		if err != nil {
			f.state.id = s.LastID()
			// A server that stops, or deletes the topic, leaves the final chunk out so that clients come back.
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = errClosed
			}
			return &lost{err, 0}
		}
		u, ok, err := f.state.apply(e)
		if err != nil {
			return &lost{err, 0}
		}
		if !f.state.doubtful {
			f.failed = 0
		}
		if !ok {
			continue
		}
		u.Bytes = bytes(e)
		if !yield(u) {
			return errBreak
		}
	}
}

var errClosed = errors.New("the server closed the connection")

// A pulse is a stream that must not be silent for long while it is read.
type pulse struct {
	r       io.Reader
	watch   *time.Timer
	silence time.Duration
	n       int // bytes since the last take
}

func (p *pulse) Read(b []byte) (int, error) {
	p.watch.Reset(p.silence)
	n, err := p.r.Read(b)
	p.watch.Stop()
	p.n += n
	return n, err
}

func (p *pulse) take() int {
	n := p.n
	p.n = 0
	return n
}
