package main

import (
	"testing"
	"time"

	"freshet"
)

// How long ago something was may be said in days and weeks too.
func TestAgo(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"24h": day, "-2h": 2 * time.Hour, "30d": 30 * day, "2w": 14 * day, "1d12h": 36 * time.Hour, "1w2d": 9 * day, "0.5d": 12 * time.Hour,
		"P1D": day, "pt5m": 5 * time.Minute, "1h30m": 90 * time.Minute, "2D": 2 * day, "500ms": time.Second / 2,
	} {
		got, err := ago(text)
		if d := time.Since(got) - want; err != nil || d < 0 || d > time.Minute {
			t.Errorf("%s is %v ago, %v; want %v", text, time.Since(got), err, want)
		}
	}
	for _, text := range []string{"d", "3", "3x", "yesterday", "1h2d", "monday", "2d3"} {
		if got, err := ago(text); err == nil {
			t.Errorf("%s is %v", text, got)
		}
	}
}

// When the next attempt is due is told with its date where that is not today.
func TestNextAttempt(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	for in, want := range map[time.Duration]string{0: "-", time.Hour: "13:00:00", 20 * time.Hour: "2026-03-02 08:00:00"} {
		e := freshet.Exchange{Start: now, Purpose: "event"}
		if in > 0 {
			e.Next = now.Add(in)
		}
		if got := exchangeRow(e, now)[6]; got != want {
			t.Errorf("in %v: %s, want %s", in, got, want)
		}
	}
}

// The list of subscriptions shows why nothing is delivered, and programs all of it.
func TestSubscriptionRow(t *testing.T) {
	t.Parallel()
	cause := &freshet.DeliverError{Message: "the endpoint answered 502 Bad Gateway, and said at length what it could not do for whom and why"}
	for _, tt := range []struct {
		progress *freshet.Progress
		want     string
	}{
		{nil, "-"},
		{&freshet.Progress{LastError: cause}, "-"}, // over
		{&freshet.Progress{LastError: cause, Attempts: 1}, cause.Message},
		{&freshet.Progress{LastError: cause, Attempts: 10, Reason: "event 1 could not be delivered"}, cause.Message},
		{&freshet.Progress{Reason: "for another reason"}, "for another reason"},
	} {
		s := freshet.Subscription{ID: "a", Progress: tt.progress}
		if got := subscriptionRow(s, time.Now(), false)[7]; got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.progress, got, tt.want)
		}
		if got := subscriptionRow(s, time.Now(), true)[7]; got != shorten(tt.want, 80) {
			t.Errorf("%+v on a screen: %s", tt.progress, got)
		}
	}
}
