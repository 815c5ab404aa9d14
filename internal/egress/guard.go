package egress

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"

	"code.dny.dev/ssrf"
)

// A RefusedError says that an address is not public and was not allowed.
type RefusedError struct {
	Host   string     // as asked for; empty where only the address is known
	Addr   netip.Addr // what it resolved to
	Reason string     // such as "a private address"
	exact  bool       // allowed only by its own address, not by a wider prefix
}

func (e *RefusedError) Error() string {
	what := e.Addr.String() + " is "
	if _, err := netip.ParseAddr(e.Host); err != nil && e.Host != "" {
		what = e.Host + " resolves to " + e.Addr.String() + ", "
	}
	how := "; allow it with egress.allow"
	if e.exact {
		addr := e.Addr.Unmap()
		how = fmt.Sprintf("; only egress.allow of exactly %s/%d allows it", addr, addr.BitLen())
	}
	return "egress: " + what + e.Reason + how
}

// A guard decides which addresses may be connected to.
type guard struct {
	allow  []netip.Prefix
	public *ssrf.Guardian
}

func newGuard(allow []netip.Prefix) *guard {
	g := &guard{public: ssrf.New(ssrf.WithAnyPort())}
	for _, p := range allow {
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96) // addresses are compared unmapped
		}
		g.allow = append(g.allow, p.Masked())
	}
	return g
}

// control is called with each address that is about to be connected to.
func (g *guard) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("egress: %s is not TCP", network)
	}
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("egress: %w", err)
	}
	return g.check(target.Addr())
}

// check returns a *RefusedError, or nil where addr may be reached.
func (g *guard) check(addr netip.Addr) error {
	// A zone makes every Prefix.Contains false, which would be safe but would also make what is
	// allowed unreachable.
	addr = addr.WithZone("").Unmap()
	refuse := func(reason string, exact bool) error {
		return &RefusedError{Addr: addr, Reason: reason, exact: exact}
	}
	if isMetadata(addr) {
		if g.allows(addr, addr.BitLen()) {
			return nil
		}
		return refuse("the address of a cloud's metadata service", true)
	}
	if inner, ok := embedded(addr); ok {
		// Allowing 64:ff9b::/96 is right where IPv4 is reached through NAT64. It must not become a
		// way around what is refused as plain IPv4.
		if err := g.check(inner); err != nil || !g.allows(addr, 0) {
			return refuse("an address that stands for "+inner.String(), isMetadata(inner))
		}
		return nil
	}
	if g.allows(addr, 0) || g.public.SafeAddr(addr) == nil {
		return nil
	}
	return refuse(describe(addr), false)
}

// allows says whether a configured prefix of at least so many bits contains the address.
func (g *guard) allows(addr netip.Addr, bits int) bool {
	for _, p := range g.allow {
		if p.Bits() >= bits && p.Contains(addr) {
			return true
		}
	}
	return false
}

// isMetadata knows the addresses where clouds hand out credentials to whoever asks from inside.
// Most are private or link-local, so that a wide private prefix would allow them by accident;
// Azure's is public by its number.
func isMetadata(addr netip.Addr) bool {
	switch addr.String() {
	case "169.254.169.254", // AWS, Azure, Google Cloud, Oracle, DigitalOcean and others
		"169.254.170.2", "169.254.170.23", // AWS: credentials of ECS tasks and EKS pods
		"fd00:ec2::254", "fd00:ec2::23", // AWS: the same over IPv6
		"fd20:ce::254",    // Google Cloud over IPv6
		"168.63.129.16",   // Azure: the platform's own endpoint
		"100.100.100.200", // Alibaba Cloud
		"192.0.0.192":     // Oracle Cloud, earlier
		return true
	}
	return false
}

// embedded returns the IPv4 address that an IPv6 address stands for. A gateway on the way may turn
// the one into the other.
func embedded(addr netip.Addr) (netip.Addr, bool) {
	if !addr.Is6() {
		return netip.Addr{}, false
	}
	b := addr.As16()
	in := func(prefix string) bool { return netip.MustParsePrefix(prefix).Contains(addr) }
	switch {
	case in("::/127"): // unspecified and loopback, not embedded
		return netip.Addr{}, false
	case in("64:ff9b::/96"), // NAT64, RFC 6052
		in("64:ff9b:1::/48"), // local NAT64, RFC 8215; its /96 is the usual choice
		in("::/96"):          // IPv4-compatible, RFC 4291 section 2.5.5.1, deprecated
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case in("2002::/16"): // 6to4, RFC 3056
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case in("2001::/32"): // Teredo, RFC 4380: the client's address, inverted
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), true
	}
	return netip.Addr{}, false
}

func describe(addr netip.Addr) string {
	switch {
	case addr.IsLoopback():
		return "a loopback address"
	case addr.IsPrivate():
		return "a private address"
	case addr.IsLinkLocalUnicast():
		return "a link-local address"
	case addr.IsUnspecified():
		return "the unspecified address, which leads to this machine"
	case addr.IsMulticast():
		return "a multicast address"
	}
	return "a reserved address"
}
