package api

import (
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"time"

	"github.com/klauspost/compress/gzip"

	"freshet"
	"freshet/internal/flow"
	"freshet/internal/flow/fanout"
)

// A line is one event of a history as NDJSON.
type line struct {
	ID       string            `json:"id"`
	Type     freshet.EventType `json:"type"`
	Revision freshet.Revision  `json:"revision"`
	Time     time.Time         `json:"time"`
	Data     json.RawMessage   `json:"data"`
}

// history answers with the topic's history as a file, one event a line.
func (l *live) history(w http.ResponseWriter, r *http.Request, f *flow.Follower) error {
	part, err := rangeOf(r)
	if err != nil {
		return err
	}
	if err := f.Feed.Wait(r.Context()); err != nil {
		return err
	}
	next, stop := iter.Pull2(f.Feed.History(r.Context(), part))
	defer stop()
	if part.After.Sequence > f.Feed.Head().Sequence { // no such event; or one that the feed has yet to hear of
		if _, err := f.Feed.AtEvent(r.Context(), part.After); err != nil {
			return lookedBack(f, part.After, "the history after event "+part.After.String(), err)
		}
	}
	ev, err, ok := next() // errors before the first line are still answered as such
	if err != nil {
		return lookedBack(f, part.After, "the history that was asked for", err)
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-cache")
	if r.Method == http.MethodHead {
		return nil
	}
	write := func(out io.Writer) error {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		for ; ok; ev, err, ok = next() {
			if err != nil {
				return err
			}
			if err := enc.Encode(line{ev.ID(), ev.Type, ev.Revision, ev.Time, ev.Data}); err != nil {
				return err
			}
		}
		return nil
	}
	if !acceptsGzip(r) {
		return afterHeader(write(w))
	}
	w.Header().Set("Content-Encoding", "gzip")
	return afterHeader(gzipTo(w, func(z *gzip.Writer) error { return write(z) }))
}

// rangeOf reads ?from= (exclusive for an id) and ?to=.
func rangeOf(r *http.Request) (part fanout.Range, err error) {
	q := r.URL.Query()
	if part.After, part.Since, err = bound("from", q.Get("from")); err != nil {
		return part, err
	}
	if part.UpTo, part.Till, err = bound("to", q.Get("to")); err != nil {
		return part, err
	}
	if to := part.UpTo.Sequence; to > 0 && part.After.Sequence > to || !part.Till.IsZero() && part.Since.After(part.Till) {
		return part, badParameter("to", "it lies before from: nothing can be between %q and %q", q.Get("from"), q.Get("to"))
	}
	return part, nil
}

func bound(name, s string) (freshet.Position, time.Time, error) {
	if s == "" || s == "beginning" && name == "from" {
		return freshet.Position{}, time.Time{}, nil
	}
	pos, errID := freshet.ParsePosition(s)
	if errID == nil {
		return pos, time.Time{}, nil
	}
	t, errTime := time.Parse(time.RFC3339, s)
	if errTime == nil {
		return freshet.Position{}, t, nil
	}
	return freshet.Position{}, time.Time{}, badParameter(name, "%q is neither an event id nor an RFC 3339 time", s)
}
