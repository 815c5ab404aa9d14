package e2e_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"freshet"
)

// A frame is one event as it stood on the wire.
type frame struct {
	event, data, id string
	retry           string
	comments        []string // those of its block, such as ": reset history-expired"
}

// readFrames reads a stream and hands over each whole event. It is far stricter than the standard:
// it holds the server to the form that every client tried is known to read. It returns the error
// that ended the stream; it is errCut where that was in the middle of an event.
func readFrames(r io.Reader, each func(frame) bool) error {
	in := bufio.NewReader(r)
	var f frame
	var fields []string
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			if line != "" || len(fields) > 0 {
				return fmt.Errorf("%w: %w", errCut, err)
			}
			return err
		}
		line = strings.TrimSuffix(line, "\n")
		if strings.ContainsAny(line, "\r\x00\ufeff") {
			return bad("a line has CR, NUL or BOM: %q", line)
		}
		switch name, rest, _ := strings.Cut(line, ": "); {
		case line == "":
			if order := strings.Join(fields, " "); order != "event data id" && order != "event data" {
				return bad("a block has the fields %q, want event, data, id", order)
			}
			if !each(f) {
				return nil
			}
			f, fields = frame{}, nil
		case line == ":": // the heartbeat; a blank line after it would be a block without data
		case line[0] == ':':
			f.comments = append(f.comments, line)
		case name == "retry":
			f.retry = rest
		case name == "event":
			f.event, fields = rest, append(fields, name)
		case name == "data":
			f.data, fields = rest, append(fields, name)
		case name == "id":
			f.id, fields = rest, append(fields, name)
		default:
			return bad("a line is %q", line)
		}
	}
}

var errCut = errors.New("cut within an event")

// open asks for a stream; id is where to resume, if anywhere.
func open(ctx context.Context, client *http.Client, url, id string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	if id != "" {
		req.Header.Set("Last-Event-ID", id)
	}
	resp, err := cmp.Or(client, http.DefaultClient).Do(req)
	if err != nil {
		return nil, err
	}
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || !strings.HasPrefix(ct, "text/event-stream") {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		resp.Body.Close()
		return nil, fmt.Errorf("GET %s: %s, %s: %s", url, resp.Status, ct, text)
	}
	return resp, nil
}

// A replica is what a reader of a topic holds. Each event is judged when it is applied, so that a
// patch that does not fit or a revision out of order fails the test where it happens.
type replica struct {
	client    *http.Client        // nil: the usual one
	want      func(n int) string  // the document whose member n is n, where any is to be judged
	canon     func(string) string // of a document that is judged; nil: canonical
	id        string
	pos       freshet.Position
	doc       any    // as the patches make it
	text      string // canonical
	snapshots int
	patches   int
	resets    []string
	faults    []freshet.Fault
	holes     int // revisions that were skipped, by resuming or by reading slowly
	fresh     bool
}

// connected starts a connection; resumed is what the answer says about it.
func (r *replica) connected(resumed string) error {
	if allowed := map[bool][]string{true: {""}, false: {"true", "false"}}[r.id == ""]; slices.Contains(allowed, resumed) {
		r.fresh = true
		return nil
	}
	return fmt.Errorf("connected with id %q and was told Freshet-Resumed: %q", r.id, resumed)
}

// apply takes one event of a snapshot topic.
func (r *replica) apply(f frame) error {
	first := r.fresh
	r.fresh = false
	if first != (f.retry != "") {
		return fmt.Errorf("retry %q in an event that is first: %t", f.retry, first)
	}
	if f.event == "error" {
		fault, err := readFault(f.data)
		r.faults = append(r.faults, fault)
		if f.id != "" {
			r.id = f.id
		}
		return err
	}
	pos, err := freshet.ParsePosition(f.id)
	if err != nil {
		return err
	}
	reset := ""
	for _, c := range f.comments {
		if rest, ok := strings.CutPrefix(c, ": reset "); ok {
			reset = rest
		}
	}
	switch {
	case reset != "":
		if !first || f.event != "snapshot" {
			return fmt.Errorf("reset %s marks a %s that is first: %t", reset, f.event, first)
		}
		r.resets = append(r.resets, reset)
	case pos.Revision <= r.pos.Revision:
		return fmt.Errorf("revision %d follows %d", pos.Revision, r.pos.Revision)
	case r.pos.Revision != 0:
		r.holes += max(0, int(pos.Revision-r.pos.Revision)-1)
	}
	switch f.event {
	case "snapshot":
		r.snapshots++
		r.doc, err = value([]byte(f.data))
	case "patch":
		r.patches++
		r.doc, err = applyPatch(r.doc, []byte(f.data))
	case "merge-patch":
		r.patches++
		r.doc, err = mergePatch(r.doc, []byte(f.data))
	case "changes":
		r.patches++
		r.doc, err = applyChanges(r.doc, []byte(f.data))
	default:
		err = errors.New("is of a type that a snapshot topic does not have")
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", f.event, f.id, err, f.data)
	}
	r.id, r.pos, r.text = f.id, pos, encode(r.doc)
	canon := canonical
	if r.canon != nil {
		canon = r.canon
	}
	if r.want != nil && canon(r.text) != canon(r.want(version(r.text))) {
		return fmt.Errorf("%s %s leads to\n%s\nwant\n%s", f.event, f.id, canon(r.text), canon(r.want(version(r.text))))
	}
	return nil
}

// follow reads a stream into the replica until done holds, the stream ends, or an event is bad. The
// error is nil in the first case only.
func (r *replica) follow(ctx context.Context, url string, done func() bool) error {
	resp, err := open(ctx, r.client, url, r.id)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := r.connected(resp.Header.Get("Freshet-Resumed")); err != nil {
		return &badEvent{err}
	}
	var mistake error
	err = readFrames(resp.Body, func(f frame) bool {
		if e := r.apply(f); e != nil {
			mistake = &badEvent{e}
		}
		return mistake == nil && !done()
	})
	return errors.Join(mistake, err)
}

// A badEvent is the server's mistake, which no reconnect mends.
type badEvent struct{ error }

func bad(format string, args ...any) error { return &badEvent{fmt.Errorf(format, args...)} }

// isBad tells a mistake of the server from a broken connection.
func isBad(err error) bool {
	_, ok := errors.AsType[*badEvent](err)
	return ok
}

// until follows a topic on one connection until the replica satisfies done.
func (r *replica) until(t *testing.T, ctx context.Context, url string, done func() bool) {
	t.Helper()
	if err := r.follow(ctx, url, done); err != nil {
		t.Errorf("%s after %d snapshots and %d patches, at %s: %v", url, r.snapshots, r.patches, r.id, err)
	}
}

func readFault(text string) (freshet.Fault, error) {
	var f freshet.Fault
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(&f)
	if err == nil && (f.Code == 0 || f.Category == "" || f.Message == "" || f.Time.IsZero()) {
		err = errors.New("a member is missing")
	}
	if err != nil {
		return f, fmt.Errorf("an error event says %s: %w", text, err)
	}
	return f, nil
}
