// Package all lists the types of source. To add one is to add its folder and a line here.
package all

import (
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/amqp"
	"freshet/internal/flow/source/file"
	"freshet/internal/flow/source/httpfile"
	"freshet/internal/flow/source/httppoller"
	"freshet/internal/flow/source/httppost"
	"freshet/internal/flow/source/kafka"
	"freshet/internal/flow/source/mqtt"
	"freshet/internal/flow/source/nats"
	"freshet/internal/flow/source/redis"
	"freshet/internal/flow/source/s3"
	"freshet/internal/flow/source/salesforce"
	"freshet/internal/flow/source/sftp"
	"freshet/internal/flow/source/sse"
	"freshet/internal/flow/source/webhook"
	"freshet/internal/flow/source/websocket"
)

// Kinds are all types of source, in the order of their names.
func Kinds() source.Set {
	return source.Set{
		amqp.Kind(),
		file.Kind(),
		httpfile.Kind(),
		httppoller.Kind(),
		httppost.Kind(),
		kafka.Kind(),
		mqtt.Kind(),
		nats.Kind(),
		redis.Kind(),
		s3.Kind(),
		salesforce.Kind(),
		sftp.Kind(),
		sse.Kind(),
		webhook.Kind(),
		websocket.Kind(),
	}
}
