// Package mqtt publishes events to a server of MQTT 5.
package mqtt

import (
	"strings"

	"freshet"
	"freshet/internal/flow/delivery"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/mqtt/wire"
	"freshet/internal/settings"
)

type config struct {
	wire.Server
	Topic     string           `json:"topic" default:"{topic}" range:"1..1000" doc:"The topic at the server, in which {topic} stands for the topic's name here, and {type} for the type of the event"`
	QoS       int              `json:"qos" default:"1" range:"0..2" doc:"The quality of service: with 1 and 2 an event counts as delivered once the server has acknowledged it, with 0 once it has answered a ping after it"`
	Retain    bool             `json:"retain" doc:"The server keeps the last message of each topic for those who subscribe later; of a snapshot topic use the mode snapshot-only then, as a patch by itself says nothing to them"`
	ClientID  string           `json:"clientId" range:"0..256" doc:"The name of the connection at the server, which no other may use: a test while the subscription is active takes it over for a moment. Without it each connection has a name of its own"`
	KeepAlive freshet.Duration `json:"keepAlive" default:"PT30S" range:"PT2S..PT1H" doc:"How long the connection may be silent until the server is asked for a sign of life, in whole seconds. A connection on which none comes within half as long again is given up"`
	delivery.Persistence
}

// Check is what the tags cannot say.
func (c *config) Check(v *settings.Verdict) {
	c.Server.Check(v)
	v.WholeSeconds("/keepAlive", c.KeepAlive)
	c.Persistence.Check(v)
	switch why := delivery.WrongPattern(c.Topic); {
	case why != "":
		v.Say("/topic", "%s", why)
	case strings.ContainsAny(c.Topic, "+#\x00"):
		v.Say("/topic", "a topic that is published to has neither + nor #, nor a character with the code 0")
	}
	if strings.ContainsRune(c.ClientID, 0) {
		v.Say("/clientId", "has no character with the code 0")
	}
}

const notes = `Each event is a message whose payload is the event's data as JSON; ` + "`content type`" + ` and ` + "`payload format indicator`" + ` say so. With ` + "`qos`" + ` 1 and 2 it counts as delivered once the server has acknowledged it. The session ends with the connection, so that what was not acknowledged is sent anew, as another message, also with 2. What nobody is subscribed to the server takes and forgets, unless ` + "`retain`" + ` is set.

User properties say what an event is: ` + "`Freshet-Subscription-Id`, `Freshet-Topic`, `Freshet-Event-Id`, `Freshet-Event-Type`" + `, and ` + "`Freshet-Reset`" + ` where it does not follow what the receiver had. Receivers that keep the last ids of events recognize repeats. With ` + "`format: cloudevents-binary`" + ` the attributes of CloudEvents are user properties besides; with ` + "`cloudevents-structured`" + ` the payload is a CloudEvent. Batches are of messages that are under way together, each with one event.`

// Kind is the type mqtt.
func Kind() delivery.Kind {
	return delivery.Kind{
		Name:    "mqtt",
		Summary: "Publishes events to a server of MQTT 5 until it acknowledges them.",
		Notes:   notes,
		Config:  config{},
		Check:   source.Check[config],
		New: func(s *freshet.Subscription, env delivery.Env) (delivery.Target, error) {
			t := &target{env: env, format: s.Format}
			if wrong := settings.Read(s.Config, &t.config); wrong != nil {
				return nil, wrong
			}
			return t, nil
		},
	}
}
