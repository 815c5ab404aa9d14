package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/rs/cors"

	"freshet"
	"freshet/internal/catalog"
	"freshet/internal/flow"
	"freshet/internal/flow/fanout"
	"freshet/internal/flow/transport/sse"
	"freshet/internal/flow/transport/websocket"
	"freshet/internal/streamdata"
)

const (
	// How long a request for the document waits for an upstream that nobody had asked yet.
	firstAnswer = 10 * time.Second
	// The longest wait for a change that a client may ask for (RFC 7240, 4.3).
	longestPoll = 60 * time.Second
	// Below that gzip makes a document hardly smaller.
	gzipFrom = 1 << 10
)

// live is the data plane: everything a reader of a topic needs.
type live struct {
	edge
	flow    *flow.Flow
	catalog *catalog.Catalog
	stored  stored
	streams *sse.Streams
	sockets *websocket.Sockets
	gate    *gate
	adhoc   AdHoc
	origins *cors.Cors // knows which pages may open WebSockets; nil: only our own

	publishes bool // clients may publish over WebSocket
}

// get answers a read of a configured topic in the style that the client asks for.
func (l *live) get(w http.ResponseWriter, r *http.Request) error {
	name := freshet.TopicName(r.PathValue("topic"))
	if flow.IsAdHoc(name) { // followed by its URL and headers only: the name is no proof of knowing them
		return fmt.Errorf("%w: %s", freshet.ErrNotFound, name)
	}
	f, err := l.flow.Follow(name)
	if err != nil {
		return l.unfollowable(w, r, err)
	}
	return l.serve(w, r, f)
}

// unfollowable answers a stream without its topic so that EventSource does what is best: stop where the
// topic that it followed is gone, come back where it is only not available now.
func (l *live) unfollowable(w http.ResponseWriter, r *http.Request, err error) error {
	if websocket.Asked(r) {
		return l.noSocket(w, r, err)
	}
	ask, acceptErr := negotiate(r)
	if acceptErr != nil || ask.style != styleStream {
		return err
	}
	return l.noStream(w, r, err)
}

// noStream is unfollowable for who is known to ask for a stream.
func (l *live) noStream(w http.ResponseWriter, r *http.Request, err error) error {
	switch {
	case errors.Is(err, freshet.ErrNotFound) && lastEventID(r) != "":
		w.WriteHeader(http.StatusNoContent)
		return nil
	case errors.Is(err, freshet.ErrUnavailable):
		l.streams.Busy(w)
	}
	return err
}

// serve answers in the style that the client asks for, and closes the follower once it is done with it: a
// stream may outlive the request.
func (l *live) serve(w http.ResponseWriter, r *http.Request, f *flow.Follower) error {
	if id := r.URL.Query().Get("subscription"); id != "" && !flow.IsAdHoc(f.Topic.Name) && r.Method != http.MethodHead {
		return l.serveStored(w, r, f, freshet.SubscriptionID(id))
	}
	if websocket.Asked(r) {
		return l.socket(w, r, f)
	}
	w.Header().Add("Vary", "Accept, Accept-Encoding")
	ask, err := negotiate(r)
	if err == nil && ask.style == styleStream && r.Method != http.MethodHead {
		return l.stream(w, r, f, ask.mode, nil)
	}
	defer f.Close()
	switch {
	case err != nil:
		return err
	case ask.style == styleStream:
		sse.Headers(w.Header())
		return nil
	case ask.style == styleHistory:
		return l.history(w, r, f)
	}
	return l.document(w, r, f)
}

// stream sends server-sent events; in the dialect of Streamdata.io, where legacy says so.
func (l *live) stream(w http.ResponseWriter, r *http.Request, f *flow.Follower, asked freshet.Mode, legacy *sse.Legacy) error {
	mode, err := modeOf(f.Topic, asked)
	if err == nil && !flow.IsAdHoc(f.Topic.Name) { // the query of an ad-hoc topic is its API's
		err = checkParameters(r)
	}
	if err != nil {
		f.Close()
		return err
	}
	leave, ok := l.gate.enter(w, r, f.Topic.Name, f.Subscribers())
	if !ok {
		f.Close()
		l.streams.Busy(w)
	}
	reader := &streaming{f, leave}
	if err := f.Feed.Wait(r.Context()); err != nil {
		reader.Left(err)
		l.streams.Busy(w)
	}
	cursor := f.Feed.Follow(mode)
	if legacy == nil {
		cursor, err = l.cursor(w, r, f, mode)
	}
	if err != nil {
		l.log.WarnContext(r.Context(), "a stream cannot start now", "topic", string(f.Topic.Name), "err", err)
		reader.Left(err)
		l.streams.Busy(w)
	}
	freshnessHeaders(w.Header(), f)
	l.streams.Serve(w, r, sse.Stream{Cursor: cursor, Reader: reader, Compress: wantsGzip(r), Status: statusOf(r, f), Legacy: legacy})
	return nil
}

// A streaming is a follower whose stream is counted.
type streaming struct {
	*flow.Follower
	leave func()
}

// Left counts the stream out and ends the following.
func (s *streaming) Left(cause error) {
	s.leave()
	s.Follower.Left(cause)
}

// cursor is where the client's stream starts.
func (l *live) cursor(w http.ResponseWriter, r *http.Request, f *flow.Follower, mode freshet.Mode) (*fanout.Cursor, error) {
	id := lastEventID(r)
	if id == "" {
		return start(r, f, mode), nil
	}
	cursor, resumed, err := resume(r.Context(), f, mode, id)
	w.Header().Set("Freshet-Resumed", strconv.FormatBool(resumed))
	return cursor, err
}

// start is where a client starts that has nothing; of messages with the oldest that is kept, if it asks
// for that.
func start(r *http.Request, f *flow.Follower, mode freshet.Mode) *fanout.Cursor {
	if mode == freshet.ModeEvent && r.URL.Query().Get("from") == "beginning" {
		return f.Feed.FollowAll(mode)
	}
	return f.Feed.Follow(mode)
}

// wantsGzip says whether the client asks for a compressed stream: browsers accept one on every request.
func wantsGzip(r *http.Request) bool {
	q := r.URL.Query()
	return (q.Get("compress") == "gzip" || streamdata.Compressed(q, r.Header)) && acceptsGzip(r)
}

// resume is where a client that has an id goes on, and whether that is where it was.
func resume(ctx context.Context, f *flow.Follower, mode freshet.Mode, id string) (*fanout.Cursor, bool, error) {
	at, err := freshet.ParsePosition(id)
	if err != nil {
		return f.Feed.Reset(mode, fanout.ResetUnknown), false, nil
	}
	return f.Feed.Resume(ctx, mode, at)
}

// lastEventID is where the client wants to go on. The header wins: clients that put an id into the URL
// leave an old one there when they reconnect by themselves.
func lastEventID(r *http.Request) string {
	if id := r.Header.Get("Last-Event-Id"); id != "" {
		return id
	}
	q := r.URL.Query()
	for _, name := range []string{"lastEventId", "last_event_id", "lastEventID", "evs_last_event_id"} {
		if id := q.Get(name); id != "" {
			return id
		}
	}
	return ""
}

// document answers with the document now, or as it was.
func (l *live) document(w http.ResponseWriter, r *http.Request, f *flow.Follower) error {
	first, cancel := context.WithTimeout(r.Context(), firstAnswer)
	defer cancel()
	switch err := f.Feed.Wait(first); {
	case errors.Is(err, flow.ErrStopping):
		return known(err, err.Error(), map[string]string{"Retry-After": "1"}) // a restart takes less
	case err != nil:
		return fmt.Errorf("%w: the topic's history is not read yet", freshet.ErrUnavailable)
	}
	if at := r.URL.Query().Get("at"); at != "" {
		ev, err := l.past(r.Context(), f, at)
		if err != nil {
			return err
		}
		return writeDocument(w, r, ev)
	}
	fault := f.Fresh(first)
	entry, err := l.changed(w, r, f)
	if err != nil {
		return err
	}
	if entry == nil {
		return noDocument(f, fault)
	}
	freshnessHeaders(w.Header(), f)
	if fault != nil {
		w.Header().Set("Freshet-Stale", "true")
	}
	return writeDocument(w, r, entry.Event)
}

// freshnessHeaders says how fresh the topic is: Age as RFC 9111 section 5.1 has it, the rest in our own words.
func freshnessHeaders(h http.Header, f *flow.Follower) {
	is, _, _ := f.Freshness()
	if !is.LastSuccess.IsZero() {
		h.Set("Age", strconv.Itoa(int(time.Duration(is.Age).Seconds())))
		h.Set("Freshet-Last-Success", is.LastSuccess.UTC().Format(time.RFC3339))
	}
	if !is.NextPoll.IsZero() {
		h.Set("Freshet-Next-Poll", is.NextPoll.UTC().Format(time.RFC3339))
	}
	if is.Stale {
		h.Set("Freshet-Stale", "true")
	}
}

// checkParameters says which parameter of a stream has a value that makes no sense. An EventSource shows no more than
// that it was refused, but who looks finds why.
func checkParameters(r *http.Request) error {
	q := r.URL.Query()
	if from := q.Get("from"); from != "" && from != "beginning" {
		return badParameter("from", "a stream begins with what comes now, or with the oldest message that is kept (beginning), not at %.64q: an event id goes into lastEventId", from)
	}
	if status := q.Get("status"); status != "" {
		if _, err := strconv.ParseBool(status); err != nil {
			return badParameter("status", "it is true or false, not %.64q", status)
		}
	}
	if format := q.Get("dataFormat"); websocket.Asked(r) && format != "" && format != "text" && format != "binary" {
		return badParameter("dataFormat", "it is text or binary, not %.64q", format)
	}
	return nil
}

// statusOf is where the status events of a stream come from; nil where the client wants none.
func statusOf(r *http.Request, f *flow.Follower) sse.Status {
	if want, err := strconv.ParseBool(r.URL.Query().Get("status")); err != nil || !want || flow.IsAdHoc(f.Topic.Name) {
		return nil // the query of an ad-hoc topic is its API's
	}
	return f.Freshness
}

// changed is the document now; for a client that waits (Prefer: wait, RFC 7240) once it is another than
// the client has, or when the wait is over.
func (l *live) changed(w http.ResponseWriter, r *http.Request, f *flow.Follower) (*fanout.Entry, error) {
	wait := preferredWait(r)
	if wait > 0 {
		w.Header().Set("Preference-Applied", "wait="+strconv.Itoa(int(wait.Seconds())))
	}
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		changed := f.Feed.Changed()
		entry, _ := f.Feed.Current()
		if wait == 0 || entry != nil && !has(r, entry.ID()) {
			return entry, nil
		}
		select {
		case <-changed:
			if err := f.Feed.Wait(r.Context()); err != nil { // it has ended
				return nil, err
			}
		case <-over.C:
			return entry, nil
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}

// preferredWait is how long the client would wait for a change; only one that says what it has can.
func preferredWait(r *http.Request) time.Duration {
	if r.Header.Get("If-None-Match") == "" {
		return 0
	}
	for _, p := range strings.FieldsFunc(strings.Join(r.Header.Values("Prefer"), ","), func(c rune) bool { return c == ',' || c == ';' }) {
		if v, ok := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(p), " ", ""), "wait="); ok {
			if n, err := strconv.Atoi(strings.Trim(v, `"`)); err == nil && n > 0 {
				return min(time.Duration(n)*time.Second, longestPoll)
			}
		}
	}
	return 0
}

// has says whether the client's If-None-Match (RFC 9110, 13.1.2; compared weakly) names the id.
func has(r *http.Request, id string) bool {
	for tag := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if tag == "*" || tag == `"`+id+`"` {
			return true
		}
	}
	return false
}

func noDocument(f *flow.Follower, fault *freshet.Fault) error {
	if f.Topic.Kind == freshet.KindEvent && fault == nil {
		return fmt.Errorf("%w: no message has come yet", errNoContentYet)
	}
	if fault == nil {
		return fmt.Errorf("%w: the topic has no document yet", freshet.ErrUnavailable)
	}
	if fault.Code == freshet.FaultConfig { // trying again would not help
		return fmt.Errorf("%w: %s", freshet.ErrNotAllowed, fault.Message)
	}
	return fmt.Errorf("%w: the topic has no document yet; its source reports %d: %s", freshet.ErrUnavailable, fault.Code, fault.Message)
}

// past is the document as it was at an event or a time.
func (l *live) past(ctx context.Context, f *flow.Follower, at string) (freshet.Event, error) {
	if pos, err := freshet.ParsePosition(at); err == nil {
		ev, err := f.Feed.AtEvent(ctx, pos)
		if err != nil {
			return freshet.Event{}, lookedBack(f, pos, "the document at event "+at, err)
		}
		return ev, nil
	}
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return freshet.Event{}, badParameter("at", "%q is neither an event id nor an RFC 3339 time", at)
	}
	ev, err := f.Feed.AtTime(ctx, t)
	if err != nil {
		return freshet.Event{}, lookedBack(f, freshet.Position{}, "the document at "+at, err)
	}
	return ev, nil
}

// lookedBack says why something of the past, or of a position that is no past yet, cannot be had.
func lookedBack(f *flow.Follower, pos freshet.Position, what string, err error) error {
	switch head := f.Feed.Head(); {
	case !errors.Is(err, freshet.ErrGone):
		return fmt.Errorf("%s: %w", what, err)
	case pos.Sequence > head.Sequence && head.Sequence == 0:
		return fmt.Errorf("%w: the topic has no event yet, and so not %s", errNoContentYet, pos)
	case pos.Sequence > head.Sequence:
		return fmt.Errorf("%w: event %s would be later than the topic's last, %s", errNoContentYet, pos, head)
	}
	return &told{freshet.ErrGone, what + " is not, or no longer, in the history"}
}

func writeDocument(w http.ResponseWriter, r *http.Request, ev freshet.Event) error {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Last-Modified", ev.Time.UTC().Format(http.TimeFormat))
	h.Set("Freshet-Revision", strconv.FormatUint(uint64(ev.Revision), 10))
	etag := `"` + ev.ID() + `"`
	squeeze := len(ev.Data) >= gzipFrom && acceptsGzip(r)
	if squeeze {
		etag = "W/" + etag // the same document in other bytes
	}
	h.Set("ETag", etag)
	if has(r, ev.ID()) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", "application/json")
	if !squeeze {
		h.Set("Content-Length", strconv.Itoa(len(ev.Data)))
		_, err := w.Write(ev.Data)
		return afterHeader(err)
	}
	h.Set("Content-Encoding", "gzip")
	return afterHeader(gzipTo(w, func(z *gzip.Writer) error {
		_, err := z.Write(ev.Data)
		return err
	}))
}

func gzipTo(w http.ResponseWriter, write func(*gzip.Writer) error) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	return errors.Join(write(z), z.Close())
}

// afterHeader is for errors once the answer has begun, when all that is left is to end the connection,
// so that the client sees that the answer is not whole.
func afterHeader(err error) error {
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}
