// Package all lists the types of subscription that are sent to.
package all

import (
	"freshet/internal/flow/delivery"
	"freshet/internal/flow/delivery/amqp"
	"freshet/internal/flow/delivery/kafka"
	"freshet/internal/flow/delivery/mqtt"
	"freshet/internal/flow/delivery/nats"
	"freshet/internal/flow/delivery/webhook"
)

// Kinds are the types, in the order in which people are told of them.
func Kinds() delivery.Set {
	return delivery.Set{webhook.Kind(), kafka.Kind(), mqtt.Kind(), nats.Kind(), amqp.Kind()}
}
