package load

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errLate means that what was waited for did not come in time.
var errLate = errors.New("it took too long")

// Until waits until done is satisfied.
func (f *Fleet) Until(ctx context.Context, limit time.Duration, done func(*Tally) bool) (*Tally, error) {
	deadline := time.Now().Add(limit)
	for {
		t := f.Tally()
		if done(t) {
			return t, nil
		}
		if time.Now().After(deadline) {
			return t, errLate
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return t, err
		}
	}
}

// Ready waits until every subscriber is connected. It says each second how many are, and gives up
// after about two seconds in which the server does nothing but refuse them.
func (f *Fleet) Ready(ctx context.Context, limit time.Duration, say func(format string, args ...any)) error {
	t, err := f.gather(ctx, limit, "connected", func(t *Tally) int { return t.Open }, say)
	if errors.Is(err, errLate) {
		return fmt.Errorf("%d of %d subscribers connected in %s: %w", t.Open, f.config.Subscribers, limit, firstOf(t.refusal, t.failure, err))
	}
	return err
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// step is how often gather looks whether there are more.
const step = 500 * time.Millisecond

// gather waits until the number of subscribers that are what is said reaches all.
func (f *Fleet) gather(ctx context.Context, limit time.Duration, what string, number func(*Tally) int, say func(format string, args ...any)) (*Tally, error) {
	all := f.config.Subscribers
	// Who is refused counts as open for a moment. So what counts is the least of each step.
	var least []int
	var refused []int64
	for began := time.Now(); ; {
		low := all
		t, err := f.Until(ctx, min(step, max(limit-time.Since(began), 0)), func(t *Tally) bool {
			low = min(low, number(t))
			return number(t) == all
		})
		if err == nil || !errors.Is(err, errLate) || time.Since(began) >= limit {
			return t, err
		}
		least, refused = append(least, low), append(refused, t.Refused)
		n := len(least) - 1
		if n%2 == 1 {
			say("%s of %s %s%s", thousands(number(t)), thousands(all), what, refusals(t))
		}
		if n >= 3 && min(least[n], least[n-1]) <= least[n-2] && refused[n] > refused[n-2] {
			return t, &RefusedError{Open: low, Of: all, Refused: t.Refused, Err: t.refusal}
		}
	}
}

// refusals says how often the server refused, and why; "" if it did not.
func refusals(t *Tally) string {
	if t.refusal == nil {
		return ""
	}
	return fmt.Sprintf("; refused %s times: %v", thousands(int(t.Refused)), t.refusal)
}

// A RefusedError is a server that takes no more connections.
type RefusedError struct {
	Open    int   // connections that it took
	Of      int   // that were wanted
	Refused int64 // attempts
	Err     error // how it refused the last one
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the server refuses connections: %s of %s are open, %s attempts failed: %v", thousands(e.Open), thousands(e.Of), thousands(int(e.Refused)), e.Err)
}

// Unwrap is how the server refused.
func (e *RefusedError) Unwrap() error { return e.Err }

// stay fails where connections that came about have not stayed open, for a reason that is known.
func (f *Fleet) stay() error {
	t := f.Tally()
	if t.Open < f.config.Subscribers && t.refusal != nil {
		return &RefusedError{Open: t.Open, Of: f.config.Subscribers, Refused: t.Refused, Err: t.refusal}
	}
	return nil
}
