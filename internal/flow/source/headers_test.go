package source_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"freshet/internal/flow/source"
)

func TestRetryAfter(t *testing.T) {
	date := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(d time.Duration) string { return date.Add(d).Format(http.TimeFormat) }
	for field, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "7.5": 0, "-7": 0, "soon": 0, "99999999999": 0,
		"86400": time.Hour, at(90 * time.Second): 90 * time.Second, at(-time.Hour): 0, at(48 * time.Hour): time.Hour,
	} {
		h := http.Header{"Retry-After": {field}, "Date": {date.Format(http.TimeFormat)}}
		if got := source.RetryAfter(h, time.Hour); got != want {
			t.Errorf("%q: %v, want %v", field, got, want)
		}
	}
	soon := time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat)
	if got := source.RetryAfter(http.Header{"Retry-After": {soon}}, time.Hour); got < 25*time.Second || got > 30*time.Second {
		t.Errorf("%v", got)
	}
}

func TestFaultOfStatus(t *testing.T) {
	for status, want := range map[int]int{401: 70401, 429: 70429, 503: 70503, 418: 70000, 599: 70000, 302: 70000} {
		if f := source.FaultOfStatus(status, " here"); f.Code != want || !strings.HasSuffix(f.Message, " here") {
			t.Errorf("%d: %v", status, f)
		}
	}
}
