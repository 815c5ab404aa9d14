//go:build !unix

package app

import "syscall"

// errAddrInUse is WSAEADDRINUSE.
const errAddrInUse = syscall.Errno(10048)
