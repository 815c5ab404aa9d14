package webhook

import (
	"errors"
	"net"
	"sync"

	"freshet/internal/egress"
)

// errStale says that the endpoint had closed a kept connection before anything was sent.
var errStale = errors.New("the connection was closed while it was idle")

// A conn is a connection that is kept. Before a request it looks whether the endpoint has closed it meanwhile:
// later nobody could tell whether the endpoint had the request.
type conn struct {
	net.Conn
	left func(*conn)
	once sync.Once

	answered bool // something was read since the last write
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.answered = true
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	if c.answered {
		c.answered = false
		if egress.Stale(c.Conn) {
			return 0, errStale
		}
	}
	return c.Conn.Write(b)
}

func (c *conn) Close() error {
	c.once.Do(func() { c.left(c) })
	return c.Conn.Close()
}
