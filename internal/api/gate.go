package api

import (
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freshet"
)

// Limits bound the streams that are open at a time. Zero is no bound.
type Limits struct {
	Connections int // in total
	PerTopic    int
	PerAddress  int // of a client, as the connection has it
}

// The limits, as metrics and the log name them.
const (
	limitConnections = "connections"
	limitTopic       = "per_topic"
	limitAddress     = "per_address"
)

// quiet is for how long the log says no more of a limit than it has said.
const quiet = 10 * time.Second

// A gate counts the streams that are open.
type gate struct {
	limits  Limits
	refused *prometheus.CounterVec
	log     *slog.Logger

	mu      sync.Mutex
	open    int
	addrs   map[netip.Addr]int
	untold  map[string]int  // refusals by each limit that the log has not told of
	waiting map[string]bool // the log has told of a limit just now
}

func newGate(l Limits, reg prometheus.Registerer, log *slog.Logger) *gate {
	g := &gate{
		limits: l, log: log, addrs: map[netip.Addr]int{}, untold: map[string]int{}, waiting: map[string]bool{},
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "freshet_connections_refused_total",
			Help: "Streams refused, by the limit that they were over: connections, per_topic or per_address.",
		}, []string{"limit"}),
	}
	for _, limit := range []string{limitConnections, limitTopic, limitAddress} {
		g.refused.WithLabelValues(limit) // so that it is there, as 0, before the first
	}
	reg.MustRegister(g.refused)
	return g
}

// headerOver names the limit that a stream was over.
const headerOver = "Freshet-Over-Limit"

// enter counts a stream in, of a topic that has so many subscribers with it, or refuses it, and says so in a header.
func (g *gate) enter(w http.ResponseWriter, r *http.Request, topic freshet.TopicName, subscribers int) (leave func(), ok bool) {
	var addr netip.Addr
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		addr = ap.Addr().Unmap()
	}
	over := func(n, limit int) bool { return limit > 0 && n >= limit }
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case over(g.open, g.limits.Connections):
		g.refuseLocked(limitConnections, "most", g.limits.Connections)
		w.Header().Set(headerOver, limitConnections)
		return nil, false
	case over(g.addrs[addr], g.limits.PerAddress):
		g.refuseLocked(limitAddress, "most", g.limits.PerAddress, "address", addr.String())
		w.Header().Set(headerOver, limitAddress)
		return nil, false
	case over(subscribers-1, g.limits.PerTopic):
		g.refuseLocked(limitTopic, "most", g.limits.PerTopic, "topic", string(topic))
		w.Header().Set(headerOver, limitTopic)
		return nil, false
	}
	g.open++
	g.addrs[addr]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.open--
		if g.addrs[addr]--; g.addrs[addr] == 0 {
			delete(g.addrs, addr)
		}
	}, true
}

// hasRoom says whether a topic that has so many subscribers, with a new one, may have them, and refuses that one
// where it may not.
func (g *gate) hasRoom(topic freshet.TopicName, subscribers int) bool {
	if g.limits.PerTopic == 0 || subscribers <= g.limits.PerTopic {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refuseLocked(limitTopic, "most", g.limits.PerTopic, "topic", string(topic))
	return false
}

// refuseLocked counts a refusal. The log has the first at once, and those that follow together, as there
// may be thousands a second; about says more of the last one.
func (g *gate) refuseLocked(limit string, about ...any) {
	g.refused.WithLabelValues(limit).Inc()
	g.untold[limit]++
	if !g.waiting[limit] {
		g.tellLocked(limit, about)
	}
}

func (g *gate) tellLocked(limit string, about []any) {
	g.log.Warn("streams are refused: they are over a limit", append([]any{"limit", limit, "refused", g.untold[limit]}, about...)...)
	g.untold[limit], g.waiting[limit] = 0, true
	time.AfterFunc(quiet, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.waiting[limit] = false
		if g.untold[limit] > 0 {
			g.tellLocked(limit, about)
		}
	})
}
