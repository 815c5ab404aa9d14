package delivery

import (
	"math/rand/v2"
	"time"

	"freshet"
)

// Standard is the schedule of retries that Standard Webhooks recommends: how long after one attempt the next
// is made. The first is made at once.
func Standard() []freshet.Duration {
	of := func(all ...time.Duration) (s []freshet.Duration) {
		for _, d := range all {
			s = append(s, freshet.Duration(d))
		}
		return s
	}
	return of(0, 5*time.Second, 5*time.Minute, 30*time.Minute, 2*time.Hour, 5*time.Hour, 10*time.Hour, 14*time.Hour, 20*time.Hour, 24*time.Hour)
}

// jitter is how much later, at most, than its schedule an attempt is made, as a share: receivers that come back
// are not met by everybody at once.
const jitter = 0.1

// pause is how long to wait before attempt number n, from 1; false: there is none any more.
func pause(schedule []freshet.Duration, n int) (time.Duration, bool) {
	if n > len(schedule) {
		return 0, false
	}
	d := time.Duration(schedule[n-1])
	return d + time.Duration(rand.Float64()*jitter*float64(d)), true //nolint:gosec // spreads load, guards nothing
}
