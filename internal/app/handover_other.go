//go:build !unix

package app

import (
	"errors"
	"net"
	"os"
)

// Inherited is the listening socket that the process was given: on this system none ever is.
func Inherited() (net.Listener, error) { return nil, nil }

// HandedOver says whether that socket is of the process that this one replaces.
func HandedOver() bool { return false }

// Replace is not possible on this system.
func Replace(*os.File) error {
	return errors.New("restart: not possible on this system: stop and start")
}
