package kafka

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// properties are those of Kafka's consumer that a configuration sets, as the client takes them.
type properties struct {
	group     string // "": the id of the topic
	instance  string // group.instance.id
	records   int    // max.poll.records
	session   time.Duration
	heartbeat time.Duration
	committed bool      // isolation.level read_committed
	options   []kgo.Opt // the others
}

// defaultProperties are those of Kafka's consumer, except where a source of one topic among many needs less.
func defaultProperties() properties {
	return properties{
		records: 256, session: 45 * time.Second, heartbeat: 3 * time.Second,
		options: []kgo.Opt{
			kgo.ClientID("freshet"),
			kgo.FetchMaxWait(500 * time.Millisecond),
			kgo.FetchMaxBytes(8 << 20),
			kgo.FetchMaxPartitionBytes(1 << 20),
			kgo.RebalanceTimeout(5 * time.Minute),
			kgo.AutoCommitInterval(time.Second),
			kgo.ConnIdleTimeout(9 * time.Minute),
			kgo.RequestTimeoutOverhead(10 * time.Second),
		},
	}
}

// set takes one property. Its errors do not say its name.
func (p *properties) set(name, value string) error {
	if take, ok := known()[name]; ok {
		return take(p, value)
	}
	for prefix, instead := range instead() {
		if strings.HasPrefix(name, prefix) {
			return errors.New(instead)
		}
	}
	return fmt.Errorf("is not a property that is obeyed: those are %s", strings.ReplaceAll(knownProperties(), "`", ""))
}

// knownProperties lists the names of those that are obeyed, in Markdown.
func knownProperties() string {
	return "`" + strings.Join(slices.Sorted(maps.Keys(known())), "`, `") + "`"
}

// instead says what is to be used in the place of properties that begin so.
func instead() map[string]string {
	return map[string]string{
		"auto.offset.reset":       "is the option readFrom here",
		"bootstrap.servers":       "is the option bootstrapServers here",
		"enable.auto.commit":      "cannot be set: offsets are committed once what was read is stored",
		"key.deserializer":        "is the option keyDeserializer here",
		"value.deserializer":      "is the option valueDeserializers here",
		"security.protocol":       "follows from the options tls and sasl here",
		"sasl.":                   "is set by the option sasl here",
		"ssl.":                    "is set by the option tls here",
		"group.protocol":          "cannot be set: the source uses the protocol classic",
		"interceptor.classes":     "cannot be set: there is no Java here",
		"metric":                  "cannot be set: the metrics are those of the server",
		"exclude.internal.topics": "cannot be set: one topic is read",
	}
}

// A setter takes the value of a property.
type setter func(p *properties, value string) error

// known are the properties that are obeyed.
func known() map[string]setter {
	const minute, hour = 60_000, 60 * 60_000 // ms
	return map[string]setter{
		"allow.auto.create.topics":      ofOne(map[string]kgo.Opt{"false": nil, "true": kgo.AllowAutoTopicCreation()}),
		"auto.commit.interval.ms":       ofMillis(100, hour, func(p *properties, d time.Duration) { p.add(kgo.AutoCommitInterval(d)) }),
		"check.crcs":                    ofOne(map[string]kgo.Opt{"true": nil, "false": kgo.DisableFetchCRCValidation()}),
		"client.id":                     ofText(func(p *properties, s string) { p.add(kgo.ClientID(s)) }),
		"client.rack":                   ofText(func(p *properties, s string) { p.add(kgo.Rack(s)) }),
		"connections.max.idle.ms":       ofMillis(1_000, 15*minute, func(p *properties, d time.Duration) { p.add(kgo.ConnIdleTimeout(d)) }),
		"fetch.max.bytes":               ofNumber(1024, 100<<20, func(p *properties, n int) { p.add(kgo.FetchMaxBytes(int32(n))) }),
		"fetch.max.wait.ms":             ofMillis(0, minute, func(p *properties, d time.Duration) { p.add(kgo.FetchMaxWait(d)) }),
		"fetch.min.bytes":               ofNumber(1, 100<<20, func(p *properties, n int) { p.add(kgo.FetchMinBytes(int32(n))) }),
		"group.id":                      ofText(func(p *properties, s string) { p.group = s }),
		"group.instance.id":             ofText(func(p *properties, s string) { p.instance = s }),
		"heartbeat.interval.ms":         ofMillis(100, 10*minute, func(p *properties, d time.Duration) { p.heartbeat = d }),
		"isolation.level":               isolation,
		"max.partition.fetch.bytes":     ofNumber(1024, 100<<20, func(p *properties, n int) { p.add(kgo.FetchMaxPartitionBytes(int32(n))) }),
		"max.poll.interval.ms":          ofMillis(1_000, 24*hour, func(p *properties, d time.Duration) { p.add(kgo.RebalanceTimeout(d)) }),
		"max.poll.records":              ofNumber(1, 100_000, func(p *properties, n int) { p.records = n }),
		"metadata.max.age.ms":           ofMillis(10_000, hour, func(p *properties, d time.Duration) { p.add(kgo.MetadataMaxAge(d)) }),
		"partition.assignment.strategy": balancers,
		"request.timeout.ms":            ofMillis(1_000, 15*minute, func(p *properties, d time.Duration) { p.add(kgo.RequestTimeoutOverhead(d)) }),
		"session.timeout.ms":            ofMillis(1_000, 30*minute, func(p *properties, d time.Duration) { p.session = d }),
	}
}

func (p *properties) add(o kgo.Opt) { p.options = append(p.options, o) }

func ofText(take func(*properties, string)) setter {
	return func(p *properties, value string) error {
		if value == "" || len(value) > 249 {
			return errors.New("must be a text of 1 to 249 bytes")
		}
		take(p, value)
		return nil
	}
}

func ofNumber(least, most int, take func(*properties, int)) setter {
	return func(p *properties, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < least || n > most {
			return fmt.Errorf("must be a whole number from %d to %d, not %.40q", least, most, value)
		}
		take(p, n)
		return nil
	}
}

func ofMillis(least, most int, take func(*properties, time.Duration)) setter {
	return ofNumber(least, most, func(p *properties, n int) { take(p, time.Duration(n)*time.Millisecond) })
}

func ofOne(values map[string]kgo.Opt) setter {
	return func(p *properties, value string) error {
		o, ok := values[value]
		if !ok {
			return fmt.Errorf("must be %s, not %.40q", strings.Join(slices.Sorted(maps.Keys(values)), " or "), value)
		}
		if o != nil {
			p.add(o)
		}
		return nil
	}
}

// isolation says whether records of transactions are read only once those are committed.
func isolation(p *properties, value string) error {
	p.committed = value == "read_committed"
	return ofOne(map[string]kgo.Opt{"read_uncommitted": nil, "read_committed": kgo.FetchIsolationLevel(kgo.ReadCommitted())})(p, value)
}

// balancers takes the names of Kafka's assignors, with their package or without, separated by commas.
func balancers(p *properties, value string) error {
	var all []kgo.GroupBalancer
	for name := range strings.SplitSeq(value, ",") {
		name = strings.TrimSpace(name)
		switch strings.TrimPrefix(name, "org.apache.kafka.clients.consumer.") {
		case "RangeAssignor":
			all = append(all, kgo.RangeBalancer())
		case "RoundRobinAssignor":
			all = append(all, kgo.RoundRobinBalancer())
		case "StickyAssignor":
			all = append(all, kgo.StickyBalancer())
		case "CooperativeStickyAssignor":
			all = append(all, kgo.CooperativeStickyBalancer())
		default:
			return fmt.Errorf("%.80q is not RangeAssignor, RoundRobinAssignor, StickyAssignor or CooperativeStickyAssignor", name)
		}
	}
	p.add(kgo.Balancers(all...))
	return nil
}
