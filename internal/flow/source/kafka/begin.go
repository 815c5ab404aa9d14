package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"freshet"
	"freshet/internal/flow/source"
)

// begin says where each partition that the group assigned is to be read from: at the later of what the
// journal holds and what is committed, and where there is neither, as the configuration says.
func (s *session) begin(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	assigned := offsets[s.Topic]
	alone, some := s.properties.group == "", false
	for _, o := range assigned {
		some = some || o.EpochOffset().Offset >= 0
	}
	early, late, err := s.known(assigned, alone && some)
	var starts map[int32]int64
	if err == nil {
		starts, err = s.starts(ctx, early, late) // not under the lock: a connection may be made for it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.wakeLocked()
	if err != nil {
		if ctx.Err() == nil { // else the group assigns anew
			s.failed = err
		}
		return nil, err
	}
	for partition, offset := range starts {
		assigned[partition] = kgo.NewOffset().At(offset)
		s.at.at[partition] = position{next: offset}
		s.uncommitted[partition] = kgo.EpochOffset{Epoch: -1, Offset: offset}
	}
	// A member that is back may be given its old partitions first, and those that were added after it left
	// in a second round: they are not met before that.
	if s.at.partitions == 0 && !(alone && some) {
		s.at.partitions = s.partitions
	}
	for partition := range assigned {
		s.at.partitions = max(s.at.partitions, partition+1)
	}
	s.assigned = true
	return offsets, nil
}

// known sets where the partitions begin of which the journal or the group knows that, and returns the
// others: those that begin at their first record, and those that begin with the one that is written next.
// met says that the group is the source's own and knows some.
func (s *session) known(assigned map[int32]kgo.Offset, met bool) (early, late []int32, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for partition, o := range assigned {
		committed := o.EpochOffset().Offset
		marked, isMarked := s.at.at[partition]
		// Where each partition begins was committed, or marked, when the source met it.
		added := s.at.partitions > 0 && partition >= s.at.partitions || met
		switch {
		case isMarked && marked.next > committed:
			assigned[partition] = kgo.NewOffset().At(marked.next)
		case committed >= 0:
			s.at.at[partition] = position{next: committed}
		case added || s.ReadFrom == "earliest":
			early = append(early, partition)
		case s.ReadFrom == "none":
			err = source.Faultf(freshet.FaultConfig, "the consumer group %s has no committed offset for partition %d of the topic %s, and readFrom is none", s.group, partition, s.Topic)
		default:
			late = append(late, partition)
		}
	}
	return early, late, err
}

// starts asks where partitions begin that nothing is known of. It is noted at once, or records would be lost
// that are written while the source is away before it had any.
func (s *session) starts(ctx context.Context, early, late []int32) (map[int32]int64, error) {
	found := map[int32]int64{}
	for at, partitions := range map[int64][]int32{-2: early, -1: late} { // -2: the first, -1: the end
		if len(partitions) == 0 {
			continue
		}
		req := kmsg.NewPtrListOffsetsRequest()
		if s.properties.committed {
			req.IsolationLevel = 1
		}
		topic := kmsg.NewListOffsetsRequestTopic()
		topic.Topic = s.Topic
		for _, p := range partitions {
			of := kmsg.NewListOffsetsRequestTopicPartition()
			of.Partition, of.Timestamp = p, at
			topic.Partitions = append(topic.Partitions, of)
		}
		req.Topics = append(req.Topics, topic)
		resp, err := req.RequestWith(ctx, s.client)
		if err != nil {
			return nil, fmt.Errorf("ask where partitions begin: %w", err)
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, fmt.Errorf("ask where partition %d begins: %w", p.Partition, err)
				}
				found[p.Partition] = p.Offset
			}
		}
	}
	return found, nil
}

// commitStarts commits where partitions begin, once they do. What fails is tried again.
func (s *session) commitStarts(ctx context.Context) {
	s.mu.Lock()
	starts := s.uncommitted
	s.uncommitted = map[int32]kgo.EpochOffset{}
	s.mu.Unlock()
	if len(starts) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	var failed error
	s.client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{s.Topic: starts}, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if failed = err; err != nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					failed = err
				}
			}
		}
	})
	if failed == nil {
		return
	}
	s.log.DebugContext(ctx, "where partitions begin could not be committed", "topic", s.env.Topic, "err", failed)
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, at := range starts {
		if _, newer := s.uncommitted[p]; !newer && s.at.at[p].moved == 0 { // else the next commit says more
			s.uncommitted[p] = at
		}
	}
}
