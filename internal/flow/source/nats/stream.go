package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/nats/server"
)

const (
	// pulled is how many bytes upstream may send ahead, or one message more.
	pulled = 8 << 20
	// ackWait is how long upstream waits for an acknowledgement before it sends a message again.
	ackWait = 30 * time.Second
	// heartbeat is how often upstream shows that it still knows of the request that waits with it.
	heartbeat = 5 * time.Second
	// afterwards a consumer that nobody uses goes.
	afterwards = time.Minute
)

// errGap ends a connection on which messages went missing: the next one begins where this one was.
var errGap = errors.New("a message did not arrive")

// readStream takes messages of a stream until the connection ends.
func (r *reader) readStream(ctx context.Context, to source.Sink, nc *nats.Conn, up func()) error {
	js, err := jetstream.New(nc)
	if r.Domain != "" {
		js, err = jetstream.NewWithDomain(nc, r.Domain)
	}
	if err != nil {
		return err //nolint:wrapcheck // explain says what it means
	}
	consumer, err := r.consumer(ctx, to, js)
	if err != nil {
		if denied := nc.LastError(); errors.Is(denied, nats.ErrPermissionViolation) {
			return denied //nolint:wrapcheck // explain says what it means
		}
		return err
	}
	messages, err := consumer.Messages(
		jetstream.PullMaxMessagesWithBytesLimit(source.BatchPayloads, max(pulled, int(nc.MaxPayload())+1<<20)),
		jetstream.PullHeartbeat(heartbeat), jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return err //nolint:wrapcheck // explain says what it means
	}
	defer messages.Stop()
	if err := r.settled(ctx, nc); err != nil {
		return err
	}
	up()
	for {
		batch, err := gather(ctx, messages)
		if err := errors.Join(r.handOver(ctx, to, batch), err); err != nil {
			return err
		}
	}
}

// gather waits for a message and returns those that are there then.
func gather(ctx context.Context, messages jetstream.MessagesContext) (batch []jetstream.Msg, err error) {
	m, err := messages.Next(jetstream.NextContext(ctx))
	for size := 0; err == nil; m, err = messages.Next(jetstream.NextMaxWait(50 * time.Microsecond)) {
		batch, size = append(batch, m), size+len(m.Data())
		if len(batch) == source.BatchPayloads || size >= source.BatchBytes {
			return batch, nil
		}
	}
	if len(batch) > 0 && errors.Is(err, nats.ErrTimeout) {
		err = nil
	}
	return batch, err //nolint:wrapcheck // explain says what it means
}

// handOver hands messages over, and acknowledges them where that is wanted.
func (r *reader) handOver(ctx context.Context, to source.Sink, batch []jetstream.Msg) (err error) {
	var items []source.Item
	for i, m := range batch {
		meta, errMeta := m.Metadata()
		if errMeta != nil {
			batch, err = batch[:i], errMeta
			break
		}
		number, delivered := meta.Sequence.Stream, meta.Sequence.Consumer
		if r.Durable != "" && !r.place.anew(number, delivered, meta.NumDelivered) {
			continue
		}
		if r.Durable == "" && !r.place.inOrder(number, delivered) {
			batch, err = batch[:i], errGap
			break
		}
		if item := r.item(m.Data(), r.place.mark(), messageName(number)); item != nil {
			items = append(items, *item)
		}
	}
	if !source.Deliver(ctx, to, items) {
		return ctx.Err() //nolint:wrapcheck // nobody asks
	}
	if r.Durable != "" {
		for _, m := range batch {
			_ = m.Ack() // one that does not arrive lets the message be sent again, and it is known then
		}
	}
	return err
}

// consumer is where to read on.
func (r *reader) consumer(ctx context.Context, to source.Sink, js jetstream.JetStream) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, server.AnswerTakes)
	defer cancel()
	stream, err := js.Stream(ctx, r.Stream)
	if err != nil {
		return nil, err //nolint:wrapcheck // explain says what it means
	}
	info := stream.CachedInfo()
	text, err := to.Mark(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the mark: %w", err)
	}
	lost := r.place.begin(text, strconv.FormatInt(info.Created.UnixNano(), 36), info.State)
	if r.Durable != "" {
		return r.durable(ctx, stream)
	}
	if lost > 0 && info.Config.MaxMsgsPerSubject <= 0 { // else it is meant to keep but the latest of each
		to.Fault(ctx, source.Faultf(freshet.FaultPublication, "upstream's stream no longer keeps the %d messages after the last that was read: those of them that were meant are missing", lost), 0)
	}
	c := r.describe()
	c.AckPolicy, c.InactiveThreshold, c.MemoryStorage, c.Replicas = jetstream.AckNonePolicy, afterwards, true, 1
	return stream.CreateConsumer(ctx, c) //nolint:wrapcheck // explain says what it means
}

// describe is a consumer that begins where the source is.
func (r *reader) describe() jetstream.ConsumerConfig {
	c := jetstream.ConsumerConfig{FilterSubject: r.Subject, Description: "Freshet, for " + string(r.env.Topic)}
	switch {
	case r.place.next > 0:
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, r.place.next
	case r.Deliver == "all":
		c.DeliverPolicy = jetstream.DeliverAllPolicy
	case r.Deliver == "last":
		c.DeliverPolicy = jetstream.DeliverLastPolicy
	default:
		// Not DeliverNew: what comes between two connections before the first message counts too.
		r.place.next = r.place.last + 1
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, r.place.next
	}
	return c
}

// durable is the durable consumer, made where there is none.
func (r *reader) durable(ctx context.Context, stream jetstream.Stream) (jetstream.Consumer, error) {
	consumer, err := stream.Consumer(ctx, r.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		c := r.describe()
		if stream.CachedInfo().Config.Retention == jetstream.WorkQueuePolicy { // which has nothing but what nobody has read
			c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverAllPolicy, 0
		}
		c.Durable, c.AckPolicy, c.AckWait, c.MaxAckPending = r.Durable, jetstream.AckExplicitPolicy, ackWait, source.BatchPayloads
		consumer, err = stream.CreateConsumer(ctx, c)
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // explain says what it means
	}
	info := consumer.CachedInfo()
	if info.Config.AckPolicy != jetstream.AckExplicitPolicy {
		return nil, source.Faultf(freshet.FaultConfig, "the consumer %s does not want each message acknowledged: the source needs one with explicit acknowledgement", r.Durable)
	}
	r.place.of(strconv.FormatInt(info.Created.UnixNano(), 36), info.AckFloor.Stream)
	return consumer, nil
}
