package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"freshet"
	"freshet/internal/flow"
	"freshet/internal/flow/transport/sse"
	"freshet/internal/flow/transport/websocket"
	"freshet/internal/streamdata"
)

// AdHoc bounds the topics that a GET of /live/{absolute URL} makes.
type AdHoc struct {
	Allow         []string      // URL prefixes; "*" is any URL; none: off
	Grace         time.Duration // how long one outlives its last follower
	PollingPeriod freshet.Duration
	MaxTopics     int
	Check         func(t *freshet.Topic) error
	Keys          streamdata.Keys // with which every request for a URL is to be signed; none: nothing is
}

// targetOf is the absolute URL that a request for an ad-hoc topic names, verbatim but for the parameters
// that are meant for us. It looks at the request line itself: ServeMux would clean "//" away, and redirect,
// which several clients of streams do not survive. Those of Streamdata.io have the URL at the root.
func targetOf(r *http.Request) (target string, ok bool) {
	rest, live := strings.CutPrefix(r.RequestURI, "/live/")
	if !live {
		rest = strings.TrimPrefix(r.RequestURI, "/")
	}
	scheme, after, ok := strings.Cut(rest, ":")
	if !ok || !strings.HasPrefix(after, "/") || strings.ContainsAny(scheme, "/?#") {
		return "", false
	}
	if !live && !streamdata.Asked(r.URL.Query(), r.Header) {
		return "", false
	}
	// Some proxies and clients fold "//" into "/".
	return withoutOurs(strings.ToLower(scheme) + "://" + strings.TrimLeft(after, "/")), true
}

// isUnclean says whether ServeMux would redirect a request for a topic to a cleaner path.
func isUnclean(r *http.Request) bool {
	rest, ok := strings.CutPrefix(r.URL.Path, "/live/")
	return ok && path.Clean("/"+rest) != "/"+rest
}

// withoutOurs takes the parameters that are ours out of a URL's query and leaves the rest as it is.
func withoutOurs(target string) string {
	base, query, ok := strings.Cut(target, "?")
	if !ok {
		return target
	}
	kept := slices.DeleteFunc(strings.Split(query, "&"), func(p string) bool {
		name, _, _ := strings.Cut(p, "=")
		return isOurs(name)
	})
	if len(kept) == 0 {
		return base
	}
	return base + "?" + strings.Join(kept, "&")
}

func isOurs(name string) bool {
	switch name {
	case "lastEventId", "last_event_id", "lastEventID":
		return true
	}
	return streamdata.IsOurs(name) || strings.HasPrefix(name, "evs_")
}

// followVerbatim answers /live/{absolute URL}. The URL's query is the upstream's alone, so what streams
// take as parameters elsewhere is taken from the Accept header here, and the id from where clients put it.
func (l *live) followVerbatim(w http.ResponseWriter, r *http.Request, target string) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return known(errMethod, "a topic of a URL can only be read", map[string]string{"Allow": "GET, HEAD"})
	}
	_, query, _ := strings.Cut(r.RequestURI, "?")
	ours := slices.DeleteFunc(strings.Split(query, "&"), func(p string) bool {
		name, _, _ := strings.Cut(p, "=")
		return !isOurs(name)
	})
	own := r.Clone(r.Context())
	own.URL.RawQuery = strings.Join(ours, "&")
	return l.follow(w, own, target)
}

// query answers /live: ?topic=… several times for several topics over one stream, or
// ?url={percent-encoded absolute URL} for clients that cannot send "//".
func (l *live) query(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if q.Has("topic") && q.Has("url") {
		return badParameter("url", "a connection follows topics or a URL, not both; where topic is a parameter of the URL's, percent-encode the URL")
	}
	if websocket.Asked(r) && q.Get("url") == "" {
		return l.manySockets(w, r, q["topic"])
	}
	if names := q["topic"]; len(names) > 0 {
		return l.many(w, r, names)
	}
	target := q.Get("url")
	if target == "" {
		return badParameter("topic", "name the topics to follow, ?topic=a&topic=b, or an absolute URL, ?url=…")
	}
	return l.follow(w, r, target)
}

// follow answers a read of any allowed URL.
func (l *live) follow(w http.ResponseWriter, r *http.Request, target string) error {
	if err := l.adhoc.Keys.Check(target, r.URL.Query(), r.Header, lastEventID(r), time.Now()); err != nil {
		return known(err, err.Error(), map[string]string{"WWW-Authenticate": "Streamdata"})
	}
	u, err := l.checkTarget(target)
	if err != nil {
		return err
	}
	t, err := l.adHocTopic(r, u, target)
	if err != nil {
		return err
	}
	f, err := l.flow.FollowAdHoc(t, l.adhoc.Grace, l.adhoc.MaxTopics)
	if err != nil {
		return l.unfollowable(w, r, err)
	}
	if l.isLegacy(r) {
		return l.legacy(w, r, f, target)
	}
	return l.serve(w, r, f)
}

// isLegacy says whether a client of Streamdata.io wants a stream: without an Accept it always does.
func (l *live) isLegacy(r *http.Request) bool {
	q := r.URL.Query()
	if r.Method != http.MethodGet || websocket.Asked(r) || !streamdata.Asked(q, r.Header) {
		return false
	}
	ask, err := negotiate(r)
	accept := r.Header.Get("Accept")
	return err == nil && ask.style == styleStream || (accept == "" || accept == "*/*") && streamdata.TokenOf(q, r.Header) != ""
}

// legacy answers in the dialect of Streamdata.io, whose streams always begin with the document.
func (l *live) legacy(w http.ResponseWriter, r *http.Request, f *flow.Follower, target string) error {
	q := r.URL.Query()
	w.Header().Add("Vary", "Accept, Accept-Encoding")
	ask, err := negotiate(r)
	if err != nil {
		f.Close()
		return err
	}
	if streamdata.WholeDocuments(q) {
		ask.mode = freshet.ModeSnapshotOnly
	}
	return l.stream(w, r, f, ask.mode, &sse.Legacy{ID: l.adhoc.Keys.Ticket(streamdata.TokenOf(q, r.Header), target, time.Now())})
}

func (l *live) checkTarget(target string) (*url.URL, error) {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, badParameter("url", "%q is not an absolute http or https URL", target)
	}
	if u.User != nil {
		return nil, badParameter("url", "credentials do not belong into a URL: send them in a header")
	}
	if len(l.adhoc.Allow) == 0 {
		return nil, fmt.Errorf("%w: topics of arbitrary URLs are off; name what may be followed in adhoc.allow", freshet.ErrNotAllowed)
	}
	if !slices.ContainsFunc(l.adhoc.Allow, func(p string) bool { return covers(p, u) }) {
		return nil, fmt.Errorf("%w: %s://%s is not among what adhoc.allow names", freshet.ErrNotAllowed, u.Scheme, u.Host)
	}
	return u, nil
}

// covers says whether a URL lies below an allowed prefix: same scheme and host, and a path that goes on
// at a boundary, so that /v1 does not let /v10 in.
func covers(prefix string, u *url.URL) bool {
	if prefix == "*" {
		return true
	}
	p, err := url.Parse(prefix)
	if err != nil || p.Scheme != u.Scheme || !strings.EqualFold(p.Host, u.Host) {
		return false
	}
	if strings.Contains(u.Path, `\`) { // some servers take it for a slash, and so "..\" for a way up
		return false
	}
	have, want := path.Clean("/"+u.Path), path.Clean("/"+p.Path)
	below := want == "/" || strings.HasPrefix(have, want+"/")
	return below || have == want && (!strings.HasSuffix(p.Path, "/") || strings.HasSuffix(u.Path, "/"))
}

// adHocTopic is the topic of a URL and the headers that are forwarded to it. Who sends other headers,
// another credential above all, gets another topic.
func (l *live) adHocTopic(r *http.Request, u *url.URL, target string) (freshet.Topic, error) {
	headers := map[string]string{}
	for _, name := range []string{"Authorization", "X-Api-Key"} {
		if v := r.Header.Get(name); v != "" {
			headers[name] = v
		}
	}
	for _, h := range r.URL.Query()[streamdata.Header] {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return freshet.Topic{}, badParameter(streamdata.Header, "write Name: value")
		}
		headers[http.CanonicalHeaderKey(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
	identity, err := json.Marshal([]any{target, headers}) // a map is marshalled in the order of its keys
	if err != nil {
		return freshet.Topic{}, fmt.Errorf("name an ad-hoc topic: %w", err)
	}
	config, err := json.Marshal(map[string]any{"url": target, "headers": headers, "pollingPeriod": l.adhoc.PollingPeriod})
	if err != nil {
		return freshet.Topic{}, fmt.Errorf("make an ad-hoc topic: %w", err)
	}
	t := freshet.Topic{
		Name: flow.AdHocName(u.Host+u.Path, string(identity)), Kind: freshet.KindSnapshot, ManagedBy: "ad-hoc",
		Source: freshet.Source{Type: "http-poller", Config: config},
	}
	return t, l.adhoc.Check(&t)
}
