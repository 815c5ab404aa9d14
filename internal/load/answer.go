package load

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// An answer reads an HTTP/1.1 response as it comes: the header, then the body, freed of its chunked
// transfer coding (RFC 9112, 7.1). It keeps no more than a header or a chunk's size line.
type answer struct {
	status  int
	head    []byte // the header until it is complete, then the size line of a chunk
	at      place
	chunked bool
	left    int64 // of the chunk, or of a body with Content-Length; -1: until the connection ends
}

type place uint8

const (
	inHeader place = iota
	inSize
	inBody
	inChunkEnd
	inTrailer
	atEnd
)

const (
	maxHeader = 32 << 10
	maxLine   = 1 << 10
)

var errEndOfBody = errors.New("the answer ended")

// next takes bytes off the front of b and returns what of the body they were and what is left of b.
// It returns errEndOfBody once a body that says its own length is complete.
func (a *answer) next(b []byte) (body, rest []byte, err error) {
	switch a.at {
	case inHeader:
		line, rest, err := a.until(b, "\r\n\r\n", maxHeader)
		if err != nil || line == nil {
			return nil, rest, err
		}
		return nil, rest, a.header(string(line))
	case inSize:
		line, rest, err := a.until(b, "\r\n", maxLine)
		if err != nil || line == nil {
			return nil, rest, err
		}
		return nil, rest, a.size(string(line))
	case inBody:
		return a.body(b)
	case inChunkEnd:
		line, rest, err := a.until(b, "\r\n", maxLine)
		if len(line) > 0 {
			return nil, rest, errors.New("a chunk is longer than it said")
		}
		if line != nil {
			a.at = inSize
		}
		return nil, rest, err
	case inTrailer:
		line, rest, err := a.until(b, "\r\n", maxLine)
		if line != nil && len(line) == 0 {
			a.at = atEnd
		}
		return nil, rest, err
	}
	return nil, nil, errEndOfBody
}

// until collects bytes up to an end, which is taken off too. The line is nil while there is more to come.
func (a *answer) until(b []byte, end string, limit int) (line, rest []byte, err error) {
	had := len(a.head)
	// What ends the line may have begun in the bytes before.
	from := max(had-len(end)+1, 0)
	a.head = append(a.head, b[:min(len(b), limit)]...)
	at := bytes.Index(a.head[from:], []byte(end))
	if at < 0 {
		if len(a.head) >= limit {
			return nil, nil, fmt.Errorf("no end of line in %d bytes", limit)
		}
		return nil, nil, nil
	}
	line = a.head[:from+at]
	a.head = a.head[:0]
	return line, b[from+at+len(end)-had:], nil
}

func (a *answer) header(text string) error {
	lines := strings.Split(text, "\r\n")
	a.head = nil // it was the longest; what follows are short lines
	proto, status, _ := strings.Cut(lines[0], " ")
	code, err := strconv.Atoi(status[:min(len(status), 3)])
	if !strings.HasPrefix(proto, "HTTP/1.") || err != nil {
		return fmt.Errorf("%.40q is not the status line of an HTTP/1.1 answer", lines[0])
	}
	a.status, a.at, a.left = code, inBody, -1
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "transfer-encoding":
			if !strings.EqualFold(value, "chunked") {
				return fmt.Errorf("transfer coding %.40q is not one that is read here", value)
			}
			a.chunked, a.at = true, inSize
		case "content-length":
			if a.left, err = strconv.ParseInt(value, 10, 64); err != nil || a.left < 0 {
				return fmt.Errorf("%.40q is no Content-Length", value)
			}
			if a.left == 0 {
				a.at = atEnd
			}
		}
	}
	if a.chunked {
		a.at = inSize // it overrides a Content-Length (RFC 9112, 6.3)
	} else if code == 204 || code == 304 {
		a.at = atEnd
	}
	return nil
}

func (a *answer) size(line string) error {
	digits, _, _ := strings.Cut(line, ";") // what follows are extensions
	n, err := strconv.ParseUint(strings.TrimRight(digits, " \t"), 16, 62)
	if err != nil {
		return fmt.Errorf("%.40q is not the size of a chunk", line)
	}
	a.left, a.at = int64(n), inBody
	if n == 0 {
		a.at = inTrailer
	}
	return nil
}

func (a *answer) body(b []byte) (body, rest []byte, err error) {
	if a.left < 0 {
		return b, nil, nil
	}
	n := int(min(int64(len(b)), a.left))
	if a.left -= int64(n); a.left == 0 {
		a.at = atEnd
		if a.chunked {
			a.at = inChunkEnd
		}
	}
	return b[:n], b[n:], nil
}

// open says whether the header has come.
func (a *answer) open() bool { return a.at != inHeader }

// said is what the body of an answer that is an error says, as far as it is there: the detail of a
// problem (RFC 9457), or its first line.
func (a *answer) said(b []byte) string {
	var text []byte
	for len(b) > 0 {
		part, rest, err := a.next(b)
		if text = append(text, part...); err != nil {
			break
		}
		b = rest
	}
	var problem struct{ Detail, Title string }
	if json.Unmarshal(text, &problem) == nil {
		return cmp.Or(problem.Detail, problem.Title)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return line[:min(len(line), 200)]
}
