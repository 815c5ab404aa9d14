// Package kafka writes events to a topic of Kafka.
package kafka

import (
	"strings"

	"freshet"
	"freshet/internal/flow/delivery"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/kafka/cluster"
	"freshet/internal/settings"
	"freshet/jsonpatch"
)

// config is the configuration of a subscription of the type kafka. Where the source of that type has the option its
// name is the same.
type config struct {
	BootstrapServers string         `json:"bootstrapServers" required:"true" address:"true" doc:"The brokers to ask first, as host:port, separated by commas"`
	Topic            string         `json:"topic" required:"true" doc:"The topic of Kafka that is written to"`
	CreateTopic      bool           `json:"createTopic" doc:"Have the topic made where there is none, by brokers that do that (auto.create.topics.enable)"`
	Partition        *int           `json:"partition" range:"0..1000000" doc:"The partition that is written to. Without it the key decides, as with Kafka's own producer"`
	RecordKey        *string        `json:"recordKey" doc:"The key of the records; by default the name of the topic here. An empty text: they have none, and may be spread over the partitions, which keeps no order"`
	KeyPointer       string         `json:"keyPointer" doc:"Where in an event's data its key is, as a JSON Pointer (RFC 6901) such as /customer/id. Events of the same key stay in their order. Where an event has nothing there, recordKey is its key"`
	Compression      string         `json:"compression" default:"none" oneof:"none,gzip,snappy,lz4,zstd" doc:"How records are compressed"`
	MaxRequestSize   freshet.Bytes  `json:"maxRequestSize" default:"1000000" range:"1KiB..64MiB" doc:"How large records may be that are sent together, before they are compressed, and so a record too. The brokers have a limit of their own (message.max.bytes)"`
	SASL             *cluster.Login `json:"sasl" doc:"Who the server is to the brokers"`
	TLS              source.TLS     `json:"tls" doc:"Whether and how the connections are encrypted"`
	delivery.Persistence

	brokers []string
}

// Check is what the tags cannot say.
func (c *config) Check(v *settings.Verdict) {
	c.brokers = cluster.CheckServers(v, c.BootstrapServers)
	cluster.CheckTopic(v, c.Topic)
	if _, err := jsonpatch.ParsePointer(c.KeyPointer); err != nil {
		v.Say("/keyPointer", "%v", err)
	}
	c.TLS.CheckUse(v)
	c.Persistence.Check(v)
}

const notes = `Each event is a record with the event's data as its value, and the event's time as its own. An event is delivered once all replicas that are in sync have it (acks=all). The producer is idempotent: what is sent again because a broker did not answer is written once, and in its order. Only a crash or restart here, or a change of the subscription, may repeat what was under way.

**Order.** Records of one key are in one partition, which keeps their order; the default key is the same for all events of the topic. ` + "`keyPointer`" + ` spreads them over the partitions by what they are about. Where a record cannot be written, none after it is until it can.

**Headers** are ` + "`Freshet-Subscription-Id`, `Freshet-Topic`, `Freshet-Event-Id`, `Freshet-Event-Type` and `content-type`" + `, and ` + "`Freshet-Reset`" + ` with the reason where an event does not follow what came before. With ` + "`format: cloudevents-binary`" + ` there are those of CloudEvents besides (` + "`ce_id`" + ` and so on, as the Kafka protocol binding has it); with ` + "`cloudevents-structured`" + ` the value is a CloudEvent in JSON.

**Batches.** Each event is a record by itself. With ` + "`batch`" + ` those of a batch are sent together, and the cursor moves once all are confirmed: it is what makes many events per second possible.

Brokers are where the cluster says they are: each of their addresses must be one that ` + "`egress.allow`" + ` or the public internet has.`

// Kind is the type kafka.
func Kind() delivery.Kind {
	return delivery.Kind{
		Name:    "kafka",
		Summary: "Writes events to a topic of Kafka, in order, and until the brokers have them.",
		Notes:   notes,
		Config:  config{},
		Check:   source.Check[config],
		New:     newTarget,
	}
}

// place is where records go, for people.
func (c *config) place() string {
	return "kafka://" + strings.Join(c.brokers, ",") + "/" + c.Topic
}
