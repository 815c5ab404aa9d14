package httppoller_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freshet/internal/flow/source"
	"freshet/internal/flow/source/httppoller"
	"freshet/internal/flow/source/origin"
)

// An answer that says how long it stays as it is is not asked for again before that.
func TestCacheControl(t *testing.T) {
	const never = 100 * s
	for _, tt := range []struct {
		header, options string
		second          time.Duration // when the second poll is
	}{
		{"Cache-Control: max-age=60", ``, 60 * s},
		{"Cache-Control: public, Max-Age=\"60\"\nAge: 50", ``, 10 * s},
		{"Cache-Control: max-age=5, s-maxage=30", ``, 30 * s},
		{"Cache-Control: max-age=60", `,"ignoreCacheControl":true`, 5 * s},
		{"Cache-Control: no-cache, max-age=60", ``, 5 * s},
		{"Cache-Control: max-age=60\nCache-Control: no-store", ``, 5 * s},
		{"Cache-Control: max-age=2", ``, 5 * s},
		{"Cache-Control: max-age=x", ``, 5 * s},
		{"Cache-Control: max-age=99999999", ``, never},
		{"Expires: Sat, 01 Jan 2000 00:00:40 GMT\nDate: Sat, 01 Jan 2000 00:00:00 GMT", ``, 40 * s},
		{"Expires: 0\nDate: Sat, 01 Jan 2000 00:00:00 GMT", ``, 5 * s},
	} {
		t.Run(tt.header, func(t *testing.T) {
			inBubble(t, func(n int, w http.ResponseWriter, _ *http.Request) {
				set(w.Header(), tt.header)
				fmt.Fprint(w, n)
			}, func(w *world) {
				w.run(w.poller(tt.options), min(tt.second+s, never-s))
				if tt.second == never {
					w.asked(0)
				} else {
					w.asked(0, tt.second)
				}
			})
		})
	}
}

// set sets the lines of a header.
func set(h http.Header, lines string) {
	for line := range strings.SplitSeq(lines, "\n") {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
}

// What an upstream says of its own limit is kept: nothing is asked where nothing is left, and what is left is
// spread.
func TestRateLimit(t *testing.T) {
	for _, tt := range []struct {
		header string
		polls  int // in a minute, at a period of 1 s
	}{
		{``, 60},
		{`RateLimit: "default";r=0;t=30`, 2},
		{`RateLimit: "burst";r=100;t=1, "daily";r=4;t=60`, 4},
		{`RateLimit: limit=100, remaining=6, reset=60`, 6},
		{"RateLimit-Remaining: 0\nRateLimit-Reset: 20", 3},
		{"X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 20", 3},
		{"X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 946684830", 31}, // at :30, and again there
		{"X-RateLimit-Remaining: 1000\nX-RateLimit-Reset: 60", 60},
		{"X-RateLimit-Remaining: many\nX-RateLimit-Reset: 60", 60},
		{`RateLimit-Policy: "default";q=10;w=60`, 10},
	} {
		t.Run(tt.header, func(t *testing.T) {
			inBubble(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
				set(w.Header(), tt.header)
				_, _ = io.WriteString(w, "1")
			}, func(w *world) {
				w.run(w.poller(`,"pollingPeriod":"1s"`), time.Minute)
				w.mu.Lock()
				n := len(w.requests)
				w.mu.Unlock()
				if n < tt.polls-1 || n > tt.polls+1 {
					t.Errorf("%d polls, want %d", n, tt.polls)
				}
				for _, l := range w.heard() {
					if strings.HasPrefix(l, "fault") {
						t.Errorf("to wait is no fault: %s", l)
					}
				}
			})
		})
	}
}

// The period follows how often the document changes, within its bounds.
func TestAdaptive(t *testing.T) {
	for _, tt := range []struct {
		name, options string
		changes       time.Duration // how often the document changes
		least, most   int           // polls in the second half of an hour
		oldest        time.Duration // that a change was when it was seen
	}{
		{"each minute", `{}`, time.Minute, 200, 300, 12 * s},
		{"each minute, staleness", `{"staleness":"PT5S"}`, time.Minute, 340, 380, 5 * s},
		{"each second", `{}`, s, 1700, 1850, 2 * s},
		{"each second, gently", `{"min":"PT20S"}`, s, 85, 95, 20 * s},
		{"never", `{"max":"PT30S"}`, 1000 * time.Hour, 55, 65, 0},
		{"never, staleness", `{"max":"PT30S","staleness":"PT10S"}`, 1000 * time.Hour, 175, 185, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			late, polls := 0, 0
			inBubble(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
				since := time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))
				fmt.Fprint(w, int(since/tt.changes))
				if since > 30*time.Minute {
					polls++
				}
			}, func(w *world) {
				seen := map[string]bool{}
				w.each = func(l string) {
					var n int
					if _, err := fmt.Sscanf(l, "payload %d", &n); err == nil && !seen[l] && time.Since(w.start) > 30*time.Minute {
						if age := time.Since(w.start) - time.Duration(n)*tt.changes; age > tt.oldest {
							late++
						}
					}
					seen[l] = true
				}
				w.run(w.poller(`,"pollingPeriod":"1s","adaptive":`+tt.options), time.Hour)
			})
			if polls < tt.least || polls > tt.most || late > 0 {
				t.Errorf("%d polls, want %d to %d; %d changes were seen later than %v", polls, tt.least, tt.most, late, tt.oldest)
			}
		})
	}
	expectWrong(t, `"adaptive":{"min":"PT0.4S"}`, "/adaptive/min: must be from PT0.5S")
	expectWrong(t, `"adaptive":{"max":"P2D"}`, "/adaptive/max: must be from PT0.5S to P1D")
	expectWrong(t, `"adaptive":{"min":"PT2S","max":"PT1S"}`, "/adaptive/max: must not be less than min, PT2S")
	expectWrong(t, `"adaptive":{"min":"PT2S","staleness":"PT1S"}`, "/adaptive/staleness: must not be less than min")
}

// Polls are made in the windows only. The bubble begins on a Saturday at midnight, UTC.
func TestWindows(t *testing.T) {
	const day = 24 * time.Hour
	inBubble(t, counting, func(w *world) {
		w.run(w.poller(`,"pollingPeriod":"PT30M","windows":[{"cron":"* 9-10 * * MON-FRI","timeZone":"America/New_York"},{"cron":"0 12 * * SAT"}]`), 3*day)
		monday := 2*day + 14*time.Hour // nine o'clock in New York
		w.asked(12*time.Hour, monday, monday+30*time.Minute, monday+60*time.Minute, monday+90*time.Minute)
	})
	inBubble(t, counting, func(w *world) { // not all at once
		w.phase = 0.5
		w.run(w.poller(`,"pollingPeriod":"PT10M","windows":[{"cron":"0-29 * * * *"}]`), 2*time.Hour)
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, at := range w.requests {
			if at%time.Hour > 30*time.Minute+30*s {
				t.Errorf("polled at %v", at)
			}
		}
	})
	expectWrong(t, `"windows":[{}]`, "/windows/0/cron: is required")
	expectWrong(t, `"windows":[{"cron":"* * * *"}]`, "/windows/0/cron: is not five fields of cron")
	expectWrong(t, `"windows":[{"cron":"@daily"}]`, "/windows/0/cron: must be five fields")
	expectWrong(t, `"windows":[{"cron":"0 0 30 2 *"}]`, "/windows/0/cron: is a time that never comes")
	expectWrong(t, `"windows":[{"cron":"* * * * *","timeZone":"Mars/Olympus"}]`, `/windows/0/timeZone: "Mars/Olympus" is not a time zone`)
}

// Whatever many topics of one origin want, it gets no more than its budget, and what it asks for with
// Retry-After holds for all of them.
func TestBudget(t *testing.T) {
	var asked []time.Duration
	var mu sync.Mutex
	paused := false
	inBubble(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)))
		if n == 200 {
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusTooManyRequests)
			paused = true
			return
		}
		fmt.Fprint(w, n)
	}, func(w *world) {
		w.origins = &origin.Origins{Named: map[string]origin.Budget{"http://upstream.example": {Rate: 10, Concurrency: 4}}}
		var wg sync.WaitGroup
		for i := range 100 {
			w.phase = float64(i) / 100
			p := build(t, "http-poller", fmt.Sprintf(`{"url":"http://upstream.example/%d","pollingPeriod":"1s"}`, i), w.env())
			wg.Go(func() { w.run(p, 2*time.Minute) })
		}
		wg.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.parallel > 4 || !paused {
			t.Errorf("%d at a time", w.parallel)
		}
	})
	gap := time.Duration(0)
	for i := 1; i < len(asked); i++ {
		if d := asked[i] - asked[i-1]; d < 100*time.Millisecond-time.Microsecond {
			t.Fatalf("requests %d and %d are %v apart", i-1, i, d)
		} else {
			gap = max(gap, d)
		}
	}
	if gap < 30*s || len(asked) < 850 || len(asked) > 910 { // 120 s less 30, ten a second
		t.Errorf("%d requests, the longest pause %v", len(asked), gap)
	}
}

// An origin that is down gets one attempt at a time of a hundred topics; all of them say so, and all come back.
func TestCircuitOfManyTopics(t *testing.T) {
	var down atomic.Bool
	var while atomic.Int32
	inBubble(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			while.Add(1)
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		fmt.Fprint(w, n)
	}, func(w *world) {
		w.origins = &origin.Origins{}
		var wg sync.WaitGroup
		sinks := make([]*recorder, 100)
		for i := range sinks {
			w.phase = float64(i) / 100
			sinks[i] = &recorder{start: time.Now()}
			p := build(t, "http-poller", fmt.Sprintf(`{"url":"http://upstream.example/%d","retryMaxAttempts":0}`, i), w.env())
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Minute)
				defer cancel()
				if err := p.Run(ctx, sinks[i]); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Minute)
		down.Store(true)
		time.Sleep(10 * time.Minute)
		down.Store(false)
		wg.Wait()
		if n := while.Load(); n > 60 {
			t.Errorf("%d requests in ten minutes while it was down", n)
		}
		for i, sink := range sinks {
			all := strings.Join(sink.heard(), " ")
			if last := sink.lines[len(sink.lines)-1]; !strings.Contains(all, "fault 70502") || !strings.HasPrefix(last, "payload") {
				t.Errorf("topic %d heard last: %s", i, last)
			}
		}
	})
}

// The figures of polling, by the origin's own log: docs/sources.md quotes them.
func TestEconomics(t *testing.T) {
	run := func(options string, etag bool) (requests, bytes int) {
		document := strings.Repeat(`{"sku":"A1","price":1.25,"stock":17},`, 1000)
		inBubble(t, func(_ int, w http.ResponseWriter, r *http.Request) {
			minute := int(time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) / time.Minute)
			requests++
			bytes += 200 // about what a header has
			if tag := fmt.Sprintf(`"%d"`, minute); etag {
				w.Header().Set("ETag", tag)
				if r.Header.Get("If-None-Match") == tag {
					w.WriteHeader(http.StatusNotModified)
					return
				}
			}
			n, _ := fmt.Fprintf(w, `[%s%d]`, document, minute)
			bytes += n
		}, func(w *world) { w.run(w.poller(`,"pollingPeriod":"1s"`+options), time.Hour) })
		return requests, bytes
	}
	plain, plainBytes := run(``, false)
	tagged, taggedBytes := run(``, true)
	adaptive, adaptiveBytes := run(`,"adaptive":{"staleness":"PT5S"}`, true)
	t.Logf("plain %d requests, %d bytes; with ETags %d, %d; adaptive %d, %d", plain, plainBytes, tagged, taggedBytes, adaptive, adaptiveBytes)
	if taggedBytes*20 > plainBytes || adaptive*4 > tagged {
		t.Errorf("bytes %.3f of plain polling, want 0.05; requests %.3f, want 0.25", float64(taggedBytes)/float64(plainBytes), float64(adaptive)/float64(tagged))
	}
}

func FuzzQuota(f *testing.F) {
	for _, s := range []string{`"default";r=50;t=30`, `limit=100, remaining=50, reset=30`, `;r=;t=`, `"a";r=1e400;t=1`, `r=1;t=1e300`} {
		f.Add(s, s)
	}
	now := time.Unix(1_800_000_000, 0)
	f.Fuzz(func(t *testing.T, limit, reset string) {
		q, ok := httppoller.QuotaOf(http.Header{"Ratelimit": {limit}, "X-Ratelimit-Remaining": {limit}, "X-Ratelimit-Reset": {reset}, "Ratelimit-Policy": {limit}}, now)
		if ok && (q.Reset() <= 0 || q.Reset() > 24*time.Hour || q.Remaining() < 0) {
			t.Errorf("%+v", q)
		}
		if d := httppoller.FreshFor(http.Header{"Cache-Control": {limit}, "Age": {reset}, "Expires": {reset}, "Date": {limit}}); d > 24*time.Hour {
			t.Errorf("fresh for %v", d)
		}
	})
}

// The next poll that is told of is the one that the origin's budget leaves room for, whoever waits for it.
func TestPlanWithinBudget(t *testing.T) {
	inBubble(t, func(n int, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, n) }, func(w *world) {
		w.origins = &origin.Origins{Named: map[string]origin.Budget{"http://upstream.example": {Rate: 0.1}}}
		p := w.poller(``)
		go func() {
			for at := 3 * s; at < 40*s; at += 2500 * time.Millisecond {
				time.Sleep(at - time.Since(w.start))
				w.recorder.mu.Lock()
				got := w.planned[len(w.planned)-1]
				w.recorder.mu.Unlock()
				if want := (at/(10*s) + 1) * 10 * s; got != want {
					t.Errorf("at %v the next poll is told to be at %v, not %v", at, got, want)
				}
			}
		}()
		w.run(p, 39*s)
		w.asked(0, 10*s, 20*s, 30*s)
		if at, ok := p.(source.Poller); !ok || at.PollNow().Sub(w.start) != 50*s { // the turn before was that of the poll that was cut off
			t.Errorf("asked to poll now: at %v", at.PollNow().Sub(w.start))
		}
	})
}
