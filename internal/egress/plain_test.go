package egress_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"freshet/internal/egress"
)

// A script answers the nth request of each connection with its nth text, and closes the connection after the last.
type script struct {
	url string

	mu          sync.Mutex
	connections int
	requests    []string
}

// scripted serves connections, one after the other: the nth gets answers[n], the last of them all others.
func scripted(t *testing.T, answers ...[]string) *script {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{url: "http://" + l.Addr().String() + "/"}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.serve(t, conn, answers[min(n, len(answers)-1)])
		}
	}()
	return s
}

func (s *script) serve(t *testing.T, conn net.Conn, answers []string) {
	s.mu.Lock()
	s.connections++
	s.mu.Unlock()
	in := bufio.NewReader(conn)
	for i, text := range answers {
		r, err := http.ReadRequest(in)
		if err != nil {
			break
		}
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.Host+" "+string(body))
		s.mu.Unlock()
		if text == "hang" {
			t.Cleanup(func() { _ = conn.Close() })
			return
		}
		if _, err := io.WriteString(conn, text); err != nil || i == len(answers)-1 {
			break
		}
	}
	_ = conn.Close()
}

func (s *script) count() (connections, requests int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connections, len(s.requests)
}

const ok2 = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func exchange(ctx context.Context, client *egress.Client, method, url, body string) (status int, text string, err error) {
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, url, in)
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// What answers of upstream mean, and which of them leave a connection that is used again.
func TestPlain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		method, answer string
		status         int
		body, fails    string
		again          bool // the next request has the same connection
	}{
		"with a length":           {answer: ok2, status: 200, body: "ok", again: true},
		"in chunks":               {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", status: 200, body: "ok", again: true},
		"to the end":              {answer: "HTTP/1.1 200 OK\r\n\r\nok", status: 200, body: "ok"},
		"of HTTP/1.0":             {answer: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok"},
		"that closes":             {answer: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok"},
		"not modified":            {answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 200\r\n\r\n", status: 304, again: true},
		"of HEAD":                 {method: "HEAD", answer: "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n", status: 200, again: true},
		"after hints":             {answer: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok2, status: 200, body: "ok", again: true},
		"with more than asked":    {answer: ok2 + ok2, status: 200, body: "ok"},
		"too short":               {answer: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", status: 200, body: "ok", fails: "unexpected EOF"},
		"that ends in its header": {answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", fails: "unexpected EOF"},
		"with a huge header":      {answer: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 70_000), fails: "header of more than 65536 bytes"},
		"no HTTP":                 {answer: "SSH-2.0-OpenSSH_9\r\n\r\n", fails: "malformed HTTP"},
		"hints for ever":          {answer: strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 10), fails: "interim"},
		"another protocol":        {answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", fails: "protocol was changed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := egress.New(egress.Config{Allow: prefixes("127.0.0.0/8")})
			defer client.Close()
			s := scripted(t, []string{tt.answer, ok2, ok2})
			if tt.fails != "" || !tt.again {
				s = scripted(t, []string{tt.answer}, []string{ok2, ok2})
			}
			method := tt.method
			if method == "" {
				method = "GET"
			}
			status, body, err := exchange(t.Context(), client, method, s.url, "")
			if status != tt.status || body != tt.body || (err == nil) != (tt.fails == "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("%d %q, %v", status, body, err)
			}
			if status, body, err := exchange(t.Context(), client, "GET", s.url, ""); status != 200 || body != "ok" || err != nil {
				t.Errorf("the next request: %d %q, %v", status, body, err)
			}
			want := 2
			if tt.again {
				want = 1
			}
			if n, _ := s.count(); n != want {
				t.Errorf("%d connections, want %d", n, want)
			}
		})
	}
}

// A connection that upstream closes just when a request comes costs a question one more, and a command its request.
func TestPlainClosedAmidRequest(t *testing.T) {
	t.Parallel()
	client := egress.New(egress.Config{Allow: prefixes("127.0.0.0/8")})
	defer client.Close()
	const closes = "" // it has read the request, and closes without an answer
	s := scripted(t, []string{ok2, closes}, []string{ok2, closes}, []string{ok2, ok2})
	for range 2 { // the second finds out on the kept connection, and has its answer on the next
		if status, body, err := exchange(t.Context(), client, "GET", s.url, ""); status != 200 || body != "ok" || err != nil {
			t.Errorf("%d %q, %v", status, body, err)
		}
	}
	if _, _, err := exchange(t.Context(), client, "POST", s.url, "{}"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a POST of which nobody knows whether it was done: %v", err)
	}
	if _, body, err := exchange(t.Context(), client, "POST", s.url, `{"a":1}`); err != nil || body != "ok" {
		t.Errorf("%q, %v", body, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.connections != 3 || len(s.requests) != 5 || !strings.HasPrefix(s.requests[4], "POST 127.0.0.1:") || !strings.HasSuffix(s.requests[4], ` {"a":1}`) {
		t.Errorf("%d connections, %q", s.connections, s.requests)
	}
}

// A request ends with its context: while it waits for the header, and amid the body, whose connection is not used again.
func TestPlainGivenUp(t *testing.T) {
	t.Parallel()
	client := egress.New(egress.Config{Allow: prefixes("127.0.0.0/8")})
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := exchange(ctx, client, "GET", scripted(t, []string{"hang"}).url, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
	s := scripted(t, []string{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "hang"}, []string{ok2})
	amid, stop := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(amid, "GET", s.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("amid the body: %v", err)
	}
	_ = resp.Body.Close()
	if _, body, err := exchange(t.Context(), client, "GET", s.url, ""); err != nil || body != "ok" {
		t.Errorf("the next: %q, %v", body, err)
	}
	if _, _, err := exchange(amid, client, "GET", s.url, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that is over: %v", err)
	}
}
