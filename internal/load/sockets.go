package load

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// slowBuffer is what a subscriber that stops reading lets the kernel hold for it, so that it is soon
// the server that has to.
const slowBuffer = 8 << 10

// handshakeTakes bounds a TLS handshake, of which there are thousands at once.
const handshakeTakes = time.Minute

// sockets serves the connections of a loop with a goroutine each, on every system.
type sockets struct {
	loop    *loop
	to      netip.AddrPort
	tls     *tls.Config // nil: plain
	readers sync.WaitGroup
	ctx     context.Context // of dialling; done once closed
	cancel  context.CancelFunc

	mu     sync.Mutex // held where the loop runs
	closed bool       // guarded by mu
}

// A socket is one connection.
type socket struct {
	request []byte        // to be sent
	conn    net.Conn      // guarded by sockets.mu; nil until connected
	dropped bool          // guarded by sockets.mu
	paused  chan struct{} // guarded by sockets.mu; closed when reading goes on
}

func newSockets(l *loop, to netip.AddrPort, c *tls.Config) *sockets {
	n := &sockets{loop: l, to: to, tls: c}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

// do runs fn aside, since its caller may be in the loop.
func (n *sockets) do(fn func()) bool {
	n.mu.Lock()
	closed := n.closed
	if !closed {
		n.readers.Add(1)
	}
	n.mu.Unlock()
	if closed {
		return false
	}
	go func() {
		defer n.readers.Done()
		n.mu.Lock()
		defer n.mu.Unlock()
		fn()
	}()
	return true
}

func (n *sockets) open(s *subscriber, request []byte) {
	if n.closed {
		return
	}
	p := &socket{request: request}
	s.link.socket = p
	n.readers.Go(func() { n.serve(s, p) })
}

func (n *sockets) drop(s *subscriber) {
	p := s.link.socket
	if p == nil {
		return
	}
	s.link = link{}
	p.dropped = true
	if p.paused != nil {
		close(p.paused)
		p.paused = nil
	}
	if p.conn != nil {
		_ = p.conn.Close()
	}
}

func (n *sockets) send(s *subscriber, b []byte) {
	if p := s.link.socket; p != nil && p.conn != nil {
		_, _ = p.conn.Write(b) // where it fails, reading does so as well
	}
}

func (n *sockets) pause(s *subscriber, on bool) {
	p := s.link.socket
	switch {
	case on && p.paused == nil:
		p.paused = make(chan struct{})
	case !on && p.paused != nil:
		close(p.paused)
		p.paused = nil
	}
}

func (n *sockets) close() error {
	n.mu.Lock()
	n.closed = true
	n.cancel()
	for _, s := range n.loop.subscribers {
		n.drop(s)
	}
	n.mu.Unlock()
	n.readers.Wait()
	return nil
}

// serve connects and reads until the connection ends.
func (n *sockets) serve(s *subscriber, p *socket) {
	err := n.begin(s, p)
	if err == nil {
		err = n.read(s, p)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !p.dropped {
		n.loop.now = now()
		n.loop.lost(s, err)
	}
}

func (n *sockets) begin(s *subscriber, p *socket) error {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(n.ctx, "tcp", n.to.String())
	if err != nil {
		return err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // leaves no TIME_WAIT behind
		if s.slow {
			_ = tcp.SetReadBuffer(slowBuffer)
		}
	}
	if n.tls != nil {
		secure := tls.Client(conn, n.tls)
		shake, cancel := context.WithTimeout(n.ctx, handshakeTakes)
		defer cancel()
		if err := secure.HandshakeContext(shake); err != nil {
			_ = conn.Close()
			return err
		}
		conn = secure
	}
	n.mu.Lock()
	p.conn = conn
	if p.dropped {
		_ = conn.Close()
	}
	n.mu.Unlock()
	_, err = conn.Write(p.request)
	return err
}

func (n *sockets) read(s *subscriber, p *socket) error {
	buf := make([]byte, 16<<10)
	for {
		size, err := p.conn.Read(buf)
		n.mu.Lock()
		paused := p.paused
		n.mu.Unlock()
		if paused != nil {
			<-paused
		}
		if size > 0 {
			if err := n.hand(s, p, buf[:size]); err != nil {
				return err
			}
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
}

// hand gives the loop what came, unless the connection was dropped meanwhile.
func (n *sockets) hand(s *subscriber, p *socket, b []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p.dropped {
		return net.ErrClosed
	}
	n.loop.now = now()
	return s.received(b)
}
