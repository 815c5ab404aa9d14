package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/files"
)

// Open opens the file at a URL, as files.Store does, with one request: a conditional one for a part.
func (c *Client) Open(ctx context.Context, u *url.URL, from int64, have string) (*files.Opened, error) {
	header := http.Header{}
	if from > 0 {
		header.Set("Range", "bytes="+strconv.FormatInt(from, 10)+"-")
	}
	if len(have) > 1 {
		switch have[0] {
		case 'E':
			header.Set("If-None-Match", have[1:])
		case 'M':
			header.Set("If-Modified-Since", have[1:])
		}
	}
	resp, err := c.Get(ctx, u, header)
	if err != nil {
		return nil, err
	}
	o := &files.Opened{File: files.File{Size: resp.ContentLength, Version: versionOf(resp.Header)}, ReadCloser: resp.Body}
	if err := position(o, resp, from); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	return o, nil
}

// position makes of an answer what was asked for.
func position(o *files.Opened, resp *http.Response, from int64) error {
	switch encoding := resp.Header.Get("Content-Encoding"); {
	case resp.StatusCode == http.StatusNotModified:
		return files.ErrSame
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		_, o.Size = contentRange(resp.Header)
		o.Version = ""
		_ = resp.Body.Close()
		o.ReadCloser = http.NoBody
		return nil
	case encoding != "" && encoding != "identity":
		return source.Faultf(freshet.FaultFormat, "upstream's answer is compressed, which was not asked for")
	case resp.StatusCode == http.StatusPartialContent:
		first, size := contentRange(resp.Header)
		if o.Size = size; first != from {
			return source.Faultf(freshet.FaultFormat, "upstream answered with another part than was asked for")
		}
		return nil
	}
	// What has no parts is sent from its beginning.
	switch _, err := io.CopyN(io.Discard, o, from); {
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err //nolint:wrapcheck // it is body's
	}
}

// contentRange is RFC 9110, 14.4: where a part begins, and the size of the whole; -1 where that is not said.
func contentRange(h http.Header) (first, size int64) {
	rest, _ := strings.CutPrefix(h.Get("Content-Range"), "bytes ")
	part, whole, _ := strings.Cut(rest, "/")
	begin, _, _ := strings.Cut(part, "-")
	first, err := strconv.ParseInt(begin, 10, 64)
	if err != nil {
		first = -1
	}
	if size, err = strconv.ParseInt(whole, 10, 64); err != nil {
		size = -1
	}
	return first, size
}

// versionOf is what a condition can be made of. A Last-Modified that is not at least a second older than the
// answer is none: there may be another change in that second (RFC 9110, 8.8.2.2).
func versionOf(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" {
		return "E" + tag
	}
	modified, err1 := http.ParseTime(h.Get("Last-Modified"))
	date, err2 := http.ParseTime(h.Get("Date"))
	if err1 != nil || err2 != nil || date.Sub(modified) < time.Second {
		return ""
	}
	return "M" + h.Get("Last-Modified")
}
