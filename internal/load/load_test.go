package load_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"freshet"
	"freshet/client"
	"freshet/internal/app"
	"freshet/internal/freshettest"
	"freshet/internal/load"
)

// start runs a whole Freshet.
func start(t *testing.T, tls app.TLSConfig, roots *x509.CertPool) (*load.Server, *client.Client) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan app.Server, 1), make(chan error, 1)
	go func() {
		ended <- app.Run(ctx, app.Config{Listen: "127.0.0.1:0", Data: t.TempDir(), Dev: true, TLS: tls, Journal: app.JournalConfig{Sync: "1s"}},
			slog.New(slog.DiscardHandler), func(s app.Server) { ready <- s })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	var s app.Server
	select {
	case s = <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	c, err := client.New(s.URL, client.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	server, err := load.Freshet(s.URL, c, roots, []int{os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	return server, c
}

// Every scenario, small, against a whole server: what comes is complete, in order and right, and
// nothing is left behind.
func TestScenarios(t *testing.T) {
	server, c := start(t, app.TLSConfig{}, nil)
	t.Run("all", func(t *testing.T) { small(t, server) })
	server.WebSocket = true
	t.Run("WebSocket", func(t *testing.T) { small(t, server) })
	for topic, err := range c.Topics(t.Context(), client.ListOptions{}) {
		t.Errorf("topic %s is left behind, %v", topic.Name, err)
	}
}

// Subscribers and publishers speak TLS as well.
func TestTLS(t *testing.T) {
	_, cert, key, pair := freshettest.Certificate(t)
	files := app.TLSConfig{Cert: cert, Key: key}
	server, _ := start(t, files, pair.Roots)
	fixed, _ := load.Find("fixed")
	for _, server.WebSocket = range []bool{false, true} {
		r, err := load.Run(t.Context(), server, fixed, load.Params{Subscribers: 10, Rate: 50, Duration: 500 * time.Millisecond})
		if err != nil || r.Published == 0 || r.Delivered != 10*r.Published {
			t.Errorf("WebSocket %v: %+v, %v", server.WebSocket, r, err)
		}
	}
}

func small(t *testing.T, server *load.Server) {
	for _, tt := range []struct {
		scenario string
		params   load.Params
		check    func(r *load.Report) bool
	}{
		{"fixed", load.Params{Subscribers: 40, Topics: 4, Rate: 50, Duration: time.Second}, func(r *load.Report) bool {
			return r.Published > 0 && r.Delivered == 10*r.Published && r.P99 > 0 && r.BytesPerEvent > 100
		}},
		{"fixed", load.Params{Subscribers: 20, Rate: 50, Duration: 500 * time.Millisecond, Goroutines: true}, func(r *load.Report) bool {
			return r.Published > 0 && r.Delivered == 20*r.Published
		}},
		{"fixed", load.Params{Subscribers: 10, Quiet: 20, Rate: 50, Duration: 500 * time.Millisecond}, func(r *load.Report) bool {
			return r.Published > 0 && r.Delivered == 10*r.Published
		}},
		{"fixed", load.Params{Subscribers: 8, Topics: 2, Rate: 4000, Publishers: 2, Batch: 64, Duration: 500 * time.Millisecond}, func(r *load.Report) bool {
			return r.Published > 200 && r.Delivered == 4*r.Published && r.Unpublished == 0
		}},
		{"burst", load.Params{Subscribers: 50}, func(r *load.Report) bool { return r.Delivered == 500 && r.Burst > 0 }},
		{"idle", load.Params{Subscribers: 100, Duration: 200 * time.Millisecond}, func(r *load.Report) bool {
			return r.ConnectsPerSecond > 0 && r.Memory > 0
		}},
		{"idle", load.Params{Subscribers: 40, Topics: 4, Duration: 200 * time.Millisecond}, func(r *load.Report) bool { return r.Memory > 0 }},
		{"poll", load.Params{Subscribers: 20, Topics: 4, Size: 5000, Verify: 0.5, Duration: time.Second}, func(r *load.Report) bool {
			return r.Published > 0 && r.Delivered == 5*r.Published && r.Verified > 0 && r.BytesPerEvent < 3000
		}},
		{"topics", load.Params{Topics: 3, Duration: 100 * time.Millisecond}, func(r *load.Report) bool { return r.MemoryBase > 0 && (r.MemoryPerTopic > 0) == (len(r.Notes) == 0) }},
		{"resume", load.Params{Subscribers: 30, Behind: 20}, func(r *load.Report) bool { return r.Delivered == 600 && r.P99 > 0 }},
		{"storm", load.Params{Subscribers: 50, Jitter: 300 * time.Millisecond, Rate: 20}, func(r *load.Report) bool {
			return r.Delivered == 50*r.Published && r.Back > 0 && r.Back < 20
		}},
		{"slow", load.Params{Subscribers: 20, Slow: 0.1, Rate: 50, Duration: time.Second}, func(r *load.Report) bool {
			return r.Final == 2 && r.FinalWrong == 0 && r.P99Before > 0
		}},
	} {
		t.Run(tt.scenario, func(t *testing.T) {
			t.Parallel()
			s, ok := load.Find(tt.scenario)
			if !ok {
				t.Fatal("there is no such scenario")
			}
			r, err := load.Run(t.Context(), server, s, tt.params)
			if err != nil {
				t.Fatal(err)
			}
			if !tt.check(r) || r.Missing > 0 || r.Gaps > 0 || r.Repeats > 0 || r.Wrong > 0 || r.Lost > 0 {
				t.Errorf("%+v", *r)
			}
		})
	}
}

func TestSaturate(t *testing.T) {
	server, _ := start(t, app.TLSConfig{}, nil)
	s, _ := load.Find("saturate")
	var said []string
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := fmt.Errorf("enough")
	r, err := load.Run(ctx, server, s, load.Params{Subscribers: 10, Duration: 100 * time.Millisecond, Progress: func(text string) {
		if said = append(said, text); strings.Contains(text, "events/s wanted") && len(said) > 6 {
			cancel(enough)
		}
	}})
	// It was stopped on the way, unless the machine was too slow for the first steps.
	if err == nil && len(r.Steps) < 2 || err != nil && !strings.Contains(err.Error(), "enough") {
		t.Errorf("%v after %q", err, said)
	}
}

// A server that is too slow for any rate has figures for none, and the report says so; one that delivers nothing is an error.
func TestTooSlow(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]time.Duration{"late": 150 * time.Millisecond, "never": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			messages := make(chan []byte, 1000)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					body, _ := io.ReadAll(r.Body)
					messages <- body
					w.WriteHeader(http.StatusAccepted)
					return
				}
				w.Header().Set("Content-Type", "text/event-stream")
				out := http.NewResponseController(w)
				_ = out.Flush()
				for late > 0 {
					select {
					case m := <-messages:
						time.Sleep(late) // the subscriber is in real time
						fmt.Fprintf(w, "event: event\ndata: %s\n\n", m)
						_ = out.Flush()
					case <-r.Context().Done():
						return
					}
				}
				<-r.Context().Done()
			}))
			defer s.Close()
			defer s.CloseClientConnections()
			server, err := load.Freshet(s.URL, nil, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			server.Create, server.Remove = nil, nil
			scenario, p := "saturate", load.Params{Subscribers: 1, Rate: 3, Duration: 300 * time.Millisecond}
			if late == 0 {
				scenario = "fixed"
			}
			run, _ := load.Find(scenario)
			r, err := load.Run(t.Context(), server, run, p)
			switch {
			case late == 0 && (err == nil || !strings.Contains(err.Error(), "none of the ")):
				t.Errorf("nothing is delivered: %v", err)
			case late > 0 && (err != nil || r.EventsPerSecond != 0 || len(r.Notes) != 1):
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	s, _ := load.Find("fixed")
	nobody := &load.Server{Addr: "127.0.0.1:1"}
	nobody.Subscribe = func(string, string) (string, []string) { return "/", nil }
	nobody.Publish = func(string, []byte) (string, []string, []byte) { return "/", nil, nil }
	for name, p := range map[string]load.Params{
		"too many":   {Subscribers: load.MaxSubscribers + 1},
		"too long":   {Duration: 2 * time.Hour},
		"too large":  {Size: freshet.DefaultPayload + 1},
		"no share":   {Verify: 2},
		"no rate":    {Rate: -1},
		"few to ask": {Subscribers: 2, Topics: 3},
		"too small":  {Size: 10},
		"none posts": {Publishers: -1},
	} {
		if _, err := load.Run(t.Context(), nobody, s, p); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := load.Run(ctx, nobody, s, load.Params{Subscribers: 2}); err == nil {
		t.Error("no server, and no error")
	}
	nobody.Processes = []int{os.Getpid()}
	if _, err := load.Run(t.Context(), nobody, s, load.Params{}); err == nil || !strings.Contains(err.Error(), "listens") {
		t.Errorf("a process that is not the server: %v", err)
	}
	if _, ok := load.Find("nonsense"); ok {
		t.Error("there is a scenario called nonsense")
	}
	if _, err := load.Freshet("ftp://127.0.0.1", nil, nil, nil); err == nil {
		t.Error("FTP, and no error")
	}
}

// What flags say is used, by the names that the flags have, is what a scenario has a default for.
func TestScenariosUseTheirDefaults(t *testing.T) {
	for _, s := range load.Scenarios() {
		d := s.Defaults
		for name, given := range map[string]bool{
			"subscribers": d.Subscribers > 0, "topics": d.Topics > 0, "size": d.Size > 0, "rate": d.Rate > 0, "duration": d.Duration > 0,
			"period": d.Period > 0, "renewed": d.Renewed > 0, "slow": d.Slow > 0, "jitter": d.Jitter > 0, "behind": d.Behind > 0,
		} {
			if given != slices.Contains(s.Uses, name) {
				t.Errorf("%s: %s has a default: %v, is used: %v", s.Name, name, given, !given)
			}
		}
		for _, p := range []load.Params{{}, {Topics: d.Subscribers + 1}, {Subscribers: 1}} {
			if err := s.Check(p); err != nil && !(s.Defaults.Subscribers == 0 && p.Topics == 0) {
				t.Errorf("%s with %+v: %v", s.Name, p, err)
			}
		}
	}
}

// A server that refuses, one way or another, is told so soon, with what it says.
func TestRefusingServer(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer func(w http.ResponseWriter)
		want   string
	}{
		"status": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"title":"Service Unavailable","detail":"it is full"}`)
		}, "0 of 3 are open, "},
		"end": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "retry: 100\n:\n")
		}, "limits.connections"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { tt.answer(w) }))
			defer s.Close()
			server, err := load.Freshet(s.URL, nil, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			server.Create, server.Remove = nil, nil
			fixed, _ := load.Find("fixed")
			_, err = load.Run(t.Context(), server, fixed, load.Params{Subscribers: 3})
			if e, ok := errors.AsType[*load.RefusedError](err); !ok || !strings.Contains(err.Error(), tt.want) || e.Refused < 3 {
				t.Errorf("error %v", err)
			}
			if name == "status" && !strings.Contains(fmt.Sprint(err), "status 503: it is full") {
				t.Errorf("%v does not tell what the server says", err)
			}
		})
	}
}

// Every member of the report is in the documentation.
func TestReportIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []reflect.Type{reflect.TypeFor[load.Report](), reflect.TypeFor[load.Step]()} {
		for f := range of.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !strings.Contains(string(text), "`"+name+"`") {
				t.Errorf("docs/performance.md does not say what %s is", name)
			}
		}
	}
}

// Messages that are due while all connections wait go out together, as NDJSON, no more than asked for at a time.
func TestBatches(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var lines []int // of each batch
	single := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		if n := strings.Count(string(body), "\n"); r.Header.Get("Content-Type") == "application/x-ndjson" {
			lines = append(lines, n)
		} else if n == 0 {
			single++
		}
		mu.Unlock()
		time.Sleep(5 * time.Millisecond) // a real connection, and no bubble: what comes meanwhile is the next batch
		w.WriteHeader(http.StatusAccepted)
	}))
	defer s.Close()
	defer s.CloseClientConnections()
	server, err := load.Freshet(s.URL, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	server.Create, server.Remove = nil, nil
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	fixed, _ := load.Find("fixed")
	if _, err = load.Run(ctx, server, fixed, load.Params{Subscribers: 1, Rate: 5000, Publishers: 1, Batch: 8, Duration: 300 * time.Millisecond}); err == nil {
		t.Error("nothing came, and no error")
	}
	mu.Lock()
	defer mu.Unlock()
	if single == 0 || len(lines) < 5 || slices.Max(lines) != 8 || slices.Min(lines) < 2 {
		t.Errorf("%d single posts, and batches of %v", single, lines)
	}
}
