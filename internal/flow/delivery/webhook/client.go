package webhook

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"freshet/internal/egress"
)

const (
	readOfResponse = 64 << 10 // bytes
	idleFor        = 90 * time.Second
	connectWithin  = 10 * time.Second
)

// A client keeps the connections to one endpoint. Who posts writes and reads itself, so that a post wakes nobody, and
// a body is sent from where it is.
type client struct {
	address string      // host and port
	secure  *tls.Config // nil: plain HTTP
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	readers sync.Pool // of *egress.Answers: only a connection in use needs one
	heads   sync.Pool // of *[]byte, likewise

	mu     sync.Mutex
	idle   []*conn // the one used last at the end
	open   map[*conn]struct{}
	closed bool
	sweep  *time.Timer // nil: none is idle
}

// A conn is a connection, of one request at a time.
type conn struct {
	net.Conn
	raw   net.Conn // below TLS
	since time.Time
	parts [2][]byte
	both  net.Buffers
}

// do makes one request, and reads its answer as far as is wanted. Errors say nothing of the address.
func (c *client) do(r *request, timeout time.Duration) (*answer, error) {
	until := time.Now().Add(timeout)
	one, err := c.conn(until)
	if err != nil {
		return nil, err
	}
	keep := false
	defer func() { c.leave(one, keep) }()
	if err := one.SetDeadline(until); err != nil {
		return nil, fmt.Errorf("set the time limit: %w", err)
	}
	if err := c.write(one, r); err != nil {
		return nil, fmt.Errorf("send the request: %w", err)
	}
	in, ok := c.readers.Get().(*egress.Answers)
	if !ok {
		in = &egress.Answers{}
	}
	defer func() {
		in.Reset(nil)
		c.readers.Put(in)
	}()
	in.Reset(one)
	resp, err := in.Next(nil) //nolint:bodyclose // the connection is what has to be closed
	if err != nil {
		return nil, err
	}
	a := &answer{status: resp.StatusCode, header: resp.Header}
	// The status says it all; with a body that cannot be read to its end goes the connection.
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, readOfResponse+1))
	whole := err == nil && len(a.body) <= readOfResponse
	a.body = a.body[:min(len(a.body), readOfResponse)]
	keep = whole && !resp.Close && in.Empty()
	return a, nil
}

// write sends a request at once: what is plain from where it is, what is encrypted in as few records as it can be.
func (c *client) write(one *conn, r *request) error {
	pooled, ok := c.heads.Get().(*[]byte)
	if !ok {
		pooled = new([]byte)
	}
	defer c.heads.Put(pooled)
	head := r.append((*pooled)[:0], false)
	if c.secure != nil {
		head = append(head, r.body...)
		*pooled = head[:0]
		_, err := one.Write(head)
		return err //nolint:wrapcheck // do says what was done
	}
	*pooled = head[:0]
	one.parts = [2][]byte{head, r.body}
	one.both = one.parts[:]
	_, err := one.both.WriteTo(one.raw)
	one.parts, one.both = [2][]byte{}, nil
	return err //nolint:wrapcheck // do says what was done
}

// conn is a connection that was kept, or else a new one. Before a request it looks whether the endpoint has closed
// one meanwhile: later nobody could tell whether the endpoint had the request.
func (c *client) conn(until time.Time) (*conn, error) {
	for {
		c.mu.Lock()
		n := len(c.idle) - 1
		if n < 0 {
			c.mu.Unlock()
			return c.connect(until)
		}
		one := c.idle[n]
		c.idle = slices.Delete(c.idle, n, n+1)
		c.mu.Unlock()
		if !egress.Stale(one.raw) {
			return one, nil
		}
		c.leave(one, false)
	}
}

func (c *client) connect(until time.Time) (*conn, error) {
	if limit := time.Now().Add(connectWithin); limit.Before(until) {
		until = limit
	}
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	raw, err := c.dial(ctx, "tcp", c.address)
	if err != nil {
		return nil, err
	}
	one := &conn{Conn: raw, raw: raw}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		_ = raw.Close()
		return nil, net.ErrClosed
	}
	if c.open == nil {
		c.open = map[*conn]struct{}{}
	}
	c.open[one] = struct{}{}
	c.mu.Unlock()
	if c.secure == nil {
		return one, nil
	}
	secure := tls.Client(raw, c.secure)
	if err := secure.HandshakeContext(ctx); err != nil {
		c.leave(one, false)
		return nil, fmt.Errorf("TLS: %w", err)
	}
	one.Conn = secure
	return one, nil
}

// leave keeps a connection for the next request, or ends it.
func (c *client) leave(one *conn, keep bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if keep && !c.closed {
		one.since = time.Now()
		c.idle = append(c.idle, one)
		if c.sweep == nil {
			c.sweep = time.AfterFunc(idleFor, c.expire)
		}
		return
	}
	delete(c.open, one)
	_ = one.raw.Close()
}

// expire ends the connections that have been idle for long.
func (c *client) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = slices.DeleteFunc(c.idle, func(one *conn) bool {
		old := time.Since(one.since) >= idleFor
		if old {
			delete(c.open, one)
			_ = one.raw.Close()
		}
		return old
	})
	c.sweep = nil
	if len(c.idle) > 0 && !c.closed {
		c.sweep = time.AfterFunc(idleFor/2, c.expire)
	}
}

// close ends all connections, and the requests that are under way.
func (c *client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for one := range c.open {
		_ = one.raw.Close()
	}
	c.open, c.idle = nil, nil
	if c.sweep != nil {
		c.sweep.Stop()
		c.sweep = nil
	}
}
