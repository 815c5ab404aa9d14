package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"freshet"
	"freshet/jsonpatch"
)

// A Document is a topic's document as of one revision; of an event topic it is the last message.
type Document struct {
	Body      []byte           // the JSON text, or the part of it that was asked for
	ETag      string           // the event id, quoted, as HTTP has it
	Revision  freshet.Revision // as of ETag; 0 if that is not one of ours
	Modified  time.Time        // when it changed last; zero if the server did not say
	Stale     bool             // upstream cannot be reached: this is the last good one
	Unchanged bool             // it is still IfNoneMatch; Body is nil
}

// ID is the event id of the document, where following may go on.
func (d Document) ID() string { return strings.Trim(strings.TrimPrefix(d.ETag, "W/"), `"`) }

// GetOptions narrows what Get asks for. Its zero value is the document now.
type GetOptions struct {
	At          string        // an event id or RFC 3339 time: the document as it was
	Pointer     string        // RFC 6901, to the part that is wanted
	IfNoneMatch string        // an ETag: answer only if the document has another
	Wait        time.Duration // with IfNoneMatch: wait so long for a change; whole seconds, at most 60 s
}

// Get returns a document. Topic is a name or an absolute URL. It fails with freshet.ErrNotFound,
// freshet.ErrGone (At is older than the history), freshet.ErrUnavailable (upstream cannot be reached
// and there is no document yet) or jsonpatch.ErrPath (nothing at Pointer), among others.
func (c *Client) Get(ctx context.Context, topic string, o GetOptions) (Document, error) {
	query := url.Values{}
	if o.At != "" {
		query.Set("at", o.At)
	}
	u, err := c.live(topic, query)
	if err != nil {
		return Document{}, err
	}
	prefer := ""
	if o.Wait > 0 {
		prefer = "wait=" + strconv.FormatInt(int64(o.Wait/time.Second), 10)
	}
	req, err := c.request(ctx, http.MethodGet, u, nil, "Accept", "application/json", "If-None-Match", o.IfNoneMatch, "Prefer", prefer)
	if err != nil {
		return Document{}, err
	}
	res, err := c.do(req)
	if err != nil {
		return Document{}, fmt.Errorf("get %s: %w", topic, err)
	}
	d := Document{ETag: res.Header.Get("ETag"), Stale: res.Header.Get("Freshet-Stale") == "true"}
	d.Modified, _ = http.ParseTime(res.Header.Get("Last-Modified")) // zero if absent
	if p, err := freshet.ParsePosition(d.ID()); err == nil {
		d.Revision = p.Revision
	}
	if res.StatusCode == http.StatusNotModified {
		d.Unchanged = true
		return d, res.Body.Close()
	}
	if d.Body, err = c.body(res); err != nil {
		return Document{}, fmt.Errorf("get %s: %w", topic, err)
	}
	if o.Pointer != "" {
		if d.Body, err = jsonpatch.Lookup(d.Body, o.Pointer); err != nil {
			return Document{}, fmt.Errorf("get %s: %w", topic, err)
		}
	}
	return d, nil
}

// HistoryOptions bounds a history. Its zero value is all that is kept.
type HistoryOptions struct {
	From string // an event id, exclusive, or an RFC 3339 time, inclusive
	To   string // an event id or an RFC 3339 time, both inclusive
}

// History yields what the server keeps of a topic, oldest first. That of a snapshot topic begins
// with a snapshot, so that it can be replayed by itself. An error is the last item.
func (c *Client) History(ctx context.Context, topic string, o HistoryOptions) iter.Seq2[freshet.Event, error] {
	return func(yield func(freshet.Event, error) bool) {
		err := c.history(ctx, topic, o, func(e freshet.Event) bool { return yield(e, nil) })
		if err != nil && !errors.Is(err, errBreak) {
			yield(freshet.Event{}, fmt.Errorf("history of %s: %w", topic, err))
		}
	}
}

// errBreak says that the caller's loop ended.
var errBreak = errors.New("the loop ended")

func (c *Client) history(ctx context.Context, topic string, o HistoryOptions, yield func(freshet.Event) bool) error {
	query := url.Values{}
	if o.From != "" {
		query.Set("from", o.From)
	}
	if o.To != "" {
		query.Set("to", o.To)
	}
	u, err := c.live(topic, query)
	if err != nil {
		return err
	}
	req, err := c.request(ctx, http.MethodGet, u, nil, "Accept", ndjson)
	if err != nil {
		return err
	}
	res, err := c.do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if got, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); got != ndjson {
		return fmt.Errorf("the answer is %q, not %s", got, ndjson)
	}
	return c.lines(res.Body, func(line []byte) error {
		e, err := parseEntry(line)
		if err == nil && !yield(e) {
			err = errBreak
		}
		return err
	})
}

const ndjson = "application/x-ndjson"

// lines calls fn with each line that is not empty; the bytes are fn's to keep.
func (c *Client) lines(r io.Reader, fn func(line []byte) error) error {
	buffered := bufio.NewReaderSize(r, 32<<10)
	var line []byte
	for {
		part, err := buffered.ReadSlice('\n')
		line = append(line, part...)
		if int64(len(line)) > c.limit {
			return fmt.Errorf("a line is longer than %d bytes: %w", c.limit, freshet.ErrTooLarge)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if len(bytes.TrimSpace(line)) > 0 && (err == nil || errors.Is(err, io.EOF)) {
			if err := fn(line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		line = nil
	}
}

func parseEntry(line []byte) (freshet.Event, error) {
	var entry struct {
		ID   string            `json:"id"`
		Type freshet.EventType `json:"type"`
		Time time.Time         `json:"time"`
		Data json.RawMessage   `json:"data"`
	}
	if err := json.Unmarshal(line, &entry); err != nil {
		return freshet.Event{}, fmt.Errorf("a line is not an event: %w", err)
	}
	p, err := freshet.ParsePosition(entry.ID)
	if err != nil {
		return freshet.Event{}, err
	}
	return freshet.Event{Position: p, Type: entry.Type, Time: entry.Time, Data: entry.Data}, nil
}
