package sse

import (
	"bytes"
	"io"
	"math"
	"strconv"
	"time"
)

// An event is one block of a stream that has data.
type event struct {
	name  string // its type; "message" where upstream named none
	data  []byte // data lines joined by LF; belongs to the caller
	id    string // the last event id once this event is applied
	large bool   // data was longer than the limit, and is gone
}

// A reader parses a stream as the WHATWG HTML standard (section 9.2.6) says, with two differences. Text
// stays the bytes that came: what is not UTF-8 is refused as JSON. And an event that is too long is read to
// its end and dropped, so that one which upstream would send again after each reconnection stops nothing.
type reader struct {
	r     io.Reader
	limit int // of an event's data, in bytes

	room   []byte // what is read goes here
	buf    []byte // the part of it that is not parsed yet
	begun  bool   // the byte order mark is behind us
	skipLF bool   // the last line ended with CR, so that an LF now belongs to it
	line   []byte // the beginning of a line whose end is not there yet
	cut    bool   // the line is longer than what is kept of it

	retry    time.Duration // that upstream asked for; negative: it did not
	lastID   string        // as of the last block that ended
	nextID   string        // as of the last id line
	name     string
	data     []byte
	hasData  bool
	tooLarge bool
}

// maxField is the longest value of a field other than data, in bytes: what is longer is ignored.
const maxField = 2 << 10

// chunk is how much is read at a time, in bytes.
const chunk = 32 << 10

func newReader(r io.Reader, limit int, lastID string) *reader {
	return &reader{r: r, limit: limit, lastID: lastID, nextID: lastID, retry: -1}
}

// next returns the next event. Without wait it reads nothing, and ok says whether there was one. At the end
// of the stream, what the last block held is dropped, as the standard demands: it may be half of an event.
func (r *reader) next(wait bool) (e event, ok bool, err error) {
	for {
		for len(r.buf) > 0 {
			if e, ok = r.parse(); ok {
				return e, true, nil
			}
		}
		if !wait {
			return event{}, false, nil
		}
		if r.room == nil {
			r.room = make([]byte, chunk)
		}
		n, err := r.r.Read(r.room)
		if r.buf = r.room[:n]; n == 0 && err != nil {
			return event{}, false, err //nolint:wrapcheck // the caller knows what was read
		}
	}
}

// parse takes at most one line off the buffer. A CR ends its line at once: waiting for the LF that may
// follow would hold an event back until the next one.
func (r *reader) parse() (event, bool) {
	if r.skipLF && r.buf[0] == '\n' {
		r.buf, r.skipLF = r.buf[1:], false
		return event{}, false
	}
	r.skipLF = false
	end := bytes.IndexByte(r.buf, '\n')
	if end < 0 {
		end = len(r.buf)
	}
	if cr := bytes.IndexByte(r.buf[:end], '\r'); cr >= 0 {
		end = cr
	}
	part := r.buf[:end]
	if most := max(r.limit, maxField) + len("\xEF\xBB\xBFevent: "); len(r.line)+len(part) > most {
		part, r.cut = part[:most-len(r.line)], true
	}
	if end == len(r.buf) {
		r.line, r.buf = append(r.line, part...), nil
		return event{}, false
	}
	line := part
	if len(r.line) > 0 {
		line = append(r.line, part...)
	}
	r.skipLF = r.buf[end] == '\r'
	r.buf = r.buf[end+1:]
	if !r.begun {
		r.begun, line = true, bytes.TrimPrefix(line, []byte("\xEF\xBB\xBF"))
	}
	empty := len(line) == 0
	if !empty {
		r.field(line)
	}
	if r.line, r.cut = r.line[:0], false; cap(r.line) > 2*chunk {
		r.line = nil
	}
	if empty {
		return r.dispatch()
	}
	return event{}, false
}

// dispatch ends a block. A block without data only moves the last event id.
func (r *reader) dispatch() (event, bool) {
	r.lastID = r.nextID
	e, ok := event{name: r.name, data: r.data, id: r.lastID, large: r.tooLarge}, r.hasData
	r.name, r.data, r.hasData, r.tooLarge = "", nil, false, false
	if e.name == "" {
		e.name = "message"
	}
	return e, ok
}

func (r *reader) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	if len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	if string(name) == "data" {
		r.append(value)
		return
	}
	if r.cut || len(value) > maxField {
		return
	}
	switch string(name) {
	case "event":
		r.name = string(value)
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			r.nextID = string(value)
		}
	case "retry":
		if len(value) > 0 && len(bytes.Trim(value, "0123456789")) == 0 {
			ms, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil || ms > math.MaxInt64/int64(time.Millisecond) {
				ms = math.MaxInt64 / int64(time.Millisecond) // only digits: too many of them
			}
			r.retry = time.Duration(ms) * time.Millisecond
		}
	}
}

func (r *reader) append(value []byte) {
	if r.hasData {
		r.data = append(r.data, '\n')
	}
	r.hasData = true
	if r.tooLarge = r.tooLarge || r.cut || len(r.data)+len(value) > r.limit; r.tooLarge {
		r.data = nil
		return
	}
	r.data = append(r.data, value...)
}
