package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/kafka/cluster"
)

const (
	probeTime = 5 * time.Second        // for one of them to answer when a connection failed
	patience  = time.Minute            // for one of them to be back
	glance    = time.Second            // how often a quiet source looks after its connections
	farewell  = 500 * time.Millisecond // for the last commit
)

// A session is the source while it has one client.
type session struct {
	*reader
	to     source.Sink
	client *kgo.Client
	cancel context.CancelFunc // of all that the client does

	partitions int32 // how many the topic had when the session began

	mu          sync.Mutex
	at          positions                 // guarded by mu
	uncommitted map[int32]kgo.EpochOffset // guarded by mu: where partitions begin whose group has no offset, until it has
	assigned    bool                      // guarded by mu: the group has said which partitions are to be read
	broken      bool                      // guarded by mu: a connection could not be made
	failed      error                     // guarded by mu: why reading cannot begin
	wake        context.CancelFunc        // guarded by mu: ends the poll that waits
}

// open connects, and finds out which topic it is that has the name.
func (r *reader) open(ctx context.Context, to source.Sink) (*session, error) {
	connect, err := r.cluster.Options()
	if err != nil {
		return nil, err
	}
	s := &session{reader: r, to: to, uncommitted: map[int32]kgo.EpochOffset{}}
	all, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	if s.client, err = kgo.NewClient(s.options(all, connect)...); err != nil {
		cancel()
		return nil, source.Faultf(freshet.FaultConfig, "%v", err)
	}
	limited, stop := context.WithTimeout(ctx, cluster.ConnectTime)
	defer stop()
	if err := s.find(limited); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// options are what the client is made with. It consumes nothing before find has added the topic.
func (s *session) options(ctx context.Context, connect []kgo.Opt) []kgo.Opt {
	options := append([]kgo.Opt{
		kgo.WithContext(ctx),
		kgo.WithHooks(s),
		kgo.ConsumerGroup(s.group),
		kgo.SessionTimeout(s.properties.session),
		kgo.HeartbeatInterval(s.properties.heartbeat),
		kgo.AdjustFetchOffsetsFn(s.begin),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, added map[string][]int32) {
			if len(added[s.Topic]) == 0 { // else it is once begin knows where
				s.note(func() { s.assigned = true })
			}
		}),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtEnd()),
		kgo.AutoCommitMarks(),
		kgo.BlockRebalanceOnPoll(),
		kgo.MaxDecompressBatchBytes(max(64<<20, 8*s.limit)),
	}, append(connect, s.properties.options...)...)
	switch {
	case s.properties.instance != "":
		options = append(options, kgo.InstanceID(s.properties.instance))
	case s.properties.group == "": // nobody else is in the group
		options = append(options, kgo.InstanceID(s.group))
	}
	if s.ReadFrom == "none" {
		options = append(options, kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	}
	return options
}

// find asks for the topic, and reads the mark. Then the client begins to consume.
func (s *session) find(ctx context.Context) error {
	if err := s.client.Ping(ctx); err != nil {
		return err
	}
	req := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = new(s.Topic)
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, s.client)
	if err != nil {
		return err
	}
	if len(resp.Topics) != 1 {
		return kerr.UnknownTopicOrPartition
	}
	if err := kerr.ErrorForCode(resp.Topics[0].ErrorCode); err != nil && !kerr.IsRetriable(err) || errors.Is(err, kerr.UnknownTopicOrPartition) {
		return err
	}
	mark, err := s.to.Mark(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.at, s.partitions = readMark(mark, identity(resp)), int32(len(resp.Topics[0].Partitions))
	s.mu.Unlock()
	s.client.AddConsumeTopics(s.Topic)
	return nil
}

// identity tells a topic from others, of the same name too: by its id, or where the brokers are too old to
// have one, by its name and the id of the cluster.
func identity(resp *kmsg.MetadataResponse) string {
	topic := resp.Topics[0]
	if topic.TopicID != [16]byte{} {
		return fmt.Sprintf("%x", topic.TopicID)
	}
	if resp.ClusterID != nil {
		return *topic.Topic + "@" + *resp.ClusterID
	}
	return *topic.Topic
}

// note changes what is guarded, and lets the loop look at once.
func (s *session) note(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	s.wakeLocked()
}

func (s *session) wakeLocked() {
	if s.wake != nil {
		s.wake()
	}
}

// OnBrokerConnect hears of each attempt to connect to a broker.
func (s *session) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil {
		s.note(func() { s.broken = true })
	}
}

// close commits what is to be committed, if that can be done soon, and ends all that the client does. A
// static member stays in its group, and takes its place again when it is back.
func (s *session) close() {
	soon := time.AfterFunc(farewell, s.cancel)
	s.client.CloseAllowingRebalance()
	soon.Stop()
	s.cancel()
}
