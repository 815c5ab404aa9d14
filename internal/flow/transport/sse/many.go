package sse

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"freshet"
	"freshet/internal/flow/fanout"
	"freshet/internal/flow/transport/shard"
)

// A Member is one of the topics of a connection that has several.
type Member struct {
	Topic  freshet.TopicName
	Cursor *fanout.Cursor
	Reader shard.Reader

	at string // the id of the last event that was sent of it
}

// Positions reads an id of a connection with several topics: the ids of each, by name. What is not one
// gives nothing.
func Positions(id string) map[freshet.TopicName]string {
	at := map[freshet.TopicName]string{}
	for part := range strings.SplitSeq(id, ",") {
		if name, one, ok := strings.Cut(part, "="); ok {
			at[freshet.TopicName(name)] = one
		}
	}
	return at
}

// ServeMany is Serve for several topics over one connection. Each event names its topic, in its data, and
// its id is the position in all of them. had are the positions that the client has already.
func (s *Streams) ServeMany(w http.ResponseWriter, r *http.Request, members []Member, had map[freshet.TopicName]string) {
	Headers(w.Header())
	w.WriteHeader(http.StatusOK)
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(string(a.Topic), string(b.Topic)) })
	for i := range members {
		m := &members[i]
		m.at = had[m.Topic]
		// Of messages the client has a position before it gets the first one: where it came in.
		if at, ok := m.Cursor.Position(); ok && m.at == "" {
			m.at = at.String()
		}
	}
	m := &many{s: s, out: &answer{w, http.NewResponseController(w)}, members: members, changed: make(chan struct{}, 1)}
	err := m.follow(r.Context())
	for _, member := range members {
		member.Reader.Left(err)
	}
	panic(http.ErrAbortHandler)
}

type many struct {
	s       *Streams
	out     outlet
	members []Member
	changed chan struct{}
	greeted bool
}

func (m *many) follow(ctx context.Context) error {
	for _, member := range m.members {
		defer member.Cursor.Feed().Watch(func() {
			select {
			case m.changed <- struct{}{}:
			default:
			}
		})()
	}
	p := m.s.plain
	if err := m.out.write(nil, p.Stalled); err != nil {
		return err
	}
	beat := time.NewTimer(p.Heartbeat)
	defer beat.Stop()
	for {
		sent, err := m.advance(ctx)
		if err != nil {
			return err
		}
		if sent {
			beat.Reset(p.Heartbeat)
			continue
		}
		select {
		case <-m.changed:
		case <-beat.C:
			if err := m.out.write(p.Beat, p.Stalled); err != nil {
				return err
			}
			beat.Reset(p.Heartbeat)
		case <-ctx.Done():
			_ = m.out.write(p.End(context.Cause(ctx)), p.Stalled)
			return context.Cause(ctx)
		}
	}
}

// advance sends what is lacking of every topic, a batch of each, and says whether that was anything.
func (m *many) advance(ctx context.Context) (sent bool, err error) {
	p := m.s.plain
	for i := range m.members {
		member := &m.members[i]
		batch, err := member.Cursor.Next(ctx)
		if err != nil {
			_ = m.out.write(p.End(err), p.Stalled)
			return sent, err
		}
		for j, e := range batch.Entries {
			var frame []byte
			if !m.greeted {
				frame, m.greeted = preamble(m.s.jitter(), ""), true
			}
			if j == 0 && batch.Reset != "" {
				frame = fmt.Appendf(frame, ": reset %s %s\n", member.Topic, batch.Reset)
			}
			frame = m.frame(frame, member, e)
			if err := m.out.write(frame, p.Stalled); err != nil {
				return sent, err
			}
			member.Reader.Sent(fanout.Batch{Entries: batch.Entries[j : j+1]}, len(frame), 1)
			sent = true
		}
	}
	return sent, nil
}

// frame appends an event of one of the topics: the part that all connections share, then the id, which
// is this connection's.
func (m *many) frame(b []byte, member *Member, e *fanout.Entry) []byte {
	b = append(b, e.Frame(fanout.FormSSENamed, func(ev freshet.Event) []byte { return named(member.Topic, ev) })...)
	if e.Sequence > 0 {
		member.at = e.ID()
	}
	b = append(b, "\nid: "...)
	b = append(b, m.id()...)
	return append(b, "\n\n"...)
}

func (m *many) id() string {
	var b strings.Builder
	for _, member := range m.members {
		if member.at == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(string(member.Topic) + "=" + member.at)
	}
	return b.String()
}

// named is an event whose data names its topic.
func named(topic freshet.TopicName, ev freshet.Event) []byte {
	var b bytes.Buffer
	name, err := json.Marshal(topic)
	if err != nil {
		panic(err) // a string always marshals
	}
	fmt.Fprintf(&b, "event: %s\ndata: {\"topic\":%s,\"data\":%s}", ev.Type, name, oneLine(ev.Data))
	return b.Bytes()
}
