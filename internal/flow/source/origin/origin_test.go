package origin_test

import (
	"context"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"freshet"
	"freshet/internal/flow/source/origin"
)

func of(t *testing.T, all *origin.Origins, raw string) *origin.Origin {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return all.Of(u)
}

func TestName(t *testing.T) {
	for raw, want := range map[string]string{
		"https://API.example.com:443/x?y": "https://api.example.com", "http://a.example:80": "http://a.example", "http://a.example:443": "http://a.example:443",
		"https://a.example.:8443/": "https://a.example:8443", "http://[::1]:3000/": "http://[::1]:3000", "http://[::1]/": "http://[::1]",
	} {
		u, err := url.Parse(raw)
		if err != nil || origin.Name(u) != want {
			t.Errorf("%s: %s, want %s", raw, origin.Name(u), want)
		}
	}
}

// All requests of an origin keep its rate, however many want to make some, also after a pause.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := &origin.Origins{Named: map[string]origin.Budget{"https://a.example": {Rate: 4}}}
		o := of(t, all, "https://a.example/1")
		if o != of(t, all, "https://a.example:443/2") || o == of(t, all, "https://b.example/") {
			t.Fatal("origins are mixed up")
		}
		time.Sleep(time.Hour)
		start := time.Now()
		var mu sync.Mutex
		var begun []time.Duration
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				done, err := o.Acquire(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				begun = append(begun, time.Since(start))
				mu.Unlock()
				done()
			})
		}
		wg.Wait()
		for i, at := range begun {
			if at != time.Duration(i)*250*time.Millisecond {
				t.Fatalf("begun at %v", begun)
			}
		}
		free := of(t, all, "https://b.example/")
		for range 100 {
			if done, err := free.Acquire(t.Context()); err != nil {
				t.Fatal(err)
			} else {
				done()
			}
		}
		if since := time.Since(start); since != begun[19] {
			t.Errorf("an origin without a budget waits: %v", since)
		}
	})
}

func TestConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := of(t, &origin.Origins{Default: origin.Budget{Concurrency: 2}}, "https://a.example/")
		one, err1 := o.Acquire(t.Context())
		two, err2 := o.Acquire(t.Context())
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if done, err := o.Acquire(ctx); err == nil || done != nil {
			t.Error("three at a time")
		}
		one()
		if three, err := o.Acquire(t.Context()); err != nil {
			t.Error(err)
		} else {
			three()
		}
		two()
	})
}

// An origin that says how much is left gets that, evenly, until it is reset; one that wants nothing, nothing.
func TestLimitsOfTheOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := of(t, &origin.Origins{}, "https://a.example/")
		start := time.Now()
		acquire := func(want time.Duration) {
			t.Helper()
			done, err := o.Acquire(t.Context())
			if err != nil || time.Since(start) != want {
				t.Fatalf("at %v, want %v: %v", time.Since(start), want, err)
			}
			done()
		}
		o.Remaining(10, start.Add(20*time.Second))
		acquire(0)
		acquire(2 * time.Second)
		acquire(4 * time.Second)
		time.Sleep(20 * time.Second)
		acquire(24 * time.Second)
		acquire(24 * time.Second) // it is reset
		o.Remaining(0, time.Now().Add(30*time.Second))
		if c := o.Closed(); c == nil || c.Until.Sub(start) != 54*time.Second || c.Because.Code != 0 {
			t.Errorf("closed: %v", c)
		}
		o.Wait(start.Add(40*time.Second), freshet.Fault{Code: 70503}) // shorter: the longer one counts
		if c := o.Closed(); c == nil || c.Until.Sub(start) != 54*time.Second || c.Because.Code != 0 {
			t.Errorf("closed: %v", c)
		}
		time.Sleep(30 * time.Second)
		if c := o.Closed(); c != nil {
			t.Errorf("still closed: %v", c)
		}
	})
}

// An origin that fails five times in a row, of several topics, gets one attempt at a time, at growing distances,
// until one succeeds.
func TestCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := of(t, &origin.Origins{}, "https://a.example/")
		for range 9 {
			o.Failed("a", freshet.Fault{Code: 70500})
		}
		if o.Closed() != nil {
			t.Fatal("closed for a topic alone")
		}
		o.Succeeded()
		for i := range 4 {
			o.Failed(i, freshet.Fault{Code: 70500})
		}
		if o.Closed() != nil {
			t.Fatal("closed after four failures")
		}
		o.Failed("a", freshet.Fault{Code: 70502})
		start, attempts := time.Now(), 0
		for time.Since(start) < 10*time.Minute { // a hundred topics would ask all the time
			if c := o.Closed(); c == nil {
				done, err := o.Acquire(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				attempts++
				if o.Closed() == nil {
					t.Fatal("two attempts at a time")
				}
				time.Sleep(100 * time.Millisecond)
				o.Failed("a", freshet.Fault{Code: 70502})
				done()
			} else if c.Because.Code != 70502 {
				t.Fatal(c)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if attempts < 10 || attempts > 30 {
			t.Errorf("%d attempts in ten minutes", attempts)
		}
		o.Succeeded()
		if o.Closed() != nil {
			t.Error("closed after a success")
		}
	})
}
