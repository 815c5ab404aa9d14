package load

import (
	"bytes"
	"errors"
)

// An event is one dispatched server-sent event, or message. Its slices are good only while it is handled.
type event struct {
	name, data, id []byte
	raw            []byte // the block that it came in
	reset          bool   // a comment line says that what came before does not count any more
}

// A stream reads server-sent events as they come (WHATWG HTML, 9.2.6), lines that end with a CR
// alone excepted, or the messages of a WebSocket. It keeps only what of an event has come so far.
type stream struct {
	rest   []byte // the start of a block whose empty line has not come
	joined []byte // the data of a block with several lines of it
	retry  int    // ms; what the server last asked for

	// Of a WebSocket.
	socket bool
	reset  bool   // the next message is a reset
	pong   []byte // to be sent; nil: none
	failed error  // why the stream cannot go on
}

// maxBlock bounds what one event may take.
const maxBlock = 80 << 20

// blank is how most servers end an event.
var blank = []byte("\n\n") //nolint:gochecknoglobals // a constant

var errBlock = errors.New("an event longer than 80 MiB")

// A sink is told of events.
type sink interface{ event(ev *event) }

// feed takes what came and tells to of each event that it completes.
func (s *stream) feed(b []byte, to sink) error {
	for len(s.rest) > 0 && len(b) > 0 && s.failed == nil {
		n := len(b)
		if at := bytes.Index(b, blank); at >= 0 && !s.socket { // of the events after this one nothing is copied
			n = at + len(blank)
		}
		s.rest, b = append(s.rest, b[:n]...), b[n:]
		used := s.complete(s.rest, to)
		switch left := len(s.rest) - used; {
		case left > maxBlock:
			return errBlock
		case left == 0:
			s.rest = nil // thousands of streams wait, and few are in the middle of an event
		case used > 0:
			s.rest = append([]byte(nil), s.rest[used:]...)
		}
	}
	if len(b) > 0 && s.failed == nil {
		if used := s.complete(b, to); used < len(b) {
			s.rest = append(s.rest, b[used:]...)
		}
	}
	return s.failed
}

// complete reads what is whole, and returns how much of b that is.
func (s *stream) complete(b []byte, to sink) (used int) {
	if s.socket {
		return s.parseFrames(b, to)
	}
	return s.parse(b, to)
}

// parse reads whole blocks and returns how much of b they are.
func (s *stream) parse(b []byte, to sink) (used int) {
	var ev event
	lines := 0 // of the block, data lines excepted
	dataLines := 0
	for at := 0; ; {
		n := bytes.IndexByte(b[at:], '\n')
		if n < 0 {
			return used
		}
		line := b[at : at+n]
		at += n + 1
		if n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		if len(line) == 0 {
			if dataLines > 0 {
				ev.raw = b[used:at]
				to.event(&ev)
			}
			ev, lines, dataLines, used = event{}, 0, 0, at
			continue
		}
		if len(line) == 1 && line[0] == ':' && lines+dataLines == 0 {
			used = at // a heartbeat has no empty line of its own
			continue
		}
		if value, ok := field(line, "data"); ok {
			if dataLines++; dataLines == 1 {
				ev.data = value
				continue
			}
			if dataLines == 2 {
				s.joined = append(s.joined[:0], ev.data...)
			}
			s.joined = append(append(s.joined, '\n'), value...)
			ev.data = s.joined
			continue
		}
		lines++
		s.field(line, &ev)
	}
}

func (s *stream) field(line []byte, ev *event) {
	if line[0] == ':' {
		ev.reset = ev.reset || bytes.HasPrefix(line, []byte(": reset"))
	} else if value, ok := field(line, "id"); ok {
		ev.id = value
	} else if value, ok := field(line, "event"); ok {
		ev.name = value
	} else if value, ok := field(line, "retry"); ok {
		s.retry, _ = digits(value)
	}
}

// field returns the value of a line of that name.
func field(line []byte, name string) (value []byte, ok bool) {
	if len(line) < len(name) || string(line[:len(name)]) != name {
		return nil, false
	}
	value = line[len(name):]
	switch {
	case len(value) == 0:
		return value, true
	case value[0] != ':':
		return nil, false
	case len(value) > 1 && value[1] == ' ':
		return value[2:], true
	}
	return value[1:], true
}

// digits reads the decimal number at the start of b, and how many bytes that is. One that is too
// long for an int wraps around.
func digits(b []byte) (value, length int) {
	for length < len(b) && b[length] >= '0' && b[length] <= '9' {
		value = value*10 + int(b[length]-'0')
		length++
	}
	return value, length
}
