//go:build unix

package app

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// handoverVariable names the descriptor of the listening socket for the process that takes it over.
const handoverVariable = prefix + "LISTENER"

// Inherited is the listening socket that the process was given, by systemd's socket activation or by the
// process that it replaces; nil where there is none.
func Inherited() (net.Listener, error) {
	if s := os.Getenv(handoverVariable); s != "" {
		fd, err := strconv.Atoi(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not a descriptor", handoverVariable, s)
		}
		f := os.NewFile(uintptr(fd), "listener") //nolint:gosec // a small number
		defer f.Close()                          //nolint:errcheck // the listener has one of its own
		l, err := net.FileListener(f)
		if err != nil {
			return nil, fmt.Errorf("take over the listening socket: %w", err)
		}
		return l, nil
	}
	listeners, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("socket activation: %w", err)
	}
	switch len(listeners) {
	case 0:
		return nil, nil
	case 1:
		return listeners[0], nil
	}
	return nil, fmt.Errorf("socket activation: %d sockets are given, one is used", len(listeners))
}

// HandedOver says whether that socket is of the process that this one replaces.
func HandedOver() bool { return os.Getenv(handoverVariable) != "" }

// Replace runs the program anew in the place of this process and hands the listening socket over: who
// connects in between waits in its queue and is not refused. It returns only if it fails.
func Replace(listener *os.File) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	if _, err := unix.FcntlInt(listener.Fd(), unix.F_SETFD, 0); err != nil { // it outlives the exec
		return fmt.Errorf("restart: keep the listening socket: %w", err)
	}
	env := slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, handoverVariable+"=") })
	env = append(env, fmt.Sprintf("%s=%d", handoverVariable, listener.Fd()))
	signal.Ignore(unix.SIGHUP)                                            // until the new image catches it, another one would end the process
	return fmt.Errorf("restart: %w", syscall.Exec(program, os.Args, env)) //nolint:gosec // itself, with its own arguments
}
