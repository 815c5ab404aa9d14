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
	s.mu.Lock()
	defer s.mu.Unlock()
	assigned := offsets[s.Topic]
	some := false // partition has a committed offset
	for _, o := range assigned {
		some = some || o.EpochOffset().Offset >= 0
	}
	alone := s.properties.group == ""
	var atEnd []int32
	for partition, o := range assigned {
		committed := o.EpochOffset().Offset
		known, isKnown := s.at.at[partition]
		// Where each partition begins was committed at once, when the source met the topic.
		added := s.at.partitions > 0 && partition >= s.at.partitions || alone && some
		switch {
		case isKnown && known.next > committed:
			assigned[partition] = kgo.NewOffset().At(known.next)
		case committed >= 0:
			s.at.at[partition] = position{next: committed}
		case added || s.ReadFrom == "earliest":
			assigned[partition] = kgo.NewOffset().AtStart()
		case s.ReadFrom == "none":
			s.failed = source.Faultf(freshet.FaultConfig, "the consumer group %s has no committed offset for partition %d of the topic %s, and readFrom is none", s.group, partition, s.Topic)
		default:
			atEnd = append(atEnd, partition)
		}
	}
	if s.failed == nil && len(atEnd) > 0 {
		s.failed = s.beginAtEndLocked(ctx, assigned, atEnd)
	}
	if s.failed != nil {
		s.wakeLocked()
		return nil, s.failed
	}
	s.at.partitions = max(s.at.partitions, s.partitions)
	for partition := range assigned {
		s.at.partitions = max(s.at.partitions, partition+1)
	}
	s.assigned = true
	s.wakeLocked()
	return offsets, nil
}

// beginAtEndLocked lets partitions begin with the record that is written next. Where that is, is noted, or
// records would be lost that are written while the source is away before it had any.
func (s *session) beginAtEndLocked(ctx context.Context, assigned map[int32]kgo.Offset, partitions []int32) error {
	req := kmsg.NewPtrListOffsetsRequest()
	if s.properties.committed {
		req.IsolationLevel = 1
	}
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = s.Topic
	for _, p := range partitions {
		of := kmsg.NewListOffsetsRequestTopicPartition()
		of.Partition, of.Timestamp = p, -1 // the end
		topic.Partitions = append(topic.Partitions, of)
	}
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, s.client)
	if err != nil {
		return fmt.Errorf("ask where partitions end: %w", err)
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("ask where partition %d ends: %w", p.Partition, err)
			}
			assigned[p.Partition] = kgo.NewOffset().At(p.Offset)
			s.at.at[p.Partition] = position{next: p.Offset}
			s.starts[p.Partition] = kgo.EpochOffset{Epoch: -1, Offset: p.Offset}
		}
	}
	return nil
}

// commitStarts commits where partitions begin, once they do. What fails is tried again.
func (s *session) commitStarts(ctx context.Context) {
	s.mu.Lock()
	starts := s.starts
	s.starts = map[int32]kgo.EpochOffset{}
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
		if _, newer := s.starts[p]; !newer && s.at.at[p].moved == 0 { // else the next commit says more
			s.starts[p] = at
		}
	}
}
