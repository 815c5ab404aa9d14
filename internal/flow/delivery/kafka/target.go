package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet"
	"freshet/internal/flow/delivery"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/kafka/cluster"
	"freshet/internal/settings"
	"freshet/jsonpatch"
)

// A target writes to one topic of Kafka.
type target struct {
	config
	format  string
	cluster *cluster.Cluster
	flight  *flight // that of an attempt whose time was over; only Deliver looks at it

	producer delivery.Kept[producer]
}

// A producer is a client that writes. It connects anew by itself.
type producer struct{ *kgo.Client }

func (producer) HasEnded() bool { return false }

func newTarget(s *freshet.Subscription, env delivery.Env) (delivery.Target, error) {
	t := &target{format: s.Format}
	if wrong := settings.Read(s.Config, &t.config); wrong != nil {
		return nil, wrong
	}
	t.cluster = cluster.New(t.brokers, t.SASL, t.TLS, source.Env{Client: env.Client, Secure: env.Secure, Dial: env.Dial, Secrets: env.Secrets, Log: env.Log})
	return t, nil
}

// Close ends the connections.
func (t *target) Close() { t.producer.Close() }

// Deliver writes the messages, each as a record, and returns once all are confirmed, one is refused, or time is up.
//
// What was sent and not confirmed in time may be written still, and only its producer can send it again without
// writing it twice. So it goes on with that, and the next attempt first waits for what becomes of it.
func (t *target) Deliver(ctx context.Context, d *delivery.Delivery) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(t.Timeout))
	defer cancel()
	records := t.records(d)
	if earlier := t.flight; earlier != nil {
		if err := t.await(ctx, earlier); earlier.id == d.ID && err == nil || !earlier.landed() {
			return t.outcome(d, earlier, err)
		}
	}
	client, err := t.producer.Open(ctx, t.connect)
	if err != nil {
		return t.explain(err)
	}
	f := launch(client.Client, d.ID, records)
	return t.outcome(d, f, t.await(ctx, f))
}

// outcome writes down what came of an attempt.
func (t *target) outcome(d *delivery.Delivery, f *flight, err error) error {
	if err != nil {
		return t.explain(err)
	}
	var text strings.Builder
	for _, r := range f.records {
		fmt.Fprintf(&text, "partition %d offset %d\n", r.Partition, r.Offset)
	}
	d.Confirmed(strings.TrimSuffix(text.String(), "\n"))
	return nil
}

// await waits for a flight, and keeps it where it has not landed in time. Where it failed the client is made anew:
// something about it may have to change.
func (t *target) await(ctx context.Context, f *flight) error {
	err := f.wait(ctx)
	if !f.landed() {
		t.flight = f
		return err
	}
	t.flight = nil
	if err != nil {
		t.producer.Drop()
	}
	return err
}

// connect makes a client, and reaches a broker with it.
func (t *target) connect(ctx context.Context) (producer, error) {
	options, err := t.cluster.Options()
	if err != nil {
		return producer{}, err
	}
	client, err := kgo.NewClient(append(options, t.options()...)...)
	if err != nil {
		return producer{}, fmt.Errorf("make a client: %w", err)
	}
	if err := client.Ping(ctx); err != nil {
		client.Close()
		return producer{}, err //nolint:wrapcheck // explain says what it means
	}
	return producer{client}, nil
}

// options are what a client that writes is made with.
func (t *target) options() []kgo.Opt {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	options := []kgo.Opt{
		kgo.ClientID("freshet"),
		kgo.ConnIdleTimeout(9 * time.Minute), // as Kafka's own client: logging in for each of a few events takes longer than they do
		kgo.DefaultProduceTopic(t.Topic),
		kgo.RequiredAcks(kgo.AllISRAcks()), // the producer is idempotent by default
		kgo.ProducerLinger(0),              // what is to be sent together is there together
		kgo.ProducerBatchCompression(codecs[t.Compression]),
		kgo.ProducerBatchMaxBytes(int32(t.MaxRequestSize)),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // by the hash that Kafka's own producer uses
	}
	if t.Partition != nil {
		options = append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	if t.CreateTopic {
		options = append(options, kgo.AllowAutoTopicCreation())
	}
	return options
}

// records are the messages as Kafka gets them. The exchange is told of them.
func (t *target) records(d *delivery.Delivery) []*kgo.Record {
	all := make([]*kgo.Record, len(d.Messages))
	encoded := make([]delivery.Encoded, len(d.Messages))
	for i, m := range d.Messages {
		e := d.Encode(m, t.format, "ce_") // CloudEvents Kafka protocol binding 1.0.2, 3.2.3
		encoded[i] = e
		all[i] = &kgo.Record{Key: t.key(d.Topic, m.Data), Value: e.Body, Timestamp: m.Time, Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte(e.ContentType)}}}
		for _, h := range e.Headers {
			all[i].Headers = append(all[i].Headers, kgo.RecordHeader{Key: h.Name, Value: []byte(h.Value)})
		}
		if t.Partition != nil {
			all[i].Partition = int32(*t.Partition)
		}
	}
	d.Sent(t.place(), encoded, delivery.Attribute{Name: "key", Value: string(all[len(all)-1].Key)})
	return all
}

// key is that of an event with some data; nil: it has none.
func (t *target) key(topic freshet.TopicName, data []byte) []byte {
	if t.KeyPointer != "" {
		if found, err := jsonpatch.Lookup(data, t.KeyPointer); err == nil && string(found) != "null" {
			if text := ""; json.Unmarshal(found, &text) == nil {
				return []byte(text)
			}
			return found
		}
	}
	if t.RecordKey == nil {
		return []byte(topic)
	}
	if *t.RecordKey == "" {
		return nil
	}
	return []byte(*t.RecordKey)
}

// explain says what went wrong in words for people.
func (t *target) explain(err error) error {
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return delivery.Refusedf("this user may not write to the topic %s of Kafka", t.Topic)
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return delivery.Refusedf("there is no topic %s in the Kafka cluster", t.Topic)
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return delivery.Refusedf("a record is larger than maxRequestSize or the brokers allow")
	}
	if !t.TLS.Enabled && wantsTLS(err) {
		return delivery.Refusedf("the brokers seem to speak TLS at that address and port: set tls.enabled, or is it another port?")
	}
	if fault, ok := cluster.FaultOf(err); ok {
		return delivery.Refusedf("%s", fault.Message)
	}
	return delivery.Explain(err, t.Timeout)
}

// wantsTLS says whether a broker answered what is not encrypted as servers of TLS do: by an alert (RFC 8446, 6), or by
// the end of the connection. The client tells the one apart in its words alone.
func wantsTLS(err error) bool {
	ended, ok := errors.AsType[*kgo.ErrFirstReadEOF](err)
	return ok && strings.Contains(ended.Error(), "requires TLS") || err != nil && strings.Contains(err.Error(), "tls alert record")
}

// A flight is records on their way.
type flight struct {
	id      string // of the delivery
	records []*kgo.Record
	ended   chan struct{} // closed when what became of every record is known
	give    context.CancelFunc

	mu   sync.Mutex
	left int
	err  error // of the first that failed
}

// launch sends records. When one fails those that are not sent yet stay here: none is to come before it.
func launch(client *kgo.Client, id string, records []*kgo.Record) *flight {
	ctx, cancel := context.WithCancel(context.Background())
	f := &flight{id: id, records: records, ended: make(chan struct{}), give: cancel, left: len(records)}
	for _, r := range records {
		client.Produce(ctx, r, f.arrived)
	}
	return f
}

func (f *flight) arrived(_ *kgo.Record, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil && f.err == nil {
		f.err = err
		f.give()
	}
	if f.left--; f.left == 0 {
		f.give()
		close(f.ended)
	}
}

// wait waits for the flight to end. When ctx ends before, records that were not sent are given up; what becomes of the
// others may take longer to be known.
func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.ended:
	case <-ctx.Done():
		f.give()
		select {
		case <-f.ended:
		case <-time.After(grace):
			return delivery.Refusedf("the brokers have not confirmed what was sent, and it is not known whether they have it")
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil && errors.Is(f.err, context.Canceled) && ctx.Err() != nil {
		return ctx.Err() //nolint:wrapcheck // explain says what it means
	}
	return f.err
}

// grace is how long the client may take to give up records.
const grace = 100 * time.Millisecond

func (f *flight) landed() bool {
	select {
	case <-f.ended:
		return true
	default:
		return false
	}
}
