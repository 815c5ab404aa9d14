package mqtt_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"regexp"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"freshet/internal/freshettest"
)

// A server plays the server's part by a script: what real ones do seldom, or never.
type server struct {
	t testing.TB
	l net.Listener
}

func listen(t testing.TB) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &server{t, l}
}

func (s *server) config(options string) string {
	return fmt.Sprintf(`{"url":"mqtt://%s","topics":[{"filter":"a/#","qos":2}]%s}`, s.l.Addr(), options)
}

// A client is the source, as its server sees it.
type client struct {
	net.Conn
	t  testing.TB
	in *bufio.Reader
}

// accept waits for the source. It may take several attempts until it comes.
func (s *server) accept() *client {
	s.t.Helper()
	_ = s.l.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Second))
	conn, err := s.l.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return &client{conn, s.t, bufio.NewReader(conn)}
}

func (c *client) send(p io.WriterTo) {
	c.t.Helper()
	if _, err := p.WriteTo(c); err != nil {
		c.t.Fatal(err)
	}
}

// next is the next packet of the source, within a time.
func (c *client) next(within time.Duration) (packets.Packet, error) {
	_ = c.SetReadDeadline(time.Now().Add(within))
	p, err := packets.ReadPacket(c.in)
	if err != nil {
		return nil, err
	}
	return p.Content, nil
}

// expect is the next packet, which is of a kind.
func expect[P packets.Packet](c *client) P {
	c.t.Helper()
	p, err := c.next(10 * time.Second)
	got, ok := p.(P)
	if !ok {
		c.t.Fatalf("got %T %v, %v; want %T", p, p, err, got)
	}
	return got
}

func (c *client) silent(d time.Duration) {
	c.t.Helper()
	if p, err := c.next(d); err == nil {
		c.t.Fatalf("got %T %v, want nothing", p, p)
	}
}

// welcome takes the source's introduction and its subscription.
func (c *client) welcome(present bool, gathered ...io.WriterTo) (*packets.Connect, *packets.Subscribe) {
	c.t.Helper()
	hello := expect[*packets.Connect](c)
	c.send(&packets.Connack{SessionPresent: present, Properties: &packets.Properties{}})
	request := expect[*packets.Subscribe](c)
	for _, p := range gathered {
		c.send(p)
	}
	c.send(&packets.Suback{PacketID: request.PacketID, Reasons: make([]byte, len(request.Subscriptions)), Properties: &packets.Properties{}})
	return hello, request
}

func message(id uint16, qos byte, again bool, data string) *packets.Publish {
	return &packets.Publish{Topic: "a/b", PacketID: id, QoS: qos, Duplicate: again, Payload: []byte(data), Properties: &packets.Properties{}}
}

// finish settles a message of quality 2.
func (c *client) finish(id uint16) {
	c.t.Helper()
	if p := expect[*packets.Pubrec](c); p.PacketID != id {
		c.t.Fatalf("PUBREC of %d, want %d", p.PacketID, id)
	}
	c.send(&packets.Pubrel{PacketID: id, Properties: &packets.Properties{}})
	if p := expect[*packets.Pubcomp](c); p.PacketID != id {
		c.t.Fatalf("PUBCOMP of %d, want %d", p.PacketID, id)
	}
}

func faulted(t *testing.T, sink *freshettest.Sink, code int, words string) {
	t.Helper()
	freshettest.WaitFor(t, 20*time.Second, "a fault is told", func() bool { return len(sink.Faults()) > 0 })
	if f := sink.Faults()[0]; f.Code != code || !regexp.MustCompile(words).MatchString(f.Message) {
		t.Errorf("fault %v, want %d %s", f, code, words)
	}
}

type raw []byte

func (r raw) WriteTo(w io.Writer) (int64, error) { return bytes.NewReader(r).WriteTo(w) }
