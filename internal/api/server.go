// Package api is the HTTP edge: /live for the readers and publishers of topics, /v1 for their
// management, and what operators ask for.
package api

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/cors"

	"freshet"
	"freshet/internal/catalog"
	"freshet/internal/flow"
	"freshet/internal/flow/delivery"
	"freshet/internal/flow/transport/sse"
	"freshet/internal/flow/transport/websocket"
	"freshet/internal/subscriptions"
)

// A Config is what the edge works with.
type Config struct {
	Flow      *flow.Flow
	Catalog   *catalog.Catalog
	Sources   []freshet.SourceType // that topics may have
	Metrics   *prometheus.Registry
	Ready     func(context.Context) map[string]error // each thing that must work, and what is wrong with it
	Streams   *sse.Streams
	Sockets   *websocket.Sockets
	Publishes bool // clients may publish over WebSocket
	AdHoc     AdHoc
	Limits    Limits
	// Stored subscriptions.
	Subscriptions *subscriptions.Registry
	Deliveries    *delivery.Deliveries
	CORSOrigins   []string // whose pages may read; "*" is every origin; none: CORS is off
	LocalOnly     bool     // serve only requests that name a loopback host
	Log           *slog.Logger
}

// Handler returns the whole surface.
func Handler(c Config) http.Handler {
	e := edge{c.Log}
	l := &live{
		edge: e, flow: c.Flow, catalog: c.Catalog, stored: stored{c.Subscriptions, c.Deliveries}, streams: c.Streams, sockets: c.Sockets, adhoc: c.AdHoc,
		gate: newGate(c.Limits, c.Metrics, c.Log), publishes: c.Publishes,
	}
	mux := http.NewServeMux()
	routes(mux, l, newManagement(c.Catalog, c.Flow.Status, c.Log), c)

	surface := e.routed(mux)
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if target, ok := targetOf(r); ok {
			e.handle(func(w http.ResponseWriter, r *http.Request) error { return l.followVerbatim(w, r, target) }).ServeHTTP(w, r)
			return
		}
		if isUnclean(r) {
			e.fail(w, r, fmt.Errorf("%w at %s: a topic is at /live/{topic}", errResource, r.URL.Path))
			return
		}
		surface.ServeHTTP(w, r)
	})
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(e.handle(func(http.ResponseWriter, *http.Request) error {
		return fmt.Errorf("%w: pages of other origins may read where cors.origins names them, and never write", freshet.ErrNotAllowed)
	}))
	h = guard.Handler(h)
	if len(c.CORSOrigins) > 0 {
		l.origins = allowOrigins(c.CORSOrigins)
		h = l.origins.Handler(h)
	}
	if c.LocalOnly {
		h = e.localOnly(h)
	}
	return h
}

// routes is the whole surface but /live/{absolute URL}, which ServeMux would fold.
func routes(mux *http.ServeMux, l *live, m *management, c Config) {
	mux.Handle("GET /live/{topic}", l.handle(l.get))
	mux.Handle("POST /live/{topic}", l.handle(l.publish))
	mux.Handle("GET /live", l.handle(l.query))
	m.routes(mux, m.table())
	m.routes(mux, (&provisioned{*m, c.Subscriptions, c.Deliveries}).table())
	mux.Handle("POST /v1/topics/{topic}", l.handle(l.custom))
	mux.Handle("GET /v1/sources", l.handle(sourceTypes(c.Sources)))
	mux.Handle("GET /v1/sources/{type}", l.handle(sourceType(c.Sources)))
	mux.Handle("GET /{$}", l.handle(index))
	mux.Handle("GET /livez", l.handle(livez))
	mux.Handle("GET /readyz", l.handle(readyz(c.Ready)))
	mux.Handle("GET /metrics", promhttp.HandlerFor(c.Metrics, promhttp.HandlerOpts{}))
}

// allowOrigins lets pages of those origins read what is served here (Fetch standard, CORS protocol).
func allowOrigins(origins []string) *cors.Cors {
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		// What the EventSource polyfills in use send, and so ask leave for.
		AllowedHeaders: []string{"Accept", "Authorization", "X-Api-Key", "Cache-Control", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID", "Prefer", "X-Requested-With"},
		ExposedHeaders: []string{"ETag", "Age", "Freshet-Last-Success", "Freshet-Next-Poll", "Freshet-Resumed", "Freshet-Revision", "Freshet-Stale", "Idempotent-Replayed", "Link", "Location", "Preference-Applied", "Retry-After"},
		MaxAge:         int((10 * time.Minute).Seconds()),
	})
}

// localOnly refuses requests that reached a loopback listener under the name of some other host: that is
// how a web page elsewhere would read it, by a name that it lets point to 127.0.0.1 (DNS rebinding).
func (e edge) localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isLocal(r.Host) {
			next.ServeHTTP(w, r)
			return
		}
		e.handle(func(http.ResponseWriter, *http.Request) error {
			return fmt.Errorf("%w: this server listens on loopback only and answers to localhost, not to %q", errMisdirected, r.Host)
		}).ServeHTTP(w, r)
	})
}

func isLocal(hostPort string) bool {
	host := hostPort
	if h, _, err := net.SplitHostPort(hostPort); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
