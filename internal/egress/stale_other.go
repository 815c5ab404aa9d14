//go:build !unix

package egress

import "net"

const canPeek = false

// Stale cannot tell here.
func Stale(net.Conn) bool { return false }
