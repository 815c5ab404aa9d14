package e2e_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// An upstream is a scripted API. Each path has a script, which answers the nth request of that path.
type upstream struct {
	URL string

	mu       sync.Mutex
	scripts  map[string]script
	requests map[string][]time.Time
}

// A script answers request n of a path, counted from 1.
type script func(n int, w http.ResponseWriter, r *http.Request)

func newUpstream(t *testing.T) *upstream {
	u := &upstream{scripts: map[string]script{}, requests: map[string][]time.Time{}}
	server := httptest.NewServer(u)
	server.Config.ErrorLog = nil
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	u.URL = server.URL
	return u
}

// on sets the script of a path and returns its URL.
func (u *upstream) on(path string, s script) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.scripts[path] = s
	return u.URL + path
}

// times are when each request of a path came.
func (u *upstream) times(path string) []time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]time.Time(nil), u.requests[path]...)
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.requests[r.URL.Path] = append(u.requests[r.URL.Path], time.Now())
	n, s := len(u.requests[r.URL.Path]), u.scripts[r.URL.Path]
	u.mu.Unlock()
	if s == nil {
		http.NotFound(w, r)
		return
	}
	s(n, w, r)
}

// versions answers request n with version n, and from the last on with that one.
func versions(last int, text func(n int) string) script {
	return func(n int, w http.ResponseWriter, r *http.Request) { good(w, r, text(min(n, last))) }
}

// good answers as a well-made API does: with an ETag, and 304 to who has that already.
func good(w http.ResponseWriter, r *http.Request, text string) {
	h := fnv.New64a()
	_, _ = io.WriteString(h, text)
	tag := fmt.Sprintf(`"%x"`, h.Sum64())
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, text)
}

// between answers the first request with one document, the next few by fault, and then with another.
func between(before string, faults int, fault script, after string) script {
	return func(n int, w http.ResponseWriter, r *http.Request) {
		switch {
		case n == 1:
			good(w, r, before)
		case n <= 1+faults:
			fault(n-1, w, r)
		default:
			good(w, r, after)
		}
	}
}

// Faults of an upstream. Those that carry a body carry a document that nobody may ever see.

const poison = `{"n":666,"poison":true}`

func status(code int, header ...string) script {
	return func(_ int, w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		if code != http.StatusNotModified {
			_, _ = io.WriteString(w, poison)
		}
	}
}

func body(contentType, text string) script {
	return func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, text)
	}
}

// hang answers nothing for as long as the client waits.
func hang(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// reset breaks the connection off in mid-body.
func reset(_ int, w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n%s", poison)
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a close is a reset then
	}
	conn.Close()
}

// truncated ends the body in good order before its Content-Length; what came is valid JSON.
func truncated(_ int, w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(poison)+1, poison)
	conn.Close()
}

// truncatedGzip ends the compressed body before its checksum; what came unpacks to valid JSON.
func truncatedGzip(_ int, w http.ResponseWriter, _ *http.Request) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, poison)
	_ = z.Close()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Encoding", "gzip")
	_, _ = w.Write(packed.Bytes()[:packed.Len()-8])
}

// redirect sends whoever asks elsewhere.
func redirect(to string) script {
	return func(_ int, w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
}

// deep is valid JSON in more levels than anybody needs.
func deep(levels int) string {
	return strings.Repeat(`{"a":`, levels) + "1" + strings.Repeat("}", levels)
}
