package kafka_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"freshet/internal/flow/delivery"
	"freshet/internal/flow/delivery/kafka"
	"freshet/internal/freshettest"
	"freshet/internal/freshettest/brokers"
)

func of(data ...string) *delivery.Delivery {
	d := brokers.Delivery(0, len(data))
	for i, text := range data {
		d.Messages[i].Data = []byte(text)
	}
	return d
}

func headers(r *kgo.Record) map[string]string {
	all := map[string]string{}
	for _, h := range r.Headers {
		all[h.Key] = string(h.Value)
	}
	return all
}

// Each option does something.
func TestOptions(t *testing.T) {
	t.Parallel()
	const partitions = 5
	for name, tt := range map[string]struct {
		options, data string
		right         func(*kgo.Record) bool
	}{
		"as it is": {``, `{"a":1}`, func(r *kgo.Record) bool {
			return string(r.Key) == "topic" && string(r.Value) == `{"a":1}` && r.Attrs.CompressionType() == 0
		}},
		"partition":     {`,"partition":3`, `{"a":1}`, func(r *kgo.Record) bool { return r.Partition == 3 && string(r.Key) == "topic" }},
		"partition 0":   {`,"partition":0,"recordKey":"a"`, `{"a":1}`, func(r *kgo.Record) bool { return r.Partition == 0 }},
		"recordKey":     {`,"recordKey":"k"`, `{"a":1}`, func(r *kgo.Record) bool { return string(r.Key) == "k" }},
		"no key":        {`,"recordKey":""`, `{"a":1}`, func(r *kgo.Record) bool { return r.Key == nil }},
		"key of a text": {`,"keyPointer":"/a/b~1c"`, `{"a":{"b/c":"x\ny"}}`, func(r *kgo.Record) bool { return string(r.Key) == "x\ny" }},
		"of a number":   {`,"keyPointer":"/a/1"`, `{"a":[1,2.50]}`, func(r *kgo.Record) bool { return string(r.Key) == "2.50" }},
		"of an object":  {`,"keyPointer":"/a"`, `{"a":{"b":1}}`, func(r *kgo.Record) bool { return string(r.Key) == `{"b":1}` }},
		"of nothing":    {`,"keyPointer":"/b","recordKey":"k"`, `{"a":1}`, func(r *kgo.Record) bool { return string(r.Key) == "k" }},
		"of null":       {`,"keyPointer":"/a"`, `{"a":null}`, func(r *kgo.Record) bool { return string(r.Key) == "topic" }},
		"gzip":          {`,"compression":"gzip"`, `"` + strings.Repeat("a", 500) + `"`, func(r *kgo.Record) bool { return r.Attrs.CompressionType() == 1 }},
		"snappy":        {`,"compression":"snappy"`, `"` + strings.Repeat("a", 500) + `"`, func(r *kgo.Record) bool { return r.Attrs.CompressionType() == 2 }},
		"lz4":           {`,"compression":"lz4"`, `"` + strings.Repeat("a", 500) + `"`, func(r *kgo.Record) bool { return r.Attrs.CompressionType() == 3 }},
		"zstd":          {`,"compression":"zstd"`, `"` + strings.Repeat("a", 500) + `"`, func(r *kgo.Record) bool { return r.Attrs.CompressionType() == 4 }},
		"large":         {`,"maxRequestSize":"2MiB"`, `"` + strings.Repeat("a", 1_100_000) + `"`, func(r *kgo.Record) bool { return len(r.Value) == 1_100_002 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := fake(t, partitions, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "4000000"}))
			d := of(tt.data)
			if err := c.target(tt.options).Deliver(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			r := c.read("prices", partitions, 1)[0]
			if !tt.right(r) || !r.Timestamp.Equal(d.Messages[0].Time.Truncate(time.Millisecond)) {
				t.Errorf("%.100v", r)
			}
			e := d.Exchange
			if want := fmt.Sprintf("partition %d offset 0", r.Partition); e.Response == nil || e.Response.Body != want {
				t.Errorf("confirmed: %+v, want %s", e.Response, want)
			}
			if e.Request.To != "kafka://"+c.servers+"/prices" || e.Request.Size != len(tt.data) || !strings.HasPrefix(tt.data, e.Request.Body) || !strings.HasPrefix(e.Request.Headers, "key: "+string(r.Key)+"\r\ncontent-type: application/json\r\n") {
				t.Errorf("the request is %+v", e.Request)
			}
		})
	}
	t.Run("createTopic", func(t *testing.T) {
		t.Parallel()
		c, _ := fake(t, 1, kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(1))
		for options, right := range map[string]bool{`,"topic":"other"`: false, `,"topic":"made","createTopic":true`: true} {
			config := strings.Replace(c.config(options), `"topic":"prices",`, "", 1)
			began := time.Now()
			err := brokers.Target(t, kafka.Kind(), config, delivery.FormatRaw, nil, brokers.Env(t)).Deliver(t.Context(), of(`1`))
			if (err == nil) != right || !right && (err.Error() != "there is no topic other in the Kafka cluster" || time.Since(began) > 10*time.Second) {
				t.Errorf("%s: %v after %v", options, err, time.Since(began))
			}
		}
		c.read("made", 1, 1)
	})
}

// The formats, with headers that say what an event is.
func TestFormats(t *testing.T) {
	t.Parallel()
	for _, format := range delivery.Formats() {
		c, _ := fake(t, 1)
		d := of(`{"a":1}`)
		d.Messages[0].Reset = "epoch"
		if err := c.targetIn("", format, brokers.Env(t)).Deliver(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		r := c.read("prices", 1, 1)[0]
		got := headers(r)
		want := map[string]string{"Freshet-Subscription-Id": "sub", "Freshet-Topic": "topic", "Freshet-Event-Id": d.Messages[0].ID(), "Freshet-Event-Type": "event", "Freshet-Reset": "epoch", "content-type": "application/json"}
		body := `{"a":1}`
		switch format {
		case delivery.FormatBinary: // CloudEvents Kafka protocol binding 1.0.2, 3.2
			for name, value := range map[string]string{"specversion": "1.0", "id": d.Messages[0].ID(), "source": "/live/topic", "type": "dev.freshet.event", "subject": "topic", "time": d.Messages[0].Time.Format(time.RFC3339Nano), "revision": "1", "reset": "epoch"} {
				want["ce_"+name] = value
			}
		case delivery.FormatStructured:
			want["content-type"] = "application/cloudevents+json"
			var e event.Event
			if err := json.Unmarshal(r.Value, &e); err != nil || e.Validate() != nil || e.ID() != d.Messages[0].ID() || string(e.Data()) != body {
				t.Errorf("%v %s", err, r.Value)
			}
			body = string(r.Value)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || string(r.Value) != body {
			t.Errorf("%s: %v %s, want %v %s", format, got, r.Value, want, body)
		}
	}
}

// A batch is as many records, in their order, and confirmed as a whole.
func TestBatch(t *testing.T) {
	t.Parallel()
	c, k := fake(t, 3)
	to := c.target("")
	var acks atomic.Int32
	k.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		acks.Store(int32(r.(*kmsg.ProduceRequest).Acks))
		return nil, nil, false
	})
	for i := range 3 {
		d := brokers.Delivery(i*500, 500)
		if err := to.Deliver(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(d.Exchange.Response.Body, "offset"); d.Exchange.Request.Size != bytesOf(d) || n < 100 {
			t.Errorf("%+v: %d", d.Exchange, n)
		}
	}
	var got []string
	for _, r := range c.read("prices", 3, 1500) {
		got = append(got, string(r.Value))
	}
	if !slices.Equal(got, brokers.Numbers(0, 1500)) {
		t.Errorf("not in order: %.200v", got)
	}
	if acks.Load() != -1 {
		t.Errorf("acks: %d, want -1: all that are in sync", acks.Load())
	}
}

func bytesOf(d *delivery.Delivery) (n int) {
	for _, m := range d.Messages {
		n += len(m.Data)
	}
	return n
}

// What a broker wrote, though nobody heard of it, is not written again: neither by the client itself, nor by the next
// attempt.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	c, _ := fake(t, 1)
	env := brokers.Env(t)
	l := &leaky{dial: env.Dial}
	env.Dial = l.Dial
	to := c.targetIn("", delivery.FormatRaw, env)
	for i := range 5 {
		l.lose.Store(1)
		if i == 0 {
			l.lose.Store(0) // it connects
		}
		if err := to.Deliver(t.Context(), brokers.Delivery(i, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if l.lost.Load() < 4 {
		t.Errorf("%d answers were lost", l.lost.Load())
	}
	c.read("prices", 1, 5)
}

func TestSlowBroker(t *testing.T) {
	t.Parallel()
	c, k := fake(t, 1)
	to := c.target(`,"timeout":"PT0.5S"`)
	if err := to.Deliver(t.Context(), brokers.Delivery(0, 1)); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	k.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.SleepControl(func() { <-release })
		return nil, nil, false
	})
	const unknown = "it is not known whether they have it"
	for range 2 {
		d, began := brokers.Delivery(1, 1), time.Now()
		if err := to.Deliver(t.Context(), d); err == nil || !strings.Contains(err.Error(), unknown) || d.Exchange.Response != nil || time.Since(began) > 5*time.Second {
			t.Fatalf("%v after %v, %+v", err, time.Since(began), d.Exchange)
		}
	}
	if err := to.Deliver(t.Context(), brokers.Delivery(2, 1)); err == nil || !strings.Contains(err.Error(), unknown) {
		t.Fatal("another, before it is known of the one before:", err)
	}
	close(release)
	d := brokers.Delivery(1, 1)
	if err := to.Deliver(t.Context(), d); err != nil || d.Exchange.Response.Body != "partition 0 offset 1" {
		t.Fatalf("%v, %+v", err, d.Exchange)
	}
	if err := to.Deliver(t.Context(), brokers.Delivery(2, 1)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range c.read("prices", 1, 3) {
		got = append(got, string(r.Value))
	}
	if !slices.Equal(got, brokers.Numbers(0, 3)) {
		t.Error(got)
	}
}

// What goes wrong is said in words, the target works again once it is mended, and nothing after a record that cannot be
// written is.
func TestRefusals(t *testing.T) {
	t.Parallel()
	c, k := fake(t, 1)
	refuse := func(code int16) func(kmsg.Request) (kmsg.Response, error, bool) {
		return func(r kmsg.Request) (kmsg.Response, error, bool) {
			resp := r.ResponseKind().(*kmsg.ProduceResponse)
			for _, topic := range r.(*kmsg.ProduceRequest).Topics {
				of := kmsg.NewProduceResponseTopic()
				of.Topic, of.TopicID = topic.Topic, topic.TopicID
				for _, p := range topic.Partitions {
					at := kmsg.NewProduceResponseTopicPartition()
					at.Partition, at.ErrorCode = p.Partition, code
					of.Partitions = append(of.Partitions, at)
				}
				resp.Topics = append(resp.Topics, of)
			}
			return resp, nil, true
		}
	}
	to := c.target(`,"timeout":"PT5S"`)
	for code, want := range map[int16]string{29: "this user may not write to the topic prices of Kafka", 10: "a record is larger than maxRequestSize or the brokers allow", 87: "send to the broker: INVALID_RECORD"} {
		k.ControlKey(int16(kmsg.Produce), refuse(code))
		if err := to.Deliver(t.Context(), of(`1`)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%d: %v, want %s", code, err, want)
		}
		if err := to.Deliver(t.Context(), of(`1`)); err != nil {
			t.Errorf("after %d: %v", code, err)
		}
	}
	n := c.count("prices", 1)
	for _, tt := range []struct{ options, data, want string }{
		{`,"partition":7,"timeout":"PT3S"`, `1`, "choice of 7 from 1 available"},
		{`,"maxRequestSize":"1KiB"`, `"` + strings.Repeat("a", 2000) + `"`, "a record is larger than maxRequestSize"},
	} {
		began := time.Now()
		if err := c.target(tt.options).Deliver(t.Context(), of(tt.data, `2`)); err == nil || !strings.Contains(err.Error(), tt.want) || time.Since(began) > 2*time.Second {
			t.Errorf("%s: %v after %v", tt.options, err, time.Since(began))
		}
	}
	if now := c.count("prices", 1); now != n {
		t.Errorf("%d records, want %d", now, n)
	}
	for servers, want := range map[string]string{
		fmt.Sprintf("127.0.0.1:%d", freshettest.Port(t)): "connection refused", "10.1.2.3:9092": "egress.allow", "nowhere.invalid:9092": "the broker's host is not known: nowhere.invalid",
	} {
		config := strings.Replace(c.config(""), c.servers, servers, 1)
		err := brokers.Target(t, kafka.Kind(), config, delivery.FormatRaw, nil, brokers.Env(t)).Deliver(t.Context(), of(`1`))
		if refusal, ok := errors.AsType[*delivery.Refusal](err); !ok || refusal.Gone || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", servers, err, want)
		}
	}
}

// Brokers that want TLS are told from those that cannot be reached, however they end a connection without.
func TestPlainToTLS(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{"an alert": "\x15\x03\x03\x00\x02\x02\x46", "nothing": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = conn.Read(make([]byte, 1024))
					_, _ = conn.Write([]byte(answer))
					_ = conn.Close()
				}
			}()
			config := fmt.Sprintf(`{"bootstrapServers":%q,"topic":"prices","timeout":"PT5S"}`, l.Addr())
			err = brokers.Target(t, kafka.Kind(), config, delivery.FormatRaw, nil, brokers.Env(t)).Deliver(t.Context(), of(`1`))
			if err == nil || !strings.Contains(err.Error(), "the brokers seem to speak TLS") {
				t.Error(err)
			}
		})
	}
}

// A target that is closed twice, from elsewhere and amid an attempt, ends.
func TestClose(t *testing.T) {
	t.Parallel()
	c, k := fake(t, 1)
	to := c.target("")
	if err := to.Deliver(t.Context(), of(`1`)); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	k.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.SleepControl(func() { <-release })
		return nil, nil, false
	})
	done := make(chan error, 1)
	go func() { done <- to.Deliver(t.Context(), of(`2`)) }()
	time.Sleep(50 * time.Millisecond) // on its way, or not yet: it ends
	began := time.Now()
	to.Close()
	to.Close()
	if err := <-done; err == nil || time.Since(began) > 2*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	close(release)
	if err := to.Deliver(t.Context(), of(`3`)); err == nil {
		t.Error("it delivers after it was closed")
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	const good = `"bootstrapServers":"a.example:9092","topic":"prices"`
	brokers.Mistakes(t, kafka.Kind(), map[string]string{
		good: "", good + `,"partition":0,"recordKey":"","keyPointer":"/a","compression":"zstd","maxRequestSize":"4MiB","createTopic":true,"timeout":"PT1S","retries":["PT1S"]`: "",
		`"topic":"prices"`: "/bootstrapServers: is required", `"bootstrapServers":"a.example:9092"`: "/topic: is required",
		`"bootstrapServers":"a.example","topic":"prices"`: `/bootstrapServers: "a.example" is not host:port`, `"bootstrapServers":"a.example:1","topic":"a b"`: "/topic: \"a b\" is no name",
		good + `,"partition":-1`: "/partition: must be from 0", good + `,"recordKey":7`: "/recordKey:", good + `,"keyPointer":"a"`: "/keyPointer: pointer \"a\" does not start", good + `,"keyPointer":"/~2"`: "/keyPointer: ",
		good + `,"compression":"brotli"`: "/compression: must be none, gzip", good + `,"maxRequestSize":100`: "/maxRequestSize: must be from 1KiB", good + `,"maxRequestSize":"65MiB"`: "/maxRequestSize: must be from 1KiB",
		good + `,"createTopic":"yes"`: "/createTopic:", good + `,"timeout":"PT2M"`: "/timeout: must be from", good + `,"retries":["P8D"]`: "/retries/0: must be from PT0S to P7D",
		good + `,"sasl":{}`: "/sasl/mechanism: is required", good + `,"sasl":{"mechanism":"PLAIN","username":"u"}`: "/sasl/password: is required", good + `,"sasl":{"mechanism":"GSSAPI"}`: "/sasl/mechanism: must be",
		good + `,"tls":{"ca":"file:/ca.pem"}`: "/tls/enabled: must be true", good + `,"tls":{"enabled":true,"cert":"x"}`: "/tls/key: a certificate and its key", good + `,"acks":1`: "/acks: unknown member",
	})
	masked := string(kafka.Kind().Mask(json.RawMessage(`{` + good + `,"sasl":{"mechanism":"PLAIN","username":"u","password":"s3cret"},"tls":{"key":"s3cret"}}`)))
	if strings.Contains(masked, "s3cret") || !strings.Contains(masked, `"u"`) {
		t.Errorf("masked: %s", masked)
	}
	if target, ok := brokers.Target(t, kafka.Kind(), `{`+good+`,"retries":["PT7S"]}`, delivery.FormatRaw, nil, brokers.Env(t)).(delivery.Planned); !ok {
		t.Error("it has no plan")
	} else if schedule, parallel := target.Plan(); fmt.Sprint(schedule) != "[PT0S PT7S]" || parallel != 1 {
		t.Errorf("%v %d", schedule, parallel)
	}
}
