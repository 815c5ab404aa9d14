package api

import (
	"log/slog"
	"maps"
	"net/http"
	"slices"

	"freshet"
	"freshet/internal/catalog"
)

// Management is the handler of /v1 alone, as the whole surface has it.
func Management(topics *catalog.Catalog, status func(freshet.TopicName) *freshet.Status, log *slog.Logger) http.Handler {
	m := newManagement(topics, status, log)
	mux := http.NewServeMux()
	m.routes(mux, m.table())
	return m.routed(mux)
}

// ManagementRoutes are the patterns that it serves.
func ManagementRoutes() []string {
	return append(slices.Sorted(maps.Keys((&management{}).table())), slices.Sorted(maps.Keys((&provisioned{}).table()))...)
}

// Failing is a handler that fails with err.
func Failing(err error, log *slog.Logger) http.Handler {
	return edge{log}.handle(func(http.ResponseWriter, *http.Request) error { return err })
}

// Slugs are the types of problems.
func Slugs() []string {
	var all []string
	for _, p := range problems {
		if !slices.Contains(all, p.slug) {
			all = append(all, p.slug)
		}
	}
	return all
}
