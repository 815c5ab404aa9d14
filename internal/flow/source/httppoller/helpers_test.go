package httppoller_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/all"
	"freshet/internal/flow/source/origin"
)

// A recorder is a Sink that writes down what it is told, with the time since it was made.
type recorder struct {
	start  time.Time
	refuse func(data []byte) error // may be nil
	each   func(line string)       // may be nil

	mu    sync.Mutex
	lines []string
	times []time.Duration
	mark  string

	planned []time.Duration
}

func (r *recorder) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	r.mu.Lock()
	r.lines = append(r.lines, line)
	r.times = append(r.times, time.Since(r.start))
	r.mu.Unlock()
	if r.each != nil {
		r.each(line)
	}
}

func (r *recorder) Planned(next time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.planned = append(r.planned, next.Sub(r.start))
}

func (r *recorder) Mark(context.Context) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mark, nil
}

func (r *recorder) Payload(_ context.Context, ps ...source.Payload) error {
	p := ps[0]
	if p.Time.IsZero() || p.Took < 0 {
		r.note("a payload without a time")
	}
	r.note("payload %s", p.Data)
	if r.refuse != nil {
		return r.refuse(p.Data)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mark = p.Mark
	return nil
}

func (r *recorder) Unchanged(context.Context, time.Time, time.Duration) { r.note("unchanged") }

func (r *recorder) Fault(_ context.Context, f freshet.Fault, _ time.Duration) {
	if f.Time.IsZero() || f.Category != "publication" {
		r.note("an incomplete fault")
	}
	r.note("fault %d %s", f.Code, f.Message)
}

// heard are the lines so far, without the words after a fault's code.
func (r *recorder) heard() (short []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lines {
		if strings.HasPrefix(l, "fault ") {
			l = l[:len("fault 70000")]
		}
		short = append(short, l)
	}
	return short
}

func build(t *testing.T, kind, config string, env source.Env) source.Source {
	t.Helper()
	k, ok := all.Kinds().Lookup(kind)
	if !ok {
		t.Fatalf("no kind %q", kind)
	}
	s, err := k.New(json.RawMessage(config), env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A world is an upstream with a script, inside a bubble of fake time.
type world struct {
	*recorder
	t         *testing.T
	transport *http.Transport
	phase     float64 // of the pollers
	origins   *origin.Origins

	mu       sync.Mutex
	requests []time.Duration
	inFlight int
	parallel int // the most at one time
}

// inBubble runs test with an upstream that answers by script, which gets the number of the request.
func inBubble(t *testing.T, script func(n int, w http.ResponseWriter, r *http.Request), test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, recorder: &recorder{start: time.Now()}}
		conns := make(chan net.Conn)
		closed := make(chan struct{})
		srv := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			w.mu.Lock()
			n := len(w.requests)
			w.requests = append(w.requests, time.Since(w.start))
			w.inFlight++
			w.parallel = max(w.parallel, w.inFlight)
			w.mu.Unlock()
			defer func() {
				w.mu.Lock()
				w.inFlight--
				w.mu.Unlock()
			}()
			script(n, rw, r)
		})}
		var serving sync.WaitGroup
		serving.Go(func() { _ = srv.Serve(&pipeListener{conns, closed, sync.Once{}}) })
		w.transport = &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			select {
			case conns <- theirs:
				return ours, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}}
		test(w)
		w.transport.CloseIdleConnections()
		_ = srv.Close()
		serving.Wait()
	})
}

func (w *world) Do(r *http.Request) (*http.Response, error) { return w.transport.RoundTrip(r) }

func (w *world) env() source.Env { return source.Env{Client: w, Phase: w.phase, Origins: w.origins} }

func (w *world) poller(options string) source.Source {
	return build(w.t, "http-poller", `{"url":"http://upstream.example/doc"`+options+`}`, w.env())
}

// run lets a source run for a time.
func (w *world) run(s source.Source, d time.Duration) {
	ctx, cancel := context.WithTimeout(w.t.Context(), d)
	defer cancel()
	if err := s.Run(ctx, w); err != nil {
		w.t.Errorf("Run: %v", err)
	}
}

func (w *world) asked(want ...time.Duration) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.requests, want) {
		w.t.Errorf("asked at %v, want %v", w.requests, want)
	}
}

func (w *world) heardOnly(want ...string) {
	w.t.Helper()
	if got := w.heard(); !slices.Equal(got, want) {
		w.t.Errorf("the sink heard\n%q, want\n%q", got, want)
	}
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

var errStore = errors.New("the journal is full")
