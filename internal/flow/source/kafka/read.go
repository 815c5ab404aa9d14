package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/kafka/smile"
)

// What is handed over at once, at most.
const (
	batchRecords = 256
	batchBytes   = 1 << 20
)

// read reads until ctx ends, or the session is of no use any more; it then returns why.
func (s *session) read(ctx context.Context, up func()) error {
	var lost time.Time // since when no broker answers; zero: one does
	for told := false; ; {
		fetches := s.poll(ctx)
		s.mu.Lock()
		failed, assigned, broken := s.failed, s.assigned, s.broken
		s.broken = false
		s.mu.Unlock()
		if failed != nil {
			return failed
		}
		if ctx.Err() != nil {
			return nil
		}
		s.commitStarts(ctx)
		if assigned && !told {
			up()
			told = true
		}
		if !s.handle(ctx, fetches.Records()) {
			return nil
		}
		err := s.check(ctx, fetches)
		s.client.AllowRebalance()
		if err != nil {
			return err
		}
		if broken || !lost.IsZero() {
			if lost, err = s.probe(ctx, lost); err != nil {
				return err
			}
		}
	}
}

// poll waits for records, but not for long.
func (s *session) poll(ctx context.Context) kgo.Fetches {
	ctx, cancel := context.WithTimeout(ctx, glance)
	defer cancel()
	s.mu.Lock()
	s.wake = cancel
	s.mu.Unlock()
	return s.client.PollRecords(ctx, s.properties.records)
}

// probe asks whether any broker answers, and tells the sink where that changed. lost is since when none does.
// The client goes on trying, each second, so that one which is started again is soon read from; when it is
// not back after some time, or nothing but a change of the configuration would help, the session ends.
func (s *session) probe(ctx context.Context, lost time.Time) (time.Time, error) {
	limited, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	err := s.client.Ping(limited)
	if err == nil || ctx.Err() != nil {
		if !lost.IsZero() && err == nil {
			s.to.Unchanged(ctx, time.Now(), 0)
			lost = time.Time{}
		}
		return lost, nil
	}
	_, known := faultOf(err, s.Topic, s.group)
	f, passing := source.FaultOf(err)
	switch {
	case !passing || known && !errors.Is(err, context.DeadlineExceeded) || !lost.IsZero() && time.Since(lost) > patience:
		return lost, err //nolint:wrapcheck // explain does
	case lost.IsZero():
		s.log.InfoContext(ctx, "no broker answers", "topic", s.env.Topic, "err", err)
		s.to.Fault(ctx, f, 0)
		lost = time.Now()
	}
	return lost, nil
}

// check returns the first error of a poll that ends the session.
func (s *session) check(ctx context.Context, fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		loss, isLoss := errors.AsType[*kgo.ErrDataLoss](e.Err)
		large, isLarge := errors.AsType[*kgo.ErrDecompressTooLarge](e.Err)
		switch {
		case e.Topic == "" && (errors.Is(e.Err, context.DeadlineExceeded) || errors.Is(e.Err, context.Canceled)): // of poll
		case isLoss:
			s.log.WarnContext(ctx, "the Kafka cluster lost records", "topic", s.env.Topic, "partition", loss.Partition, "read_to", loss.ConsumedTo, "reading_from", loss.ResetTo)
			s.to.Fault(ctx, source.Faultf(freshet.FaultPublication, "the Kafka cluster lost records of partition %d", loss.Partition), 0)
		case isLarge:
			s.to.Fault(ctx, source.Faultf(freshet.FaultSize, "the records of partition %d from offset %d on are too large when they are decompressed, and are skipped", large.Partition, large.Offset), 0)
			s.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{s.Topic: {large.Partition: {Epoch: large.Epoch, Offset: large.NextOffset}}})
			s.mu.Lock()
			s.at.move(large.Partition, large.NextOffset)
			s.mu.Unlock()
		case isOffline(e.Err):
			s.note(func() { s.broken = true }) // probe sees whether the client can join again
		default:
			return e.Err
		}
	}
	return nil
}

// isOffline says whether the group was left only because a connection failed.
func isOffline(err error) bool {
	_, isGroup := errors.AsType[*kgo.ErrGroupSession](err)
	_, isAnswer := errors.AsType[*kerr.Error](err)
	_, isOurs := errors.AsType[freshet.Fault](err)
	_, passing := source.FaultOf(err)
	return isGroup && !isAnswer && !isOurs && passing
}

// handle hands the records over, and lets those be committed that are in the journal. It returns false when
// ctx has ended before.
func (s *session) handle(ctx context.Context, records []*kgo.Record) bool {
	var batch []source.Payload
	size, from := 0, 0
	store := func(upTo int) bool {
		if len(batch) > 0 && !source.Offer(ctx, s.to, batch...) {
			return false
		}
		s.client.MarkCommitRecords(records[from:upTo]...)
		batch, size, from = nil, 0, upTo
		return true
	}
	now := time.Now()
	for i, r := range records {
		data, wrong := s.value(r)
		if wrong != nil || len(batch) == batchRecords || len(batch) > 0 && size+len(data) > batchBytes {
			if !store(i) {
				return false
			}
		}
		if wrong != nil {
			s.to.Fault(ctx, *wrong, 0)
		}
		s.mu.Lock()
		s.at.move(r.Partition, r.Offset+1)
		if data != nil {
			batch = append(batch, source.Payload{Data: data, Time: now, Mark: s.at.mark(), Name: recordName{r}})
			size += len(data)
		}
		s.mu.Unlock()
	}
	return store(len(records))
}

// A recordName says which record one is, in faults.
type recordName struct{ *kgo.Record }

func (n recordName) String() string {
	return fmt.Sprintf("the record at offset %d of partition %d", n.Offset, n.Partition)
}

// value is what a record holds, as JSON; nil: nothing that is wanted, or what is wrong with it.
func (s *session) value(r *kgo.Record) (data []byte, wrong *freshet.Fault) {
	if r.Value == nil || s.KeyValue != nil && (r.Key == nil || string(r.Key) != *s.KeyValue) {
		return nil, nil
	}
	data, err := r.Value, error(nil)
	if s.ValueDeserializers == "smile" {
		data, err = smile.JSON(data, s.limit)
	}
	switch {
	case errors.Is(err, smile.ErrTooLarge) || len(data) > s.limit:
		f := source.Faultf(freshet.FaultSize, "%v is larger than %d bytes, which limits.payload allows", recordName{r}, s.limit)
		return nil, &f
	case err != nil:
		f := source.Faultf(freshet.FaultFormat, "%v is not SMILE: %v", recordName{r}, err)
		return nil, &f
	}
	return data, nil
}
