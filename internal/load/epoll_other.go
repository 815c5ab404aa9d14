//go:build !linux

package load

import "net/netip"

// link is what a network keeps of a connection.
type link struct {
	socket *socket
}

func newNetwork(l *loop, addr netip.Addr, port int, c FleetConfig) (network, error) {
	return newSockets(l, netip.AddrPortFrom(addr, uint16(port)), c.TLS), nil //nolint:gosec // a port
}
