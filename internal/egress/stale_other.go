//go:build !unix

package egress

import "net"

const canPeek = false

// Stale cannot tell here.
func Stale(net.Conn) bool { return false }

func staleness(net.Conn) func() bool { return func() bool { return false } }
