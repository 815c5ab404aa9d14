package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"freshet"
	"freshet/internal/flow"
	"freshet/internal/flow/transport/sse"
	"freshet/internal/flow/transport/websocket"
)

// What a client may send over a WebSocket at a time, in bytes.
const (
	maxCommand   = 64 << 10
	maxPublished = 1<<20 + maxCommand // where it may publish; larger payloads are posted
)

// checkSocket says what keeps a request from becoming a WebSocket. Browsers let any page open one anywhere, with
// the user's cookies and from the user's network, and say in Origin which page it is (RFC 6455, 10.2).
func (l *live) checkSocket(r *http.Request) error {
	if err := websocket.Check(r); errors.Is(err, websocket.ErrVersion) {
		return known(err, err.Error(), map[string]string{"Sec-WebSocket-Version": websocket.Version, "Upgrade": "websocket"})
	} else if err != nil {
		return err
	}
	return l.checkOrigin(r)
}

// checkOrigin refuses pages of origins that may not read here, for connections where that they cannot read is not
// enough.
func (l *live) checkOrigin(r *http.Request) error {
	if !isForeign(r) || r.Header.Get("Origin") != "" && l.origins != nil && l.origins.OriginAllowed(r) {
		return nil
	}
	return fmt.Errorf("%w: pages of %.200s may open no such connection here: cors.origins names those that may", freshet.ErrNotAllowed, cmp.Or(r.Header.Get("Origin"), "other sites"))
}

// isForeign says whether it is a page of another origin that asks. A browser that names no origin, as it does for an
// image, still says that the site is another (Fetch Metadata, 2.3).
func isForeign(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return r.Header.Get("Sec-Fetch-Site") == "cross-site"
	}
	u, err := url.Parse(origin)
	return err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host)
}

// noSocket answers a WebSocket without its topic. Pages do not see the status of an answer, so the connection is
// made and closed with the reason.
func (l *live) noSocket(w http.ResponseWriter, r *http.Request, err error) error {
	if refused := l.checkSocket(r); refused != nil {
		return refused
	}
	switch {
	case errors.Is(err, freshet.ErrNotFound):
		return l.sockets.Refuse(w, r, websocket.CodeNotFound, err.Error())
	case errors.Is(err, freshet.ErrMode):
		return l.sockets.Refuse(w, r, websocket.CodeMode, err.Error())
	}
	return err
}

// errFull is what a client over a limit gets.
var errFull = fmt.Errorf("%w: the server has as many connections as it may have", freshet.ErrUnavailable)

// socket sends a topic over WebSocket.
func (l *live) socket(w http.ResponseWriter, r *http.Request, f *flow.Follower) error {
	err := l.checkSocket(r)
	if err == nil && !flow.IsAdHoc(f.Topic.Name) {
		err = checkParameters(r)
	}
	if err != nil {
		f.Close()
		return err
	}
	mode, err := modeAs(f.Topic, "websocket", queryMode(r))
	if err != nil {
		f.Close()
		return l.noSocket(w, r, err)
	}
	leave, ok := l.gate.enter(w, r, f.Topic.Name, f.Subscribers())
	if !ok {
		f.Close()
		return errFull
	}
	reader := &streaming{f, leave}
	if err := f.Feed.Wait(r.Context()); err != nil {
		reader.Left(err)
		return err
	}
	cursor, err := l.cursor(w, r, f, mode)
	if err != nil {
		l.log.WarnContext(r.Context(), "a WebSocket cannot start now", "topic", string(f.Topic.Name), "err", err)
		reader.Left(err)
		return fmt.Errorf("%w: the topic's history cannot be read", freshet.ErrUnavailable)
	}
	freshnessHeaders(w.Header(), f)
	binary := r.URL.Query().Get("dataFormat") == "binary" && !flow.IsAdHoc(f.Topic.Name)
	return l.sockets.Serve(w, r, websocket.Subscription{
		Topic: f.Topic.Name, Mode: mode, Cursor: cursor, Reader: reader, Status: websocket.Status(statusOf(r, f)), Binary: binary,
	})
}

// manySockets answers with a WebSocket over which the client subscribes to topics as it likes; those of the query
// at once.
func (l *live) manySockets(w http.ResponseWriter, r *http.Request, names []string) error {
	if err := l.checkSocket(r); err != nil {
		return err
	}
	if err := checkParameters(r); err != nil {
		return err
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) > mostTopics {
		return badParameter("topic", "%d topics are too many for one connection, which may follow %d", len(names), mostTopics)
	}
	leave, ok := l.gate.enter(w, r, "", 0)
	if !ok {
		return errFull
	}
	at, _ := sse.Positions(lastEventID(r))
	q := r.URL.Query()
	status, _ := strconv.ParseBool(q.Get("status")) // it was checked
	var first []websocket.Subscribing
	for _, name := range names {
		first = append(first, websocket.Subscribing{
			Topic: freshet.TopicName(name), Mode: queryMode(r), LastEventID: at[freshet.TopicName(name)],
			Beginning: q.Get("from") == "beginning", Status: status, Binary: q.Get("dataFormat") == "binary",
		})
	}
	bounds := websocket.Bounds{Topics: mostTopics, Message: maxCommand}
	if l.publishes {
		bounds.Message = maxPublished
	}
	return l.sockets.ServeMany(w, r, &desk{l, r, leave}, bounds, first)
}

// A desk does what the client of a WebSocket asks for.
type desk struct {
	live  *live
	r     *http.Request // with which the connection began
	leave func()
}

// Left gives up the connection's place among those that are open.
func (d *desk) Left() { d.leave() }

// Subscribe follows a topic from where the client is.
func (d *desk) Subscribe(ctx context.Context, ask websocket.Subscribing) (sub websocket.Subscription, err error) {
	f, err := d.follow(ask.Topic)
	if err != nil {
		return sub, d.fault(ctx, err)
	}
	sub = websocket.Subscription{Topic: f.Topic.Name, Reader: f, Binary: ask.Binary}
	if sub.Mode, err = modeAs(f.Topic, "websocket", ask.Mode); err == nil {
		err = f.Feed.Wait(ctx)
	}
	switch {
	case err != nil:
	case !d.live.gate.hasRoom(f.Topic.Name, f.Subscribers()):
		err = errFull
	case ask.LastEventID != "":
		var resumed bool
		sub.Cursor, resumed, err = resume(ctx, f, sub.Mode, ask.LastEventID)
		sub.Resumed = &resumed
	case ask.Beginning && sub.Mode == freshet.ModeEvent:
		sub.Cursor = f.Feed.FollowAll(sub.Mode)
	default:
		sub.Cursor = f.Feed.Follow(sub.Mode)
	}
	if err != nil {
		f.Close()
		return sub, d.fault(ctx, err)
	}
	if ask.Status {
		sub.Status = f.Freshness
	}
	return sub, nil
}

func (d *desk) follow(name freshet.TopicName) (*flow.Follower, error) {
	if flow.IsAdHoc(name) { // followed by its URL and headers only: the name is no proof of knowing them
		return nil, fmt.Errorf("%w: %s", freshet.ErrNotFound, name)
	}
	return d.live.flow.Follow(name)
}

// Publish hands a payload to a topic, where the configuration lets clients do that.
func (d *desk) Publish(ctx context.Context, topic freshet.TopicName, data []byte, key string) (got websocket.Published, err error) {
	const refused = freshet.FaultHTTP + http.StatusForbidden
	switch {
	case !d.live.publishes:
		return got, freshet.NewFault(refused, "nothing is published over WebSocket here: websocket.publish allows it")
	case isForeign(d.r):
		return got, freshet.NewFault(refused, "pages of other origins may read where cors.origins names them, and never write")
	}
	if err := d.live.takesPosts(topic); err != nil {
		return got, d.fault(ctx, err)
	}
	post := flow.Post{Body: data, Header: http.Header{}}
	if key != "" {
		if post.Key, err = idempotencyKey(http.Header{"Idempotency-Key": {key}}); err != nil {
			return got, d.fault(ctx, err)
		}
	}
	receipt, err := d.live.flow.Publish(ctx, topic, post)
	if err != nil {
		return got, d.fault(ctx, err)
	}
	if receipt.Changed > 0 {
		got.ID = receipt.Last.String()
	}
	got.Repeated = receipt.Repeated
	return got, nil
}

// fault is an error as the client is told, in the incumbent's codes.
func (d *desk) fault(ctx context.Context, err error) error {
	if f, ok := faultOf(err); ok {
		return f
	}
	code := 0
	switch {
	case errors.Is(err, freshet.ErrNotFound):
		code = freshet.FaultNotFound
	case errors.Is(err, freshet.ErrMode):
		code = freshet.FaultSubscription
	case errors.Is(err, errParameter):
		code = freshet.FaultRequest
	case errors.Is(err, freshet.ErrUnavailable):
		code = freshet.FaultUnavailable
	case errors.Is(err, freshet.ErrInactive):
		code = freshet.FaultHTTP + http.StatusGone
	case errors.Is(err, errMethod):
		code = freshet.FaultHTTP + http.StatusMethodNotAllowed
	case errors.Is(err, freshet.ErrTooLarge):
		code = freshet.FaultSize
	case errors.Is(err, flow.ErrKeyReused):
		code = freshet.FaultHTTP + http.StatusUnprocessableEntity
	case errors.Is(err, flow.ErrUnproven), errors.Is(err, flow.ErrReplayed), errors.Is(err, freshet.ErrNotAllowed):
		code = freshet.FaultPublication
	}
	p, ok := problemOf(err)
	if code == 0 || !ok {
		if ctx.Err() == nil {
			d.live.log.WarnContext(ctx, "what the client of a WebSocket asked for failed", "err", err)
		}
		return freshet.NewFault(freshet.FaultServer, "internal error")
	}
	return freshet.NewFault(code, "%s", p.Detail)
}
