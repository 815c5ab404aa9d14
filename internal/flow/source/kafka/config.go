package kafka

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"freshet/internal/flow/source"
	"freshet/internal/flow/source/kafka/cluster"
	"freshet/internal/settings"
)

// config is the configuration of a Kafka source. The names are those of the incumbent where it has the
// option.
type config struct {
	BootstrapServers   string              `json:"bootstrapServers" required:"true" address:"true" doc:"The brokers to ask first, as host:port, separated by commas"`
	Topic              string              `json:"topic" required:"true" doc:"The topic of Kafka whose records are read"`
	KeyValue           *string             `json:"keyValue" doc:"Only records whose key is this text are read. Without it all are"`
	KeyDeserializer    string              `json:"keyDeserializer" default:"string" oneof:"string" doc:"What keys are"`
	ValueDeserializers string              `json:"valueDeserializers" default:"json" oneof:"json,smile" doc:"What values are: JSON, or SMILE, the binary form of JSON, which is turned into JSON"`
	ReadFrom           string              `json:"readFrom" default:"latest" oneof:"earliest,latest,none" doc:"Where reading begins the first time: with the oldest record, with the next that is written, or, for none, only where the group has a committed offset; without one that is a fault"`
	ConsumerProperties map[string]property `json:"consumerProperties" doc:"Properties of Kafka's consumer, see below"`
	SASL               *cluster.Login      `json:"sasl" doc:"Who the source is to the brokers"`
	TLS                source.TLS          `json:"tls" doc:"Whether and how the connections are encrypted"`

	brokers    []string
	properties properties
}

// A property is the value of a property of Kafka's consumer: a text, or a number or truth value as text.
type property string

// UnmarshalJSON takes numbers and truth values too.
func (p *property) UnmarshalJSON(data []byte) error {
	if data = bytes.TrimSpace(data); len(data) > 0 && data[0] == '"' {
		var s string
		err := json.Unmarshal(data, &s)
		*p = property(s)
		return err //nolint:wrapcheck // it says what is wrong
	}
	*p = property(data)
	return nil
}

// Check is what the tags cannot say.
func (c *config) Check(v *settings.Verdict) {
	c.brokers = cluster.CheckServers(v, c.BootstrapServers)
	cluster.CheckTopic(v, c.Topic)
	c.TLS.CheckUse(v)
	c.properties = defaultProperties()
	for _, name := range slices.Sorted(maps.Keys(c.ConsumerProperties)) {
		if err := c.properties.set(name, string(c.ConsumerProperties[name])); err != nil {
			v.Say(settings.Pointer("consumerProperties", name), "%s: %v", name, err)
		}
	}
	if p := &c.properties; p.heartbeat >= p.session {
		v.Say("/consumerProperties/heartbeat.interval.ms", "heartbeat.interval.ms: must be less than session.timeout.ms, which is %d", p.session.Milliseconds())
	}
}
