package kafka_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/kafka"
	"freshet/internal/freshettest"
)

func TestReadFrom(t *testing.T) {
	t.Parallel()
	t.Run("latest by default", func(t *testing.T) {
		c, _ := fake(t, 1)
		c.write("1")
		to := &freshettest.Sink{}
		stop := c.run(``, to)
		c.write("2", "3")
		to.Await(t, "2", "3")
		stop()
		c.write("4")
		c.run(``, to)
		to.Await(t, "2", "3", "4")
	})
	t.Run("latest is where it began, before it had a record", func(t *testing.T) {
		c, _ := fake(t, 1)
		c.write("1")
		to := &freshettest.Sink{}
		stop := c.run(`,"readFrom":"latest"`, to)
		freshettest.WaitFor(t, 10*time.Second, "the beginning is committed", func() bool { return c.committed("topicid") == 1 })
		stop()
		c.write("2")
		c.run(`,"readFrom":"latest"`, to)
		to.Await(t, "2")
	})
	t.Run("earliest", func(t *testing.T) {
		c, _ := fake(t, 1)
		c.write("1", "2")
		to := &freshettest.Sink{}
		c.run(`,"readFrom":"earliest"`, to)
		to.Await(t, "1", "2")
	})
	t.Run("none", func(t *testing.T) {
		c, _ := fake(t, 1)
		c.write("1", "2")
		to := &freshettest.Sink{}
		stop := freshettest.Run(t, kafka.Kind(), c.config(`,"readFrom":"none"`), freshettest.Env(t), to)
		awaitFault(t, to, freshet.FaultConfig, "has no committed offset for partition 0")
		stop()
		c.commit("topicid", 1)
		c.run(`,"readFrom":"none"`, to)
		to.Await(t, "2")
	})
}

func awaitFault(t *testing.T, to *freshettest.Sink, code int, words string) {
	t.Helper()
	defer func() {
		if f := to.Faults(); t.Failed() && len(f) > 0 {
			t.Logf("told: %v", f[len(f)-1])
		}
	}()
	freshettest.WaitFor(t, 30*time.Second, fmt.Sprintf("fault %d with %q", code, words), func() bool {
		return slices.ContainsFunc(to.Faults(), func(f freshet.Fault) bool { return f.Code == code && strings.Contains(f.Message, words) })
	})
}

func TestValues(t *testing.T) {
	t.Parallel()
	key := func(key, value string) *kgo.Record { return &kgo.Record{Key: []byte(key), Value: []byte(value)} }
	t.Run("those of a key", func(t *testing.T) {
		c, _ := fake(t, 1)
		to := &freshettest.Sink{}
		stop := c.run(`,"readFrom":"earliest","keyValue":"a"`, to)
		c.writeRecord(key("a", "1"), key("b", "2"), &kgo.Record{Value: []byte("3")}, key("a", "4"), key("ab", "5"), key("", "6"))
		to.Await(t, "1", "4")
		freshettest.WaitFor(t, 10*time.Second, "those that are not wanted are committed too", func() bool { return c.committed("topicid") == 6 })
		stop()
	})
	t.Run("those of an empty key", func(t *testing.T) {
		c, _ := fake(t, 1)
		c.writeRecord(key("a", "1"), &kgo.Record{Value: []byte("2")}, key("", "3"))
		to := &freshettest.Sink{}
		c.run(`,"readFrom":"earliest","keyValue":"","keyDeserializer":"string"`, to)
		to.Await(t, "3")
	})
	t.Run("tombstones are skipped", func(t *testing.T) {
		c, _ := fake(t, 1)
		c.writeRecord(key("a", "1"), &kgo.Record{Key: []byte("a")}, key("a", "2"))
		to := &freshettest.Sink{}
		c.run(`,"readFrom":"earliest"`, to)
		to.Await(t, "1", "2")
		if f := to.Faults(); len(f) > 0 {
			t.Errorf("faults: %v", f)
		}
	})
	t.Run("SMILE", func(t *testing.T) {
		c, _ := fake(t, 1)
		c.write(":)\n\x01\xfa\x80a\xc2\xfb", `{"b":2}`, ":)\n\x01\xfa\x80c\xc6\xfb")
		to := &freshettest.Sink{}
		c.run(`,"readFrom":"earliest","valueDeserializers":"smile"`, to)
		to.Await(t, `{"a":1}`, `{"c":3}`)
		awaitFault(t, to, freshet.FaultFormat, "offset 1 of partition 0 is not SMILE")
	})
	t.Run("what is wrong blocks nothing", func(t *testing.T) {
		c, _ := fake(t, 1)
		c.write("1", "no JSON", "2", `"`+strings.Repeat("x", 99)+`"`, "3")
		to := &freshettest.Sink{}
		env := freshettest.Env(t)
		env.Limit = 100
		stop := c.runIn(env, `,"readFrom":"earliest"`, to)
		to.Await(t, "1", "2", "3")
		awaitFault(t, to, freshet.FaultFormat, "the record at offset 1 of partition 0: not JSON")
		awaitFault(t, to, freshet.FaultSize, "offset 3 of partition 0 is larger than 100 bytes")
		stop()
		if got := c.committed("topicid"); got != 5 {
			t.Errorf("committed: %d", got)
		}
	})
	t.Run("SMILE that becomes too large", func(t *testing.T) {
		c, _ := fake(t, 1)
		c.write(":)\n\x02\xf8\x5f"+strings.Repeat("a", 32)+strings.Repeat("\x01", 9)+"\xf9", ":)\n\x00\xc0")
		to := &freshettest.Sink{}
		env := freshettest.Env(t)
		env.Limit = 100
		c.runIn(env, `,"readFrom":"earliest","valueDeserializers":"smile"`, to)
		to.Await(t, "0")
		awaitFault(t, to, freshet.FaultSize, "offset 0")
	})
	t.Run("a batch that bursts when it is decompressed", func(t *testing.T) {
		c, _ := fake(t, 1)
		c.write("1")
		bomb := connect(t, c.servers, kgo.ProducerBatchMaxBytes(90<<20), kgo.ProducerBatchCompression(kgo.GzipCompression()))
		bomb.write(`"` + strings.Repeat("x", 70<<20) + `"`)
		c.write("2")
		to := &freshettest.Sink{}
		stop := c.run(`,"readFrom":"earliest"`, to)
		to.Await(t, "1", "2")
		awaitFault(t, to, freshet.FaultSize, "from offset 1 on are too large when they are decompressed")
		stop()
		if got := c.committed("topicid"); got != 3 {
			t.Errorf("committed: %d", got)
		}
	})
	t.Run("many, and many at once", func(t *testing.T) {
		c, _ := fake(t, 1)
		want := numbers(0, 3000)
		var records []*kgo.Record
		for _, v := range want {
			records = append(records, &kgo.Record{Value: []byte(v)})
		}
		c.writeRecord(records...)
		to := &counting{}
		freshettest.Run(t, kafka.Kind(), c.config(`,"readFrom":"earliest"`), freshettest.Env(t), to)
		to.Await(t, want...)
		if to.calls > 100 || to.most > 256 || to.largest > 1<<20 {
			t.Errorf("%d calls, of at most %d payloads and %d bytes", to.calls, to.most, to.largest)
		}
	})
	t.Run("few at once", func(t *testing.T) {
		c, _ := fake(t, 1)
		want := numbers(0, 20)
		var records []*kgo.Record
		for _, v := range want {
			records = append(records, &kgo.Record{Value: []byte(v)})
		}
		c.writeRecord(records...)
		to := &counting{}
		freshettest.Run(t, kafka.Kind(), c.config(`,"readFrom":"earliest","consumerProperties":{"max.poll.records":3}`), freshettest.Env(t), to)
		to.Await(t, want...)
		if to.most > 3 {
			t.Errorf("%d at once", to.most)
		}
	})
	t.Run("large ones", func(t *testing.T) {
		c, _ := fake(t, 1)
		var want []string
		for i := range 40 {
			want = append(want, `"`+strings.Repeat(string(rune('a'+i%26)), 100_000)+`"`)
		}
		c.write(want...)
		to := &counting{}
		freshettest.Run(t, kafka.Kind(), c.config(`,"readFrom":"earliest"`), freshettest.Env(t), to)
		to.Await(t, want...)
		if to.largest > 1<<20 {
			t.Errorf("%d bytes at once", to.largest)
		}
	})
}

// counting counts what it is given at once.
type counting struct {
	freshettest.Sink
	calls, most, largest int
}

func (s *counting) Payload(ctx context.Context, ps ...source.Payload) error {
	size := 0
	for _, p := range ps {
		size += len(p.Data)
	}
	s.calls, s.most, s.largest = s.calls+1, max(s.most, len(ps)), max(s.largest, size)
	return s.Sink.Payload(ctx, ps...)
}

// TestStoredFirst has the journal refuse for a while: nothing is committed before it has the records.
func TestStoredFirst(t *testing.T) {
	c, _ := fake(t, 1)
	var refused atomic.Int32
	to := &freshettest.Sink{}
	to.Refuse = func(source.Payload) error {
		if refused.Add(1) < 4 {
			if got := c.committed("topicid"); got > 0 {
				t.Errorf("committed %d before anything was stored", got)
			}
			return errors.New("not now")
		}
		return nil
	}
	c.run(`,"readFrom":"earliest","consumerProperties":{"auto.commit.interval.ms":100}`, to)
	c.write("1", "2")
	to.Await(t, "1", "2")
	freshettest.WaitFor(t, 10*time.Second, "it is committed", func() bool { return c.committed("topicid") == 2 })
}

// TestLater starts where the mark and the committed offset differ.
func TestLater(t *testing.T) {
	t.Parallel()
	c, _ := fake(t, 1)
	c.write(numbers(0, 10)...)
	to := &freshettest.Sink{}
	stop := c.run(`,"readFrom":"earliest"`, to)
	to.Await(t, numbers(0, 10)...)
	stop()
	c.commit("topicid", 4) // as if the server had been killed before it committed
	c.write("10")
	stop = c.run(`,"readFrom":"earliest"`, to)
	to.Await(t, numbers(0, 11)...)
	stop()
	c.write(numbers(11, 20)...)
	c.commit("topicid", 15) // as if others had come to nothing that is stored
	c.run(`,"readFrom":"earliest"`, to)
	to.Await(t, append(numbers(0, 11), numbers(15, 20)...)...)
}

// TestAnotherGroup keeps the place in the topic when the group is another.
func TestAnotherGroup(t *testing.T) {
	c, _ := fake(t, 1)
	c.write("1", "2")
	to := &freshettest.Sink{}
	stop := c.run(`,"readFrom":"earliest"`, to)
	to.Await(t, "1", "2")
	stop()
	c.write("3")
	stop = c.run(`,"readFrom":"latest","consumerProperties":{"group.id":"another"}`, to)
	to.Await(t, "1", "2", "3")
	stop()
	if got := c.committed("another"); got != 3 {
		t.Errorf("committed: %d", got)
	}
}

// TestAnotherTopic has the topic deleted and made again: its offsets mean other records.
func TestAnotherTopic(t *testing.T) {
	c, k := fake(t, 1)
	c.write(numbers(0, 5)...)
	to := &freshettest.Sink{}
	stop := c.run(`,"readFrom":"earliest"`, to)
	to.Await(t, numbers(0, 5)...)
	stop()
	if err := errors.Join(k.DeleteTopic("prices"), k.CreateTopic("prices", 1, nil)); err != nil {
		t.Fatal(err)
	}
	c = connect(t, c.servers)
	c.write(numbers(5, 8)...)
	c.run(`,"readFrom":"earliest"`, to)
	to.Await(t, numbers(0, 8)...)
}

// TestDeletedRecords has Kafka delete records before they were read, as its retention does.
func TestDeletedRecords(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"earliest", "latest"} {
		t.Run(from, func(t *testing.T) {
			c, k := fake(t, 1)
			to := &freshettest.Sink{}
			stop := c.run(`,"readFrom":"`+from+`"`, to)
			c.write("0")
			to.Await(t, "0")
			stop()
			c.write("1", "2", "3")
			if err := k.DeleteRecords("prices", 0, 3); err != nil {
				t.Fatal(err)
			}
			c.run(`,"readFrom":"`+from+`"`, to)
			to.Await(t, "0", "3")
		})
	}
	t.Run("none", func(t *testing.T) {
		c, k := fake(t, 1)
		c.write("0", "1", "2")
		c.commit("topicid", 1)
		if err := k.DeleteRecords("prices", 0, 2); err != nil {
			t.Fatal(err)
		}
		to := &freshettest.Sink{}
		freshettest.Run(t, kafka.Kind(), c.config(`,"readFrom":"none"`), freshettest.Env(t), to)
		awaitFault(t, to, freshet.FaultConfig, "are gone")
	})
}

// TestMorePartitions adds one, with a record before the source can know of it.
func TestMorePartitions(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"while it runs", "while it does not", "before it had a record"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			c, _ := fake(t, 1)
			c.write("0")
			to := &freshettest.Sink{}
			stop := c.run(`,"consumerProperties":{"metadata.max.age.ms":10000}`, to)
			var want []string
			if when != "before it had a record" {
				c.write("1")
				want = append(want, "1")
				to.Await(t, want...)
			}
			if when != "while it runs" {
				stop()
			}
			req := kmsg.NewPtrCreatePartitionsRequest()
			topic := kmsg.NewCreatePartitionsRequestTopic()
			topic.Topic, topic.Count = "prices", 2
			req.Topics = append(req.Topics, topic)
			if _, err := req.RequestWith(t.Context(), c.client); err != nil {
				t.Fatal(err)
			}
			c = connect(t, c.servers)
			c.writeRecord(&kgo.Record{Partition: 1, Value: []byte("2")})
			if when != "while it runs" {
				c.run(``, to)
			}
			to.Await(t, append(want, "2")...)
		})
	}
}

// TestShared has two sources of one group share two partitions, and one leave.
func TestShared(t *testing.T) {
	t.Parallel()
	c, _ := fake(t, 2)
	const more = `,"readFrom":"earliest","consumerProperties":{"group.id":"ours","session.timeout.ms":6000,"heartbeat.interval.ms":200}`
	one, two := &freshettest.Sink{}, &freshettest.Sink{}
	stop := c.run(more, one)
	c.run(more, two)
	n := 0
	write := func() {
		for p := range int32(2) {
			c.writeRecord(&kgo.Record{Partition: p, Value: fmt.Append(nil, n)})
			n++
		}
	}
	freshettest.WaitFor(t, 30*time.Second, "both are given records", func() bool {
		write()
		return len(one.Payloads()) > 0 && len(two.Payloads()) > 0
	})
	stop()
	for range 10 {
		write()
	}
	freshettest.WaitFor(t, 30*time.Second, "all are read", func() bool { return len(one.Payloads())+len(two.Payloads()) >= n })
	got := append(one.Payloads(), two.Payloads()...)
	want := numbers(0, n)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("of %d records: %v", n, got)
	}
}

// TestTransaction reads only what is committed, and begins with the transaction in whose midst it starts.
func TestTransaction(t *testing.T) {
	t.Parallel()
	c, _ := fake(t, 1)
	other := connect(t, c.servers, kgo.TransactionalID("a transaction"))
	produce := func(v string, end kgo.TransactionEndTry) {
		t.Helper()
		if err := other.client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		other.writeRecord(&kgo.Record{Value: []byte(v)})
		if err := other.client.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	other.write("0")
	committed, not := &freshettest.Sink{}, &freshettest.Sink{}
	c.run(`,"consumerProperties":{"isolation.level":"read_committed","group.id":"a"}`, committed)
	c.run(`,"consumerProperties":{"isolation.level":"read_uncommitted","group.id":"b"}`, not)
	if err := other.client.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	produce("1", kgo.TryAbort)
	produce("2", kgo.TryCommit)
	committed.Await(t, "0", "2")
	not.Await(t, "1", "2")
}

func TestFaults(t *testing.T) {
	t.Parallel()
	t.Run("no such topic", func(t *testing.T) {
		c, k := fake(t, 1)
		to := &freshettest.Sink{}
		freshettest.Run(t, kafka.Kind(), fmt.Sprintf(`{"bootstrapServers":%q,"topic":"rates","readFrom":"earliest"}`, c.servers), freshettest.Env(t), to)
		awaitFault(t, to, freshet.FaultHTTP+404, "there is no topic rates")
		if err := k.CreateTopic("rates", 1, nil); err != nil {
			t.Fatal(err)
		}
		c.writeRecord(&kgo.Record{Topic: "rates", Value: []byte("1")})
		to.Await(t, "1")
	})
	t.Run("nobody there", func(t *testing.T) {
		c := &cluster{t: t, servers: fmt.Sprintf("127.0.0.1:%d", freshettest.Port(t))}
		to := &freshettest.Sink{}
		freshettest.Run(t, kafka.Kind(), c.config(``), freshettest.Env(t), to)
		awaitFault(t, to, freshet.FaultConnection, "refused the connection")
	})
	t.Run("no such host", func(t *testing.T) {
		c := &cluster{t: t, servers: "kafka.invalid:9092"}
		to := &freshettest.Sink{}
		freshettest.Run(t, kafka.Kind(), c.config(``), freshettest.Env(t), to)
		awaitFault(t, to, freshet.FaultHost, "kafka.invalid does not resolve")
	})
	t.Run("where the server may not go", func(t *testing.T) {
		c := &cluster{t: t, servers: "10.1.2.3:9092"}
		to := &freshettest.Sink{}
		freshettest.Run(t, kafka.Kind(), c.config(``), freshettest.Env(t), to)
		awaitFault(t, to, freshet.FaultConfig, "10.1.2.3")
	})
	t.Run("one of two is there", func(t *testing.T) {
		c, _ := fake(t, 1)
		c.write("1")
		c.servers = fmt.Sprintf("127.0.0.1:%d,%s", freshettest.Port(t), c.servers)
		to := &freshettest.Sink{}
		c.run(`,"readFrom":"earliest"`, to)
		to.Await(t, "1")
	})
	t.Run("the cluster goes away and comes back", func(t *testing.T) {
		port := freshettest.Port(t)
		c, k := fake(t, 1, kfake.Ports(port))
		c.write("1")
		to := &freshettest.Sink{}
		c.run(`,"readFrom":"earliest"`, to)
		to.Await(t, "1")
		k.Close()
		awaitFault(t, to, freshet.FaultConnection, "")
		c, _ = fake(t, 1, kfake.Ports(port))
		c.write("2")
		to.Await(t, "1", "2")
	})
	t.Run("the topic is deleted and made again while it is read", func(t *testing.T) {
		t.Parallel()
		c, k := fake(t, 1)
		c.write("1")
		to := &freshettest.Sink{}
		c.run(`,"readFrom":"earliest"`, to)
		to.Await(t, "1")
		if err := k.DeleteTopic("prices"); err != nil {
			t.Fatal(err)
		}
		awaitFault(t, to, freshet.FaultHTTP+404, "there is no topic prices")
		if err := k.CreateTopic("prices", 1, nil); err != nil {
			t.Fatal(err)
		}
		c = connect(t, c.servers)
		c.write("2")
		to.Await(t, "1", "2")
	})
}

// TestStop ends sources in each state within a second, and leaves nothing behind.
func TestStop(t *testing.T) {
	c, k := fake(t, 1)
	c.write("1")
	for _, tt := range []struct {
		name  string
		start func(to *freshettest.Sink) (stop func())
	}{
		{"connected", func(to *freshettest.Sink) func() {
			stop := c.run(`,"readFrom":"earliest"`, to)
			freshettest.WaitFor(t, 10*time.Second, "it is read", func() bool { return len(to.Payloads()) > 0 })
			return stop
		}},
		{"while a payload is refused", func(to *freshettest.Sink) func() {
			var refused atomic.Int32
			to.Refuse = func(source.Payload) error { refused.Add(1); return errors.New("no") }
			c.write("2")
			stop := c.run(`,"readFrom":"earliest"`, to)
			freshettest.WaitFor(t, 10*time.Second, "it is refused", func() bool { return refused.Load() > 0 })
			return stop
		}},
		{"nobody answers", func(to *freshettest.Sink) func() {
			silent := k.ListenAddrs()[0]
			k.ControlKey(int16(kmsg.Metadata), func(kmsg.Request) (kmsg.Response, error, bool) {
				k.KeepControl()
				time.Sleep(100 * time.Millisecond)
				return nil, errors.New("no"), true
			})
			return freshettest.Run(t, kafka.Kind(), fmt.Sprintf(`{"bootstrapServers":%q,"topic":"prices"}`, silent), freshettest.Env(t), to)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stop := tt.start(&freshettest.Sink{})
			began := time.Now()
			stop()
			if took := time.Since(began); took > time.Second {
				t.Errorf("stopping took %v", took)
			}
		})
	}
	c.client.Close()
	freshettest.WaitFor(t, 10*time.Second, "no goroutine of a client is left", func() bool {
		stacks := make([]byte, 1<<20)
		return !strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "franz-go/pkg/kgo.")
	})
}

// TestSecrets looks for a password where it must not be.
func TestSecrets(t *testing.T) {
	conf := json.RawMessage(`{"bootstrapServers":"a.example:9092","topic":"prices","sasl":{"mechanism":"PLAIN","username":"u","password":"swordfish"},"consumerProperties":{"session.timeout.ms":"9000"}}`)
	masked := string(kafka.Kind().Mask(conf))
	if strings.Contains(masked, "swordfish") || !strings.Contains(masked, `"session.timeout.ms":"9000"`) {
		t.Errorf("masked: %s", masked)
	}
	moved := strings.Replace(masked, "a.example", "evil.example", 1)
	if got := string(kafka.Kind().Unmask(json.RawMessage(moved), conf)); strings.Contains(got, "swordfish") {
		t.Errorf("the password goes where its brokers are not: %s", got)
	}
	if got := string(kafka.Kind().Unmask(json.RawMessage(masked), conf)); got != string(conf) {
		t.Errorf("unmasked: %s", got)
	}
}

// commit sets the offset that a group has committed for partition 0.
func (c *cluster) commit(group string, offset int64) {
	c.t.Helper()
	topics := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = new("prices")
	topics.Topics = append(topics.Topics, topic)
	met, err := topics.RequestWith(c.t.Context(), c.client)
	if err != nil {
		c.t.Fatal(err)
	}
	c.leave(group) // or only the member may commit
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = group
	of := kmsg.NewOffsetCommitRequestTopic()
	of.Topic, of.TopicID = "prices", met.Topics[0].TopicID
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = offset
	of.Partitions = append(of.Partitions, p)
	req.Topics = append(req.Topics, of)
	resp, err := req.RequestWith(c.t.Context(), c.client)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// leave takes a static member out of a group, as an operator would.
func (c *cluster) leave(group string) {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = group
	member := kmsg.NewLeaveGroupRequestMember()
	member.InstanceID = new(group)
	req.Members = append(req.Members, member)
	if _, err := req.RequestWith(c.t.Context(), c.client); err != nil {
		c.t.Fatal(err)
	}
}
