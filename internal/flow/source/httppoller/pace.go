package httppoller

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"freshet/internal/flow/source"
)

const (
	// slowest is how far apart the polls of a failing upstream get, unless its period is longer.
	slowest = time.Minute
	// longestRetryAfter bounds what upstream may ask for. A mistaken year would stop the topic for
	// good; a day is still polite.
	longestRetryAfter = 24 * time.Hour
)

// nextPoll is when the poll after the one that was due at start is due: a whole number of periods
// later, in the future. From the second failure in a row on, it is up to twice as far away with each,
// at random, so that many topics of one upstream do not come back together.
func nextPoll(start, now time.Time, period time.Duration, failed int) time.Time {
	periods := max(1, (now.Sub(start)+period-1)/period)
	next := start.Add(periods * period)
	if failed > 1 {
		next = next.Add(source.Jitter(source.BackOff(failed-1, period, max(period, slowest), 1) - period))
	}
	return next
}

// phaseIn is the phase in a period, on a grid of at most four milliseconds: polls that are due at the same moment share
// what it costs to wake the process, and hardly anybody could tell them from others.
func phaseIn(period time.Duration, phase float64) time.Duration {
	grid := min(4*time.Millisecond, max(period/256, 1))
	return time.Duration(phase * float64(period)).Truncate(grid)
}

// towards is by how much a poll that is due is to be later, so that polls come to their phase in the period
// as the clock counts it: by an eighth of the period at most, and by ten seconds, so that the change is a gentle one.
func towards(phase time.Duration, due time.Time, period time.Duration) time.Duration {
	since := time.Duration(due.UnixNano() % int64(period))
	late := (phase - since + period) % period
	if late > period-period/16 {
		return 0 // a clock that was set back a little
	}
	return min(late, period/8, 10*time.Second)
}

// retryAfter reads the Retry-After field of an answer (RFC 9110 section 10.2.3): for how long from
// now no request is wanted; 0 where it says nothing that can be understood. A date is compared with
// the answer's own Date, which leaves the difference between two clocks out of it.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseUint(value, 10, 32)
		if err != nil || time.Duration(seconds) > longestRetryAfter/time.Second {
			return longestRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(0, at.Sub(now)), longestRetryAfter)
}
