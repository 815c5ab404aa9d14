package httppoller_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/httppoller"
)

const s = time.Second

// counting answers {"n":0}, {"n":1} …
func counting(n int, w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"n":%d}`, n) }

func TestPeriod(t *testing.T) {
	inBubble(t, counting, func(w *world) {
		w.run(w.poller(`,"pollingPeriod":"2s"`), 7*s)
		w.asked(0, 2*s, 4*s, 6*s)
		w.heardOnly(`payload {"n":0}`, `payload {"n":1}`, `payload {"n":2}`, `payload {"n":3}`)
	})
}

// Sources that are started together do not go on together: each comes to the phase that it was given, and
// never polls early for it.
func TestPhase(t *testing.T) {
	for _, phase := range []float64{0.1, 0.5, 0.9} {
		inBubble(t, counting, func(w *world) {
			w.phase = phase
			w.run(w.poller(`,"pollingPeriod":"10s"`), 98*s) // in no phase does a poll begin when that ends
			last := w.requests[len(w.requests)-1] % (10 * s)
			if want := time.Duration(phase * float64(10*s)); last != want { // a bubble begins at a multiple of 10 s
				t.Errorf("phase %g: polls come %v into the period, want %v", phase, last, want)
			}
			for i := range w.requests[1:] {
				if gap := w.requests[i+1] - w.requests[i]; gap < 10*s || gap > 11250*time.Millisecond {
					t.Errorf("phase %g: %v between two polls", phase, gap)
				}
			}
		})
	}
}

// A topic whose subscribers come and go asks upstream no more often than one that is always followed.
func TestPeriodOutlivesRun(t *testing.T) {
	inBubble(t, counting, func(w *world) {
		poller := w.poller(`,"pollingPeriod":"10s"`)
		w.run(poller, 1*s)
		w.run(poller, 1*s)
		w.run(poller, 12*s)
		time.Sleep(30 * s)
		w.run(poller, 1*s)
		w.asked(0, 10*s, 44*s)
	})
}

// What takes longer than a period skips the periods that it missed: upstream's answer, and the sink.
func TestNoBurst(t *testing.T) {
	slow := func(n int, w http.ResponseWriter, r *http.Request) {
		time.Sleep(7 * s)
		counting(n, w, r)
	}
	inBubble(t, slow, func(w *world) {
		w.run(w.poller(`,"pollingPeriod":"5s"`), 29*s)
		w.asked(0, 10*s, 20*s)
		if w.parallel != 1 {
			t.Errorf("%d requests at a time", w.parallel)
		}
	})
	inBubble(t, counting, func(w *world) {
		w.refuse = func(data []byte) error {
			if string(data) == `{"n":1}` {
				time.Sleep(33 * s)
			}
			return nil
		}
		w.run(w.poller(`,"pollingPeriod":"5s"`), 49*s)
		w.asked(0, 5*s, 40*s, 45*s)
	})
}

func fails(status int) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, _ *http.Request) { http.Error(w, "s3cret", status) }
}

// A blip that a retry mends is nothing to tell.
func TestRetry(t *testing.T) {
	inBubble(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n < 3 {
			fails(500)(n, w, r)
			return
		}
		counting(n, w, r)
	}, func(w *world) {
		w.run(w.poller(`,"pollingPeriod":"PT1M"`), 59*s)
		w.heardOnly(`payload {"n":3}`)
		for i, most := range []time.Duration{s, s * 3 / 2, s * 9 / 4} {
			if pause := w.requests[i+1] - w.requests[i]; pause <= 0 || pause > most {
				t.Errorf("pause %d was %v, want at most %v", i, pause, most)
			}
		}
	})
}

func TestRetryOptions(t *testing.T) {
	for _, tt := range []struct {
		name, options string
		status, want  int // requests within the first poll
	}{
		{"by default 500 is retried", ``, 500, 4},
		{"by default 404 is not", ``, 404, 1},
		{"by default 502 is not", ``, 502, 1},
		{"codes", `,"retryOnHttpCodes":[404,502]`, 404, 4},
		{"no codes", `,"retryOnHttpCodes":[]`, 500, 1},
		{"attempts", `,"retryMaxAttempts":1`, 503, 2},
		{"no attempts", `,"retryMaxAttempts":0`, 503, 1},
		{"no pause", `,"retryBackOffInitialDuration":"PT0S"`, 503, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, fails(tt.status), func(w *world) {
				w.run(w.poller(`,"pollingPeriod":"PT1M"`+tt.options), 59*s)
				if len(w.requests) != tt.want {
					t.Errorf("%d requests, want %d", len(w.requests), tt.want)
				}
				w.heardOnly(fmt.Sprintf("fault %d", 70000+tt.status))
			})
		})
	}
}

// An upstream that is down for ten minutes is asked less and less often, and once it is back the
// period is what it was.
func TestBackOff(t *testing.T) {
	const down = 10 * time.Minute
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of every bubble
	inBubble(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if time.Since(start) < down {
			fails(503)(n, w, r)
			return
		}
		counting(n, w, r)
	}, func(w *world) {
		w.run(w.poller(`,"pollingPeriod":"5s"`), down+2*time.Minute)
		back := slices.IndexFunc(w.requests, func(at time.Duration) bool { return at >= down })
		if back > 4+10+30 { // the retries, the way up, and about one in 32 s
			t.Errorf("%d requests in ten minutes of failure", back)
		}
		for i := 5; i < back; i++ {
			failures := i - 3
			least, most := 5*s, min(5*s<<(failures-1), time.Minute)
			if gap := w.requests[i] - w.requests[i-1]; gap < least || gap > most {
				t.Errorf("after %d failures the gap was %v, want %v to %v", failures, gap, least, most)
			}
		}
		for i := back + 1; i < len(w.requests); i++ {
			if gap := w.requests[i] - w.requests[i-1]; gap != 5*s {
				t.Errorf("after the recovery the gap was %v", gap)
			}
		}
		if n := len(w.requests) - back; n < 12 {
			t.Errorf("only %d requests after the recovery", n)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		status int
		field  string
		wait   time.Duration // until the second request
		told   bool          // that upstream failed, before it
	}{
		{429, "30", 30 * s, true},
		{503, "30", 30 * s, true},
		{503, "8", 8 * s, false}, // short enough for a retry of the same poll
		{429, "Sat, 01 Jan 2000 00:00:45 GMT", 45 * s, true},
		{503, "Sat, 01 Jan 2000 00:00:45 GMT", 45 * s, true},
		{429, "Fri, 31 Dec 1999 00:00:45 GMT", 5 * s, true}, // past: the period counts
		{429, "soon", 5 * s, true},
		{429, "-3", 5 * s, true},
		{429, "99999999999999999999", 24 * time.Hour, true},
	} {
		t.Run(strconv.Itoa(tt.status)+" "+tt.field, func(t *testing.T) {
			inBubble(t, func(n int, w http.ResponseWriter, r *http.Request) {
				if n == 0 {
					w.Header().Set("Retry-After", tt.field)
					w.WriteHeader(tt.status)
					return
				}
				counting(n, w, r)
			}, func(w *world) { // the bubble's clock starts on 1 January 2000
				w.run(w.poller(``), tt.wait+s)
				w.asked(0, tt.wait)
				if tt.told {
					w.heardOnly(fmt.Sprintf("fault %d", 70000+tt.status), `payload {"n":1}`)
				} else {
					w.heardOnly(`payload {"n":1}`)
				}
			})
		})
	}
}

// A date is meant by upstream's clock, here an hour ahead of ours.
func TestRetryAfterByAnotherClock(t *testing.T) {
	inBubble(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 0 {
			w.Header().Set("Date", "Sat, 01 Jan 2000 01:00:00 GMT")
			w.Header().Set("Retry-After", "Sat, 01 Jan 2000 01:00:20 GMT")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		counting(n, w, r)
	}, func(w *world) {
		w.run(w.poller(``), 21*s)
		w.asked(0, 20*s)
	})
}

// Subscribers that leave and come back do not make the poller forget what it was told.
func TestRetryAfterOutlivesRun(t *testing.T) {
	inBubble(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 0 {
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		counting(n, w, r)
	}, func(w *world) {
		poller := w.poller(``)
		w.run(poller, 7*s)
		w.run(poller, 7*s)
		w.run(poller, 60*s)
		w.asked(0, 60*s, 65*s, 70*s)
		w.heardOnly("fault 70429", "fault 70429", "fault 70429", `payload {"n":1}`, `payload {"n":2}`, `payload {"n":3}`)
	})
}

func TestHang(t *testing.T) {
	for name, before := range map[string]string{"without an answer": "", "in the body": `{"half":`} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(n int, w http.ResponseWriter, r *http.Request) {
				if n == 1 {
					counting(n, w, r)
					return
				}
				if before != "" {
					_, _ = io.WriteString(w, before)
					_ = http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
			}, func(w *world) {
				w.run(w.poller(`,"timeout":"3s"`), 6*s)
				w.asked(0, 5*s)
				w.heardOnly("fault 70013", `payload {"n":1}`)
				if w.times[0] != 3*s {
					t.Errorf("the fault came at %v", w.times[0])
				}
			})
		})
	}
}

func TestStop(t *testing.T) {
	for name, script := range map[string]func(int, http.ResponseWriter, *http.Request){
		"in a request": func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"in a pause":   fails(500),
		"in a period":  counting,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, script, func(w *world) {
				ctx, cancel := context.WithCancel(w.t.Context())
				done := make(chan error)
				poller := w.poller(`,"retryBackOffInitialDuration":"PT10S"`)
				go func() { done <- poller.Run(ctx, w) }()
				time.Sleep(time.Millisecond)
				synctest.Wait()
				heard, at := len(w.heard()), time.Now()
				cancel()
				if err := <-done; err != nil || time.Since(at) != 0 {
					t.Errorf("stopped after %v: %v", time.Since(at), err)
				}
				if len(w.heard()) != heard {
					t.Errorf("the sink heard of it: %q", w.heard())
				}
			})
		})
	}
}

// An upstream that goes up and down: every good document arrives, no bad one, one fault for each
// failed poll, and no more requests than polls and their retries.
func TestFlapping(t *testing.T) {
	modes := []func(int, http.ResponseWriter, *http.Request){
		counting,
		fails(404),
		counting,
		func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, "<html>s3cret</html>")
		},
		counting,
		func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
	}
	inBubble(t, func(n int, w http.ResponseWriter, r *http.Request) { modes[n%len(modes)](n, w, r) }, func(w *world) {
		w.run(w.poller(``), 39*s)
		w.asked(0, 5*s, 10*s, 15*s, 20*s, 25*s, 30*s, 35*s)
		w.heardOnly(`payload {"n":0}`, "fault 70404", `payload {"n":2}`, "fault 70016", `payload {"n":4}`, "fault 70000",
			`payload {"n":6}`, "fault 70404")
	})
}

// A payload that the sink cannot take because of ourselves does not slow the polls down; nothing is
// remembered of it, so that it is offered again.
func TestSinkRefuses(t *testing.T) {
	same := func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("ETag", `"v1"`)
		_, _ = io.WriteString(w, `[1`)
	}
	for _, tt := range []struct {
		name string
		err  error
	}{
		{"a fault", freshet.Fault{Code: freshet.FaultFormat}},
		{"an error", fmt.Errorf("append: %w", errStore)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, same, func(w *world) {
				calls := 0
				w.refuse = func([]byte) error {
					if calls++; calls == 3 {
						return nil
					}
					return tt.err
				}
				w.run(w.poller(``), 26*s)
				want := []string{"payload [1", "payload [1", "payload [1", "unchanged"}
				for i, line := range w.heard() {
					if i < len(want) && line != want[i] {
						t.Errorf("heard %q, want %q", w.heard(), want)
					}
				}
				if tt.err == nil && len(w.requests) != 6 {
					t.Errorf("asked at %v", w.requests)
				}
			})
		})
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{
		"", "0", "120", " 7 ", "-1", "1.5", "4294967296", "99999999999999999999999",
		"Fri, 31 Dec 1999 23:59:59 GMT", "Friday, 31-Dec-99 23:59:59 GMT", "Fri Dec 31 23:59:59 1999", "Fri, 31 Dec 9999 23:59:59 GMT", "2h",
	} {
		f.Add(seed, "Fri, 31 Dec 1999 23:59:00 GMT")
		f.Add(seed, "")
	}
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, field, date string) {
		got := httppoller.RetryAfter(http.Header{"Retry-After": {field}, "Date": {date}}, now)
		if got < 0 || got > 24*time.Hour {
			t.Fatalf("%q: %v", field, got)
		}
		if n, err := strconv.ParseUint(field, 10, 16); err == nil && field[0] != '+' && n <= 86400 && got != time.Duration(n)*time.Second {
			t.Errorf("%q: %v", field, got)
		}
	})
}

// A poll that is asked for is made at once, shared by those who ask, never within a second of the one before,
// and never before what upstream asked for; the sink knows the plan.
func TestPollNow(t *testing.T) {
	inBubble(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 3 {
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, n)
	}, func(w *world) {
		p := w.poller(`,"pollingPeriod":"PT10M","retryMaxAttempts":0`)
		poller, ok := p.(source.Poller)
		if !ok {
			t.Fatal("it cannot be asked")
		}
		var running sync.WaitGroup
		running.Go(func() { w.run(p, 15*time.Minute) })
		wait := func(d time.Duration) { time.Sleep(d - time.Since(w.start)) }
		ask := func(want time.Duration) {
			t.Helper()
			if got := max(0, time.Until(poller.PollNow())); got != want {
				t.Errorf("a poll asked for at %v may be in %v, want %v", time.Since(w.start), got, want)
			}
		}
		wait(30 * s)
		ask(0)
		ask(0)
		wait(30*s + 400*time.Millisecond)
		ask(600 * time.Millisecond)
		wait(60 * s)
		ask(0) // gets Retry-After
		wait(70 * s)
		ask(50 * s)
		running.Wait()
		w.asked(0, 30*s, 31*s, 60*s, 120*s, 720*s)
		w.mu.Lock()
		defer w.mu.Unlock()
		if want := []time.Duration{600 * s, 600 * s, 30 * s, 630 * s, 630 * s, 31 * s}; len(w.planned) < 7 || !slices.Equal(w.planned[1:7], want) {
			t.Errorf("planned %v, want to begin with %v", w.planned, want)
		}
	})
}
