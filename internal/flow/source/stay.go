package source

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"freshet"
	"freshet/internal/settings"
)

// How long a source that cannot connect, or cannot store what it has, pauses. A server that is back is not kept
// waiting for much longer than it was away.
const (
	firstPause   = time.Second
	longestPause = 15 * time.Second
	longestOffer = 10 * time.Second
	steady       = 10 * time.Second
)

// Stay keeps a source connected until ctx ends. connect connects, calls up once upstream has taken it, and
// returns why the connection ended. After each end the sink is told, and there is a random pause: of at most
// a second at first, doubling to 15 s while connections do not last for steady.
func Stay(ctx context.Context, to Sink, log *slog.Logger, connect func(ctx context.Context, up func()) error) {
	for failed := 0; ; failed++ {
		began, upSince := time.Now(), time.Time{}
		err := connect(ctx, func() {
			upSince = time.Now()
			to.Unchanged(ctx, upSince, upSince.Sub(began))
		})
		if !upSince.IsZero() && time.Since(upSince) >= steady {
			failed = 0 // one that takes connections and ends them is waited for like one that takes none
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			f, _ := FaultOf(err)
			if log != nil {
				log.InfoContext(ctx, "the connection to upstream ended", "code", f.Code, "err", err)
			}
			to.Fault(ctx, f, time.Since(began))
		}
		if !Sleep(ctx, Jitter(BackOff(failed, firstPause, longestPause, 1))) {
			return
		}
	}
}

// Offer hands payloads to the sink until it has stored them: what only the journal's state keeps from being
// stored is tried again, at growing distances, as upstream will not send it twice. It returns false when
// ctx has ended before.
func Offer(ctx context.Context, to Sink, ps ...Payload) bool {
	for failed := 0; ; failed++ {
		err := to.Payload(ctx, ps...)
		if ctx.Err() != nil {
			return err == nil
		}
		if err == nil || isFault(err) {
			return true
		}
		if !Sleep(ctx, Jitter(BackOff(failed, firstPause/10, longestOffer, 1))) {
			return false
		}
	}
}

func isFault(err error) bool {
	_, ok := errors.AsType[freshet.Fault](err)
	return ok
}

// BackOff is the longest pause before retry number n, from 0: initial, growing by factor of itself.
func BackOff(n int, initial, longest time.Duration, factor float64) time.Duration {
	pause := float64(initial)
	for range n {
		pause = min(pause*(1+factor), float64(longest))
	}
	return min(time.Duration(pause), longest)
}

// CheckBackOff judges the members of a configuration that say how long its source pauses before it tries again. The
// default of the first pause stands for what fits.
func CheckBackOff(v *settings.Verdict, initial, longest freshet.Duration) {
	if initial > longest && initial != freshet.Duration(firstPause) {
		v.Say("/retryBackOffInitialDuration", "must not be more than retryBackOffMaxDuration, %v", longest)
	}
}

// Jitter is a random time of at most longest: "full jitter", which spreads the load of many clients
// best.
func Jitter(longest time.Duration) time.Duration {
	if longest <= 0 {
		return 0
	}
	return rand.N(longest + 1) //nolint:gosec // nobody gains by guessing it
}

// Sleep waits until d has passed, by the monotonic clock, or ctx has ended: then it returns false.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
