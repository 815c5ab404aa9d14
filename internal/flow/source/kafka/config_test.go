package kafka_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/internal/flow/source/kafka"
	"freshet/internal/freshettest"
)

func TestConfig(t *testing.T) {
	const whole = `"bootstrapServers":"a.example:9092","topic":"prices"`
	properties := func(name, value string) string {
		return fmt.Sprintf(`{%s,"consumerProperties":{%q:%s}}`, whole, name, value)
	}
	for _, tt := range []struct{ config, pointer, detail string }{
		{`{` + whole + `}`, "", ""},
		{`{"bootstrapServers":" a.example:9092, [::1]:9092 ","topic":"prices"}`, "", ""},
		{`{"topic":"prices"}`, "/bootstrapServers", "is required"},
		{`{"bootstrapServers":"a.example:9092"}`, "/topic", "is required"},
		{`{"bootstrapServers":"a.example","topic":"prices"}`, "/bootstrapServers", `"a.example" is not host:port`},
		{`{"bootstrapServers":"a.example:1,,b.example:1","topic":"prices"}`, "/bootstrapServers", "host:port"},
		{`{"bootstrapServers":"PLAINTEXT://a.example:9092","topic":"prices"}`, "/bootstrapServers", "host:port"},
		{`{"bootstrapServers":"a.example:0","topic":"prices"}`, "/bootstrapServers", "host:port"},
		{`{"bootstrapServers":"a.example:1","topic":"a b"}`, "/topic", "no name of a topic"},
		{`{"bootstrapServers":"a.example:1","topic":".."}`, "/topic", "no name of a topic"},
		{`{` + whole + `,"keyValue":7}`, "/keyValue", "string"},
		{`{` + whole + `,"keyDeserializer":"long"}`, "/keyDeserializer", "string"},
		{`{` + whole + `,"valueDeserializers":"avro"}`, "/valueDeserializers", "json or smile"},
		{`{` + whole + `,"readFrom":"first"}`, "/readFrom", "earliest, latest or none"},
		{`{` + whole + `,"nonsense":1}`, "/nonsense", "unknown"},

		{properties("max.poll.records", `500`), "", ""},
		{properties("max.poll.records", `"500"`), "", ""},
		{properties("check.crcs", `false`), "", ""},
		{properties("max.poll.records", `0`), "/consumerProperties/max.poll.records", "max.poll.records: must be a whole number from 1 to 100000"},
		{properties("max.poll.records", `"many"`), "/consumerProperties/max.poll.records", "whole number"},
		{properties("group.id", `""`), "/consumerProperties/group.id", "group.id: must be a text"},
		{properties("isolation.level", `"serializable"`), "/consumerProperties/isolation.level", "read_committed or read_uncommitted"},
		{properties("check.crcs", `"yes"`), "/consumerProperties/check.crcs", "false or true"},
		{properties("partition.assignment.strategy", `"MyAssignor"`), "/consumerProperties/partition.assignment.strategy", `"MyAssignor" is not RangeAssignor`},
		{properties("session.timeout.ms", `3000`), "/consumerProperties/heartbeat.interval.ms", "must be less than session.timeout.ms, which is 3000"},
		{properties("heartbeat.interval.ms", `45000`), "/consumerProperties/heartbeat.interval.ms", "must be less"},
		{properties("auto.offset.reset", `"latest"`), "/consumerProperties/auto.offset.reset", "auto.offset.reset: is the option readFrom"},
		{properties("bootstrap.servers", `"x"`), "/consumerProperties/bootstrap.servers", "is the option bootstrapServers"},
		{properties("enable.auto.commit", `false`), "/consumerProperties/enable.auto.commit", "cannot be set"},
		{properties("security.protocol", `"SSL"`), "/consumerProperties/security.protocol", "follows from"},
		{properties("sasl.jaas.config", `"x"`), "/consumerProperties/sasl.jaas.config", "option sasl"},
		{properties("ssl.keystore.location", `"x"`), "/consumerProperties/ssl.keystore.location", "option tls"},
		{properties("value.deserializer", `"x"`), "/consumerProperties/value.deserializer", "option valueDeserializers"},
		{properties("fetch.min.byte", `1`), "/consumerProperties/fetch.min.byte", "fetch.min.byte: is not a property that is obeyed: those are allow.auto.create.topics,"},
		{properties("max.poll.records", `{}`), "/consumerProperties/max.poll.records", ""},
		{properties("max.poll.records", `null`), "/consumerProperties/max.poll.records", ""},

		{`{` + whole + `,"sasl":{}}`, "/sasl/mechanism", "is required"},
		{`{` + whole + `,"sasl":{"mechanism":"GSSAPI"}}`, "/sasl/mechanism", "PLAIN, SCRAM-SHA-256"},
		{`{` + whole + `,"sasl":{"mechanism":"PLAIN","password":"x"}}`, "/sasl/username", "required for PLAIN"},
		{`{` + whole + `,"sasl":{"mechanism":"SCRAM-SHA-256","username":"x"}}`, "/sasl/password", "required for SCRAM"},
		{`{` + whole + `,"sasl":{"mechanism":"PLAIN","username":"x","password":"x","token":"x"}}`, "/sasl/token", "of no use for PLAIN"},
		{`{` + whole + `,"sasl":{"mechanism":"OAUTHBEARER"}}`, "/sasl/tokenUrl", "or else token"},
		{`{` + whole + `,"sasl":{"mechanism":"OAUTHBEARER","tokenUrl":"https://a.example/","clientId":"x"}}`, "/sasl/clientSecret", "required"},
		{`{` + whole + `,"sasl":{"mechanism":"OAUTHBEARER","tokenUrl":"x","clientId":"x","clientSecret":"x"}}`, "/sasl/tokenUrl", "absolute"},
		{`{` + whole + `,"sasl":{"mechanism":"OAUTHBEARER","token":"x","clientId":"x"}}`, "/sasl/clientId", "of no use for OAUTHBEARER with a token"},
		{`{` + whole + `,"sasl":{"mechanism":"OAUTHBEARER","token":"x","extensions":{"auth":"x"}}}`, "/sasl/extensions/auth", "not auth"},
		{`{` + whole + `,"sasl":{"mechanism":"OAUTHBEARER","token":"x","extensions":{"a":"x\u0001y"}}}`, "/sasl/extensions/a", "printable"},
		{`{` + whole + `,"tls":{"ca":"secret:x"}}`, "/tls/enabled", "must be true"},
		{`{` + whole + `,"tls":{"enabled":true,"cert":"x"}}`, "/tls/key", "go together"},
		{`{` + whole + `,"tls":{"enabled":true,"key":"x"}}`, "/tls/key", "go together"},
	} {
		found := kafka.Kind().Check([]byte(tt.config))
		if tt.pointer == "" && found != nil {
			t.Errorf("%s: %v", tt.config, found)
		}
		if tt.pointer != "" && (len(found) != 1 && tt.pointer != "/sasl/tokenUrl" || found[0].Pointer != tt.pointer || !strings.Contains(found[0].Detail, tt.detail)) {
			t.Errorf("%s: %v; want %s with %q", tt.config, found, tt.pointer, tt.detail)
		}
	}
}

// TestProperties looks at what the client was told.
func TestProperties(t *testing.T) {
	client := func(more string) *kgo.Client {
		t.Helper()
		c, err := kafka.ClientOf(`{"bootstrapServers":"127.0.0.1:9","topic":"prices"`+more+`}`, freshettest.Env(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.CloseAllowingRebalance)
		return c
	}
	plain := client("")
	for _, tt := range []struct {
		name, value string
		option      any
		usual, want any
	}{
		{"allow.auto.create.topics", "true", kgo.AllowAutoTopicCreation, false, true},
		{"auto.commit.interval.ms", "700", kgo.AutoCommitInterval, time.Second, 700 * time.Millisecond},
		{"check.crcs", "false", kgo.DisableFetchCRCValidation, false, true},
		{"client.id", "a client", kgo.ClientID, "freshet", "a client"},
		{"client.rack", "a rack", kgo.Rack, "", "a rack"},
		{"connections.max.idle.ms", "2000", kgo.ConnIdleTimeout, 9 * time.Minute, 2 * time.Second},
		{"fetch.max.bytes", "5000", kgo.FetchMaxBytes, int32(8 << 20), int32(5000)},
		{"fetch.max.wait.ms", "70", kgo.FetchMaxWait, 500 * time.Millisecond, 70 * time.Millisecond},
		{"fetch.min.bytes", "70", kgo.FetchMinBytes, int32(1), int32(70)},
		{"group.id", "a group", kgo.ConsumerGroup, "topicid", "a group"},
		{"group.id", "a group", kgo.InstanceID, "topicid", ""},
		{"group.instance.id", "an instance", kgo.InstanceID, "topicid", "an instance"},
		{"heartbeat.interval.ms", "200", kgo.HeartbeatInterval, 3 * time.Second, 200 * time.Millisecond},
		{"isolation.level", "read_committed", kgo.FetchIsolationLevel, int8(0), int8(1)},
		{"max.partition.fetch.bytes", "5000", kgo.FetchMaxPartitionBytes, int32(1 << 20), int32(5000)},
		{"max.poll.interval.ms", "7000", kgo.RebalanceTimeout, 5 * time.Minute, 7 * time.Second},
		{"metadata.max.age.ms", "17000", kgo.MetadataMaxAge, 5 * time.Minute, 17 * time.Second},
		{"request.timeout.ms", "7000", kgo.RequestTimeoutOverhead, 10 * time.Second, 7 * time.Second},
		{"session.timeout.ms", "7000", kgo.SessionTimeout, 45 * time.Second, 7 * time.Second},
	} {
		if got := plain.OptValue(tt.option); !reflect.DeepEqual(got, tt.usual) {
			t.Errorf("without %s: %v (%T), want %v", tt.name, got, got, tt.usual)
		}
		if got := client(fmt.Sprintf(`,"consumerProperties":{%q:%q}`, tt.name, tt.value)).OptValue(tt.option); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s %s: %v (%T), want %v", tt.name, tt.value, got, got, tt.want)
		}
	}
	named := client(`,"consumerProperties":{"partition.assignment.strategy":"org.apache.kafka.clients.consumer.RangeAssignor, StickyAssignor"}`)
	var names []string
	for _, b := range named.OptValue(kgo.Balancers).([]kgo.GroupBalancer) {
		names = append(names, b.ProtocolName())
	}
	if got := strings.Join(names, " "); got != "range sticky" {
		t.Errorf("partition.assignment.strategy: %s", got)
	}
}

func TestMark(t *testing.T) {
	var all, last []int32
	for p := range int32(1000) {
		all = append(all, p)
	}
	last = all[900:]
	mark, n := kafka.Marks("", "a topic", all...)
	if len(mark) > 4<<10 || n < 150 || !kafka.MarkHas(mark, "a topic", last...) {
		t.Errorf("%d bytes, %d positions: %.100s", len(mark), n, mark)
	}
	if kafka.MarkHas(mark, "another topic", 999) {
		t.Error("the mark of another topic is obeyed")
	}
	if again, _ := kafka.Marks(mark, "a topic"); again != mark {
		t.Errorf("read and spelled again:\n%.200s\n%.200s", mark, again)
	}
}

func FuzzMark(f *testing.F) {
	f.Add(`{"t":"a","n":3,"o":{"0":5,"2":7}}`)
	f.Add(`{"t":"a","n":-3,"o":{"-1":5,"2":-7}}`)
	f.Fuzz(func(t *testing.T, mark string) {
		once, _ := kafka.Marks(mark, "a")
		if again, _ := kafka.Marks(once, "a"); again != once || len(once) > 4<<10 {
			t.Errorf("%q: %s, then %s", mark, once, again)
		}
	})
}
