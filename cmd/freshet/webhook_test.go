package main

import (
	"testing"
	"time"
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
