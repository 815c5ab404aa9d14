// Package nats publishes events to subjects of NATS, for whoever listens or for a stream of JetStream.
package nats

import (
	"strings"

	"freshet/internal/flow/delivery"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/nats/server"
	"freshet/internal/settings"
)

// config is the configuration of a subscription of the type nats. Where the source of that type has the option its
// name is the same.
type config struct {
	Servers string `json:"servers" required:"true" address:"true" doc:"The servers, as nats://host:4222, tls://host:4222 or host:4222, separated by commas; one of them is connected to"`
	Subject string `json:"subject" default:"{topic}" doc:"The subject that is published to; {topic} stands for the name of the topic, and {type} for the type of the event"`
	Stream  string `json:"stream" doc:"The stream of JetStream that has to have what is published: an event is delivered once it has. Without it, once the server has it, whoever listens"`
	server.Access
	delivery.Persistence
}

// Check is what the tags cannot say.
func (c *config) Check(v *settings.Verdict) {
	c.CheckAccess(v, c.Servers)
	if wrong := delivery.WrongPattern(c.Subject); wrong != "" {
		v.Say("/subject", "%s", wrong)
	} else if !server.IsSubject(strings.NewReplacer("{topic}", "t", "{type}", "t").Replace(c.Subject), false) {
		v.Say("/subject", "%.80q is not a subject: tokens without spaces, * and > between dots", c.Subject)
	}
	if strings.ContainsAny(c.Stream, " \t\r\n.*>/\\") {
		v.Say("/stream", "%.80q is not a name of NATS: it must have no spaces, dots, slashes, * or >", c.Stream)
	}
	c.Persistence.Check(v)
}

const notes = `Each event is a message with the event's data.

**A stream of JetStream** (` + "`stream`" + `) acknowledges each message once it has stored it. ` + "`Nats-Msg-Id`" + ` is the same in every attempt, so that the stream drops what is repeated within its duplicate window (two minutes by default). A redelivery that was asked for has none: it is stored again.

**Core NATS** (without ` + "`stream`" + `) keeps nothing: an event is delivered once the server has it, even where nobody listens.

**Headers** are ` + "`Freshet-Subscription-Id`, `Freshet-Topic`, `Freshet-Event-Id`, `Freshet-Event-Type` and `content-type`" + `, and ` + "`Freshet-Reset`" + ` with the reason where an event does not follow what came before. With ` + "`format: cloudevents-binary`" + ` there are those of CloudEvents besides (` + "`ce-id`" + ` and so on, as its NATS protocol binding has it); with ` + "`cloudevents-structured`" + ` the message is a CloudEvent in JSON.

**Batches.** Each event is a message by itself. With ` + "`batch`" + ` those of a batch are on their way together, and the cursor moves once all are acknowledged. Where a stream refuses one of them but takes a later one, the earlier one comes after it; without ` + "`batch`" + ` order is kept always.

Only ` + "`servers`" + ` are connected to: what a server tells of others in its cluster is passed over.`

// Kind is the type nats.
func Kind() delivery.Kind {
	return delivery.Kind{
		Name:    "nats",
		Summary: "Publishes events to subjects of NATS, and to streams of JetStream until they have them.",
		Notes:   notes,
		Config:  config{},
		Check:   source.Check[config],
		New:     newTarget,
	}
}
