package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A post is one message on its way to the server.
type post struct {
	target string   // of the request
	header []string // lines
	body   []byte
}

// A publisher posts messages over connections of its own.
type publisher struct {
	conns []*postConn
	next  atomic.Int64 // number of the message to come
}

// newPublisher keeps up to n posts on their way at once. Its messages keep their order if n is 1.
func newPublisher(s *Server, n int) *publisher {
	p := &publisher{}
	for range n {
		p.conns = append(p.conns, &postConn{addr: s.Addr, tls: s.TLS})
	}
	return p
}

func (p *publisher) close() {
	for _, c := range p.conns {
		c.close()
	}
}

// sent says what became of a run.
type sent struct {
	messages int64 // accepted by the server
	failed   int64
	failure  error
}

// run posts what build makes, rate messages per second for a time: the k-th is due k/rate after the
// start, and is late where all connections wait for an answer.
func (p *publisher) run(ctx context.Context, rate float64, d time.Duration, build func(s stamp) post) sent {
	return p.runBatches(ctx, rate, d, 1, func(s []stamp) post { return build(s[0]) })
}

// runBatches is run with posts of several messages, most at a time: those that are due when a
// connection is free.
func (p *publisher) runBatches(ctx context.Context, rate float64, d time.Duration, most int, build func(s []stamp) post) sent {
	start := time.Now()
	dueAt := func(k int64) time.Time { return start.Add(time.Duration(float64(k) / rate * float64(time.Second))) }
	var total sent
	var mu sync.Mutex // guards total
	var due atomic.Int64
	var wg sync.WaitGroup
	for _, c := range p.conns {
		wg.Go(func() {
			for ctx.Err() == nil {
				at := dueAt(due.Add(1) - 1)
				if at.Sub(start) >= d || time.Since(start) >= d || sleep(ctx, time.Until(at)) != nil {
					return
				}
				batch := []stamp{{now(), int(p.next.Add(1))}}
				for k := due.Load(); len(batch) < most && !dueAt(k).After(time.Now()); k = due.Load() {
					if due.CompareAndSwap(k, k+1) {
						batch = append(batch, stamp{now(), int(p.next.Add(1))})
					}
				}
				_, err := c.post(ctx, build(batch))
				mu.Lock()
				if err == nil {
					total.messages += int64(len(batch))
				} else {
					total.failed += int64(len(batch))
					total.failure = err
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return total
}

// one posts one message and returns its event id, if the server tells it by an ETag.
func (p *publisher) one(ctx context.Context, build func(s stamp) post) (id string, err error) {
	return p.conns[0].post(ctx, build(stamp{now(), int(p.next.Add(1))}))
}

// A postConn is a kept HTTP/1.1 connection for posts, one at a time.
type postConn struct {
	addr string
	tls  *tls.Config // nil: plain HTTP
	conn net.Conn
	r    *bufio.Reader
	buf  []byte
}

// postLimit is how long the server may take to answer a post.
const postLimit = 10 * time.Second

func (c *postConn) post(ctx context.Context, m post) (etag string, err error) {
	if c.conn == nil {
		if c.conn, err = c.dial(ctx); err != nil {
			return "", fmt.Errorf("publish: %w", err)
		}
		c.r = bufio.NewReaderSize(c.conn, 2<<10)
	}
	if etag, err = c.exchange(m); err != nil {
		c.close()
		return "", fmt.Errorf("publish: %w", err)
	}
	return etag, nil
}

func (c *postConn) dial(ctx context.Context) (net.Conn, error) {
	if c.tls != nil {
		return (&tls.Dialer{Config: c.tls}).DialContext(ctx, "tcp", c.addr)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", c.addr)
}

func (c *postConn) exchange(m post) (etag string, err error) {
	b := append(c.buf[:0], "POST "...)
	b = append(b, m.target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, c.addr...)
	for _, line := range m.header {
		b = append(append(b, "\r\n"...), line...)
	}
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(m.body)), 10)
	b = append(append(b, "\r\n\r\n"...), m.body...)
	c.buf = b
	if err := c.conn.SetDeadline(time.Now().Add(postLimit)); err != nil {
		return "", err
	}
	if _, err := c.conn.Write(b); err != nil {
		return "", err
	}
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return "", err
	}
	if res.StatusCode/100 != 2 {
		return "", fmt.Errorf("the server answered with %s: %.300s", res.Status, text)
	}
	return res.Header.Get("ETag"), nil
}

func (c *postConn) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}
