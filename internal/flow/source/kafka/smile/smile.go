// Package smile turns SMILE, the binary form of JSON that Jackson writes, into JSON.
//
// It follows version 1.0.4 of the specification of the format, and Jackson where the two differ: the last
// bits of 7-bit binary data are aligned to the right.
package smile

import (
	"errors"
	"fmt"
)

// ErrTooLarge says that the JSON would be larger than is allowed.
var ErrTooLarge = errors.New("larger than is allowed")

const (
	maxDepth  = 1000
	maxShared = 1024 // names, and values, that can be referred to
)

// JSON is what data, one value with a header, says, in JSON of at most limit bytes. Binary data becomes
// base64, and a number that JSON does not have ("NaN", "Infinity", "-Infinity") a string, as with Jackson.
// Errors say where data is wrong, and nothing of what it holds.
func JSON(data []byte, limit int) ([]byte, error) {
	const namesShared, valuesShared, hasRaw = 1, 2, 4
	if len(data) < 4 || string(data[:3]) != ":)\n" {
		return nil, errors.New("the header is missing")
	}
	flags := data[3]
	if flags&^(namesShared|valuesShared|hasRaw) != 0 {
		return nil, errors.New("the version is not 0")
	}
	d := &decoder{
		in: data, at: 4, limit: limit, out: make([]byte, 0, 2*min(len(data), limit)),
		names: shared{on: flags&namesShared != 0}, values: shared{on: flags&valuesShared != 0}, raw: flags&hasRaw != 0,
	}
	d.value(d.byte(), maxDepth)
	if d.err == nil && d.at < len(d.in) && d.in[d.at] == 0xFF { // the end of the content, which is optional
		d.at++
	}
	if d.err == nil && d.at < len(d.in) {
		d.fail("is more than one value")
	}
	if d.err != nil {
		return nil, d.err
	}
	return d.out, nil
}

// A decoder is a cursor in SMILE, and the JSON so far. After the first mistake it does nothing any more.
type decoder struct {
	in     []byte
	at     int
	out    []byte
	limit  int
	raw    bool // raw binary data may occur
	names  shared
	values shared
	err    error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("there %s at byte %d", what, d.at)
	}
	d.at = len(d.in)
}

// put appends JSON.
func (d *decoder) put(json ...byte) {
	if len(d.out)+len(json) > d.limit && d.err == nil {
		d.err, d.at = ErrTooLarge, len(d.in)
	}
	if d.err == nil {
		d.out = append(d.out, json...)
	}
}

func (d *decoder) say(json string) { d.put([]byte(json)...) }

// byte is the next byte.
func (d *decoder) byte() byte {
	if d.at == len(d.in) {
		d.fail("is no end of the value")
		return 0
	}
	d.at++
	return d.in[d.at-1]
}

// take are the next n bytes.
func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.in)-d.at) {
		d.fail("is no end of the value")
		return nil
	}
	d.at += int(n)
	return d.in[d.at-int(n) : d.at]
}

// upTo are the bytes before the end marker of a text, which is skipped.
func (d *decoder) upTo() []byte {
	for i, b := range d.in[d.at:] {
		if b == 0xFC {
			text := d.in[d.at : d.at+i]
			d.at += i + 1
			return text
		}
	}
	d.fail("is no end of the text")
	return nil
}

// A shared is what can be referred to: where it is in the JSON, with its quotation marks.
type shared struct {
	on   bool
	seen [][2]int
}

func (s *shared) add(from, to int) {
	if !s.on {
		return
	}
	if len(s.seen) == maxShared {
		s.seen = s.seen[:0]
	}
	s.seen = append(s.seen, [2]int{from, to})
}

// again appends what was seen before.
func (d *decoder) again(s *shared, index int) {
	if index >= len(s.seen) {
		d.fail("is a reference to nothing before it")
		return
	}
	d.put(d.out[s.seen[index][0]:s.seen[index][1]]...)
}

// short appends a text that can be referred to later.
func (d *decoder) short(s *shared, text []byte) {
	from := len(d.out)
	d.text(text)
	s.add(from, len(d.out))
}

// value appends the value that begins with a token.
func (d *decoder) value(token byte, depth int) {
	switch {
	case token == 0x00:
		d.fail("is no token of a value")
	case token < 0x20:
		d.again(&d.values, int(token)-1)
	case token < 0x40:
		d.literal(token)
	case token < 0x80:
		d.short(&d.values, d.take(uint64(token-0x40)+1))
	case token < 0xC0:
		d.short(&d.values, d.take(uint64(token-0x80)+2))
	case token < 0xE0:
		d.integer(unzigzag(uint64(token & 0x1F)))
	case token == 0xE0 || token == 0xE4:
		d.text(d.upTo())
	case token == 0xE8:
		d.binary(d.sevenBits())
	case token >= 0xEC && token <= 0xEF:
		d.again(&d.values, int(token&3)<<8|int(d.byte()))
	case token == 0xF8:
		d.array(depth - 1)
	case token == 0xFA:
		d.object(depth - 1)
	case token == 0xFD && d.raw:
		d.binary(d.take(d.unsigned()))
	default:
		d.fail("is no token of a value")
	}
}

func (d *decoder) array(depth int) {
	if depth == 0 {
		d.fail("are too many levels")
	}
	d.put('[')
	for n := 0; d.err == nil; n++ {
		token := d.byte()
		if token == 0xF9 {
			break
		}
		if n > 0 {
			d.put(',')
		}
		d.value(token, depth)
	}
	d.put(']')
}

func (d *decoder) object(depth int) {
	if depth == 0 {
		d.fail("are too many levels")
	}
	d.put('{')
	for n := 0; d.err == nil; n++ {
		token := d.byte()
		if token == 0xFB {
			break
		}
		if n > 0 {
			d.put(',')
		}
		d.name(token)
		d.put(':')
		d.value(d.byte(), depth)
	}
	d.put('}')
}

// name appends the name that begins with a token.
func (d *decoder) name(token byte) {
	switch {
	case token == 0x20:
		d.put('"', '"')
	case token >= 0x30 && token <= 0x33:
		d.again(&d.names, int(token&3)<<8|int(d.byte()))
	case token == 0x34:
		d.short(&d.names, d.upTo())
	case token >= 0x40 && token < 0x80:
		d.again(&d.names, int(token-0x40))
	case token >= 0x80 && token < 0xC0:
		d.short(&d.names, d.take(uint64(token-0x80)+1))
	case token >= 0xC0 && token < 0xF8:
		d.short(&d.names, d.take(uint64(token-0xC0)+2))
	default:
		d.fail("is no token of a name")
	}
}
