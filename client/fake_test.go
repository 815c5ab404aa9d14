package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"freshet/client"
)

// A fake is a server that lives in a RoundTripper, so that it works inside a synctest bubble. Its
// answers are used up in turn; the last one is repeated.
type fake struct {
	answers []answer

	mu       sync.Mutex
	requests []*http.Request
	times    []time.Time
}

type answer func(*http.Request) (*http.Response, error)

func (f *fake) RoundTrip(req *http.Request) (*http.Response, error) {
	f.mu.Lock()
	n := min(len(f.requests), len(f.answers)-1)
	f.requests, f.times = append(f.requests, req), append(f.times, time.Now())
	f.mu.Unlock()
	res, err := f.answers[n](req)
	if res != nil {
		res.Request = req
	}
	return res, err
}

// waits are the times between the requests.
func (f *fake) waits() (list []time.Duration) {
	for i := 1; i < len(f.times); i++ {
		list = append(list, f.times[i].Sub(f.times[i-1]))
	}
	return list
}

// lastIDs are the Last-Event-ID of each request.
func (f *fake) lastIDs() (list []string) {
	for _, r := range f.requests {
		list = append(list, r.Header.Get("Last-Event-ID"))
	}
	return list
}

func respond(status int, contentType string, body io.Reader, pairs ...string) *http.Response {
	h := http.Header{}
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	rc, ok := body.(io.ReadCloser)
	if !ok {
		rc = io.NopCloser(body)
	}
	return &http.Response{StatusCode: status, Header: h, Body: rc, ProtoMajor: 1, ProtoMinor: 1}
}

func status(code int, contentType, body string, pairs ...string) answer {
	return func(*http.Request) (*http.Response, error) {
		return respond(code, contentType, strings.NewReader(body), pairs...), nil
	}
}

// problem is an answer of Freshet's that is an error.
func problem(code int, slug string) answer {
	body := fmt.Sprintf(`{"type":"https://freshet.dev/errors/%s","title":"T","status":%d,"detail":"about %s"}`, slug, code, slug)
	return status(code, "application/problem+json", body)
}

// stream is a connection that sends text and ends.
func stream(text string) answer {
	return status(http.StatusOK, "text/event-stream; charset=utf-8", text)
}

// open is a connection that sends text and stays, silently, until the client leaves.
func open(text string) answer {
	return func(req *http.Request) (*http.Response, error) {
		r, w := io.Pipe()
		go func() {
			_, _ = io.WriteString(w, text)
			<-req.Context().Done()
			_ = w.CloseWithError(req.Context().Err())
		}()
		return respond(http.StatusOK, "text/event-stream", r), nil
	}
}

var errRefused = errors.New("connection refused")

func refuse(*http.Request) (*http.Response, error) { return nil, errRefused }

func newClient(t testing.TB, rt http.RoundTripper) *client.Client {
	t.Helper()
	c, err := client.New("http://freshet.test", client.Config{HTTPClient: &http.Client{Transport: rt}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
