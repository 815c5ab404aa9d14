// Package amqp takes the messages of a queue or stream of a broker that speaks AMQP 0.9.1, such as RabbitMQ.
package amqp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	rabbit "github.com/rabbitmq/amqp091-go"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/settings"
)

type config struct {
	Broker
	Queue    string    `json:"queue" required:"true" range:"1..255" doc:"The queue"`
	Stream   bool      `json:"stream" doc:"The queue is a stream of RabbitMQ: it is read by offset and keeps its messages"`
	ReadFrom string    `json:"readFrom" when:"stream" default:"latest" oneof:"earliest,latest" doc:"Of a stream: where to begin the first time, with the oldest message that is kept, or with what comes from then on"`
	Declare  *declare  `json:"declare" doc:"Makes the queue where there is none; without it the queue has to be there"`
	Bindings []binding `json:"bindings" range:"0..100" doc:"What the queue is bound to"`
	Prefetch int       `json:"prefetch" default:"200" range:"1..200" doc:"How many messages the broker sends ahead of those that are stored"`
}

type declare struct {
	Durable    bool `json:"durable" default:"true" doc:"The queue outlives the broker"`
	Exclusive  bool `json:"exclusive" doc:"The queue is for this source alone, and gone with its connection: what comes while it is away is lost"`
	AutoDelete bool `json:"autoDelete" doc:"The queue is deleted when its last consumer goes"`
}

type binding struct {
	Exchange   string `json:"exchange" required:"true" doc:"The exchange, which has to be there"`
	RoutingKey string `json:"routingKey" doc:"Which of its messages: # and * stand for words where it is a topic exchange"`
}

// Check is what the tags cannot say.
func (c *config) Check(v *settings.Verdict) {
	c.Broker.Check(v)
	if d := c.Declare; c.Stream && d != nil && (!d.Durable || d.Exclusive || d.AutoDelete) {
		v.Say("/declare", "a stream is durable, and neither exclusive nor deleted by itself")
	}
}

const notes = `Each message's body is one payload, JSON. One that is not is told as a fault, acknowledged, and the next is read.

**Of a queue** a message is acknowledged once the journal has it, never before: nothing is lost. What a crash or a broken connection kept from being acknowledged the broker sends again, marked as redelivered; where its ` + "`message-id`" + ` is that of one of the last 200 messages that were stored, it is not stored twice. Messages without a ` + "`message-id`" + ` may then come twice: at least once is what AMQP promises.

**Of a stream** (RabbitMQ 3.9 or later) the offset is stored with the payload, in the same write: a restart, also after a crash, misses nothing and repeats nothing.`

// Kind is the type amqp.
func Kind() source.Kind {
	return source.Kind{
		Name:    "amqp",
		Summary: "Takes the messages of a queue or stream of RabbitMQ, or another broker of AMQP 0.9.1.",
		Notes:   notes,
		Feeds:   []freshet.Kind{freshet.KindSnapshot, freshet.KindEvent},
		Config:  config{},
		Check:   source.Check[config],
		New: func(conf json.RawMessage, env source.Env) (source.Source, error) {
			c := &consumer{env: env, limit: int(cmp.Or(env.Limit, freshet.DefaultPayload)), log: cmp.Or(env.Log, slog.New(slog.DiscardHandler))}
			if wrong := settings.Read(conf, &c.config); wrong != nil {
				return nil, wrong
			}
			return c, nil
		},
	}
}

// A consumer is the Source of the type amqp.
type consumer struct {
	config
	env   source.Env
	limit int // bytes of a payload
	log   *slog.Logger
	place place
}

// Run consumes until ctx ends.
func (c *consumer) Run(ctx context.Context, to source.Sink) error {
	source.Stay(ctx, to, c.log, func(ctx context.Context, up func()) error {
		conn, err := c.Connect(ctx, c.env.Dial, c.env.Secrets, "freshet "+string(c.env.Topic))
		if err != nil {
			return explain(err)
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.CloseDeadline(time.Now().Add(time.Second)) })
		defer func() {
			if stop() {
				_ = conn.CloseDeadline(time.Now().Add(time.Second))
			}
		}()
		return explain(c.consume(ctx, conn, to, up))
	})
	return nil
}

// consume takes messages until the connection ends.
func (c *consumer) consume(ctx context.Context, conn *rabbit.Connection, to source.Sink, up func()) error {
	channel, err := conn.Channel()
	if err != nil {
		return err
	}
	closed := channel.NotifyClose(make(chan *rabbit.Error, 1))
	cancelled := channel.NotifyCancel(make(chan string, 1))
	if err := c.place.recall(ctx, to); err != nil {
		return err
	}
	deliveries, err := c.subscribe(channel)
	if err != nil {
		return err
	}
	up()
	for {
		select {
		case first, ok := <-deliveries:
			if !ok {
				return ended(closed, cancelled)
			}
			if err := c.take(ctx, to, channel, c.gather(first, deliveries)); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ended is why there are no more deliveries.
func ended(closed <-chan *rabbit.Error, cancelled <-chan string) error {
	select {
	case _, byBroker := <-cancelled: // it is closed with the channel
		if byBroker {
			return source.Faultf(freshet.FaultHTTP+404, "the queue was deleted, or moved to another node")
		}
	default:
	}
	if err, ok := <-closed; ok && err != nil {
		return err
	}
	return errors.New("the channel was closed")
}

func (c *consumer) subscribe(channel *rabbit.Channel) (<-chan rabbit.Delivery, error) {
	if err := channel.Qos(c.Prefetch, 0, false); err != nil {
		return nil, err
	}
	if d := c.Declare; d != nil {
		var args rabbit.Table
		if c.Stream {
			args = rabbit.Table{"x-queue-type": "stream"}
		}
		if _, err := channel.QueueDeclare(c.Queue, d.Durable, d.AutoDelete, d.Exclusive, false, args); err != nil {
			return nil, err
		}
	}
	for _, b := range c.Bindings {
		if err := channel.QueueBind(c.Queue, b.RoutingKey, b.Exchange, false, nil); err != nil {
			return nil, err
		}
	}
	args := rabbit.Table{}
	if c.Stream {
		args["x-stream-offset"] = c.place.next(c.ReadFrom)
	}
	return channel.Consume(c.Queue, "", false, false, false, false, args)
}

// gather is a delivery and those that are there besides.
func (c *consumer) gather(first rabbit.Delivery, deliveries <-chan rabbit.Delivery) []rabbit.Delivery {
	batch, size := []rabbit.Delivery{first}, len(first.Body)
	for len(batch) < c.Prefetch && size < source.BatchBytes {
		select {
		case d, ok := <-deliveries:
			if !ok {
				return batch
			}
			batch, size = append(batch, d), size+len(d.Body)
		default:
			return batch
		}
	}
	return batch
}

// take hands messages over and acknowledges them once they are stored.
func (c *consumer) take(ctx context.Context, to source.Sink, channel *rabbit.Channel, batch []rabbit.Delivery) error {
	now := time.Now()
	var items []source.Item
	for i := range batch {
		d := &batch[i]
		if _, ofStream := d.Headers["x-stream-offset"]; ofStream && !c.Stream {
			return source.Faultf(freshet.FaultConfig, "the queue is a stream: stream must be true, or what comes while nobody reads is lost")
		}
		if c.place.has(d) {
			continue
		}
		item := source.Item{Payload: source.Payload{Data: d.Body, Time: now}}
		if len(d.Body) > c.limit {
			f := source.Faultf(freshet.FaultSize, "a message is larger than limits.payload, %v", freshet.Bytes(c.limit))
			item.Fault = &f
		}
		item.Payload.Mark = c.place.after(d)
		items = append(items, item)
	}
	if !source.Deliver(ctx, to, items) {
		c.place = place{} // it is where the journal is, not after what was not stored
		return ctx.Err()
	}
	return channel.Ack(batch[len(batch)-1].DeliveryTag, true)
}

// explain makes what the broker says one of the faults that subscribers are told.
func explain(err error) error {
	if _, told := errors.AsType[freshet.Fault](err); told {
		return err
	}
	said, ok := errors.AsType[*rabbit.Error](err)
	if !ok {
		return err
	}
	switch said.Code {
	case rabbit.AccessRefused:
		return fault(err, freshet.FaultHTTP+403, "the broker refuses access")
	case rabbit.NotFound:
		return fault(err, freshet.FaultHTTP+404, "there is no such queue, or exchange")
	case rabbit.PreconditionFailed:
		return fault(err, freshet.FaultConfig, "the queue is another than declare and stream say")
	case rabbit.ResourceLocked:
		return fault(err, freshet.FaultConfig, "the queue is exclusive to another connection")
	case rabbit.ConnectionForced:
		return fault(err, freshet.FaultConnection, "the broker ended the connection")
	}
	return err
}
