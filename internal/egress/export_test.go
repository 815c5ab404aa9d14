package egress

import "net/netip"

// CheckAddr is the guard's verdict on one address; public ones cannot be tried from a test.
func CheckAddr(allow []netip.Prefix, addr netip.Addr) error { return newGuard(allow).check(addr) }

// AppendRequest is appendRequest.
var AppendRequest = appendRequest
