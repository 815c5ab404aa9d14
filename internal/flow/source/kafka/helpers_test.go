package kafka_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"freshet/internal/flow/source"
	"freshet/internal/flow/source/kafka"
	"freshet/internal/freshettest"
	"freshet/internal/freshettest/brokers"
)

// A cluster is Kafka, real or not, and a client of it.
type cluster struct {
	t       testing.TB
	servers string
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
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(strings.Split(servers, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic("prices"),
		kgo.ProducerLinger(0),
	}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &cluster{t, servers, client}
}

// write writes values to partition 0.
func (c *cluster) write(values ...string) {
	c.t.Helper()
	for _, v := range values {
		c.writeRecord(&kgo.Record{Value: []byte(v)})
	}
}

func (c *cluster) writeRecord(records ...*kgo.Record) {
	c.t.Helper()
	if err := c.client.ProduceSync(c.t.Context(), records...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
}

// config is a configuration with further members.
func (c *cluster) config(more string) string {
	return fmt.Sprintf(`{"bootstrapServers":%q,"topic":"prices"%s}`, c.servers, more)
}

// run runs a source until it is stopped, and returns once it is connected.
func (c *cluster) run(more string, to *freshettest.Sink) (stop func()) {
	c.t.Helper()
	return c.runIn(freshettest.Env(c.t), more, to)
}

func (c *cluster) runIn(env source.Env, more string, to *freshettest.Sink) (stop func()) {
	c.t.Helper()
	before := to.Fine()
	stop = freshettest.Run(c.t, kafka.Kind(), c.config(more), env, to)
	freshettest.WaitFor(c.t, 30*time.Second, "the source is connected", func() bool {
		return to.Fine() > before
	})
	return stop
}

// committed is the offset that a group has committed for partition 0; -1: none.
func (c *cluster) committed(group string) int64 {
	c.t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	topic := kmsg.NewOffsetFetchRequestTopic()
	topic.Topic, topic.Partitions = "prices", []int32{0}
	req.Topics = append(req.Topics, topic)
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	resp, err := req.RequestWith(ctx, c.client)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.Topics[0].Partitions[0].Offset
}

// numbers are the texts of whole numbers from..to-1.
func numbers(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}
