package kafka_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"freshet/internal/flow/delivery"
	"freshet/internal/flow/delivery/kafka"
	"freshet/internal/freshettest/brokers"
)

// A cluster is Kafka, real or not, and a client of it.
type cluster struct {
	t       testing.TB
	servers string
	options []kgo.Opt
	client  *kgo.Client
}

// fake is a cluster of one broker in this process, with a topic "prices" of some partitions.
func fake(t testing.TB, partitions int32, options ...kfake.Opt) (*cluster, *kfake.Cluster) {
	t.Helper()
	servers, k := brokers.FakeKafka(t, partitions, options...)
	return connect(t, servers), k
}

func connect(t testing.TB, servers string, options ...kgo.Opt) *cluster {
	t.Helper()
	c := &cluster{t: t, servers: servers, options: options}
	c.client = c.open()
	return c
}

func (c *cluster) open(more ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	client, err := kgo.NewClient(append(append([]kgo.Opt{kgo.SeedBrokers(strings.Split(c.servers, ",")...)}, c.options...), more...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(client.Close)
	return client
}

// read is what a topic has, which must be exactly so many records, in the order of each partition.
func (c *cluster) read(topic string, partitions int32, n int) (all []*kgo.Record) {
	c.t.Helper()
	if got := c.count(topic, partitions); got != n {
		c.t.Errorf("%s has %d records, want %d", topic, got, n)
		n = min(n, got)
	}
	return c.readSome(topic, n)
}

func (c *cluster) readSome(topic string, n int) (all []*kgo.Record) {
	c.t.Helper()
	client := c.open(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	for len(all) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			c.t.Fatalf("after %d records of %d: %v", len(all), n, err)
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

// count is how many records there are.
func (c *cluster) count(topic string, partitions int32) (n int) {
	c.t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	of := kmsg.NewListOffsetsRequestTopic()
	of.Topic = topic
	for i := range partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = i, -1
		of.Partitions = append(of.Partitions, p)
	}
	req.Topics = append(req.Topics, of)
	resp, err := req.RequestWith(c.t.Context(), c.client)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, p := range resp.Topics[0].Partitions {
		n += int(p.Offset)
	}
	return n
}

// config is a configuration with further members.
func (c *cluster) config(more string) string {
	return fmt.Sprintf(`{"bootstrapServers":%q,"topic":"prices"%s}`, c.servers, more)
}

func (c *cluster) target(more string) delivery.Target {
	c.t.Helper()
	return c.targetIn(more, delivery.FormatRaw, brokers.Env(c.t))
}

func (c *cluster) targetIn(more, format string, env delivery.Env) delivery.Target {
	c.t.Helper()
	return brokers.Target(c.t, kafka.Kind(), c.config(more), format, nil, env)
}

// leaky are connections that can lose an answer: the broker has done what was asked, and nobody hears of it.
type leaky struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	lose atomic.Int32 // how many answers are to be lost
	lost atomic.Int32
}

func (l *leaky) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := l.dial(ctx, network, address)
	return &leak{conn, l}, err
}

type leak struct {
	net.Conn
	of *leaky
}

func (l *leak) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if err == nil && l.of.lose.Load() > 0 {
		l.of.lose.Add(-1)
		l.of.lost.Add(1)
		_ = l.Conn.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}
