package websocket

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"freshet"
)

// A Desk does what the client of a connection with several topics asks for. Its errors are told to the client
// as they are where they are a freshet.Fault; others only as an internal error.
type Desk interface {
	// Subscribe follows a topic from where the client is.
	Subscribe(ctx context.Context, ask Subscribing) (Subscription, error)
	// Publish hands a payload to a topic; an empty key is none.
	Publish(ctx context.Context, topic freshet.TopicName, data []byte, key string) (Published, error)
	// Left is called once the connection has ended.
	Left()
}

// A Subscribing is a wish to follow a topic.
type Subscribing struct {
	Topic       freshet.TopicName
	Mode        freshet.Mode // empty: the topic's default
	LastEventID string       // empty: the client has nothing
	Beginning   bool         // of messages, start with the oldest
	Status      bool
	Binary      bool

	request json.RawMessage // the client's own id of the wish
	bare    bool            // events do not name their topic, and there is no acknowledgement
}

// Published is what came of a payload.
type Published struct {
	ID       string // of its event; empty: it changed nothing
	Repeated bool   // it came before
}

// Bounds of a connection with several topics.
type Bounds struct {
	Topics  int // at a time
	Message int // bytes of one that the client sends
}

// ServeMany serves a connection over which the client subscribes to topics, and unsubscribes, as it likes; first
// is what it asked for as it came. The request must have been checked.
func (s *Sockets) ServeMany(w http.ResponseWriter, r *http.Request, desk Desk, b Bounds, first []Subscribing) error {
	conn, head, early, deflate, err := s.accept(w, r)
	if err != nil {
		desk.Left()
		return err
	}
	x := s.session(&primed{conn, early}, &ear{parser: parser{limit: b.Message, deflate: deflate}, deflater: &s.deflater})
	x.desk, x.first, x.topics = desk, first, b.Topics
	s.sessions.start(x, head, nil)
	return nil
}

// Refuse tells a client that it cannot have what it asks for: pages cannot see the status of an answer, but they
// can see why a connection was closed. The request must have been checked.
func (s *Sockets) Refuse(w http.ResponseWriter, r *http.Request, code Code, reason string) error {
	conn, head, early, deflate, err := s.accept(w, r)
	if err != nil {
		return err
	}
	x := s.session(&primed{conn, early}, &ear{parser: parser{limit: mostSaid, deflate: deflate}, deflater: &s.deflater, text: takesNothing})
	s.sessions.start(x, head, &CloseError{Code: code, Reason: reason})
	return nil
}

// command is what a client sends. The incumbent's clients say topicIdOrName and subscriptionMode, and no type.
type command struct {
	Type    string            `json:"type"`
	Request json.RawMessage   `json:"request"`
	Topic   freshet.TopicName `json:"topic"`

	Mode        freshet.Mode `json:"mode"`
	LastEventID string       `json:"lastEventId"`
	DataFormat  string       `json:"dataFormat"`
	From        string       `json:"from"`
	Status      bool         `json:"status"`

	TopicIDOrName    freshet.TopicName `json:"topicIdOrName"`
	SubscriptionMode freshet.Mode      `json:"subscriptionMode"`

	Data           json.RawMessage `json:"data"`
	IdempotencyKey string          `json:"idempotencyKey"`
}

// mostRequest bounds the id that a client gives what it asks for, in bytes of JSON.
const mostRequest = 128

// asked does what the client asks for. An error ends the connection; what cannot be done does not.
func (x *session) asked(ctx context.Context, text []byte) error {
	var c command
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err := inWords(d.Decode(&c))
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the message")
		}
	}
	if err == nil {
		err = c.check()
	}
	if len(c.Request) > mostRequest {
		c.Request = nil
	}
	if err != nil {
		return x.fault("", c.Request, freshet.NewFault(freshet.FaultRequest, "the message is not understood: %.200s", err.Error()))
	}
	switch c.Type {
	case "unsubscribe":
		return x.unsubscribe(c)
	case "publish":
		return x.publish(ctx, c)
	}
	return x.subscribe(ctx, c.subscribing())
}

// inWords is what encoding/json says of a message, without the names of our types.
func inWords(err error) error {
	if err == nil {
		return nil
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		want := map[reflect.Kind]string{reflect.String: "a string", reflect.Bool: "true or false"}[wrong.Type.Kind()]
		got := map[string]string{"array": "an array", "object": "an object", "string": "a string", "bool": "true or false"}[wrong.Value]
		return fmt.Errorf("%s has to be %s, not %s", cmp.Or(wrong.Field, "it"), cmp.Or(want, "an object"), cmp.Or(got, "a number"))
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Errorf("there is no member %s", name)
	}
	return errors.New("it is not one complete JSON value")
}

// check says what is wrong with a message, and completes it.
func (c *command) check() error {
	incumbents := c.TopicIDOrName != "" && c.Topic == "" && c.Type == ""
	switch {
	case incumbents:
		c.Topic = c.TopicIDOrName
	case c.Type != "subscribe" && c.Type != "unsubscribe" && c.Type != "publish":
		return errors.New(`type is "subscribe", "unsubscribe" or "publish"`)
	case c.TopicIDOrName != "":
		return errors.New("topicIdOrName has no type beside it: write topic")
	case c.Topic == "":
		return errors.New("topic is missing")
	}
	if c.Mode == "" {
		c.Mode = c.SubscriptionMode
	}
	switch {
	case len(c.Request) > mostRequest || len(c.Request) > 0 && (c.Request[0] == '{' || c.Request[0] == '[' || c.Request[0] == 't' || c.Request[0] == 'f'):
		return fmt.Errorf("request is a string or a number of up to %d bytes", mostRequest)
	case c.DataFormat != "" && c.DataFormat != "text" && c.DataFormat != "binary":
		return errors.New(`dataFormat is "text" or "binary"`)
	case c.From != "" && c.From != "beginning":
		return errors.New(`from is "beginning"`)
	case c.Type == "publish" && len(c.Data) == 0:
		return errors.New("data is missing")
	}
	return nil
}

func (c *command) subscribing() Subscribing {
	bare := c.Type == "" // the incumbent's, whose data is base64 unless it says otherwise
	return Subscribing{
		Topic: c.Topic, Mode: c.Mode, LastEventID: c.LastEventID, Beginning: c.From == "beginning", Status: c.Status,
		Binary: c.DataFormat == "binary" || bare && c.DataFormat == "", request: c.Request, bare: bare,
	}
}

func (x *session) subscribe(ctx context.Context, ask Subscribing) error {
	cannot := func(format string, args ...any) error {
		return x.fault(ask.Topic, ask.request, freshet.NewFault(freshet.FaultSubscription, format, args...))
	}
	switch members := x.following(); {
	case x.find(ask.Topic) != nil:
		return cannot("%s is subscribed to already", ask.Topic)
	case len(members) >= x.topics:
		return cannot("a connection may follow %d topics", x.topics)
	case ask.bare && len(members) > 0:
		return cannot("topicIdOrName is for one topic on a connection: write type and topic")
	}
	sub, err := x.desk.Subscribe(ctx, ask)
	if err != nil {
		return x.refuse(ask.Topic, ask.request, err)
	}
	if !ask.bare {
		if err := x.reply(reply{Type: "subscribed", Topic: sub.Topic, Request: ask.request, Mode: sub.Mode, Resumed: sub.Resumed}); err != nil {
			sub.Reader.Left(err)
			return err
		}
	}
	x.add(sub, style{named: !ask.bare, binary: ask.Binary, deflate: x.deflate})
	return nil
}

// refuse tells why something could not be done.
func (x *session) refuse(topic freshet.TopicName, request []byte, err error) error {
	f, ok := errors.AsType[freshet.Fault](err)
	if !ok {
		f = freshet.NewFault(freshet.FaultServer, "internal error")
	}
	return x.fault(topic, request, f)
}

var errUnsubscribed = errors.New("unsubscribed")

func (x *session) unsubscribe(c command) error {
	m := x.take(c.Topic)
	if m == nil {
		return x.fault(c.Topic, c.Request, freshet.NewFault(freshet.FaultNoSubscription, "there is no subscription to %s", c.Topic))
	}
	m.leave(errUnsubscribed)
	return x.reply(reply{Type: "unsubscribed", Topic: c.Topic, Request: c.Request})
}

func (x *session) publish(ctx context.Context, c command) error {
	got, err := x.desk.Publish(ctx, c.Topic, c.Data, c.IdempotencyKey)
	if err != nil {
		return x.refuse(c.Topic, c.Request, err)
	}
	changed := got.ID != ""
	return x.reply(reply{Type: "published", Topic: c.Topic, Request: c.Request, ID: got.ID, Changed: &changed, Repeated: got.Repeated})
}
