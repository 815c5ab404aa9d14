package sse

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
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
	At     string         // the id that the client has of it; empty: none
	Cursor *fanout.Cursor // nil: there is no such topic any more, which the client is told
	Reader shard.Reader   // who leaves when the topic or the connection ends; nil where Cursor is
	Status Status         // nil: the client wants no status events

	statuses statuses
}

// Positions reads an id of a connection with several topics: the ids of each, by name. Where something of it
// is not one it gives what is, and false.
func Positions(id string) (at map[freshet.TopicName]string, whole bool) {
	at, whole = map[freshet.TopicName]string{}, true
	for part := range strings.SplitSeq(id, ",") {
		name, one, ok := strings.Cut(part, "=")
		if ok = ok && freshet.TopicName(name).Validate() == nil; ok {
			at[freshet.TopicName(name)] = one
		}
		whole = whole && ok
	}
	return at, whole
}

// ServeMany is Serve for several topics over one connection. Each event names its topic, in its data, and
// its id is the position in all of them. A topic that ends does not end the others. left is called once, when the
// connection is over.
func (s *Streams) ServeMany(w http.ResponseWriter, r *http.Request, members []Member, compress bool, left func()) {
	m := &many{s: s, p: s.own.plain, compress: compress, members: members, changed: make(chan struct{}, 1), left: left}
	Headers(w.Header())
	var head []byte
	if compress {
		w.Header().Set("Content-Encoding", "gzip")
		m.p, head = s.own.gzip, []byte(gzipHeader)
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(string(a.Topic), string(b.Topic)) })
	for i := range members {
		one := &members[i]
		one.statuses.of = one.Status
		// Of messages the client has a position before it gets the first one: where it came in.
		if one.Cursor != nil && one.At == "" {
			if at, ok := one.Cursor.Position(); ok {
				one.At = at.String()
			}
		}
	}
	if conn, ok := s.detach(w, r); ok {
		s.takeOverMany(conn, w.Header(), m, head)
		return
	}
	w.WriteHeader(http.StatusOK)
	m.out = &answer{w, http.NewResponseController(w)}
	err := m.follow(r.Context(), head)
	m.leave(err)
	end(r, err)
}

// takeOverMany writes a connection that net/http has let go of.
func (s *Streams) takeOverMany(conn net.Conn, header http.Header, m *many, opening []byte) {
	head := answerHead(header, opening)
	m.out, m.chunked, m.p = shard.Socket{Conn: conn}, true, s.own.chunks
	if m.compress {
		m.p = s.own.gzipChunk
	}
	s.followers.run(conn, m.leave, func(ctx context.Context) error { return m.follow(ctx, head) })
}

// many is a connection with several topics.
type many struct {
	s        *Streams
	p        *shard.Protocol // its Beat and End
	compress bool
	chunked  bool // what is written are chunks
	out      shard.Outlet
	members  []Member // of those that are gone the Cursor is nil
	changed  chan struct{}
	greeted  bool
	left     func()
}

// leave is called when the connection is over.
func (m *many) leave(cause error) {
	for i := range m.members {
		m.members[i].statuses.stop()
		if m.members[i].Cursor != nil {
			m.members[i].Reader.Left(cause)
		}
	}
	m.left()
}

// write writes parts of an event together.
func (m *many) write(parts ...[]byte) error {
	b := slices.Concat(parts...)
	if m.chunked {
		b = chunk(b)
	}
	return m.out.WriteWithin(b, m.p.Stalled)
}

// errAllGone is why a connection ends all of whose topics did.
var errAllGone = fmt.Errorf("%w: every topic of the connection was deleted", freshet.ErrNotFound)

func (m *many) follow(ctx context.Context, head []byte) error {
	for _, member := range m.members {
		if member.Cursor == nil {
			continue
		}
		defer member.Cursor.Feed().Watch(func() {
			select {
			case m.changed <- struct{}{}:
			default:
			}
		})()
	}
	if err := m.out.WriteWithin(head, m.p.Stalled); err != nil {
		return err
	}
	for i := range m.members {
		if m.members[i].Cursor == nil {
			if err := m.gone(&m.members[i]); err != nil {
				return err
			}
		}
	}
	beat := time.NewTimer(m.p.Heartbeat)
	defer beat.Stop()
	for {
		sent, err := m.advance(ctx)
		if err != nil {
			return err
		}
		if sent {
			beat.Reset(m.p.Heartbeat)
			continue
		}
		switch m.wait(ctx, beat.C) {
		case waitedBeat:
			if err := m.out.WriteWithin(m.p.Beat, m.p.Stalled); err != nil {
				return err
			}
			beat.Reset(m.p.Heartbeat)
		case waitedEnd:
			return m.end(context.Cause(ctx))
		}
	}
}

// What many waits for, in the order of its choices.
const (
	waitedEnd = iota
	waitedBeat
	waitedNews
)

// wait waits for one of them.
func (m *many) wait(ctx context.Context, beat <-chan time.Time) int {
	choices := []reflect.SelectCase{receive(ctx.Done()), receive(beat), receive(m.changed)}
	for i := range m.members {
		if st := &m.members[i].statuses; st.of != nil && m.members[i].Cursor != nil {
			choices = append(choices, receive(st.report), receive(st.due()))
		}
	}
	chosen, _, _ := reflect.Select(choices)
	return min(chosen, waitedNews)
}

func receive[T any](from <-chan T) reflect.SelectCase {
	return reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(from)}
}

// advance sends what is lacking of every topic, a batch of each, and says whether that was anything.
func (m *many) advance(ctx context.Context) (sent bool, err error) {
	left := 0
	for i := range m.members {
		member := &m.members[i]
		if member.Cursor == nil {
			continue
		}
		batch, err := member.Cursor.Next(ctx)
		switch slow, isSlow := errors.AsType[*fanout.SlowError](err); {
		case errors.Is(err, freshet.ErrNotFound):
			member.Reader.Left(err)
			member.Cursor = nil
			if err := m.gone(member); err != nil {
				return sent, err
			}
			sent = true
			continue
		case isSlow:
			_ = m.event(member, "", &fanout.Entry{Event: slow.Event()})
			return sent, m.end(err)
		case err != nil:
			return sent, m.end(err)
		}
		left++
		for _, e := range batch.Entries {
			if err := m.event(member, batch.Reset, e); err != nil {
				return sent, err
			}
			batch.Reset, sent = "", true
		}
		if is, news := member.statuses.next(); news {
			wrap := asIs
			if m.compress {
				wrap = m.s.deflater.Deflate
			}
			if err := m.write(wrap(append(named(member.Topic, statusEvent(is)), "\n\n"...))); err != nil {
				return sent, err
			}
			sent = true
		}
	}
	if left == 0 {
		return sent, m.end(errAllGone)
	}
	return sent, nil
}

// end is how the connection ends for a reason that is not the client's.
func (m *many) end(cause error) error {
	if _, told := errors.AsType[*fanout.SlowError](cause); told {
		_ = m.out.WriteWithin(m.p.End(freshet.ErrUnavailable), m.p.Stalled) // what it is told names its topic
		return cause
	}
	if err := m.out.WriteWithin(m.p.End(cause), m.p.Stalled); err != nil {
		return err
	}
	return cause
}

// gone tells the client that there is no such topic any more. The topic stays in the connection's ids, so
// that who comes back with one is known for one who has had it.
func (m *many) gone(member *Member) error {
	if member.At == "" {
		member.At = freshet.Position{}.String()
	}
	fault := freshet.NewFault(freshet.FaultTopic, "there is no topic %s any more", member.Topic)
	return m.event(member, "", fanout.FaultEntry(fault))
}

// event sends an event of one of the topics: the part that all connections share, then the id, which is
// this connection's.
func (m *many) event(member *Member, reset string, e *fanout.Entry) error {
	var before []byte
	if !m.greeted {
		before, m.greeted = preamble(m.s.jitter(), ""), true
	}
	if reset != "" {
		before = fmt.Appendf(before, ": reset %s %s\n", member.Topic, reset)
	}
	if e.Sequence > 0 {
		member.At = e.ID()
	}
	form, wrap := fanout.FormSSENamed, asIs
	if m.compress {
		form, wrap = fanout.FormSSENamedDeflate, m.s.deflater.Deflate
	}
	if len(before) > 0 {
		before = wrap(before)
	}
	frame := e.Frame(form, func(ev freshet.Event) []byte { return wrap(named(member.Topic, ev)) })
	id := wrap([]byte(m.id() + "\n\n"))
	if err := m.write(before, frame, id); err != nil {
		return err
	}
	if member.Cursor != nil {
		member.Reader.Sent(fanout.Batch{Entries: []*fanout.Entry{e}}, len(before)+len(frame)+len(id), 1)
	}
	return nil
}

// id is the line of the connection's position; nothing where there is none.
func (m *many) id() string {
	var b strings.Builder
	for _, member := range m.members {
		if member.At == "" {
			continue
		}
		b.WriteString(separator(b.Len()))
		b.WriteString(string(member.Topic) + "=" + member.At)
	}
	return b.String()
}

func separator(before int) string {
	if before == 0 {
		return "\nid: "
	}
	return ","
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
