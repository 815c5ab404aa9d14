package websocket

import (
	"encoding/base64"
	"encoding/json"
	"errors"

	"freshet"
	"freshet/internal/flow/fanout"
)

// event is an event as a message; topic is its name where the connection has several.
func event(ev freshet.Event, topic freshet.TopicName, binary bool) []byte {
	b := make([]byte, 0, len(`{"topic":"","id":"","type":"","data":}`)+len(topic)+64+len(ev.Type)+len(ev.Data))
	b = append(b, '{')
	if topic != "" { // of letters that need no escapes
		b = append(append(append(b, `"topic":"`...), topic...), `",`...)
	}
	if ev.Sequence > 0 {
		b = append(append(append(b, `"id":"`...), ev.ID()...), `",`...)
	}
	b = append(append(append(b, `"type":"`...), ev.Type...), `","data":`...)
	if binary {
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, ev.Data)
		return append(b, `"}`...)
	}
	return append(append(b, ev.Data...), '}')
}

// text is a message in its frame, compressed where that is agreed on and worth while.
func (s *Sockets) text(plain []byte, deflate bool) []byte {
	if deflate {
		if compressed, ok := s.deflater.deflate(plain); ok {
			return frame(finBit|rsv1Bit|opText, compressed)
		}
	}
	return frame(finBit|opText, plain)
}

// A style is how the events of a topic are written.
type style struct {
	named, binary, deflate bool
}

func (y style) form() fanout.Form {
	switch {
	case y.named && y.binary:
		return fanout.FormSocketNamedBinary
	case y.named && y.deflate:
		return fanout.FormSocketNamedDeflate
	case y.named:
		return fanout.FormSocketNamed
	case y.binary:
		return fanout.FormSocketBinary
	case y.deflate:
		return fanout.FormSocketDeflate
	}
	return fanout.FormSocket
}

// encode writes an event of a topic in its frame. Base64 hardly compresses.
func (s *Sockets) encode(y style, topic freshet.TopicName) func(freshet.Event) []byte {
	if !y.named {
		topic = ""
	}
	return func(ev freshet.Event) []byte { return s.text(event(ev, topic, y.binary), y.deflate && !y.binary) }
}

// reset is the message that tells a client that what it has of a topic does not count any more.
func reset(topic freshet.TopicName, reason string) []byte {
	return reply{Type: "reset", Topic: topic, Data: map[string]string{"reason": reason}}.frame()
}

// A reply is a message that is no event of a topic.
type reply struct {
	Type    string            `json:"type"`
	Topic   freshet.TopicName `json:"topic,omitempty"`
	Request json.RawMessage   `json:"request,omitempty"`
	Mode    freshet.Mode      `json:"mode,omitempty"`
	Resumed *bool             `json:"resumed,omitempty"`

	ID       string `json:"id,omitempty"`
	Changed  *bool  `json:"changed,omitempty"`
	Repeated bool   `json:"repeated,omitempty"`

	Data any `json:"data,omitempty"`
}

func (r reply) frame() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // it holds texts, and a request's id that was read as JSON
	}
	return frame(finBit|opText, b)
}

// last is the last that a reader of one topic gets.
func (s *Sockets) last(cause error, y style, topic freshet.TopicName) []byte {
	if slow, ok := errors.AsType[*fanout.SlowError](cause); ok {
		return append(s.encode(y, topic)(slow.Event()), s.farewell(cause).frame()...)
	}
	return s.farewell(cause).frame()
}

// farewell is why a connection ends, as its client is told.
func (s *Sockets) farewell(cause error) *CloseError {
	own, isOwn := errors.AsType[*CloseError](cause)
	switch {
	case isOwn:
		return own
	case errors.Is(cause, fanout.ErrSlow):
		return closing(CodeTryAgain, "too slow: resume with the last event id")
	case errors.Is(cause, freshet.ErrNotFound):
		return closing(CodeDeleted, "the topic was deleted")
	case errors.Is(cause, freshet.ErrMode):
		return closing(CodeMode, "the topic does not allow this mode")
	case errors.Is(cause, freshet.ErrUnavailable):
		return closing(CodeGoingAway, "reconnect in %d ms", s.jitter())
	}
	return closing(CodeTryAgain, "reconnect in %d ms", s.jitter())
}

// gone tells that a topic is not there any more.
func gone(topic freshet.TopicName) freshet.Fault {
	return freshet.NewFault(freshet.FaultTopic, "there is no topic %s any more", topic)
}
