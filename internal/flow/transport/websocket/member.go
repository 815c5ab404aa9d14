package websocket

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"freshet"
	"freshet/internal/flow/fanout"
	"freshet/internal/flow/transport/shard"
)

// A member is a topic of a session.
type member struct {
	Subscription
	style
	proto   *shard.Protocol
	unwatch func()
	unstate func() // ends the watch over its status

	mu    sync.Mutex // held while something of it is sent
	gone  bool
	told  bool
	state freshet.Freshness // as it was told last
}

// add makes the session follow a topic.
func (x *session) add(sub Subscription, y style) {
	m := &member{Subscription: sub, style: y, unstate: func() {}, proto: x.s.protocols[y]}
	if y.named {
		m.proto = x.s.protocol(y, sub.Topic)
	}
	m.unwatch = sub.Cursor.Feed().Watch(x.news)
	if sub.Status != nil {
		var ctx context.Context
		ctx, m.unstate = context.WithCancel(context.Background())
		x.s.sessions.running.Go(func() { watchStatus(ctx, sub.Status, x.news) })
	}
	x.mu.Lock()
	x.members = append(slices.Clip(x.members), m)
	x.mu.Unlock()
	x.news()
}

// leave ends the following of the topic. Nothing of it is sent once it returns.
func (m *member) leave(cause error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = true
	m.unwatch()
	m.unstate()
	m.Reader.Left(cause)
}

// name is the topic's in what is sent; empty where it is not named.
func (m *member) name() freshet.TopicName {
	if !m.named {
		return ""
	}
	return m.Topic
}

// advance sends what the client lacks of the topic, and says whether that was anything.
func (m *member) advance(ctx context.Context, x *session) (sent bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone {
		return false, nil
	}
	batch, err := m.Cursor.Next(ctx)
	if slow, ok := errors.AsType[*fanout.SlowError](err); ok && !x.alone {
		_ = x.WriteWithin(m.proto.Encode(slow.Event()), m.proto.Stalled)
	}
	if err != nil {
		return false, err
	}
	if len(batch.Entries) > 0 {
		n, err := shard.WriteBatch(x, greeting(m.name(), batch.Reset), batch, m.proto)
		m.Reader.Sent(batch, n, 1)
		if err != nil {
			return true, err
		}
		sent = true
	}
	if ev, news := m.news(); news {
		return true, x.WriteWithin(m.proto.Encode(ev), m.proto.Stalled)
	}
	return sent, nil
}

// news is the topic's status, where it is another than the client was told last: stale or not, or for another
// reason.
func (m *member) news() (ev freshet.Event, news bool) {
	if m.Status == nil {
		return ev, false
	}
	is, _, _ := m.Status()
	if m.told && is.Stale == m.state.Stale && is.StaleReason == m.state.StaleReason {
		return ev, false
	}
	m.told, m.state = true, is
	data, err := json.Marshal(is)
	if err != nil {
		panic(err) // it has nothing that cannot be written
	}
	return freshet.Event{Type: freshet.TypeStatus, Data: data}, true
}

// watchStatus calls news whenever there may be another status, until ctx ends.
func watchStatus(ctx context.Context, status Status, news func()) {
	for ctx.Err() == nil {
		_, until, report := status()
		var due <-chan time.Time
		if !until.IsZero() {
			due = time.After(max(time.Until(until), 10*time.Millisecond))
		}
		select {
		case <-report:
		case <-due:
		case <-ctx.Done():
		}
		news()
	}
}
