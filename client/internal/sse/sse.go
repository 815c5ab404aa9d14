// Package sse reads server-sent events as the WHATWG HTML standard (section 9.2.6) defines them.
//
// Only one thing differs from a browser: text stays the bytes that came. A browser replaces invalid
// UTF-8; whoever parses the data as JSON refuses it, which is the better answer here.
package sse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

// ErrTooLong means that a block is longer than the reader's limit.
var ErrTooLong = errors.New("event longer than the limit")

// An Event is one dispatched event.
type Event struct {
	Name     string   // its type; "message" where the server named none
	Data     []byte   // data lines joined by LF; belongs to the caller
	ID       string   // the last event id once this event is applied
	Comments []string // the comment lines of its block that say something, without colon and leading space
	Bytes    int      // length of its block on the wire, lines and empty line included
}

// A Reader parses one stream. It is not safe for concurrent use.
type Reader struct {
	r     io.Reader
	limit int       // of the bytes of one block
	tap   io.Writer // gets each line that was taken, its end included; may be nil

	buf        []byte // buf[start:] is read and not parsed yet
	start      int
	scanned    int   // bytes of buf[start:] known to hold no end of line
	err        error // what the source ended with
	begun      bool  // the byte order mark is behind us
	skipLF     bool  // the last line ended with CR, so that an LF now belongs to it
	retry      time.Duration
	hasRetry   bool
	lastID     string // as of the last block that ended, sent again on reconnection
	nextID     string // as of the last id line
	name       string
	data       []byte
	hasData    bool
	comments   []string
	blockBytes int
	tapErr     error
}

// NewReader returns a Reader of r that refuses blocks of more than limit bytes, and starts with a
// last event id, which holds until the stream sets another.
func NewReader(r io.Reader, limit int, lastID string) *Reader {
	return &Reader{r: r, limit: limit, lastID: lastID, nextID: lastID}
}

// Tap makes the reader write to w what it takes, line by line: never more than the lines of the events
// that Next returned and of what follows them without being one yet.
func (r *Reader) Tap(w io.Writer) { r.tap = w }

// LastID is the last event id string of the stream: where to resume.
func (r *Reader) LastID() string { return r.lastID }

// Retry is the reconnection time that the stream asked for, if it did.
func (r *Reader) Retry() (time.Duration, bool) { return r.retry, r.hasRetry }

// Next returns the next event. At the end of the stream it returns io.EOF, and what the last block
// held is dropped unless its empty line came, as the standard demands: it may be half of an event.
func (r *Reader) Next() (Event, error) {
	for {
		line, err := r.line()
		if err != nil {
			return Event{}, err
		}
		if len(line) > 0 {
			r.field(line)
			continue
		}
		if e, ok := r.dispatch(); ok {
			return e, nil
		}
	}
}

// dispatch ends a block. A block without data only moves the last event id.
func (r *Reader) dispatch() (Event, bool) {
	r.lastID = r.nextID
	e := Event{Name: r.name, Data: r.data, ID: r.lastID, Comments: r.comments, Bytes: r.blockBytes}
	ok := r.hasData
	r.name, r.data, r.hasData, r.comments, r.blockBytes = "", nil, false, nil, 0
	if e.Name == "" {
		e.Name = "message"
	}
	return e, ok
}

func (r *Reader) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	if len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	switch string(name) {
	case "":
		if len(value) > 0 && len(r.comments) < maxComments { // an empty one is a heartbeat
			r.comments = append(r.comments, string(value))
		}
	case "event":
		r.name = string(value)
	case "data":
		if r.hasData {
			r.data = append(r.data, '\n')
		}
		r.data = append(r.data, value...)
		r.hasData = true
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			r.nextID = string(value)
		}
	case "retry":
		r.setRetry(value)
	}
}

// maxComments bounds what can pile up between two events.
const maxComments = 64

func (r *Reader) setRetry(value []byte) {
	if len(value) == 0 || len(bytes.Trim(value, "0123456789")) > 0 {
		return
	}
	ms, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || ms > math.MaxInt64/int64(time.Millisecond) {
		ms = math.MaxInt64 / int64(time.Millisecond) // only digits: too many of them
	}
	r.retry, r.hasRetry = time.Duration(ms)*time.Millisecond, true
}

// line returns the next line without its end (CR, LF or CRLF). The bytes are valid until the next call.
func (r *Reader) line() ([]byte, error) {
	for {
		line, ok := r.cut()
		if r.blockBytes > r.limit || !ok && r.blockBytes+len(r.buf)-r.start > r.limit {
			return nil, fmt.Errorf("%w of %d bytes", ErrTooLong, r.limit)
		}
		if r.tapErr != nil {
			return nil, fmt.Errorf("write the copy: %w", r.tapErr)
		}
		if ok {
			return line, nil
		}
		if r.err != nil {
			return nil, r.err
		}
		r.fill()
	}
}

// cut takes a line off the buffer if a whole one is there. A CR ends its line at once: waiting for
// the LF that may follow would hold an event back until the next one.
func (r *Reader) cut() ([]byte, bool) {
	if !r.beginning() {
		return nil, false
	}
	rest := r.buf[r.start:]
	end := bytes.IndexByte(rest[r.scanned:], '\n')
	if end < 0 {
		end = len(rest) - r.scanned
	}
	if cr := bytes.IndexByte(rest[r.scanned:r.scanned+end], '\r'); cr >= 0 {
		end = cr
	}
	end += r.scanned
	if end == len(rest) {
		r.scanned = end
		return nil, false
	}
	r.skipLF = rest[end] == '\r'
	r.consume(end + 1)
	return rest[:end], true
}

// beginning removes a byte order mark at the start of the stream and the LF of a CRLF. False: more
// bytes are needed to tell.
func (r *Reader) beginning() bool {
	rest := r.buf[r.start:]
	if !r.begun {
		const bom = "\xEF\xBB\xBF"
		if len(rest) < len(bom) && r.err == nil && bom[:len(rest)] == string(rest) {
			return false
		}
		if bytes.HasPrefix(rest, []byte(bom)) {
			r.start += len(bom)
		}
		r.begun = true
	}
	if r.skipLF && r.start < len(r.buf) {
		if r.buf[r.start] == '\n' {
			r.copy(r.buf[r.start : r.start+1])
			r.start++
			if r.blockBytes > 0 { // otherwise it belongs to a block that is gone
				r.blockBytes++
			}
		}
		r.skipLF = false
	}
	return true
}

func (r *Reader) consume(n int) {
	r.copy(r.buf[r.start : r.start+n])
	r.start += n
	r.blockBytes += n
	r.scanned = 0
}

func (r *Reader) copy(taken []byte) {
	if r.tap != nil && r.tapErr == nil {
		_, r.tapErr = r.tap.Write(taken)
	}
}

// Reads are of at least minRead bytes; a buffer that one long event grew beyond keepBuf is given
// back, so that an idle stream costs little.
const (
	minRead = 4 << 10
	keepBuf = 256 << 10
)

func (r *Reader) fill() {
	rest := r.buf[r.start:]
	switch {
	case len(rest) == 0 && cap(r.buf) > keepBuf:
		r.buf = make([]byte, 0, 4*minRead)
	case cap(r.buf)-len(r.buf) >= minRead:
	case cap(r.buf)-len(rest) >= max(minRead, len(rest)):
		r.buf = r.buf[:copy(r.buf[:cap(r.buf)], rest)]
		r.start = 0
	default:
		grown := make([]byte, len(rest), 2*len(rest)+4*minRead)
		copy(grown, rest)
		r.buf, r.start = grown, 0
	}
	if r.start == len(r.buf) {
		r.buf, r.start = r.buf[:0], 0
	}
	n, err := r.r.Read(r.buf[len(r.buf):cap(r.buf)])
	r.buf = r.buf[:len(r.buf)+n]
	r.err = err
}
