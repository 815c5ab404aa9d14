package amqp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	rabbit "github.com/rabbitmq/amqp091-go"

	"freshet/internal/flow/delivery"
	"freshet/internal/settings"
)

const (
	// longestKey is how long the protocol allows a routing key to be, in bytes.
	longestKey = 255
	// leave is how long the broker may take to say goodbye.
	leave = 200 * time.Millisecond
)

// errBlocked says that the broker has told everybody to wait.
var errBlocked = errors.New("the broker takes no messages for now")

// A target publishes to one exchange.
type target struct {
	config
	env    delivery.Env
	format string
	name   string // of connections
	most   int    // messages under way at a time

	session delivery.Kept[*session]
}

// Close ends the connection.
func (t *target) Close() { t.session.Close() }

// A session is a connection with a channel on which messages are confirmed.
type session struct {
	raw     net.Conn
	conn    *rabbit.Connection
	channel *rabbit.Channel
	ended   <-chan *rabbit.Error
	refused <-chan rabbit.Return // messages that no queue takes; has room for all that are under way
	blocked atomic.Value         // of string: why the broker takes nothing for now; "": it does
	wg      sync.WaitGroup
}

// Deliver publishes the messages, and waits until all of them are confirmed.
func (t *target) Deliver(ctx context.Context, d *delivery.Delivery) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(t.Timeout))
	defer cancel()
	all := make([]delivery.Encoded, len(d.Messages))
	keys := make([]string, len(d.Messages))
	for i, m := range d.Messages {
		all[i], keys[i] = d.Encode(m, t.format, "cloudEvents:"), d.Address(t.RoutingKey, m)
		if len(keys[i]) > longestKey {
			return delivery.Refusedf("the routing key is %d bytes long: at most %d are possible", len(keys[i]), longestKey)
		}
	}
	last := len(all) - 1
	d.Sent(settings.MaskURL(string(t.URL)), all, delivery.Attribute{Name: "exchange", Value: t.Exchange}, delivery.Attribute{Name: "routing-key", Value: keys[last]}, delivery.Attribute{Name: "message-id", Value: all[last].ID})
	s, err := t.session.Open(ctx, t.connect)
	if err == nil {
		stop := context.AfterFunc(ctx, func() { _ = s.raw.Close() }) // what is being written waits no longer
		err = t.publish(ctx, s, d, all, keys)
		stop()
		if err != nil && ctx.Err() != nil {
			err = ctx.Err()
			if why, _ := s.blocked.Load().(string); why != "" {
				err = fmt.Errorf("%w: %s", errBlocked, why)
			}
		}
		if _, told := errors.AsType[*delivery.Refusal](err); err != nil && !told {
			t.session.Drop()
		}
	}
	return delivery.Explain(err, t.Timeout)
}

func (t *target) connect(ctx context.Context) (*session, error) {
	s := &session{}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := t.env.Dial(ctx, network, address)
		s.raw = conn
		return conn, err
	}
	var err error
	if s.conn, err = t.Connect(ctx, dial, t.env.Secrets, t.name); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.raw.Close() })
	defer stop()
	blocked := s.conn.NotifyBlocked(make(chan rabbit.Blocking, 1)) // closed with the connection
	s.wg.Go(func() {
		for b := range blocked {
			s.blocked.Store(b.Reason)
		}
	})
	if s.channel, err = s.conn.Channel(); err == nil {
		s.ended = s.channel.NotifyClose(make(chan *rabbit.Error, 1))
		if t.Mandatory {
			s.refused = s.channel.NotifyReturn(make(chan rabbit.Return, t.most))
		}
		err = s.channel.Confirm(false)
	}
	if err != nil {
		s.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("open a channel: %w", err)
	}
	return s, nil
}

// publish sends messages on a session and waits for what the broker says of each.
func (t *target) publish(ctx context.Context, s *session, d *delivery.Delivery, all []delivery.Encoded, keys []string) error {
	confirmations := make([]*rabbit.DeferredConfirmation, len(all))
	for i, e := range all {
		var err error
		confirmations[i], err = s.channel.PublishWithDeferredConfirmWithContext(ctx, t.Exchange, keys[i], t.Mandatory, false, t.publishing(e, d.Messages[i]))
		if err != nil {
			return s.why(err)
		}
	}
	var refused *rabbit.DeferredConfirmation
	for _, c := range confirmations {
		acked, err := c.WaitContext(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("wait for the confirmation: %w", err)
		case !acked && s.channel.IsClosed():
			return s.why(rabbit.ErrClosed)
		case !acked && refused == nil:
			refused = c
		}
	}
	back := s.takeBack() // the broker sends a message back before it confirms it
	switch last := confirmations[len(all)-1].DeliveryTag; {
	case back != nil:
		d.Confirmed(fmt.Sprintf("basic.return %d %s", back.ReplyCode, back.ReplyText))
		return delivery.Refusedf("no queue takes messages of the exchange %q with the routing key %q (%d %s)", back.Exchange, back.RoutingKey, back.ReplyCode, back.ReplyText)
	case refused != nil:
		d.Confirmed(fmt.Sprintf("basic.nack %d", refused.DeliveryTag))
		return delivery.Refusedf("the broker refused the message (basic.nack): a queue may be full")
	default:
		d.Confirmed(fmt.Sprintf("basic.ack %d to %d", last-uint64(len(all))+1, last))
	}
	return nil
}

func (t *target) publishing(e delivery.Encoded, m delivery.Message) rabbit.Publishing {
	p := rabbit.Publishing{
		MessageId: e.ID, ContentType: e.ContentType, Timestamp: m.Time, Type: string(m.Type), AppId: "freshet",
		DeliveryMode: rabbit.Transient, Headers: rabbit.Table{}, Body: e.Body,
	}
	if t.Persistent {
		p.DeliveryMode = rabbit.Persistent
	}
	for _, h := range e.Headers {
		p.Headers[h.Name] = h.Value
	}
	return p
}

// takeBack is the first of the messages that no queue took; nil: there is none.
func (s *session) takeBack() (first *rabbit.Return) {
	for {
		select {
		case r, ok := <-s.refused:
			if !ok {
				return first
			}
			if first == nil {
				first = &r
			}
		default:
			return first
		}
	}
}

// why is why the channel has ended, where the broker said so, or else err.
func (s *session) why(err error) error {
	var said *rabbit.Error
	select {
	case said = <-s.ended:
	default:
	}
	switch {
	case said == nil:
		return fmt.Errorf("publish: %w", err)
	case said.Code == rabbit.NotFound:
		return delivery.Refusedf("there is no such exchange (%s)", said.Reason)
	case said.Code == rabbit.AccessRefused:
		return delivery.Refusedf("the broker refuses access (%s)", said.Reason)
	case said.Code == rabbit.ConnectionForced:
		return delivery.Refusedf("the broker ended the connection (%s)", said.Reason)
	case strings.Contains(said.Reason, "EOF"):
		return delivery.Refusedf("the broker closed the connection")
	}
	return fmt.Errorf("publish: %w", said)
}

// HasEnded says whether the broker has ended the channel.
func (s *session) HasEnded() bool { return s.channel.IsClosed() }

// Close ends the connection.
func (s *session) Close() {
	_ = s.conn.CloseDeadline(time.Now().Add(leave)) // a politeness
	_ = s.raw.Close()
	s.wg.Wait()
}
