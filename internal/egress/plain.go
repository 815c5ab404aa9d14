package egress

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// A plain carries requests over HTTP/1.1 without TLS, as most of those to the next rack are. The transport of net/http
// keeps two goroutines for each connection and wakes both for each request, which is most of what a poll costs that
// upstream answers with 304; here the goroutine that asks writes and reads itself.
type plain struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	idle Idle[*plainConn] // by address
}

const (
	maxIdle        = 1000
	maxIdlePerHost = 64       // many topics of one API, each polled every few seconds
	maxPlainBody   = 64 << 10 // of a request; what is larger may be answered while it is still being written
)

// takes says whether a request is one for plain.
func (p *plain) takes(r *http.Request) bool {
	bare := r.Body == nil || r.Body == http.NoBody
	switch {
	case !canPeek, r.URL.Scheme != "http", r.Method == http.MethodConnect, len(r.Trailer) > 0:
		return false
	case !bare && (r.ContentLength <= 0 || r.ContentLength > maxPlainBody):
		return false
	case r.Header["Upgrade"] != nil, r.Header["Expect"] != nil:
		return false
	}
	for _, b := range []byte(r.URL.Host) {
		if b >= 0x80 { // a name that has to be translated
			return false
		}
	}
	return true
}

// roundTrip is http.RoundTripper's.
func (p *plain) roundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	bare := r.Body == nil || r.Body == http.NoBody
	address := Address(r.URL)
	for {
		c, kept, err := p.conn(ctx, address)
		if err != nil {
			if !bare {
				_ = r.Body.Close()
			}
			return nil, err
		}
		resp, err := c.exchange(r)
		if err == nil {
			return resp, nil
		}
		// Upstream may close a connection while the request is on its way to it. What changes nothing is asked again
		// (RFC 9110 section 9.2.2).
		if !kept || !bare || c.answers.Begun() || ctx.Err() != nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
			return nil, err
		}
	}
}

// conn is a connection that was kept, or else a new one.
func (p *plain) conn(ctx context.Context, address string) (c *plainConn, kept bool, err error) {
	for {
		c, ok := p.idle.Take(address)
		if !ok {
			break
		}
		if !c.stale() {
			return c, true, nil
		}
		_ = c.Close()
	}
	nc, err := p.dial(ctx, "tcp", address)
	if err != nil {
		return nil, false, err
	}
	c = &plainConn{Conn: nc, pool: p, address: address}
	c.stale, c.cut = staleness(nc), func() { _ = nc.Close() }
	c.answers.Reset(nc)
	return c, false, nil
}

// A plainConn is a connection, of one request at a time.
type plainConn struct {
	net.Conn
	pool    *plain
	address string
	answers Answers
	out     []byte // a request; its room is used again
	stale   func() bool
	cut     func() // ends it
}

// exchange asks, and returns the answer once its header is there.
func (c *plainConn) exchange(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	b := &plainBody{conn: c, ctx: ctx, stop: context.AfterFunc(ctx, c.cut)}
	resp, err := c.ask(r)
	if err != nil {
		b.end(false)
		return nil, b.cause(err)
	}
	b.keep, b.body = !resp.Close && !r.Close, resp.Body
	if resp.Body == http.NoBody {
		b.end(true)
	} else {
		resp.Body = b
	}
	return resp, nil
}

// ask writes the request and reads the header of its answer.
func (c *plainConn) ask(r *http.Request) (*http.Response, error) {
	request, err := appendRequest(c.out[:0], r)
	if err != nil {
		return nil, fmt.Errorf("send the request: %w", err)
	}
	if c.out = request[:0]; cap(request) > 4<<10 { // a large one is rare
		c.out = nil
	}
	_, wrote := c.Write(request)
	resp, err := c.answers.Next(r) // it may be there though the request was not taken to its end
	switch {
	case err != nil && wrote != nil:
		return nil, fmt.Errorf("send the request: %w", wrote)
	case err != nil:
		return nil, err
	}
	resp.Close = resp.Close || wrote != nil
	return resp, nil
}

// A plainBody is the body of an answer. Its connection is kept once it was read to its end.
type plainBody struct {
	conn *plainConn
	ctx  context.Context //nolint:containedctx // of the request, which the body belongs to
	stop func() bool     // leaves the connection alone when ctx ends; false: it has been closed
	body io.Reader
	keep bool

	mu    sync.Mutex
	ended bool
}

func (b *plainBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if err == nil {
		return n, nil
	}
	b.end(err == io.EOF) //nolint:errorlint // it is never wrapped, and what wraps it is no end
	return n, b.cause(err)
}

// Close ends the connection unless the body was read to its end: how much is still to come nobody knows.
func (b *plainBody) Close() error {
	b.end(false)
	return nil
}

// end leaves the connection; whole says that nothing of the answer is left in it.
func (b *plainBody) end(whole bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return
	}
	b.ended = true
	if b.stop() && whole && b.keep && b.conn.answers.Empty() {
		b.conn.pool.idle.Keep(b.conn.address, b.conn)
		return
	}
	_ = b.conn.Close()
}

// cause is why something failed: where the request was given up, that.
func (b *plainBody) cause(err error) error {
	if over := b.ctx.Err(); over != nil && err != io.EOF { //nolint:errorlint // as above
		return over
	}
	return err
}
