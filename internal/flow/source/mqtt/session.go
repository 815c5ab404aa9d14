package mqtt

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/mqtt/wire"
)

const (
	// inFlight is how many messages of quality 1 and 2 the server sends before the first is acknowledged.
	inFlight = 64
	// subscribeID is the packet identifier of the one request of ours that is answered.
	subscribeID = 1
	// sends is how long the server may take to read what is sent.
	sends = 10 * time.Second
)

// A session is one connection.
type session struct {
	*subscriber
	conn      net.Conn
	in        *bufio.Reader
	most      int           // bytes of a packet
	keepAlive time.Duration // 0: no sign of life is asked for
	writing   sync.Mutex
	receipts  receipts
}

// serve connects, subscribes, and hands over what comes until the connection ends.
func (s *subscriber) serve(ctx context.Context, to source.Sink, conn net.Conn, up func()) error {
	c := &session{subscriber: s, conn: conn, in: bufio.NewReaderSize(conn, 16<<10), most: 2*s.limit + 128<<10}
	c.receipts.send = c.acknowledge
	// Reading ends with ctx; writing does not, as what is stored by then is acknowledged still.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err := c.open(ctx, to)
	if err == nil {
		err = c.subscribe(ctx, to)
	}
	if err == nil {
		up()
		err = c.receive(ctx, to)
	}
	if ctx.Err() != nil {
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second / 4))
		_, _ = (&packets.Disconnect{Properties: &packets.Properties{}}).WriteTo(conn) // a politeness: closing does as well
	}
	return wire.Explain(err)
}

// open introduces the client.
func (c *session) open(ctx context.Context, to source.Sink) error {
	expiry, window, most := uint32(time.Duration(c.SessionExpiry)/time.Second), uint16(inFlight), uint32(c.most)
	c.keepAlive = time.Duration(c.KeepAlive).Truncate(time.Second)
	hello, err := c.Hello(c.env.Secrets, c.name, c.keepAlive, &packets.Properties{SessionExpiryInterval: &expiry, ReceiveMaximum: &window, MaximumPacketSize: &most})
	if err != nil {
		return err
	}
	if err := c.write(hello); err != nil {
		return err
	}
	p, err := c.read(ctx, wire.Opens)
	if err != nil {
		return err
	}
	answer, ok := p.Content.(*packets.Connack)
	switch {
	case !ok:
		return wire.ErrMalformed
	case answer.ReasonCode != packets.ConnackSuccess:
		return wire.Refused(answer.ReasonCode)
	}
	if own := answer.Properties.ServerKeepAlive; own != nil {
		c.keepAlive = time.Duration(*own) * time.Second
	}
	c.resume(ctx, to, answer.SessionPresent)
	return nil
}

// resume notes whether the server still has the session.
func (c *session) resume(ctx context.Context, to source.Sink, present bool) {
	u := &c.unsettled
	if !present {
		u.messages = nil
		if u.known && c.SessionExpiry >= freshet.Duration(time.Second) && c.gathers() {
			to.Fault(ctx, source.Faultf(freshet.FaultPublication, "the server has the session no more: messages may have been missed"), 0)
		}
	}
	u.known = true
}

// gathers says whether the server keeps messages while there is no connection.
func (c *session) gathers() bool {
	for _, t := range c.Topics {
		if t.QoS > 0 {
			return true
		}
	}
	return false
}

// subscribe asks for the topics, and hands over what comes before the answer: what the session gathered.
func (c *session) subscribe(ctx context.Context, to source.Sink) error {
	handling := map[string]byte{"always": 0, "new": 1, "never": 2}[c.Retained]
	request := &packets.Subscribe{PacketID: subscribeID, Properties: &packets.Properties{}}
	for _, t := range c.Topics {
		request.Subscriptions = append(request.Subscriptions, packets.SubOptions{Topic: t.Filter, QoS: byte(t.QoS), RetainHandling: handling})
	}
	if err := c.write(request); err != nil {
		return err
	}
	var items []source.Item
	answered := false
	for deadline := time.Now().Add(wire.Opens); !answered; {
		p, err := c.read(ctx, time.Until(deadline))
		if err == nil {
			var item *source.Item
			if answer, ok := p.Content.(*packets.Suback); ok {
				answered, err = true, c.granted(answer)
			} else if item, err = c.take(p); item != nil {
				items = append(items, *item)
			}
		}
		// What was taken is handed over whatever happens: it counts as taken when it comes again.
		if err != nil || answered || len(items) >= inFlight/2 || c.in.Buffered() == 0 {
			if !source.Deliver(ctx, to, items) {
				return ctx.Err() //nolint:wrapcheck // nobody is told
			}
			if err2 := c.receipts.settle(len(items)); err == nil {
				err = err2
			}
			items = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *session) granted(answer *packets.Suback) error {
	if answer.PacketID != subscribeID || len(answer.Reasons) != len(c.Topics) {
		return wire.ErrMalformed
	}
	for i, code := range answer.Reasons {
		if code > packets.SubackGrantedQoS2 {
			return unsubscribed(c.Topics[i].Filter, code)
		}
	}
	return nil
}

// receive takes messages until the connection ends, and returns once all of them are handed over.
func (c *session) receive(ctx context.Context, to source.Sink) error {
	ctx, cancel := context.WithCancel(ctx)
	queue := source.NewQueue()
	var wg sync.WaitGroup
	wg.Go(func() { queue.End(c.readAll(ctx, queue)) })
	wg.Go(func() { c.ping(ctx) })
	var failed error
	err := queue.HandOver(ctx, to, func(items []source.Item) {
		if err := c.receipts.settle(len(items)); err != nil {
			failed = err
			_ = c.conn.Close() // which ends the reading
		}
	})
	cancel()
	_ = c.conn.SetReadDeadline(time.Unix(1, 0))
	wg.Wait()
	if failed != nil {
		return failed
	}
	return err //nolint:wrapcheck // source.FaultOf knows it
}

func (c *session) readAll(ctx context.Context, queue *source.Queue) error {
	for {
		patience := c.keepAlive + c.keepAlive/2
		if c.keepAlive == 0 {
			patience = 24 * time.Hour
		}
		p, err := c.read(ctx, patience)
		if err != nil {
			return err
		}
		item, err := c.take(p)
		if err != nil {
			return err
		}
		if item != nil && !queue.Put(ctx, *item) {
			return ctx.Err() //nolint:wrapcheck // nobody is told
		}
	}
}

// ping asks for a sign of life at a distance at which one is there before the reader loses patience. That
// the server does not hear of it shows in what is read.
func (c *session) ping(ctx context.Context) {
	for c.keepAlive > 0 && source.Sleep(ctx, c.keepAlive*3/4) {
		if c.write(&packets.Pingreq{}) != nil {
			return
		}
	}
}

// take is what is to be handed over of a packet; nil: nothing.
func (c *session) take(p *packets.ControlPacket) (*source.Item, error) {
	switch content := p.Content.(type) {
	case *packets.Publish:
		return c.message(content)
	case *packets.Pubrel: // the server knows that the message was taken
		c.unsettled.settle(content.PacketID)
		return nil, c.write(&packets.Pubcomp{PacketID: content.PacketID, Properties: &packets.Properties{}})
	case *packets.Disconnect:
		return nil, wire.Disconnected(content.ReasonCode)
	case *packets.Pingresp, *packets.Suback:
		return nil, nil
	}
	return nil, wire.ErrMalformed
}

func (c *session) message(p *packets.Publish) (*source.Item, error) {
	r := receipt{id: p.PacketID, qos: p.QoS, item: true}
	if p.QoS == 2 {
		m := message{p.PacketID, hashOf(p.Topic, p.Payload)}
		if p.Duplicate && c.unsettled.has(m) {
			r.item = false
		}
		c.unsettled.add(m)
	}
	if len(p.Payload) == 0 {
		r.item = false
	}
	c.receipts.add(r)
	if !r.item {
		return nil, c.receipts.settle(0)
	}
	if len(p.Payload) > c.limit {
		f := source.Faultf(freshet.FaultSize, "a message is larger than limits.payload, %v", freshet.Bytes(c.limit))
		return &source.Item{Fault: &f}, nil
	}
	return &source.Item{Payload: source.Payload{Data: p.Payload, Time: time.Now(), Mark: c.unsettled.mark()}}, nil
}

func (c *session) read(ctx context.Context, patience time.Duration) (*packets.ControlPacket, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(patience)) // one that fails shows in the reading
	if err := ctx.Err(); err != nil {
		return nil, err //nolint:wrapcheck // nobody is told
	}
	return wire.Read(c.in, c.most)
}

func (c *session) acknowledge(r receipt) error {
	if r.qos == 1 {
		return c.write(&packets.Puback{PacketID: r.id, Properties: &packets.Properties{}})
	}
	return c.write(&packets.Pubrec{PacketID: r.id, Properties: &packets.Properties{}})
}

func (c *session) write(p io.WriterTo) error {
	var b bytes.Buffer
	if _, err := p.WriteTo(&b); err != nil {
		return err //nolint:wrapcheck // it cannot fail
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	_ = c.conn.SetWriteDeadline(time.Now().Add(sends))
	_, err := c.conn.Write(b.Bytes())
	return err //nolint:wrapcheck // source.FaultOf knows it
}
