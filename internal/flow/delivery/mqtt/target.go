package mqtt

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"freshet/internal/flow/delivery"
	"freshet/internal/settings"
)

// A target publishes to one server.
type target struct {
	config
	env    delivery.Env
	format string

	session delivery.Kept[*session]
}

// Close ends the connection.
func (t *target) Close() { t.session.Close() }

// Deliver publishes the messages, and waits until all of them are acknowledged.
func (t *target) Deliver(ctx context.Context, d *delivery.Delivery) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(t.Timeout))
	defer cancel()
	all := make([]delivery.Encoded, len(d.Messages))
	messages := make([]*packets.Publish, len(d.Messages))
	for i, m := range d.Messages {
		all[i] = d.Encode(m, t.format, "")
		messages[i] = t.message(d.Address(t.Topic, m), all[i])
	}
	d.Sent(settings.MaskURL(string(t.URL)), all, delivery.Attribute{Name: "topic", Value: messages[len(messages)-1].Topic})
	s, err := t.session.Open(ctx, t.connect)
	if err == nil {
		var said string
		stop := context.AfterFunc(ctx, func() { _ = s.conn.Close() }) // what is being written waits no longer
		said, err = s.publish(ctx, messages)
		stop()
		if err != nil && ctx.Err() != nil {
			err = ctx.Err()
		}
		if said != "" {
			d.Confirmed(said)
		}
		if _, told := errors.AsType[*delivery.Refusal](err); err != nil && !told {
			t.session.Drop()
		}
	}
	return delivery.Explain(err, t.Timeout)
}

func (t *target) message(topic string, e delivery.Encoded) *packets.Publish {
	text := byte(1)
	p := &packets.Publish{
		Topic: topic, QoS: byte(t.QoS), Retain: t.Retain, Payload: e.Body,
		Properties: &packets.Properties{ContentType: e.ContentType, PayloadFormat: &text},
	}
	for _, h := range e.Headers {
		p.Properties.User = append(p.Properties.User, packets.User{Key: h.Name, Value: h.Value})
	}
	return p
}

func (t *target) connect(ctx context.Context) (*session, error) {
	keepAlive := time.Duration(t.KeepAlive).Truncate(time.Second)
	most := uint32(mostToRead)
	// Servers need not take more than 23 letters and digits (MQTT 5, 3.1.3.1).
	hello, err := t.Hello(t.env.Secrets, cmp.Or(t.ClientID, "freshet"+rand.Text()[:16]), keepAlive, &packets.Properties{MaximumPacketSize: &most})
	if err != nil {
		return nil, err
	}
	hello.CleanStart = true
	conn, err := t.Dial(ctx, t.env.Dial, t.env.Secrets)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	s, err := begin(conn, hello, keepAlive)
	if !stop() {
		if err == nil {
			s.Close()
		}
		return nil, ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return s, nil
}
