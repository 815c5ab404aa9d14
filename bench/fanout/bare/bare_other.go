//go:build !linux

// Package bare is a server over epoll, which only Linux has.
package bare

import "errors"

// Serve says that there is no epoll here.
func Serve(string) error { return errors.ErrUnsupported }
