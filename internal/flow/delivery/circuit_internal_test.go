package delivery

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What goes to an endpoint that fails waits, but for one attempt after each pause, until something is accepted there;
// other endpoints are not concerned, and no refusal of one subscription's own.
func TestCircuits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &circuits{log: slog.New(slog.DiscardHandler), all: map[string]*circuit{}}
		broken := errors.New("broken")
		own := Refusedf("no")
		own.Status = http.StatusUnauthorized
		for range openAfter - 1 {
			c.report("a", "the a", broken)
			c.report("b", "the b", own)
		}
		for range openAfter {
			c.report("b", "the b", own)
		}
		if !c.pass(t.Context(), "a") || !c.pass(t.Context(), "b") || c.open() != 0 {
			t.Error("too early")
		}
		full := Refusedf("later")
		full.Status = http.StatusTooManyRequests
		c.report("a", "the a", full)
		if c.open() != 1 || !c.pass(t.Context(), "b") {
			t.Errorf("%d are open", c.open())
		}
		var passed atomic.Int32
		for range 10 {
			go func() {
				if c.pass(t.Context(), "a") {
					passed.Add(1)
				}
			}()
		}
		at := func(after time.Duration, want int32) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := passed.Load(); got != want {
				t.Errorf("%d passed, want %d", got, want)
			}
		}
		c.ask("b") // of which nothing is known
		at(shortestProbe-time.Millisecond, 0)
		at(time.Millisecond, 1) // and fails
		c.report("a", "the a", broken)
		at(2*shortestProbe-time.Millisecond, 1)
		at(time.Millisecond, 2)
		for range 10 {
			c.report("a", "the a", broken)
		}
		at(longestProbe-time.Millisecond, 2)
		at(time.Millisecond, 3)
		c.report("a", "the a", nil) // one that is tried again is accepted
		at(0, 10)
		if c.open() != 0 || len(c.all) != 0 {
			t.Errorf("%d are open, %d are kept", c.open(), len(c.all))
		}
		for range openAfter {
			c.report("a", "the a", broken)
		}
		c.ask("a")
		if began := time.Now(); !c.pass(t.Context(), "a") || time.Since(began) > 0 {
			t.Error("somebody asks, and waits")
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if c.pass(ctx, "a") {
			t.Error("passed, though given up")
		}
	})
}
