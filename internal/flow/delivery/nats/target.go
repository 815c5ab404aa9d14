package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"freshet"
	"freshet/internal/flow/delivery"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/nats/server"
	"freshet/internal/settings"
)

// A target publishes to the subjects of one subscription.
type target struct {
	config
	format string
	env    source.Env
	base   context.Context //nolint:containedctx // of the connection; ended by Close
	stop   context.CancelFunc

	at delivery.Kept[*link]
}

// A link is a connection.
type link struct {
	*nats.Conn
	js    jetstream.JetStream
	ended context.Context //nolint:containedctx // it ends with the connection, or when the server minds what is sent: its cause says why
}

// HasEnded says whether the connection has.
func (l *link) HasEnded() bool { return l.IsClosed() }

func newTarget(s *freshet.Subscription, env delivery.Env) (delivery.Target, error) {
	t := &target{format: s.Format, env: source.Env{Topic: s.Topic, Client: env.Client, Secure: env.Secure, Dial: env.Dial, Secrets: env.Secrets, Log: env.Log}}
	if wrong := settings.Read(s.Config, &t.config); wrong != nil {
		return nil, wrong
	}
	t.base, t.stop = context.WithCancel(context.Background())
	return t, nil
}

// Close ends the connection.
func (t *target) Close() {
	t.stop()
	t.at.Close()
}

// Deliver publishes the messages and returns once all are acknowledged.
func (t *target) Deliver(ctx context.Context, d *delivery.Delivery) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(t.Timeout))
	defer cancel()
	messages, err := t.messages(d)
	if err != nil {
		return err
	}
	at, err := t.at.Open(ctx, t.connect)
	if err != nil {
		return t.explain(err)
	}
	said := "the server has it"
	if t.Stream == "" {
		err = at.toServer(ctx, messages)
	} else {
		said, err = at.toStream(ctx, t.Stream, messages)
	}
	if err != nil {
		t.at.Drop()
		return t.explain(err)
	}
	d.Confirmed(said)
	return nil
}

func (t *target) connect(ctx context.Context) (*link, error) {
	base, cancel := context.WithCancel(t.base)
	ended, end := context.WithCancelCause(base)
	stop := context.AfterFunc(ctx, cancel)
	nc, err := t.Connect(base, t.env, "freshet "+string(t.env.Topic), func(o *nats.Options) {
		o.ClosedCB = func(*nats.Conn) {
			end(nats.ErrConnectionClosed)
			cancel()
		}
		o.AsyncErrorCB = func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) { // there will be no answer
				end(err)
			}
		}
	})
	if err != nil || !stop() {
		cancel()
		return nil, errors.Join(err, ctx.Err())
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, err //nolint:wrapcheck // explain says what it means
	}
	return &link{nc, js, ended}, nil
}

// messages are the events as NATS gets them. The exchange is told of them.
func (t *target) messages(d *delivery.Delivery) ([]*nats.Msg, error) {
	all := make([]*nats.Msg, len(d.Messages))
	encoded := make([]delivery.Encoded, len(d.Messages))
	for i, m := range d.Messages {
		e := d.Encode(m, t.format, "ce-")
		encoded[i] = e
		msg := nats.NewMsg(d.Address(t.Subject, m))
		if !server.IsSubject(msg.Subject, false) {
			return nil, delivery.Refusedf("%.150q, of the name of the topic, is not a subject of NATS", msg.Subject)
		}
		msg.Data = e.Body
		msg.Header.Set("content-type", e.ContentType)
		for _, h := range e.Headers {
			msg.Header.Set(h.Name, h.Value)
		}
		if t.Stream != "" && d.Purpose != delivery.PurposeRedeliver {
			msg.Header.Set(jetstream.MsgIDHeader, e.ID)
		}
		all[i] = msg
	}
	last := all[len(all)-1]
	more := []delivery.Attribute{{Name: "subject", Value: last.Subject}}
	if id := last.Header.Get(jetstream.MsgIDHeader); id != "" {
		more = append(more, delivery.Attribute{Name: jetstream.MsgIDHeader, Value: id})
	}
	d.Sent(t.Servers, encoded, more...)
	return all, nil
}

// toServer publishes for whoever listens. The server answers once it has all that came before its question.
func (l *link) toServer(ctx context.Context, messages []*nats.Msg) error {
	for _, m := range messages {
		if err := l.PublishMsg(m); err != nil {
			return err //nolint:wrapcheck // explain says what it means
		}
	}
	if err := l.FlushWithContext(ctx); err != nil {
		return err //nolint:wrapcheck // explain says what it means
	}
	return l.LastError() //nolint:wrapcheck // what the server minds it says before it answers
}

// toStream publishes for a stream, waits until it has everything, and returns what it said.
func (l *link) toStream(ctx context.Context, stream string, messages []*nats.Msg) (string, error) {
	acks := make([]jetstream.PubAckFuture, len(messages))
	for i, m := range messages { // what nobody takes is not tried again by the client: later ones would come before it
		var err error
		if acks[i], err = l.js.PublishMsgAsync(m, jetstream.WithExpectStream(stream), jetstream.WithRetryAttempts(0)); err != nil {
			return "", err //nolint:wrapcheck // explain says what it means
		}
	}
	var said strings.Builder
	for _, ack := range acks {
		select {
		case got := <-ack.Ok():
			fmt.Fprintf(&said, "stream %s sequence %d%s\n", got.Stream, got.Sequence, map[bool]string{true: ", which it had"}[got.Duplicate])
		case err := <-ack.Err():
			return "", err
		case <-l.ended.Done():
			return "", context.Cause(l.ended)
		case <-ctx.Done():
			return "", ctx.Err() //nolint:wrapcheck // explain says what it means
		}
	}
	return strings.TrimSuffix(said.String(), "\n"), nil
}

// The code of JetStream for a message that another stream took than the one that has to.
const otherStream = 10060

// explain says what went wrong in words for people.
func (t *target) explain(err error) error {
	is := func(any ...error) bool {
		for _, target := range any {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
	api, refused := errors.AsType[*jetstream.APIError](err)
	switch {
	case is(nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired):
		return delivery.Refusedf("the server refuses the credentials")
	case is(nats.ErrNkeysNotSupported, nats.ErrNoUserCB, nats.ErrNkeyButNoSigCB):
		return delivery.Refusedf("the server takes other credentials")
	case is(nats.ErrPermissionViolation):
		return delivery.Refusedf("this user may not publish to the subject, or not hear of what became of it")
	case is(nats.ErrMaxConnectionsExceeded):
		return delivery.Refusedf("the server has no room for another connection")
	case is(nats.ErrSecureConnWanted):
		return delivery.Refusedf("the server does not offer TLS")
	case is(nats.ErrMaxPayload):
		return delivery.Refusedf("the message is larger than the server allows")
	case is(jetstream.ErrNoStreamResponse, nats.ErrNoResponders):
		return delivery.Refusedf("no stream of JetStream takes what is published to the subject")
	case refused && api.ErrorCode == otherStream:
		return delivery.Refusedf("another stream than %s takes what is published to the subject", t.Stream)
	case refused:
		return delivery.Refusedf("the stream refuses the message: %s", api.Description)
	case is(nats.ErrTimeout, nats.ErrNoServers):
		return delivery.Refusedf("no answer within %v", t.Timeout)
	case is(nats.ErrConnectionClosed, nats.ErrStaleConnection):
		return delivery.Refusedf("the server closed the connection before it said that it has everything")
	}
	return delivery.Explain(err, t.Timeout)
}
