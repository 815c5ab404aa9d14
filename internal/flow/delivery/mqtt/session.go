package mqtt

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"freshet/internal/flow/delivery"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/mqtt/wire"
)

const (
	// inFlight is how many messages are under way at most before the first is acknowledged.
	inFlight = 64
	// mostToRead is how large a packet of the server may be, in bytes: it has little to say.
	mostToRead = 64 << 10
	// sends is how long the server may take to read a ping.
	sends = 10 * time.Second
	// leave is how long a goodbye may take.
	leave = 200 * time.Millisecond
)

// A session is one connection. Its server is listened to all the time, also while nothing is sent.
type session struct {
	conn      net.Conn
	in        *bufio.Reader
	keepAlive time.Duration
	bounds    bounds
	last      uint16              // the packet identifier that was used last
	said      chan packets.Packet // what the server says of messages; has room for all that may come
	pongs     chan struct{}       // has something after an answer to a ping
	ended     context.Context     //nolint:containedctx // done once the server is not listened to any more; its cause is why
	end       context.CancelCauseFunc
	wg        sync.WaitGroup

	writing  sync.Mutex
	pings    int // sent; guarded by writing
	counting sync.Mutex
	answers  int // to pings; guarded by counting
}

// bounds are what the server takes.
type bounds struct {
	inFlight int
	packet   int // bytes; 0: any
	qos      byte
	retain   bool
}

// begin introduces the client on a new connection.
func begin(conn net.Conn, hello *packets.Connect, keepAlive time.Duration) (*session, error) {
	s := &session{
		conn: conn, in: bufio.NewReader(conn), keepAlive: keepAlive,
		said: make(chan packets.Packet, 2*inFlight), pongs: make(chan struct{}, 1),
	}
	if err := s.write(hello); err != nil {
		return nil, wire.Explain(err)
	}
	p, err := wire.Read(s.in, mostToRead)
	if err != nil {
		return nil, wire.Explain(err)
	}
	answer, ok := p.Content.(*packets.Connack)
	switch {
	case !ok:
		return nil, wire.Explain(wire.ErrMalformed)
	case answer.ReasonCode != packets.ConnackSuccess:
		return nil, wire.Refused(answer.ReasonCode)
	}
	s.accept(answer.Properties)
	s.ended, s.end = context.WithCancelCause(context.Background())
	s.wg.Go(func() {
		s.end(wire.Explain(s.listen()))
		_ = s.conn.Close() // the server is not to wait for what nobody sends any more
	})
	s.wg.Go(s.stayAlive)
	return s, nil
}

// accept takes note of what the server asks for.
func (s *session) accept(p *packets.Properties) {
	s.bounds = bounds{inFlight: inFlight, qos: 2, retain: true}
	if p.ReceiveMaximum != nil && *p.ReceiveMaximum > 0 {
		s.bounds.inFlight = min(inFlight, int(*p.ReceiveMaximum))
	}
	if p.MaximumPacketSize != nil {
		s.bounds.packet = int(*p.MaximumPacketSize)
	}
	if p.MaximumQOS != nil {
		s.bounds.qos = *p.MaximumQOS
	}
	if p.RetainAvailable != nil {
		s.bounds.retain = *p.RetainAvailable != 0
	}
	if p.ServerKeepAlive != nil {
		s.keepAlive = time.Duration(*p.ServerKeepAlive) * time.Second
	}
}

// listen takes what the server says until the connection ends.
func (s *session) listen() error {
	for {
		deadline := time.Time{}
		if s.keepAlive > 0 {
			deadline = time.Now().Add(s.keepAlive + s.keepAlive/2)
		}
		_ = s.conn.SetReadDeadline(deadline) // one that fails shows in the reading
		p, err := wire.Read(s.in, mostToRead)
		if err != nil {
			return err //nolint:wrapcheck // it is explained
		}
		switch content := p.Content.(type) {
		case *packets.Puback, *packets.Pubrec, *packets.Pubcomp:
			select {
			case s.said <- content:
			default:
				return wire.ErrMalformed // it acknowledges what nobody sent
			}
		case *packets.Pingresp:
			s.counting.Lock()
			s.answers++
			s.counting.Unlock()
			select {
			case s.pongs <- struct{}{}:
			default:
			}
		case *packets.Disconnect:
			return wire.Disconnected(content.ReasonCode)
		default:
			return wire.ErrMalformed
		}
	}
}

// stayAlive asks for a sign of life at a distance at which one is there before the listener loses patience. That the
// server does not hear of it shows in what is read.
func (s *session) stayAlive() {
	for s.keepAlive > 0 && source.Sleep(s.ended, s.keepAlive*3/4) {
		if _, err := s.ping(); err != nil {
			return
		}
	}
}

// ping asks for a sign of life, and returns which answer is the one to it.
func (s *session) ping() (number int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.pings++
	return s.pings, s.writeLocked(&packets.Pingreq{}, time.Now().Add(sends))
}

// publish sends messages and waits for what the server says of each. said is that, for people.
func (s *session) publish(ctx context.Context, messages []*packets.Publish) (said string, err error) {
	for _, m := range messages {
		if err := s.allows(m); err != nil {
			return "", err
		}
	}
	if messages[0].QoS == 0 {
		return s.publishUnacknowledged(ctx, messages)
	}
	open := map[uint16]*packets.Publish{}
	nobody, sent, done := 0, 0, 0
	var refused error
	for done < len(messages) {
		for ; sent < len(messages) && len(open) < s.bounds.inFlight; sent++ {
			m := messages[sent]
			m.PacketID = s.identify()
			open[m.PacketID] = m
			if err := s.write(m); err != nil {
				return said, s.why(err)
			}
		}
		a, err := s.hear(ctx)
		if err != nil {
			return said, err
		}
		m := open[a.id]
		switch {
		case m == nil || a.qos != m.QoS:
			return said, wire.Explain(wire.ErrMalformed)
		case a.code >= 0x80:
			said = fmt.Sprintf("%s 0x%02X", a.name, a.code)
			refused = refusal(m.Topic, a.code)
		case a.code == packets.PubackNoMatchingSubscribers:
			nobody++
		}
		if a.name == "PUBREC" && a.code < 0x80 {
			if err := s.write(&packets.Pubrel{PacketID: a.id, Properties: &packets.Properties{}}); err != nil {
				return said, s.why(err)
			}
			continue
		}
		delete(open, a.id)
		done++
		if refused == nil {
			said = fmt.Sprintf("%s of %d messages", a.name, done)
		}
	}
	if refused == nil && nobody > 0 {
		said += fmt.Sprintf(", %d of them to topics that nobody is subscribed to", nobody)
	}
	return said, refused
}

// publishUnacknowledged sends messages of quality 0. An answer to a ping after them says that the server has read them.
func (s *session) publishUnacknowledged(ctx context.Context, messages []*packets.Publish) (said string, err error) {
	for _, m := range messages {
		if err := s.write(m); err != nil {
			return "", s.why(err)
		}
	}
	number, err := s.ping()
	if err != nil {
		return "", s.why(err)
	}
	for {
		s.counting.Lock()
		answered := s.answers >= number
		s.counting.Unlock()
		if answered {
			return fmt.Sprintf("PINGRESP after %d messages", len(messages)), nil
		}
		select {
		case <-s.pongs:
		case <-s.ended.Done():
			return "", context.Cause(s.ended) //nolint:wrapcheck // it is explained
		case <-ctx.Done():
			return "", ctx.Err() //nolint:wrapcheck // it is explained
		}
	}
}

// allows says whether the server takes a message.
func (s *session) allows(m *packets.Publish) error {
	switch b := s.bounds; {
	case m.QoS > b.qos:
		return delivery.Refusedf("the server takes no messages of the quality %d: set qos to %d", m.QoS, b.qos)
	case m.Retain && !b.retain:
		return delivery.Refusedf("the server retains no messages: set retain to false")
	case b.packet > 0:
		if size, err := m.WriteTo(io.Discard); err != nil || int(size) > b.packet {
			return delivery.Refusedf("the message has %d bytes, and the server takes %d at most", size, b.packet)
		}
	}
	return nil
}

// identify is a packet identifier that no message under way has.
func (s *session) identify() uint16 {
	if s.last++; s.last == 0 {
		s.last = 1
	}
	return s.last
}

// An acknowledgement is what the server says of a message.
type acknowledgement struct {
	name string
	id   uint16
	qos  byte
	code byte
}

// hear waits for an acknowledgement.
func (s *session) hear(ctx context.Context) (acknowledgement, error) {
	select {
	case p := <-s.said:
		return acknowledge(p), nil
	default: // what has come counts, also where the connection has ended since
	}
	select {
	case p := <-s.said:
		return acknowledge(p), nil
	case <-s.ended.Done():
		return acknowledgement{}, context.Cause(s.ended) //nolint:wrapcheck // it is explained
	case <-ctx.Done():
		return acknowledgement{}, ctx.Err() //nolint:wrapcheck // it is explained
	}
}

func acknowledge(p packets.Packet) acknowledgement {
	switch p := p.(type) {
	case *packets.Puback:
		return acknowledgement{"PUBACK", p.PacketID, 1, p.ReasonCode}
	case *packets.Pubrec:
		return acknowledgement{"PUBREC", p.PacketID, 2, p.ReasonCode}
	case *packets.Pubcomp:
		return acknowledgement{"PUBCOMP", p.PacketID, 2, p.ReasonCode}
	}
	return acknowledgement{}
}

// refusal says why the server does not take a message, by the reason code of its answer.
func refusal(topic string, code byte) error {
	switch code {
	case packets.PubackNotAuthorized:
		return delivery.Refusedf("the client may not publish to %.80q", topic)
	case packets.PubackTopicNameInvalid:
		return delivery.Refusedf("the server does not accept the topic %.80q", topic)
	case packets.PubackQuotaExceeded:
		return delivery.Refusedf("the server takes no more messages now (quota exceeded)")
	}
	return delivery.Refusedf("the server refused the message, with the reason code 0x%02X", code)
}

// why is why nothing can be written: what the server said, where it has ended the connection.
func (s *session) why(err error) error {
	if cause := context.Cause(s.ended); cause != nil {
		return cause
	}
	return err
}

func (s *session) HasEnded() bool { return s.ended.Err() != nil }

func (s *session) write(p io.WriterTo) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.writeLocked(p, time.Time{}) // the attempt has an end
}

func (s *session) writeLocked(p io.WriterTo, deadline time.Time) error {
	var b bytes.Buffer
	if _, err := p.WriteTo(&b); err != nil {
		return err //nolint:wrapcheck // it cannot fail
	}
	_ = s.conn.SetWriteDeadline(deadline) // one that fails shows in the writing
	_, err := s.conn.Write(b.Bytes())
	return err //nolint:wrapcheck // it is explained
}

// close says goodbye and returns once the session has ended. It may be called again.
func (s *session) Close() {
	if s.writing.TryLock() { // or it hangs in what is being written
		_ = s.conn.SetWriteDeadline(time.Now().Add(leave))
		_, _ = (&packets.Disconnect{Properties: &packets.Properties{}}).WriteTo(s.conn)
		s.writing.Unlock()
	}
	_ = s.conn.Close()
	s.wg.Wait()
}
