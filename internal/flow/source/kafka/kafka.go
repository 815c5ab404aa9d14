// Package kafka reads the records of a Kafka topic.
package kafka

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/kafka/cluster"
	"freshet/internal/settings"
)

// Kind is the type kafka.
func Kind() source.Kind {
	return source.Kind{
		Name:    "kafka",
		Summary: "Reads the records of a Kafka topic.",
		Notes:   notes(),
		Feeds:   []freshet.Kind{freshet.KindSnapshot, freshet.KindEvent},
		Config:  config{},
		Check:   source.Check[config],
		New:     newReader,
	}
}

func notes() string {
	return "Each record's value is one payload: the next document of a `snapshot` topic, or one message of an `event` topic. " +
		"Records of one partition stay in their order. A record without a value (a tombstone) is skipped, and so is one whose key is not `keyValue`; one that is too large or not in the format of `valueDeserializers` is told as a fault, and the next is read.\n\n" +
		"**Where it reads on.** The offset of each partition is stored with the payload, in the same write, and committed to Kafka within `auto.commit.interval.ms` after that, never before. " +
		"A restart goes on at the later of the two: nothing is lost, and nothing is repeated, even where the server was killed before it could commit. `readFrom` counts only where there is neither, the first time; what `latest` begins at is committed at once. " +
		"Partitions that are added later are read from their beginning. So the group's offsets cannot be set back to read records again: make a new topic for that. " +
		"A topic of Kafka that was deleted and made again is a new one, and is read as `readFrom` says. " +
		"What is stored with a payload has room for about 200 partitions; with more, those that had no record for longest go on where they were committed.\n\n" +
		"**The group** is `group.id` of `consumerProperties`, or else the id of the topic, which no other consumer has; the source is then a static member of it and takes over at once after a crash. " +
		"With a `group.id` that others use too, partitions and so records are shared with them.\n\n" +
		"**consumerProperties** are those of Kafka's own consumer, as text or numbers. These are obeyed: " + knownProperties() + ". Defaults are Kafka's, but for `auto.commit.interval.ms` 1000, `fetch.max.bytes` 8388608, `max.poll.records` 256, `partition.assignment.strategy` CooperativeStickyAssignor and `request.timeout.ms` 10000. " +
		"Any other is refused: what it would do is an option here, or the source decides it.\n\n" +
		"Brokers are where the cluster says they are: each of their addresses must be one that `egress.allow` or the public internet has."
}

// A reader is the Source of the type kafka.
type reader struct {
	config
	env     source.Env
	cluster *cluster.Cluster
	group   string
	limit   int
	log     *slog.Logger
}

func newReader(conf json.RawMessage, env source.Env) (source.Source, error) {
	r := &reader{env: env, limit: int(cmp.Or(env.Limit, freshet.DefaultPayload)), log: cmp.Or(env.Log, slog.New(slog.DiscardHandler))}
	if wrong := settings.Read(conf, &r.config); wrong != nil {
		return nil, wrong
	}
	r.cluster = cluster.New(r.brokers, r.SASL, r.TLS, env)
	r.group = cmp.Or(r.properties.group, string(env.ID))
	return r, nil
}

// Run reads until ctx ends.
func (r *reader) Run(ctx context.Context, to source.Sink) error {
	source.Stay(ctx, to, r.log, func(ctx context.Context, up func()) error {
		s, err := r.open(ctx, to)
		if err != nil {
			return r.explain(err)
		}
		err = s.read(ctx, up)
		s.close()
		if err != nil && ctx.Err() == nil {
			return r.explain(err)
		}
		return nil
	})
	return nil
}

// explain makes what the client says one of the faults that subscribers are told. The error itself is kept
// for the log.
func (r *reader) explain(err error) error {
	if f, ok := faultOf(err, r.Topic, r.group); ok {
		return fmt.Errorf("%w (%w)", f, err)
	}
	return err
}
