package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"freshet"
)

// TestUpstreamFaults has an upstream that is well, then wrong in one way for three requests, then
// well again. Whatever the way: the follower sees the good document, one error event with the right
// code, and the next good document as a change of the first.
func TestUpstreamFaults(t *testing.T) {
	t.Parallel()
	const before, after = `{"n":1,"list":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}`, `{"n":2,"list":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}`
	const faults = 3
	s := serve(t, "")
	for _, tt := range []struct {
		name  string
		fault script
		code  int
	}{
		{"internal-error", status(500), 70500},
		{"unauthorized", status(401), 70401},
		{"not-found", status(404), 70404},
		{"teapot", status(418), freshet.FaultPublication},
		{"bad-gateway", status(502), 70502},
		{"hang", hang, freshet.FaultConnection},
		{"reset-in-body", reset, freshet.FaultConnection},
		{"truncated-body", truncated, freshet.FaultConnection},
		{"truncated-gzip", truncatedGzip, 0}, // either code is true: the connection, or the format
		{"html", body("text/html; charset=utf-8", "<!doctype html><title>Log in</title>"), freshet.FaultFormat},
		{"html-as-json", body("application/json", "<!doctype html><title>Log in</title>"), freshet.FaultFormat},
		{"half-json", body("application/json", `{"n":666,"poison":tru`), freshet.FaultFormat},
		{"two-values", body("application/json", poison+"\n"+poison), freshet.FaultFormat},
		{"empty", body("application/json", ""), freshet.FaultFormat},
		{"not-utf8", body("application/json", `{"poison":"`+"\xff\xfe"+`"}`), freshet.FaultFormat},
		{"deep", body("application/json", deep(300)), freshet.FaultFormat},
		{"very-deep", body("application/json", deep(100_000)), freshet.FaultFormat},
		{"huge", body("application/json", `"`+strings.Repeat("x", 2<<20)+`"`), freshet.FaultSize},
		{"redirect-loop", redirect("/round"), freshet.FaultRedirect},
		{"redirect-to-file", redirect("file:///etc/passwd"), freshet.FaultRedirect},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			up := newUpstream(t)
			up.on("/round", redirect("/round"))
			api := up.on("/doc", between(before, faults, tt.fault, after))
			s.create(t, tt.name, api)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			r := replica{want: func(n int) string { return map[int]string{1: before, 2: after}[n] }}
			r.until(t, ctx, s.URL+"/live/"+tt.name, func() bool { return version(r.text) == 2 })
			if len(r.faults) != 1 || tt.code != 0 && r.faults[0].Code != tt.code || r.faults[0].Category != "publication" {
				t.Fatalf("error events %+v, want one with code %d", r.faults, tt.code)
			}
			if r.snapshots != 1 || r.patches != 1 {
				t.Errorf("%d snapshots and %d patches, want one of each", r.snapshots, r.patches)
			}
			if strings.Contains(r.faults[0].Message, "poison") {
				t.Errorf("the message shows the body: %s", r.faults[0].Message)
			}
			t.Logf("%d: %s", r.faults[0].Code, r.faults[0].Message)
		})
	}
}

// create makes a topic that polls as often as can be, and hardly retries. Its timeout is long enough
// that an upstream which is well answers in time on a busy machine too.
func (s *server) create(t *testing.T, name, url string) {
	t.Helper()
	topic := fmt.Sprintf(`{"name":%q,"kind":"snapshot","source":{"type":"http-poller","config":{"url":%q,
		"pollingPeriod":"PT0.5S","timeout":"PT3S","retryMaxAttempts":1,"retryBackOffInitialDuration":"PT0.1S"}}}`, name, url)
	resp, err := http.Post(s.URL+"/v1/topics", "application/json", strings.NewReader(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("create %s: %s", name, resp.Status)
	}
}

// TestRetryAfter answers with "come back in three seconds", in seconds and as a date: nothing may
// come sooner.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const wait = 3 * time.Second
	s := serve(t, "")
	for _, tt := range []struct {
		name  string
		limit script
	}{
		{"seconds", status(http.StatusTooManyRequests, "Retry-After", "3")},
		{"date", func(n int, w http.ResponseWriter, r *http.Request) {
			// A date has whole seconds; rounded up it is never sooner than the three.
			at := time.Now().Add(wait + time.Second).UTC().Truncate(time.Second)
			status(http.StatusTooManyRequests, "Retry-After", at.Format(http.TimeFormat))(n, w, r)
		}},
		{"unavailable", status(http.StatusServiceUnavailable, "Retry-After", "3")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			up := newUpstream(t)
			s.create(t, "limit-"+tt.name, up.on("/doc", between(document(1, 2), 2, tt.limit, document(2, 2))))
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			r := replica{want: func(n int) string { return document(n, 2) }}
			r.until(t, ctx, s.URL+"/live/limit-"+tt.name, func() bool { return isLast(r.doc) })
			times := up.times("/doc")
			if len(times) < 4 {
				t.Fatalf("%d requests, want 4", len(times))
			}
			for i := 2; i <= 3; i++ { // requests 2 and 3 were told to wait
				gap := times[i].Sub(times[i-1])
				if gap < wait || gap > 3*wait {
					t.Errorf("request %d came %v after the one that was told to wait %v", i+1, gap, wait)
				}
			}
			if len(r.faults) != 1 {
				t.Errorf("error events %+v, want one", r.faults)
			}
		})
	}
}

// TestFlapping has an upstream that fails every other time: as many error events as changes of
// state, and every good version in between.
func TestFlapping(t *testing.T) {
	t.Parallel()
	const last = 6
	up := newUpstream(t)
	s := serve(t, "")
	s.create(t, "flapping", up.on("/doc", func(n int, w http.ResponseWriter, r *http.Request) {
		if n%2 == 0 {
			status(http.StatusForbidden)(n, w, r) // one that is not retried within the period
			return
		}
		good(w, r, document(min((n+1)/2, last), last))
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r := replica{want: func(n int) string { return document(n, last) }}
	r.until(t, ctx, s.URL+"/live/flapping", func() bool { return isLast(r.doc) })
	if len(r.faults) != last-1 || r.snapshots+r.patches != last {
		t.Errorf("%d error events and %d documents, want %d and %d", len(r.faults), r.snapshots+r.patches, last-1, last)
	}
}

// TestDeadUpstream has an upstream that fails for good: it is asked less and less, and the followers
// hear of it once.
func TestDeadUpstream(t *testing.T) {
	t.Parallel()
	up := newUpstream(t)
	s := serve(t, "")
	s.create(t, "dead", up.on("/doc", between(document(1, 9), 1<<30, status(500), "")))
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
	defer cancel()
	var r replica
	start := time.Now()
	_ = r.follow(ctx, s.URL+"/live/dead", func() bool { return len(r.faults) > 1 || r.snapshots+r.patches > 1 })
	if len(r.faults) != 1 || r.snapshots != 1 || r.patches != 0 {
		t.Errorf("%d error events, %d snapshots, %d patches; want 1, 1, 0", len(r.faults), r.snapshots, r.patches)
	}
	// Without any back-off there would be a request and a retry each period.
	requests, periods := len(up.times("/doc")), int(time.Since(start)/(500*time.Millisecond))
	if requests >= periods {
		t.Errorf("%d requests in %d periods: a dead upstream is hammered", requests, periods)
	}
	t.Logf("%d requests in %d periods", requests, periods)
}

// TestNotModifiedForEver has upstreams that only ever say 304: after a document, and without one.
func TestNotModifiedForEver(t *testing.T) {
	t.Parallel()
	up := newUpstream(t)
	s := serve(t, "")
	s.create(t, "same", up.on("/same", between(document(1, 9), 1<<30, status(http.StatusNotModified), "")))
	s.create(t, "never", up.on("/never", status(http.StatusNotModified)))

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var never replica
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = never.follow(ctx, s.URL+"/live/never", func() bool { return false })
	}()
	same := replica{want: func(n int) string { return document(n, 9) }}
	_ = same.follow(ctx, s.URL+"/live/same", func() bool { return false })
	<-done
	if same.snapshots != 1 || same.patches+len(same.faults) != 0 {
		t.Errorf("a document, then 304: %d snapshots, %d patches, faults %v; want just the one", same.snapshots, same.patches, same.faults)
	}
	if n := len(up.times("/same")); n < 5 {
		t.Errorf("%d requests in 5 s, want about 10: 304 is no fault", n)
	}
	if len(never.faults) != 1 || never.snapshots+never.patches != 0 {
		t.Errorf("304 to a request without a condition: %d documents, faults %v; want one fault", never.snapshots+never.patches, never.faults)
	}
}
