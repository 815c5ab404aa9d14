package sse

import (
	"context"
	"net"
	"sync"

	"freshet/internal/flow/fanout"
	"freshet/internal/flow/transport/shard"
)

// followers are the connections that have left net/http and that no loop can write, as those of TLS: each
// has two small goroutines, one that writes and one that notices when the client hangs up.
type followers struct {
	running sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

// add follows a cursor over a connection from now on.
func (f *followers) add(conn net.Conn, head []byte, cursor *fanout.Cursor, p *shard.Protocol, reader shard.Reader, greeted bool) {
	f.run(conn, reader.Left, func(ctx context.Context) error {
		_, err := follow(ctx, shard.Socket{Conn: conn}, head, cursor, p, reader, &statuses{}, greeted, false)
		return err
	})
}

// run has a connection written from now on, until write returns; left is told why.
func (f *followers) run(conn net.Conn, left func(cause error), write func(ctx context.Context) error) {
	f.mu.Lock()
	if f.conns == nil {
		f.conns = map[net.Conn]struct{}{}
	}
	f.conns[conn] = struct{}{}
	closed := f.closed
	if !closed {
		f.running.Add(1)
	}
	f.mu.Unlock()
	if closed {
		f.leave(conn, left, net.ErrClosed)
		return
	}
	// A new goroutine has a small stack, while that of net/http has grown by the handshake and the handlers.
	go func() {
		defer f.running.Done()
		ctx, hungUp := context.WithCancelCause(context.Background())
		f.running.Go(func() { hungUp(readToEnd(conn)) })
		f.leave(conn, left, write(ctx))
	}()
}

// readToEnd returns once the client has closed the connection. What it sends is nothing to us.
func readToEnd(conn net.Conn) error {
	var b [64]byte
	for {
		if _, err := conn.Read(b[:]); err != nil {
			return err
		}
	}
}

func (f *followers) leave(conn net.Conn, left func(cause error), cause error) {
	_ = conn.Close()
	f.mu.Lock()
	delete(f.conns, conn)
	f.mu.Unlock()
	left(cause)
}

// close waits for the last bytes of streams whose feeds have ended, and cuts what is left when ctx ends.
func (f *followers) close(ctx context.Context) {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		f.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	f.mu.Lock()
	for conn := range f.conns {
		_ = conn.Close()
	}
	f.mu.Unlock()
	<-ended
}
