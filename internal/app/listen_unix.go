//go:build unix

package app

import "syscall"

const errAddrInUse = syscall.EADDRINUSE
