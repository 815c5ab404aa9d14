package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"freshet"
	"freshet/internal/flow"
	"freshet/internal/flow/delivery"
	"freshet/internal/flow/fanout"
	"freshet/internal/flow/transport/sse"
	"freshet/internal/flow/transport/websocket"
	"freshet/internal/subscriptions"
)

// stored are the subscriptions whose subscribers come themselves.
type stored struct {
	registry   *subscriptions.Registry
	deliveries *delivery.Deliveries
}

// serveStored sends the events of a stored subscription over the connection that its subscriber makes.
func (l *live) serveStored(w http.ResponseWriter, r *http.Request, f *flow.Follower, id freshet.SubscriptionID) error {
	socket := websocket.Asked(r)
	sub, err := l.storedOf(r, f, id, socket)
	if err != nil {
		f.Close()
		if socket {
			return l.noStoredSocket(w, r, err)
		}
		return err
	}
	leave, ok := l.gate.enter(w, r, f.Topic.Name, f.Subscribers())
	if !ok {
		f.Close()
		if !socket {
			l.streams.Busy(w)
		}
		return errFull
	}
	ctx := r.Context()
	if socket {
		ctx = context.WithoutCancel(ctx) // the connection outlives the request
	}
	at, until, sent, detach, err := l.stored.deliveries.Attach(ctx, id)
	if err != nil {
		leave()
		f.Close()
		if socket {
			return l.noStoredSocket(w, r, err)
		}
		return err
	}
	until = l.tellingWhy(until, id, socket)
	reader := &provisionedStream{streaming{f, leave}, sent, detach}
	cursor, err := l.cursorOf(r, f, sub, at)
	if err != nil {
		l.log.WarnContext(r.Context(), "a stream cannot start now", "subscription", string(id), "err", err)
		reader.Left(err)
		return fmt.Errorf("%w: the topic's history cannot be read", freshet.ErrUnavailable)
	}
	cursor.For(id)
	freshnessHeaders(w.Header(), f)
	if socket {
		binary := r.URL.Query().Get("dataFormat") == "binary"
		return l.sockets.Serve(w, r, websocket.Subscription{Topic: f.Topic.Name, Mode: sub.Mode, Cursor: cursor, Reader: reader, Status: websocket.Status(statusOf(r, f)), Binary: binary, Until: until})
	}
	l.streams.Serve(w, r.WithContext(until), sse.Stream{Cursor: cursor, Reader: reader, Compress: wantsGzip(r), Status: statusOf(r, f)})
	return nil
}

// storedOf is the subscription that a request names, if that is for it. A page of another origin may not move its
// cursor, even where it could not read what comes.
func (l *live) storedOf(r *http.Request, f *flow.Follower, id freshet.SubscriptionID, socket bool) (*freshet.Subscription, error) {
	kind := "sse"
	if socket {
		kind = "websocket"
		if err := l.checkSocket(r); err != nil {
			return nil, err
		}
	} else if err := l.checkOrigin(r); err != nil {
		return nil, err
	}
	sub, err := l.stored.registry.Whole(id)
	if err == nil {
		err = checkParameters(r)
	}
	switch {
	case err != nil:
		return nil, err
	case sub.Topic != f.Topic.Name:
		return nil, fmt.Errorf("%w: %s is one of topic %s", subscriptions.ErrNotFound, id, sub.Topic)
	case sub.Type != kind:
		return nil, badParameter("subscription", "%s is of type %s, and this is %s", id, sub.Type, kind)
	}
	if !socket {
		if ask, err := negotiate(r); err != nil || ask.style != styleStream && r.Header.Get("Accept") != "*/*" && r.Header.Get("Accept") != "" {
			return nil, fmt.Errorf("%w: a subscription is followed as text/event-stream", errAccept)
		}
	}
	return sub, nil
}

// noStoredSocket answers a WebSocket that a subscription cannot have. Pages do not see the status of an answer, so
// the connection is made and closed with the reason.
func (l *live) noStoredSocket(w http.ResponseWriter, r *http.Request, err error) error {
	switch {
	case errors.Is(err, subscriptions.ErrNotFound), errors.Is(err, freshet.ErrNotFound):
		return l.sockets.Refuse(w, r, websocket.CodeNotFound, err.Error())
	case errors.Is(err, delivery.ErrInactive):
		return l.sockets.Refuse(w, r, websocket.CodeInactive, err.Error())
	}
	return err
}

// comeBackAfterTaken is when an EventSource comes back whose place another connection has taken. It does so by
// itself, and so would the other one: two that each come back at once would do nothing else.
const comeBackAfterTaken = 10 * time.Minute

// tellingWhy is a context that ends with another, for the same cause as the client of a stored subscription is told.
func (l *live) tellingWhy(until context.Context, id freshet.SubscriptionID, socket bool) context.Context {
	told, end := context.WithCancelCause(context.WithoutCancel(until))
	context.AfterFunc(until, func() { end(l.ending(id, context.Cause(until), socket)) })
	return told
}

// ending is why a connection of a stored subscription ends, in the words of its transport. Other causes are the
// connection's own.
func (l *live) ending(id freshet.SubscriptionID, cause error, socket bool) error {
	code, fault, retry := websocket.CodeDeleted, freshet.NewFault(freshet.FaultNoSubscription, "subscription %s was deleted", id), time.Duration(0)
	switch {
	case errors.Is(cause, freshet.ErrNotFound):
	case !errors.Is(cause, delivery.ErrInactive):
		return cause
	default:
		sub, err := l.stored.registry.Whole(id)
		switch {
		case err != nil: // deleted meanwhile
		case sub.Status != freshet.SubscriptionActive:
			code, fault = websocket.CodeInactive, freshet.NewFault(freshet.FaultInactive, "subscription %s is %s", id, sub.Status)
		default: // nothing but another connection ends one while the subscription is active
			code, fault = websocket.CodeTaken, freshet.NewFault(freshet.FaultTaken, "another connection of subscription %s has taken the place of this one", id)
			retry = comeBackAfterTaken
		}
	}
	if socket {
		return &websocket.CloseError{Code: code, Reason: fault.Message}
	}
	fault.Subscription = id
	return &sse.Ending{Fault: fault, Retry: retry}
}

// cursorOf is where the stream starts: after the event that the client says that it has, or else the one that the
// subscription remembers.
func (l *live) cursorOf(r *http.Request, f *flow.Follower, sub *freshet.Subscription, at string) (*fanout.Cursor, error) {
	if err := f.Feed.Wait(r.Context()); err != nil {
		return nil, err
	}
	if id := lastEventID(r); id != "" {
		cursor, _, err := resume(r.Context(), f, sub.Mode, id)
		return cursor, err
	}
	return delivery.Begin(r.Context(), f.Feed, f.Topic.Kind, sub, at)
}

// A provisionedStream moves the cursor of a stored subscription along with what is written.
type provisionedStream struct {
	streaming
	sent   func(fanout.Batch)
	detach func()
}

// Solitary is part of shard.Solitary: each batch of this connection counts.
func (*provisionedStream) Solitary() {}

// Sent moves the cursor.
func (p *provisionedStream) Sent(b fanout.Batch, bytes, readers int) {
	p.sent(b)
	p.streaming.Sent(b, bytes, readers)
}

// Left ends the connection's part in the subscription.
func (p *provisionedStream) Left(cause error) {
	p.detach()
	p.streaming.Left(cause)
}
