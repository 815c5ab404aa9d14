package httppoller

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"golang.org/x/net/html/charset"
)

var (
	errLarge    = errors.New("larger than the limit")
	errBomb     = errors.New("compressed more than 100 to 1")
	errEncoding = errors.New("unknown content encoding")
)

const (
	// Honest JSON is seldom compressed more than 50 to 1. Below the free size the ratio says little,
	// and harms nobody.
	bombRatio = 100
	bombFree  = 1 << 20
)

// isWebPage tells pages from data. Any other type is tried: many an API sends its JSON as text/plain.
func isWebPage(h http.Header) bool {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return kind == "text/html" || kind == "application/xhtml+xml"
}

// inUTF8 is CSV in UTF-8, where the answer says that it is in another charset. JSON is UTF-8 always (RFC 8259 section
// 8.1), and XML says by itself what it is.
func inUTF8(h http.Header, body []byte, format string) (converted []byte, label string, err error) {
	_, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	label = params["charset"]
	if format != "csv" || err != nil || label == "" || strings.EqualFold(label, "utf-8") {
		return body, label, nil
	}
	in, err := charset.NewReaderLabel(label, bytes.NewReader(body))
	if err == nil {
		body, err = io.ReadAll(in)
	}
	return body, label, err //nolint:wrapcheck // it is told in other words
}

// readBody returns the whole body, decompressed. The limit counts what comes out of it. A body that
// ends before its Content-Length, its last chunk or its compressed stream does is an error.
// expected is a guess of the size.
func readBody(resp *http.Response, limit int64, expected int) ([]byte, error) {
	encoding := strings.ToLower(strings.TrimSpace(resp.Header.Get("Content-Encoding")))
	raw := &counter{from: resp.Body}
	switch encoding {
	case "", "identity":
		if resp.ContentLength > limit {
			return nil, errLarge
		}
		body, err := readAll(raw, raw, limit, max(int(resp.ContentLength), expected))
		return trim(body), err
	case "gzip", "x-gzip":
		unzip, err := gzip.NewReader(raw)
		if err != nil {
			return nil, damaged(err)
		}
		body, err := readAll(unzip, raw, limit, expected)
		return trim(body), damaged(err)
	case "deflate":
		body, err := inflate(raw, limit, expected)
		return trim(body), damaged(err)
	}
	return nil, errEncoding
}

// inflate reads "deflate", which is zlib by RFC 9110 section 8.4.1.2 but bare by some servers.
func inflate(raw *counter, limit int64, expected int) ([]byte, error) {
	in := bufio.NewReader(raw)
	head, err := in.Peek(2)
	if err != nil {
		return nil, err
	}
	var out io.Reader
	if head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 { // RFC 1950 section 2.2
		if out, err = zlib.NewReader(in); err != nil {
			return nil, err
		}
	} else {
		out = flate.NewReader(in)
	}
	body, err := readAll(out, raw, limit, expected)
	if err != nil {
		return nil, err
	}
	_, err = io.CopyN(io.Discard, in, 4<<10) // the stream ended; did the body?
	if err == nil || errors.Is(err, io.EOF) {
		return body, nil
	}
	return nil, err
}

// readAll reads up to limit bytes, and stops a decompression whose output is out of proportion to
// what raw has read.
func readAll(from io.Reader, raw *counter, limit int64, expected int) ([]byte, error) {
	size := max(512, min(int64(expected)+64, limit+1))
	buf := make([]byte, 0, size)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := from.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			return nil, errLarge
		case len(buf) > bombFree && int64(len(buf)) > bombRatio*raw.n:
			return nil, errBomb
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return nil, err
		}
	}
}

// trim removes a byte order mark, which RFC 8259 section 8.1 lets a reader ignore, and spare capacity
// that would be kept as long as the document.
func trim(body []byte) []byte {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if cap(body)-len(body) > len(body)/4 {
		return bytes.Clone(body)
	}
	return body
}

// damaged marks an error of decompression as one; where the input ended too soon it is the
// connection's.
func damaged(err error) error {
	if err == nil || errors.Is(err, errLarge) || errors.Is(err, errBomb) {
		return err
	}
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	for _, ours := range []error{gzip.ErrHeader, gzip.ErrChecksum, zlib.ErrHeader, zlib.ErrChecksum, zlib.ErrDictionary} {
		if errors.Is(err, ours) {
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	if _, ok := errors.AsType[flate.CorruptInputError](err); ok {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return err
}

var errDamaged = errors.New("the compressed body is damaged")

// A counter counts what was read through it.
type counter struct {
	from io.Reader
	n    int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n += int64(n)
	return n, err
}
