// Package amqp publishes events to an exchange of a broker that speaks AMQP 0.9.1, such as RabbitMQ.
package amqp

import (
	"freshet"
	"freshet/internal/flow/delivery"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/amqp"
	"freshet/internal/settings"
)

type config struct {
	amqp.Broker
	Exchange   string `json:"exchange" range:"0..255" doc:"The exchange, which has to be there. Without it the default exchange, which gives each message to the queue that is called as its routing key"`
	RoutingKey string `json:"routingKey" default:"{topic}" range:"0..255" doc:"The routing key, in which {topic} stands for the topic's name, and {type} for the type of the event"`
	Mandatory  bool   `json:"mandatory" default:"true" doc:"A message that no queue takes is refused, and tried again; false: it is lost, and counts as delivered"`
	Persistent bool   `json:"persistent" default:"true" doc:"Durable queues keep the messages on disk, and confirm them once they are there"`
	delivery.Persistence
}

// Check is what the tags cannot say.
func (c *config) Check(v *settings.Verdict) {
	c.Broker.Check(v)
	c.Persistence.Check(v)
	if why := delivery.WrongPattern(c.RoutingKey); why != "" {
		v.Say("/routingKey", "%s", why)
	}
}

const notes = `Each event is a message whose body is the event's data as JSON. It counts as delivered once the broker has confirmed it (publisher confirms): for a durable queue and a persistent message, once it is on disk. What no queue takes the broker sends back, which makes the next attempt due, as does a queue that refuses more (` + "`x-overflow: reject-publish`" + `).

The property ` + "`message-id`" + ` is the same whenever the event is sent to the subscription: receivers that keep the last ids recognize repeats. ` + "`content-type`, `timestamp`, `type`" + ` (of the event) and ` + "`app-id`" + ` (freshet) are set besides, and as headers ` + "`Freshet-Subscription-Id`, `Freshet-Topic`, `Freshet-Event-Id`, `Freshet-Event-Type`" + `, and ` + "`Freshet-Reset`" + ` where an event does not follow what the receiver had.

With ` + "`format: cloudevents-binary`" + ` the attributes are headers whose names begin with ` + "`cloudEvents:`" + `, as the binding of CloudEvents to AMQP 1.0 has it: there is none to 0.9.1, and brokers that speak both pass headers on as application properties. With ` + "`cloudevents-structured`" + ` the body is a CloudEvent. Batches are of messages that are under way together, each with one event.`

// Kind is the type amqp.
func Kind() delivery.Kind {
	return delivery.Kind{
		Name:    "amqp",
		Summary: "Publishes events to an exchange of RabbitMQ, or another broker of AMQP 0.9.1, until it confirms them.",
		Notes:   notes,
		Config:  config{},
		Check:   source.Check[config],
		New:     newTarget,
	}
}

func newTarget(s *freshet.Subscription, env delivery.Env) (delivery.Target, error) {
	t := &target{env: env, format: s.Format, name: "freshet " + string(s.Topic) + " " + string(s.ID), most: 1}
	if s.Batch != nil {
		t.most = s.Batch.MaxEvents
	}
	if wrong := settings.Read(s.Config, &t.config); wrong != nil {
		return nil, wrong
	}
	return t, nil
}
