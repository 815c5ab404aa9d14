package mqtt_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"freshet/internal/flow/delivery"
	"freshet/internal/flow/delivery/mqtt"
	"freshet/internal/freshettest/brokers"
)

// A server plays the server's part by a script: what real ones do seldom, or never.
type server struct {
	t *testing.T
	l net.Listener
}

func listen(t *testing.T) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &server{t, l}
}

func (s *server) address() string { return s.l.Addr().String() }

// A client is a target, as its server sees it.
type client struct {
	net.Conn
	in    *bufio.Reader
	hello *packets.Connect
}

// serve welcomes each client, with these wishes, and plays a script to it.
func (s *server) serve(wishes packets.Properties, script func(*client)) {
	go func() {
		for {
			conn, err := s.l.Accept()
			if err != nil {
				return
			}
			c := &client{Conn: conn, in: bufio.NewReader(conn)}
			go func() {
				defer conn.Close()
				if c.hello, _ = c.next().(*packets.Connect); c.hello == nil {
					return
				}
				c.send(&packets.Connack{Properties: &wishes})
				script(c)
			}()
		}
	}()
}

func (c *client) send(p io.WriterTo) { _, _ = p.WriteTo(c) }

// next is the next packet of the client; nil: there is none any more.
func (c *client) next() packets.Packet {
	p, err := packets.ReadPacket(c.in)
	if err != nil {
		return nil
	}
	return p.Content
}

// acknowledge takes what comes, and acknowledges messages with a code.
func acknowledge(code byte) func(*client) {
	return func(c *client) {
		for {
			switch p := c.next().(type) {
			case nil:
				return
			case *packets.Pingreq:
				c.send(&packets.Pingresp{})
			case *packets.Publish:
				c.send(&packets.Puback{PacketID: p.PacketID, ReasonCode: code, Properties: &packets.Properties{}})
			}
		}
	}
}

// What the server does not take is told, and what it wants is heeded.
func TestWishes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		wishes        packets.Properties
		options, want string
		script        func(*client)
	}{
		{packets.Properties{MaximumQOS: new(byte(0))}, ``, "the server takes no messages of the quality 1: set qos to 0", acknowledge(0)},
		{packets.Properties{RetainAvailable: new(byte(0))}, `,"retain":true`, "the server retains no messages", acknowledge(0)},
		{packets.Properties{RetainAvailable: new(byte(0))}, ``, "", acknowledge(0)},
		{packets.Properties{MaximumPacketSize: new(uint32(100))}, ``, "the server takes 100 at most", acknowledge(0)},
		{packets.Properties{MaximumPacketSize: new(uint32(1000))}, ``, "", acknowledge(0)},
		{packets.Properties{}, ``, "the server takes no more messages now", acknowledge(packets.PubackQuotaExceeded)},
		{packets.Properties{}, ``, `the server does not accept the topic "topic"`, acknowledge(packets.PubackTopicNameInvalid)},
		{packets.Properties{}, ``, "the server refused the message, with the reason code 0x83", acknowledge(packets.PubackImplementationSpecificError)},
		{packets.Properties{}, ``, "does not speak MQTT 5", func(c *client) {
			c.next()
			c.send(&packets.Puback{PacketID: 77, Properties: &packets.Properties{}})
			c.next()
		}},
		{packets.Properties{}, `,"qos":2`, "does not speak MQTT 5", acknowledge(0)},
		{packets.Properties{}, ``, "does not speak MQTT 5", func(c *client) { c.next(); _, _ = io.WriteString(c, "HTTP/1.1 400\r\n\r\n"); c.next() }},
		{packets.Properties{}, ``, "the server is shutting down", func(c *client) {
			c.next()
			c.send(&packets.Disconnect{ReasonCode: packets.DisconnectServerShuttingDown, Properties: &packets.Properties{}})
		}},
		{packets.Properties{}, ``, "the server closed the connection", func(c *client) { c.next() }},
		{packets.Properties{}, `,"timeout":"PT0.2S"`, "no answer within PT0.2S", func(c *client) {
			for c.next() != nil {
			}
		}},
		{packets.Properties{}, `,"timeout":"PT0.2S","qos":0`, "no answer within PT0.2S", func(c *client) {
			for c.next() != nil {
			}
		}},
	} {
		s := listen(t)
		s.serve(tt.wishes, tt.script)
		err := brokers.Target(t, mqtt.Kind(), config(s.address(), tt.options), "", nil, brokers.Env(t)).Deliver(t.Context(), brokers.Delivery(0, 1))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v %s: %v, want %q", tt.wishes, tt.options, err, tt.want)
		}
	}
}

// A connection on which the server said what makes no sense is given up, and the next attempt has another.
func TestNonsense(t *testing.T) {
	t.Parallel()
	s := listen(t)
	connections := 0
	s.serve(packets.Properties{}, func(c *client) {
		if connections++; connections == 1 {
			for {
				p, ok := c.next().(*packets.Publish)
				if !ok {
					return
				}
				c.send(&packets.Pubrec{PacketID: p.PacketID, Properties: &packets.Properties{}}) // of a message of quality 1
			}
		}
		acknowledge(0)(c)
	})
	target := brokers.Target(t, mqtt.Kind(), config(s.address(), ""), "", nil, brokers.Env(t))
	if err := target.Deliver(t.Context(), brokers.Delivery(0, 1)); err == nil || !strings.Contains(err.Error(), "does not speak MQTT 5") {
		t.Error(err)
	}
	if err := target.Deliver(t.Context(), brokers.Delivery(0, 1)); err != nil {
		t.Error(err)
	}
}

// No more messages are under way than the server wants.
func TestReceiveMaximum(t *testing.T) {
	t.Parallel()
	s := listen(t)
	most := make(chan int, 1)
	s.serve(packets.Properties{ReceiveMaximum: new(uint16(5))}, func(c *client) {
		var open []uint16
		seen := 0
		for done := 0; done < 40; {
			_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // in which another one would come
			if p, ok := c.next().(*packets.Publish); ok {
				open = append(open, p.PacketID)
				seen = max(seen, len(open))
				continue
			}
			for _, id := range open {
				c.send(&packets.Puback{PacketID: id, Properties: &packets.Properties{}})
			}
			done += len(open)
			open = nil
		}
		most <- seen
	})
	if err := brokers.Target(t, mqtt.Kind(), config(s.address(), ""), "", nil, brokers.Env(t)).Deliver(t.Context(), brokers.Delivery(0, 40)); err != nil {
		t.Fatal(err)
	}
	if got := <-most; got != 5 {
		t.Errorf("%d under way, want 5", got)
	}
}

// The connection shows signs of life while nothing is sent, and one whose server shows none is given up.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	s := listen(t)
	hellos, pinged, gone := make(chan *packets.Connect, 10), make(chan time.Time, 100), make(chan time.Time, 10)
	s.serve(packets.Properties{}, func(c *client) {
		hellos <- c.hello
		for answered := false; ; {
			switch p := c.next().(type) {
			case nil:
				gone <- time.Now()
				return
			case *packets.Publish:
				c.send(&packets.Puback{PacketID: p.PacketID, Properties: &packets.Properties{}})
			case *packets.Pingreq:
				pinged <- time.Now()
				if !answered { // and none after that
					answered = true
					c.send(&packets.Pingresp{})
				}
			}
		}
	})
	target := brokers.Target(t, mqtt.Kind(), config(s.address(), `,"keepAlive":"PT2S","clientId":"mine"`), "", nil, brokers.Env(t))
	start := time.Now()
	if err := target.Deliver(t.Context(), brokers.Delivery(0, 1)); err != nil {
		t.Fatal(err)
	}
	if hello := <-hellos; hello.KeepAlive != 2 || hello.ClientID != "mine" || !hello.CleanStart {
		t.Errorf("%+v", hello)
	}
	last := time.After(20 * time.Second)
	select {
	case at := <-pinged:
		if since := at.Sub(start); since < time.Second || since > 10*time.Second {
			t.Errorf("a ping after %v", since)
		}
	case <-last:
		t.Fatal("no ping")
	}
	select {
	case at := <-gone:
		if since := at.Sub(start); since < 4*time.Second {
			t.Errorf("it was given up after %v", since)
		}
	case <-last:
		t.Fatal("it is not given up")
	}
	if err := target.Deliver(t.Context(), brokers.Delivery(1, 1)); err != nil || len(hellos) != 1 {
		t.Errorf("%v, and %d more connections", err, len(hellos))
	}
	// A server whose wish it is gets signs of life at its own distance.
	other := listen(t)
	asked := make(chan struct{}, 10)
	other.serve(packets.Properties{ServerKeepAlive: new(uint16(1))}, func(c *client) {
		for {
			switch p := c.next().(type) {
			case nil:
				return
			case *packets.Publish:
				c.send(&packets.Puback{PacketID: p.PacketID, Properties: &packets.Properties{}})
			case *packets.Pingreq:
				asked <- struct{}{}
				c.send(&packets.Pingresp{})
			}
		}
	})
	if err := brokers.Target(t, mqtt.Kind(), config(other.address(), ``), "", nil, brokers.Env(t)).Deliver(t.Context(), brokers.Delivery(0, 1)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-asked:
	case <-time.After(10 * time.Second):
		t.Error("no ping within ten seconds")
	}
}

// An attempt under way ends with its context, and with a target that is closed.
func TestStops(t *testing.T) {
	t.Parallel()
	silent := listen(t)
	for _, address := range []string{silent.address(), deaf(t)} {
		target := brokers.Target(t, mqtt.Kind(), config(address, ""), "", nil, brokers.Env(t))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- target.Deliver(ctx, brokers.Delivery(0, 1)) }()
		time.AfterFunc(50*time.Millisecond, func() { cancel(); target.Close() })
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) && !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		case <-time.After(5 * time.Second):
			t.Error("it is still under way")
		}
	}
}

// deaf is a server that takes a connection and hears no message.
func deaf(t *testing.T) string {
	s := listen(t)
	s.serve(packets.Properties{}, func(c *client) {
		for c.next() != nil {
		}
	})
	return s.address()
}

// Connections of one configuration do not take each other over.
func TestClientID(t *testing.T) {
	t.Parallel()
	s := listen(t)
	ids := make(chan string, 2)
	s.serve(packets.Properties{}, func(c *client) { ids <- c.hello.ClientID; acknowledge(0)(c) })
	for range 2 {
		if err := brokers.Target(t, mqtt.Kind(), config(s.address(), ""), "", nil, brokers.Env(t)).Deliver(t.Context(), brokers.Delivery(0, 1)); err != nil {
			t.Fatal(err)
		}
	}
	a, b := <-ids, <-ids
	if a == b || !strings.HasPrefix(a, "freshet") || len(a) != 23 || len(b) != 23 {
		t.Errorf("%s, %s", a, b)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	const good = `"url":"mqtts://a.example"`
	brokers.Mistakes(t, mqtt.Kind(), map[string]string{
		good:                   "",
		`"topic":"x"`:          "/url: is required",
		`"url":"http://a"`:     "/url: must begin with mqtt:// or mqtts://",
		`"url":"mqtt://u:p@a"`: "/url: a user or password in the URL is not sent",
		`"url":"mqtt://a/b"`:   "/url: there is nothing after the host and the port",
		`"url":"mqtt://a","tls":{"ca":"secret:x"}`: "/url: with TLS it begins with mqtts://",
		good + `,"topic":"a/+/b"`:                  "/topic: a topic that is published to has neither + nor #",
		good + `,"topic":"a/#"`:                    "/topic: a topic that is published to has neither + nor #",
		good + `,"topic":"a\u0000"`:                "/topic: a topic that is published to has neither + nor #",
		good + `,"topic":""`:                       "/topic: must be from 1 to 1000",
		good + `,"topic":"{id}"`:                   `/topic: "{id}" is no placeholder`,
		good + `,"qos":3`:                          "/qos: must be from 0 to 2",
		good + `,"retain":1`:                       "/retain: ",
		good + `,"clientId":"a\u0000"`:             "/clientId: has no character with the code 0",
		good + `,"keepAlive":"PT1S"`:               "/keepAlive: must be from PT2S to PT1H",
		good + `,"keepAlive":"PT2.5S"`:             "/keepAlive: must be whole seconds",
		good + `,"tls":{"cert":"x"}`:               "/tls/key: a certificate and its key",
		good + `,"retries":["P8D"]`:                "/retries/0: must be from PT0S to P7D",
		good + `,"timeout":"PT2M"`:                 "/timeout: must be from PT0.1S to PT1M",
		good + `,"topics":[]`:                      "/topics: unknown member",
	})
	planned := brokers.Target(t, mqtt.Kind(), `{`+good+`,"retries":["PT2S"]}`, "", nil, brokers.Env(t)).(delivery.Planned)
	if schedule, parallel := planned.Plan(); fmt.Sprint(schedule) != "[PT0S PT2S]" || parallel != 1 {
		t.Errorf("%v, %d", schedule, parallel)
	}
	if masked := string(mqtt.Kind().Mask(json.RawMessage(`{` + good + `,"password":"s3cret"}`))); strings.Contains(masked, "s3cret") {
		t.Error(masked)
	}
}
