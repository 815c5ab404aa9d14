package api

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"

	"freshet"
)

// index greets who comes without knowing where to go.
func index(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := io.WriteString(w, `Freshet: any JSON API, live.

  /live/{topic}    a topic: its document (application/json), live (text/event-stream),
                   its history (application/x-ndjson)
  /v1/topics       the topics, and their management
  /openapi.json    all of it, described
  /metrics         for Prometheus; /livez and /readyz for those who run it
`)
	return afterHeader(err)
}

// livez is for those who restart a process that is stuck: it says no more than that this one answers.
func livez(w http.ResponseWriter, _ *http.Request) error {
	_, err := io.WriteString(w, "ok\n")
	return afterHeader(err)
}

// readyz is for those who send traffic: whether the journal takes events, and the process is not about
// to stop. An upstream that is down is no reason to send traffic elsewhere.
func readyz(checks func(context.Context) map[string]error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		results := checks(r.Context())
		body := "ok\n"
		for _, name := range slices.Sorted(maps.Keys(results)) {
			if err := results[name]; err != nil {
				return fmt.Errorf("%w: %s: %w", freshet.ErrUnavailable, name, err)
			}
			if r.URL.Query().Has("verbose") {
				body = name + ": ok\n" + body
			}
		}
		_, err := io.WriteString(w, body)
		return afterHeader(err)
	}
}
