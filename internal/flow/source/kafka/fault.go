package kafka

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/kafka/cluster"
)

// faultOf is what subscribers are told of what the client or a broker says. False: it is nothing special.
func faultOf(err error, topic, group string) (f freshet.Fault, ok bool) {
	if _, ok := errors.AsType[freshet.Fault](err); ok {
		return freshet.Fault{}, false // as it is
	}
	is := func(any ...error) bool {
		for _, one := range any {
			if errors.Is(err, one) {
				return true
			}
		}
		return false
	}
	switch {
	case is(kerr.TopicAuthorizationFailed):
		return source.Faultf(freshet.FaultHTTP+403, "this user may not read the topic %s of Kafka", topic), true
	case is(kerr.GroupAuthorizationFailed):
		return source.Faultf(freshet.FaultHTTP+403, "this user may not use the consumer group %s", group), true
	case is(kerr.UnknownTopicOrPartition, kerr.UnknownTopicID):
		return source.Faultf(freshet.FaultHTTP+404, "there is no topic %s in the Kafka cluster", topic), true
	case is(kerr.OffsetOutOfRange):
		return source.Faultf(freshet.FaultConfig, "the records of %s that are next are gone, and readFrom is none", topic), true
	case is(kerr.InconsistentGroupProtocol):
		return source.Faultf(freshet.FaultConfig, "the others in the consumer group %s assign partitions in another way: set partition.assignment.strategy as they have it", group), true
	case is(kerr.InvalidSessionTimeout):
		return source.Faultf(freshet.FaultConfig, "the brokers do not allow this session.timeout.ms"), true
	case is(kerr.FencedInstanceID):
		return source.Faultf(freshet.FaultConnection, "another member took the source's place in the consumer group %s: does another use its group.instance.id?", group), true
	}
	return cluster.FaultOf(err)
}
