package api

import (
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"freshet"
)

// A style is one of the ways in which a topic is read.
type style int

const (
	styleDocument style = iota // the document now
	styleStream                // server-sent events
	styleHistory               // NDJSON
)

// The incumbent's media types name the mode: application/vnd.axway.streams+snapshot-patch.
const vendorStream = "application/vnd.axway.streams+"

// A wish is what an Accept header asks for.
type wish struct {
	style style
	mode  freshet.Mode // empty: the topic's default
}

// errNotAcceptable names what can be had.
var errNotAcceptable = fmt.Errorf("%w: a topic is read as application/json, text/event-stream or application/x-ndjson", errAccept)

// errManyAccept says that several topics together are a stream only.
var errManyAccept = fmt.Errorf("%w: several topics at once are read as text/event-stream only", errAccept)

// negotiate finds the client's first choice among what a topic can be (RFC 9110, 12.5.1). Who takes
// anything gets the document, or a stream where ?mode= asks for one.
func negotiate(r *http.Request) (wish, error) {
	values := r.Header.Values("Accept")
	if len(values) == 0 || len(values) == 1 && values[0] == "*/*" {
		if m := queryMode(r); m != "" { // only streams have modes
			return wish{styleStream, m}, nil
		}
		return wish{}, nil
	}
	best, bestQ := wish{}, -1.0
	for item := range strings.SplitSeq(strings.Join(values, ","), ",") {
		media, params, err := mime.ParseMediaType(item)
		if err != nil {
			continue
		}
		q := 1.0
		if v, err := strconv.ParseFloat(params["q"], 64); err == nil {
			q = v
		}
		if w, ok := styleOf(media, params["mode"]); ok && q > 0 && q > bestQ {
			best, bestQ = w, q
		}
	}
	if bestQ < 0 {
		return wish{}, errNotAcceptable
	}
	if m := queryMode(r); m != "" {
		best.mode = m
	}
	return best, nil
}

func queryMode(r *http.Request) freshet.Mode { return freshet.Mode(r.URL.Query().Get("mode")) }

func styleOf(media, mode string) (wish, bool) {
	if m, ok := strings.CutPrefix(media, vendorStream); ok {
		return wish{styleStream, freshet.Mode(m)}, true
	}
	switch media {
	case "application/json", "application/*", "*/*":
		return wish{style: styleDocument}, true
	case "text/event-stream":
		return wish{styleStream, freshet.Mode(mode)}, true
	case "application/x-ndjson", "application/ndjson", "application/jsonl":
		return wish{style: styleHistory}, true
	}
	return wish{}, false
}

// modeOf is the mode that a stream of the topic has.
func modeOf(t *freshet.Topic, asked freshet.Mode) (freshet.Mode, error) {
	return modeAs(t, "sse", asked)
}

// modeAs is the mode that a subscriber of the topic has who is of one of freshet.SubscriberTypes.
func modeAs(t *freshet.Topic, subscriber string, asked freshet.Mode) (freshet.Mode, error) {
	allowed := t.Modes(subscriber)
	switch {
	case len(allowed) == 0:
		return "", fmt.Errorf("%w: this topic has no subscribers of the type %s", freshet.ErrMode, subscriber)
	case asked == "":
		return allowed[0], nil
	case slices.Contains(allowed, asked):
		return asked, nil
	}
	names := make([]string, len(allowed))
	for i, m := range allowed {
		names[i] = string(m)
	}
	return "", fmt.Errorf("%w: %q; this topic allows %s", freshet.ErrMode, string(asked), strings.Join(names, ", "))
}

// acceptsGzip says whether the client takes gzip (RFC 9110, 12.5.3).
func acceptsGzip(r *http.Request) bool {
	for item := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, params, _ := strings.Cut(strings.TrimSpace(item), ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
			v, err := strconv.ParseFloat(q, 64)
			return !ok || err == nil && v > 0
		}
	}
	return false
}
