package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"freshet"
	"freshet/internal/app"
	"freshet/internal/freshettest"
)

// A receiver takes webhooks as it is told, and keeps their bodies.
type receiver struct {
	*httptest.Server
	answer func(r *http.Request, body string) int // the status

	mu  sync.Mutex
	got []string // path, why it is a reset, and body
}

func receive(t *testing.T, answer func(r *http.Request, body string) int) *receiver {
	t.Helper()
	rec := &receiver{answer: answer}
	rec.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		rec.mu.Lock()
		reset := strings.TrimPrefix(r.Header.Get("Freshet-Reset")+" ", " ")
		rec.got = append(rec.got, r.URL.Path+" "+reset+string(body))
		rec.mu.Unlock()
		w.WriteHeader(rec.answer(r, string(body)))
	}))
	t.Cleanup(rec.Close)
	return rec
}

func (rec *receiver) all() string {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return strings.Join(rec.got, "\n")
}

// subscribe makes a webhook of a topic at the receiver's path of the subscription's id.
func (rec *receiver) subscribe(t *testing.T, base, topic, id, config string, more ...string) {
	t.Helper()
	document := fmt.Sprintf(`{"id":"%s","type":"webhook",%s"config":{"url":"%s/%s",%s}}`, id, strings.Join(more, ""), rec.URL, id, config)
	if resp, body := do(t, "POST", base+"/v1/topics/"+topic+"/subscriptions", document, "Content-Type: application/json"); resp.StatusCode != http.StatusCreated {
		t.Fatal(resp.Status, body)
	}
}

// change makes a request about a subscription and returns the answer.
func change(t *testing.T, method, url, body string, want int) string {
	t.Helper()
	resp, answer := do(t, method, url, body, "Content-Type: application/json")
	if resp.StatusCode != want {
		t.Fatalf("%s %s %s: %s %s, want %d", method, url, body, resp.Status, answer, want)
	}
	return answer
}

// awaited waits until is holds of a subscription.
func awaited(t *testing.T, url string, is func(freshet.Subscription) bool) (s freshet.Subscription) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		_, body := do(t, "GET", url, "")
		s = freshet.Subscription{}
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			t.Fatal(err, body)
		}
		if is(s) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("it stays %s", body)
		}
	}
}

func isStatus(status freshet.SubscriptionStatus) func(freshet.Subscription) bool {
	return func(s freshet.Subscription) bool { return s.Status == status }
}

// A subscription that goes on after it was given up has all its attempts again. While it is not active nothing says
// that there will be another, and nothing of a receiver that wants nothing any more that it is tried again.
func TestResumedAttemptsBeginAnew(t *testing.T) {
	var log freshettest.Buffer
	base := serveLogged(t, app.Config{Dev: true, Topics: []freshet.Topic{pushed("log", freshet.KindEvent)}}, slog.New(slog.NewTextHandler(&log, nil)))
	rec := receive(t, func(r *http.Request, _ string) int {
		if r.URL.Path == "/gone" {
			return http.StatusGone
		}
		return http.StatusBadGateway
	})
	rec.subscribe(t, base, "log", "bad", `"retries":["PT0.01S","PT0.01S","PT0.01S","PT0.01S","PT0.01S"]`)
	rec.subscribe(t, base, "log", "later", `"retries":["PT1H"]`)
	rec.subscribe(t, base, "log", "gone", `"retries":["PT1H"]`)
	post(t, base+"/live/log", `1`)
	at := base + "/v1/subscriptions/"
	for _, tt := range []struct {
		id     string
		status freshet.SubscriptionStatus
	}{{"bad", "disabled"}, {"gone", "suspended"}} {
		s := awaited(t, at+tt.id, isStatus(tt.status))
		if !s.Progress.Next.IsZero() || s.Progress.LastError == nil {
			t.Errorf("%s: %+v", tt.id, s.Progress)
		}
	}
	began := time.Now()
	change(t, "PATCH", at+"bad", `{"status":"active"}`, http.StatusOK)
	awaited(t, at+"bad", isStatus("disabled"))
	if n, took := strings.Count(rec.all(), "/bad"), time.Since(began); n != 12 || took > 4*time.Second {
		t.Errorf("%d attempts after %v, want 6 and 6 more, at once", n, took)
	}
	if s := awaited(t, at+"later", func(s freshet.Subscription) bool { return s.Progress.Attempts == 1 }); s.Progress.Next.Before(time.Now()) {
		t.Errorf("what is tried again: %+v", s.Progress)
	}
	change(t, "PATCH", at+"later", `{"status":"suspended"}`, http.StatusOK)
	if s := awaited(t, at+"later", isStatus("suspended")); !s.Progress.Next.IsZero() {
		t.Errorf("suspended: %+v", s.Progress)
	}
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "is tried again") && strings.Contains(line, "subscription=gone") {
			t.Error(line)
		}
	}
	if !strings.Contains(log.String(), "is tried again") {
		t.Error("the log tells of no failure")
	}
}

// A time that has not been yet is none to go back to, unless a clock is a little fast: the backlog would be gone.
func TestNoRecoveryFromTheFuture(t *testing.T) {
	base := serve(t, app.Config{Dev: true, Topics: []freshet.Topic{pushed("log", freshet.KindEvent)}})
	rec := receive(t, func(*http.Request, string) int { return http.StatusTeapot })
	rec.subscribe(t, base, "log", "a", `"retries":["PT1H"]`)
	post(t, base+"/live/log", `1`)
	at := base + "/v1/subscriptions/a"
	since := func(d time.Duration) string {
		return `{"since":"` + time.Now().Add(d).UTC().Format(time.RFC3339Nano) + `"}`
	}
	if answer := change(t, "POST", at+":recover", since(2*time.Minute), http.StatusBadRequest); !strings.Contains(answer, `"pointer":"/since","detail":"must not be in the future`) {
		t.Error(answer)
	}
	if s := awaited(t, at, func(s freshet.Subscription) bool { return s.Progress.Attempts == 1 }); s.Progress.Lag != 1 {
		t.Errorf("the backlog is %+v", s.Progress)
	}
	change(t, "POST", at+":recover", since(30*time.Second), http.StatusAccepted)
	awaited(t, at, func(s freshet.Subscription) bool { return s.Progress.Lag == 0 })
}
