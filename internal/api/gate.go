package api

import (
	"net/http"
	"net/netip"
	"sync"
)

// Limits bound the streams that are open at a time. Zero is no bound.
type Limits struct {
	Connections int // in total
	PerTopic    int
	PerAddress  int // of a client, as the connection has it
}

// A gate counts the streams that are open.
type gate struct {
	limits Limits

	mu    sync.Mutex
	open  int
	addrs map[netip.Addr]int
}

func newGate(l Limits) *gate { return &gate{limits: l, addrs: map[netip.Addr]int{}} }

// enter counts a stream in, of a topic that has so many subscribers with it, or refuses it.
func (g *gate) enter(r *http.Request, subscribers int) (leave func(), ok bool) {
	var addr netip.Addr
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		addr = ap.Addr().Unmap()
	}
	over := func(n, limit int) bool { return limit > 0 && n >= limit }
	g.mu.Lock()
	defer g.mu.Unlock()
	if over(g.open, g.limits.Connections) || over(g.addrs[addr], g.limits.PerAddress) || over(subscribers-1, g.limits.PerTopic) {
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
