package sse_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/sse"
	"freshet/internal/freshettest"
	"freshet/internal/settings"
)

// An upstream answers request number n with what script says, and remembers the requests.
type upstream struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
	at   []time.Time
}

func serve(t *testing.T, script func(n int, w http.ResponseWriter, r *http.Request)) *upstream {
	t.Helper()
	u := &upstream{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		u.seen, u.at = append(u.seen, r), append(u.at, time.Now())
		n := len(u.seen)
		u.mu.Unlock()
		script(n, w, r)
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) requests() []*http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seen
}

// send begins or continues a stream.
func send(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	_, _ = w.Write([]byte(text))
	w.(http.Flusher).Flush()
}

// hang keeps a stream open until the source goes.
func hang(r *http.Request) { <-r.Context().Done() }

func config(u *upstream, more string) string {
	if more != "" {
		more = "," + more
	}
	return fmt.Sprintf(`{"url":%q%s}`, u.URL+"/stream", more)
}

// await waits until a fault with the code was told, and returns it.
func await(t *testing.T, to *freshettest.Sink, code int) (f freshet.Fault) {
	t.Helper()
	freshettest.WaitFor(t, 20*time.Second, fmt.Sprintf("a fault with the code %d", code), func() bool {
		for _, f = range to.Faults() {
			if f.Code == code {
				return true
			}
		}
		return false
	})
	return f
}

func TestOptions(t *testing.T) {
	all := "data: {\"a\":\ndata: 1}\n\nevent: b\ndata: 2\n\n: ping\n\nevent: c\ndata: 3\n\nevent: empty\ndata:\n\ndata: 4\n\n"
	for _, tt := range []struct {
		name, options string
		want          []string
	}{
		{"nothing", "", []string{"{\"a\":\n1}", "2", "3", "4"}},
		{"events", `"events":["c","message"]`, []string{"{\"a\":\n1}", "3", "4"}},
		{"text", `"textData":"string"`, []string{`"{\"a\":\n1}"`, `"2"`, `"3"`, `"4"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) { send(w, all); hang(r) })
			to := &freshettest.Sink{}
			freshettest.Run(t, sse.Kind(), config(u, tt.options), freshettest.Env(t), to)
			to.Await(t, tt.want...)
			r := u.requests()[0]
			if to.Fine() != 1 || r.Header.Get("Accept") != "text/event-stream" || r.Header.Get("Cache-Control") != "no-store" || r.Header["Last-Event-Id"] != nil {
				t.Errorf("fine %d times, %v", to.Fine(), r.Header)
			}
		})
	}
}

// A stream that ends is asked for again, at the event after the last, and so is it after a restart.
func TestResume(t *testing.T) {
	t.Parallel()
	u := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
		switch n {
		case 1:
			send(w, "retry: 0\nid: é1\ndata: 1\n\nid: b\ndata: 2\n\nid: c\n\nid: lost\ndata: 3")
		case 2:
			send(w, "id: d\ndata: 3\n\ndata: no JSON\nid: e\n\n")
		case 3:
			send(w, "id: f\nevent: unwanted\ndata: 4\n\n")
			hang(r)
		default:
			send(w, fmt.Sprintf("id: %d\ndata: %d\n\n", n, n))
			hang(r)
		}
	})
	to := &freshettest.Sink{}
	stop := freshettest.Run(t, sse.Kind(), config(u, `"events":["message"]`), freshettest.Env(t), to)
	to.Await(t, "1", "2", "3")
	await(t, to, freshet.FaultFormat)
	freshettest.WaitFor(t, 10*time.Second, "a third request", func() bool { return len(u.requests()) == 3 })
	stop()
	stop = freshettest.Run(t, sse.Kind(), config(u, `"events":["message"]`), freshettest.Env(t), to)
	to.Await(t, "1", "2", "3", "4")
	stop()
	other := strings.Replace(config(u, ""), "/stream", "/other", 1)
	freshettest.Run(t, sse.Kind(), other, freshettest.Env(t), to)
	to.Await(t, "1", "2", "3", "4", "5")
	var ids []string
	for _, r := range u.requests() {
		ids = append(ids, r.Header.Get("Last-Event-Id"))
	}
	// The fault's event is the mark of this sink, which only the journal would not take.
	if got := strings.Join(ids, ","); got != ",c,e,e," {
		t.Errorf("asked for what comes after %q", got)
	}
}

// What the journal cannot take now is offered again, and only then counts.
func TestNothingIsLostOnTheWayToTheJournal(t *testing.T) {
	t.Parallel()
	u := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		send(w, "id: 1\ndata: 1\n\nid: 2\ndata: 2\n\n")
		hang(r)
	})
	refused := 0
	to := &freshettest.Sink{Refuse: func(source.Payload) error {
		if refused++; refused < 4 {
			return freshet.ErrUnavailable
		}
		return nil
	}}
	freshettest.Run(t, sse.Kind(), config(u, ""), freshettest.Env(t), to)
	to.Await(t, "1", "2")
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	u := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		send(w, "id: 1\ndata: 1\n\ndata: \""+strings.Repeat("x", 99_999)+"\"\n\nid: 3\ndata: 3\n\n")
		hang(r)
	})
	to := &freshettest.Sink{}
	env := freshettest.Env(t)
	env.Limit = 100_000
	freshettest.Run(t, sse.Kind(), config(u, ""), env, to)
	to.Await(t, "1", "3")
	await(t, to, freshet.FaultSize)
	if len(to.Faults()) != 1 || len(u.requests()) != 1 {
		t.Errorf("%v, %d requests", to.Faults(), len(u.requests()))
	}
}

func TestRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		code   int
	}{
		"401":        {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, 70401},
		"404":        {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, 70404},
		"418":        {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(418) }, freshet.FaultPublication},
		"500":        {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, 70500},
		"no stream":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"a":1}`)) }, freshet.FaultFormat},
		"compressed": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "gzip"); send(w, "x") }, freshet.FaultFormat},
		"circle":     {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, freshet.FaultRedirect},
		"nowhere":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(302) }, freshet.FaultRedirect},
		"far":        {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path+"x", http.StatusFound) }, freshet.FaultRedirect},
		"forbidden": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusFound)
		}, freshet.FaultRedirect},
		"soon over":    {func(w http.ResponseWriter, _ *http.Request) { send(w, "retry: 1\n\n") }, freshet.FaultConnection},
		"cut":          {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, freshet.FaultConnection},
		"never begins": {func(_ http.ResponseWriter, r *http.Request) { hang(r) }, freshet.FaultConnection},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) { tt.answer(w, r) })
			to := &freshettest.Sink{}
			freshettest.Run(t, sse.Kind(), config(u, `"headers":{"X-Api-Key":"s3cret"},"idleTimeout":"PT1S"`), freshettest.Env(t), to)
			f := await(t, to, tt.code)
			if strings.Contains(f.Message, "s3cret") || len(to.Payloads()) > 0 {
				t.Errorf("%v, %v", f, to.Payloads())
			}
		})
	}
}

// 204 is the way to say: do not come back.
func TestNoContent(t *testing.T) {
	t.Parallel()
	u := serve(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 1 {
			send(w, "id: 1\ndata: 1\n\n")
		} else {
			w.WriteHeader(http.StatusNoContent)
		}
	})
	to := &freshettest.Sink{}
	stop := freshettest.Run(t, sse.Kind(), config(u, ""), freshettest.Env(t), to)
	if f := await(t, to, freshet.FaultPublication); !strings.Contains(f.Message, "204") {
		t.Error(f)
	}
	time.Sleep(2500 * time.Millisecond) // longer than it takes to come back
	if n := len(u.requests()); n != 2 {
		t.Errorf("%d requests", n)
	}
	stop()
}

func TestUpstreamSaysWhenToComeBack(t *testing.T) {
	for name, first := range map[string]func(http.ResponseWriter){
		"retry":       func(w http.ResponseWriter) { send(w, "retry: 2500\ndata: 1\n\n") },
		"Retry-After": func(w http.ResponseWriter) { w.Header().Set("Retry-After", "3"); w.WriteHeader(503) },
		"a date": func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", time.Now().Add(4*time.Second).UTC().Format(http.TimeFormat))
			w.WriteHeader(429)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
				if n == 1 {
					first(w)
					return
				}
				send(w, "data: 2\n\n")
				hang(r)
			})
			freshettest.Run(t, sse.Kind(), config(u, ""), freshettest.Env(t), &freshettest.Sink{})
			freshettest.WaitFor(t, 10*time.Second, "another request", func() bool { return len(u.requests()) == 2 })
			if apart := u.at[1].Sub(u.at[0]); apart < 2400*time.Millisecond {
				t.Errorf("asked again after %v", apart)
			}
		})
	}
}

// A connection on which nothing comes is made anew; comments are enough to keep it.
func TestIdle(t *testing.T) {
	t.Parallel()
	u := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
		send(w, fmt.Sprintf("id: %d\ndata: %d\n\n", n, n))
		for i := 0; n == 2 && i < 20; i++ {
			time.Sleep(150 * time.Millisecond)
			send(w, ":\n")
		}
		if n == 2 {
			send(w, "data: 20\n\n")
		}
		hang(r)
	})
	to := &freshettest.Sink{}
	freshettest.Run(t, sse.Kind(), config(u, `"idleTimeout":"PT1S"`), freshettest.Env(t), to)
	to.Await(t, "1", "2", "20")
	if n := len(u.requests()); n != 2 || len(to.Faults()) > 0 {
		t.Errorf("%d requests, %v", n, to.Faults())
	}
	if id := u.requests()[1].Header.Get("Last-Event-Id"); id != "1" {
		t.Errorf("asked for what comes after %q", id)
	}
}

// While the journal takes its time, nothing is read, which is no silence of upstream.
func TestSlowJournalIsNotIdle(t *testing.T) {
	t.Parallel()
	u := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
		send(w, fmt.Sprintf("data: %d\n\n", n))
		time.Sleep(100 * time.Millisecond)
		send(w, fmt.Sprintf("data: %d\n\n", n*10))
		hang(r)
	})
	slow := sync.OnceFunc(func() { time.Sleep(2500 * time.Millisecond) })
	to := &freshettest.Sink{Refuse: func(source.Payload) error { slow(); return nil }}
	freshettest.Run(t, sse.Kind(), config(u, `"idleTimeout":"PT1S"`), freshettest.Env(t), to)
	freshettest.WaitFor(t, 10*time.Second, "two payloads", func() bool { return len(to.Payloads()) >= 2 })
	if got := to.Payloads(); got[0] != "1" || got[1] != "10" {
		t.Errorf("%v", got)
	}
}

// Headers go to the origin of the URL alone, and not back to it once a redirect has left it.
func TestRedirect(t *testing.T) {
	t.Parallel()
	var home *upstream
	away := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/back" {
			http.Redirect(w, r, home.URL+"/end", http.StatusTemporaryRedirect)
			return
		}
		send(w, "id: 1\ndata: 1\n\n")
		hang(r)
	})
	home = serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/end":
			send(w, "data: 2\n\n")
			hang(r)
		case "/near":
			http.Redirect(w, r, away.URL+"/back", http.StatusFound)
		default:
			http.Redirect(w, r, "/near", http.StatusMovedPermanently)
		}
	})
	to := &freshettest.Sink{}
	env := freshettest.Env(t)
	env.Secrets = settings.Vault{Named: map[string]settings.Secret{"key": "s3cret"}}
	freshettest.Run(t, sse.Kind(), config(home, `"headers":{"X-Api-Key":"secret:key"},"authorization":{"type":"bearer","token":"t0ken"}`), env, to)
	to.Await(t, "2")
	var got []string
	for _, r := range append(home.requests(), away.requests()...) {
		got = append(got, r.URL.Path+"="+r.Header.Get("X-Api-Key")+r.Header.Get("Authorization"))
	}
	if all := strings.Join(got, " "); all != "/stream=s3cretBearer t0ken /near=s3cretBearer t0ken /end= /back=" {
		t.Error(all)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { send(w, "data: 1\n\n"); hang(r) }))
	t.Cleanup(server.Close)
	ca, _ := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	to := &freshettest.Sink{}
	stop := freshettest.Run(t, sse.Kind(), fmt.Sprintf(`{"url":%q,"tls":{"ca":%s}}`, server.URL, ca), freshettest.Env(t), to)
	to.Await(t, "1")
	stop()
	freshettest.Run(t, sse.Kind(), fmt.Sprintf(`{"url":%q}`, server.URL), freshettest.Env(t), to)
	await(t, to, freshet.FaultConnection)
}

func TestMistakes(t *testing.T) {
	for config, pointer := range map[string]string{
		`{}`:                          "/url",
		`{"url":"ftp://example.com"}`: "/url",
		`{"url":"https://user:pass@example.com"}`:                                                                     "/url",
		`{"url":"http://example.com","headers":{"Last-Event-ID":"1"}}`:                                                "/headers/Last-Event-ID",
		`{"url":"http://example.com","headers":{"connection":"close"}}`:                                               "/headers/connection",
		`{"url":"http://example.com","headers":{"host":"other"}}`:                                                     "/headers/host",
		`{"url":"http://example.com","headers":{"a b":"1"}}`:                                                          "/headers/a b",
		`{"url":"http://example.com","headers":{"a":"1\n2"}}`:                                                         "/headers/a",
		`{"url":"http://example.com","headers":{"a":"1","A":"2"}}`:                                                    "/headers/a",
		`{"url":"http://example.com","events":["a",""]}`:                                                              "/events/1",
		`{"url":"http://example.com","freshet":true,"events":["snapshot"]}`:                                           "/events",
		`{"url":"http://example.com","freshet":true,"textData":"string"}`:                                             "/textData",
		`{"url":"http://example.com","textData":"xml"}`:                                                               "/textData",
		`{"url":"http://example.com","idleTimeout":"PT0S"}`:                                                           "/idleTimeout",
		`{"url":"https://example.com","tls":{"enabled":true}}`:                                                        "/tls/enabled",
		`{"url":"https://example.com","authorization":{"type":"basic"}}`:                                              "/authorization/user",
		`{"url":"https://example.com","authorization":{"type":"bearer","token":"x"},"headers":{"authorization":"y"}}`: "/headers/authorization",
		`{"url":"https://example.com","tls":{"cert":"x"}}`:                                                            "/tls/key",
		`{"url":"http://example.com","tls":{"serverName":"x"}}`:                                                       "/tls",
		`{"url":"https://example.com","retry":1}`:                                                                     "/retry",
	} {
		if wrong := sse.Kind().Check(json.RawMessage(config)); len(wrong) != 1 || wrong[0].Pointer != pointer {
			t.Errorf("%s: %v, want one at %s", config, wrong, pointer)
		}
	}
}

// counted counts the writes that the journal would make.
type counted struct {
	*freshettest.Sink
	writes, most atomic.Int64
}

func (c *counted) Payload(ctx context.Context, ps ...source.Payload) error {
	time.Sleep(time.Millisecond)
	c.writes.Add(1)
	c.most.Store(max(c.most.Load(), int64(len(ps))))
	return c.Sink.Payload(ctx, ps...)
}

// What is there together is written together.
func TestBatches(t *testing.T) {
	t.Parallel()
	u := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		var all strings.Builder
		for i := range 2000 {
			fmt.Fprintf(&all, "id: %d\ndata: %d\n\n", i, i)
		}
		send(w, all.String())
		hang(r)
	})
	to := &counted{Sink: &freshettest.Sink{}}
	freshettest.Run(t, sse.Kind(), config(u, ""), freshettest.Env(t), to)
	var want []string
	for i := range 2000 {
		want = append(want, strconv.Itoa(i))
	}
	to.Await(t, want...)
	if writes, most := to.writes.Load(), to.most.Load(); writes > 200 || most < 50 || most > source.BatchPayloads {
		t.Errorf("%d writes, the largest of %d payloads", writes, most)
	}
}

// A source that ends leaves nothing behind.
func TestNothingIsLeft(t *testing.T) {
	u := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		var all strings.Builder
		for i := range 2000 {
			fmt.Fprintf(&all, "id: %d\ndata: %d\n\n", i, i)
		}
		send(w, all.String())
		hang(r)
	})
	run := func() {
		to := &freshettest.Sink{}
		stop := freshettest.Run(t, sse.Kind(), config(u, ""), freshettest.Env(t), to)
		freshettest.WaitFor(t, 10*time.Second, "a payload", func() bool { return len(to.Payloads()) > 0 })
		began := time.Now()
		if stop(); time.Since(began) > time.Second {
			t.Errorf("stopped after %v", time.Since(began))
		}
	}
	run()
	before := runtime.NumGoroutine()
	for range 20 {
		run()
	}
	freshettest.WaitFor(t, 10*time.Second, "no goroutine more than before", func() bool {
		u.CloseClientConnections()
		return runtime.NumGoroutine() <= before+5
	})
}
