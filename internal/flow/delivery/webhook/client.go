package webhook

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"freshet/internal/egress"
)

const (
	readOfResponse = 64 << 10 // bytes
	connectWithin  = 10 * time.Second
)

// A client posts to one endpoint, over connections that it shares with others of the same host. Who posts writes and
// reads itself, so that a post wakes nobody, and a body is sent from where it is.
type client struct {
	pool    *pool
	key     string      // of the connections that may be used
	address string      // host and port
	secure  *tls.Config // nil: plain HTTP
	dial    func(ctx context.Context, network, address string) (net.Conn, error)

	mu     sync.Mutex
	inUse  map[*conn]struct{}
	closed bool
}

// A conn is a connection, of one request at a time.
type conn struct {
	net.Conn
	raw   net.Conn // below TLS
	parts [2][]byte
	both  net.Buffers
}

// Close ends the connection without a word, which would take its time.
func (c *conn) Close() error { return c.raw.Close() }

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
	in, ok := c.pool.readers.Get().(*egress.Answers)
	if !ok {
		in = &egress.Answers{}
	}
	defer func() {
		in.Reset(nil)
		c.pool.readers.Put(in)
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
	pooled := c.pool.head()
	defer c.pool.heads.Put(pooled)
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
		one, ok := c.pool.idle.Take(c.key)
		if !ok {
			return c.connect(until)
		}
		if egress.Stale(one.raw) {
			_ = one.Close()
			continue
		}
		if err := c.use(one); err != nil {
			return nil, err
		}
		return one, nil
	}
}

// use takes note of a connection, which close ends.
func (c *client) use(one *conn) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = one.Close()
		return net.ErrClosed
	}
	c.inUse[one] = struct{}{}
	return nil
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
	if err := c.use(one); err != nil {
		return nil, err
	}
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
	delete(c.inUse, one)
	c.mu.Unlock()
	if !keep {
		_ = one.Close()
		return
	}
	c.pool.keep(c.key, one)
}

// close ends the requests that are under way, and the connections that nobody else uses.
func (c *client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	for one := range c.inUse {
		_ = one.Close()
	}
	c.pool.leave(c.key)
}
