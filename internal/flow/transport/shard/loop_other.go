//go:build !linux

package shard

import (
	"context"
	"net"

	"freshet/internal/flow/fanout"
)

// Elsewhere connections stay with net/http, which asks their cursors for the same batches.
type loop struct{}

func newLoop() (*loop, error) { return &loop{}, nil }

func (*loop) adopt(net.Conn, []byte, fanout.Cursor, *Protocol, Reader) bool { return false }

func (*loop) close(context.Context) {}
