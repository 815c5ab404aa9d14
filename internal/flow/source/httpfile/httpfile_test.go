package httpfile_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/httpfile"
	"freshet/internal/freshettest"
)

// An upstream serves a file.
type upstream struct {
	testing.TB
	*httptest.Server

	mu       sync.Mutex
	text     string
	changed  time.Time
	tags     bool
	parts    bool
	status   int // answered in place of the file; 0: none
	header   map[string]string
	requests []*http.Request
	times    []time.Time
	sent     int
}

func newUpstream(t testing.TB) *upstream {
	u := &upstream{TB: t, tags: true, parts: true, header: map[string]string{}}
	u.Server = httptest.NewServer(u)
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) set(change func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change()
	u.changed = time.Now()
}

func (u *upstream) write(text string) { u.set(func() { u.text = text }) }
func (u *upstream) add(text string)   { u.set(func() { u.text += text }) }

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.requests, u.times = append(u.requests, r), append(u.times, time.Now())
	for name, value := range u.header {
		w.Header().Set(name, value)
	}
	if u.status != 0 {
		w.WriteHeader(u.status)
		return
	}
	if u.tags {
		w.Header().Set("ETag", fmt.Sprintf(`"%d"`, u.changed.UnixNano()))
	}
	if !u.parts {
		r.Header.Del("Range")
	}
	c := &counter{ResponseWriter: w}
	http.ServeContent(c, r, "", time.Time{}, strings.NewReader(u.text))
	u.sent += c.n
}

type counter struct {
	http.ResponseWriter
	n int
}

func (c *counter) Write(p []byte) (int, error) { c.n += len(p); return c.ResponseWriter.Write(p) }

func (u *upstream) asked() (all []*http.Request, times []time.Time, sent int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.requests), slices.Clone(u.times), u.sent
}

func (u *upstream) run(options string, to source.Sink) (stop func()) {
	u.Helper()
	return freshettest.Run(u, httpfile.Kind(), fmt.Sprintf(`{"url":%q,"pollingPeriod":"PT0.5S"%s}`, u.URL+"/a", options), freshettest.Env(u), to)
}

func awaitFault(t testing.TB, to *freshettest.Sink, code int, says string) {
	t.Helper()
	freshettest.WaitFor(t, 10*time.Second, fmt.Sprintf("fault %d %q", code, says), func() bool {
		return slices.ContainsFunc(to.Faults(), func(f freshet.Fault) bool { return f.Code == code && strings.Contains(f.Message, says) })
	})
}

func TestLines(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*upstream){
		"as it should be": func(*upstream) {},
		"without parts":   func(u *upstream) { u.parts = false },
		"without tags":    func(u *upstream) { u.tags = false },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			change(u)
			u.write(strings.Repeat("1\n", 2000))
			to := &freshettest.Sink{}
			stop := u.run(`,"mode":"lines"`, to)
			freshettest.WaitFor(t, 10*time.Second, "all lines", func() bool { return len(to.Payloads()) == 2000 })
			_, _, before := u.asked()
			u.add("2\n3")
			freshettest.WaitFor(t, 10*time.Second, "the next", func() bool { return len(to.Payloads()) == 2001 })
			if _, _, after := u.asked(); u.parts && after-before > 3000 {
				t.Errorf("%d bytes were sent for two", after-before)
			}
			stop()
			u.add("3\n4\n")
			u.run(`,"mode":"lines"`, to)
			freshettest.WaitFor(t, 10*time.Second, "the rest", func() bool { return len(to.Payloads()) == 2003 })
			if got := to.Payloads()[1999:]; !slices.Equal(got, []string{"1", "2", "33", "4"}) {
				t.Errorf("payloads: %q", got)
			}
			u.write("5\n") // which is shorter
			freshettest.WaitFor(t, 10*time.Second, "the new file", func() bool { return len(to.Payloads()) == 2004 })
			if faults := to.Faults(); len(faults) > 0 {
				t.Errorf("faults: %v", faults)
			}
		})
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.write(`{"a":1}`)
	to := &freshettest.Sink{}
	u.run(``, to)
	to.Await(t, `{"a":1}`)
	before := to.Fine()
	freshettest.WaitFor(t, 10*time.Second, "it asks again", func() bool { return to.Fine() > before+1 })
	if all, _, sent := u.asked(); all[len(all)-1].Header.Get("If-None-Match") == "" || sent > 14 {
		t.Errorf("%d bytes sent, last for %v", sent, all[len(all)-1].Header)
	}
	u.write(`{"a":2}`)
	to.Await(t, `{"a":1}`, `{"a":2}`)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.write(`1`)
	to := &freshettest.Sink{}
	u.run(`,"settle":"PT0S"`, to)
	to.Await(t, `1`)
	for _, tt := range []struct {
		status, code int
		header       string
	}{
		{404, 70404, ""}, {302, freshet.FaultRedirect, ""}, {403, 70403, ""}, {418, 70000, ""}, {500, 70500, ""}, {0, freshet.FaultFormat, "Content-Encoding"},
	} {
		u.set(func() {
			u.status = tt.status
			if tt.header != "" {
				u.header[tt.header] = "gzip"
			}
		})
		awaitFault(t, to, tt.code, "")
	}
	u.set(func() { u.status, u.header, u.text = 0, map[string]string{}, "2" })
	to.Await(t, "1", "2")
	u.CloseClientConnections()
	u.Server.Close()
	awaitFault(t, to, freshet.FaultConnection, "refused")
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.write(`1`)
	u.set(func() { u.status, u.header["Retry-After"] = 429, "3" })
	to := &freshettest.Sink{}
	u.run(`,"settle":"PT0S"`, to)
	awaitFault(t, to, 70429, "")
	u.set(func() { u.status = 0 })
	to.Await(t, "1")
	if _, times, _ := u.asked(); len(times) < 2 || times[1].Sub(times[0]) < 2900*time.Millisecond {
		t.Errorf("asked at %v", times)
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	wait := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write([]byte("1"))
			w.(http.Flusher).Flush()
		}
		<-wait
	}))
	t.Cleanup(func() { close(wait); srv.Close() })
	for _, path := range []string{"/head", "/body"} {
		to := &freshettest.Sink{}
		freshettest.Run(t, httpfile.Kind(), fmt.Sprintf(`{"url":%q,"timeout":"PT0.2S"}`, srv.URL+path), freshettest.Env(t), to)
		awaitFault(t, to, freshet.FaultConnection, "")
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.write(`"a"`)
	to := &freshettest.Sink{}
	u.run(`,"headers":{"X-A":"b"},"authorization":{"type":"bearer","token":"t"}`, to)
	to.Await(t, `"a"`)
	all, _, _ := u.asked()
	if h := all[0].Header; h.Get("X-A") != "b" || h.Get("Authorization") != "Bearer t" || h.Get("Accept-Encoding") != "identity" {
		t.Errorf("headers: %v", h)
	}
}

// TestSecured trusts a server by a certificate of its own.
func TestSecured(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`"a"`)) }))
	defer srv.Close()
	to := &freshettest.Sink{}
	freshettest.Run(t, httpfile.Kind(), fmt.Sprintf(`{"url":%q}`, srv.URL), freshettest.Env(t), to)
	awaitFault(t, to, freshet.FaultConnection, "not trusted")
	ca, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})))
	if err != nil {
		t.Fatal(err)
	}
	freshettest.Run(t, httpfile.Kind(), fmt.Sprintf(`{"url":%q,"tls":{"ca":%s}}`, srv.URL, ca), freshettest.Env(t), to)
	to.Await(t, `"a"`)
}

func TestMistakes(t *testing.T) {
	k := httpfile.Kind()
	for config, pointer := range map[string]string{
		`{}`:                                  "/url",
		`{"url":"ftp://a"}`:                   "/url",
		`{"url":"http://a","mode":"x"}`:       "/mode",
		`{"url":"http://a","timeout":"PT0S"}`: "/timeout",
		`{"url":"http://a","headers":{"Range":"x"}}`:                                                       "/headers/Range",
		`{"url":"http://a","headers":{"a b":"x"}}`:                                                         "/headers/a b",
		`{"url":"http://a","headers":{"a":"x\n"}}`:                                                         "/headers/a",
		`{"url":"http://a","headers":{"Authorization":"x"},"authorization":{"type":"bearer","token":"t"}}`: "/headers/Authorization",
		`{"url":"http://a","authorization":{"type":"bearer"}}`:                                             "/authorization/token",
		`{"url":"https://a","tls":{"cert":"x"}}`:                                                           "/tls/key",
		`{"url":"http://a","tls":{"serverName":"x"}}`:                                                      "/tls",
		`{"url":"http://a","readFrom":"latest"}`:                                                           "/readFrom",
		`{"url":"http://a","formatOptions":{"columns":["a"]}}`:                                             "/formatOptions/columns",
		`{"url":"http://a","order":"name"}`:                                                                "/order",
	} {
		found := k.Check(json.RawMessage(config))
		if len(found) != 1 || found[0].Pointer != pointer {
			t.Errorf("%s: %v", config, found)
		}
		if _, err := k.New(json.RawMessage(config), source.Env{}); err == nil {
			t.Errorf("%s: a source was made", config)
		}
	}
	if got := k.Period(json.RawMessage(`{"url":"http://a"}`)); got != 5*time.Second {
		t.Errorf("period: %v", got)
	}
}
