package strict

import (
	"encoding/json"
	"strconv"
)

// The cursor relies on the text being valid JSON: it checks nothing twice.

// peek says which kind of value comes next.
func (d *decoder) peek() string {
	d.space()
	switch d.data[d.at] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}

func (d *decoder) space() {
	for d.at < len(d.data) {
		switch d.data[d.at] {
		case ' ', '\t', '\r', '\n':
			d.at++
		default:
			return
		}
	}
}

// raw steps over the next value and returns its bytes.
func (d *decoder) raw() []byte {
	d.space()
	start := d.at
	d.skip()
	return d.data[start:d.at]
}

// skip steps over the next value.
func (d *decoder) skip() {
	d.space()
	for depth := 0; ; {
		switch d.data[d.at] {
		case '{', '[':
			depth++
			d.at++
		case '}', ']':
			depth--
			d.at++
		case '"':
			d.quoted()
		default:
			d.at++
			if depth == 0 {
				d.bare()
			}
		}
		if depth == 0 {
			return
		}
	}
}

// quoted steps over a string.
func (d *decoder) quoted() {
	for d.at++; d.data[d.at] != '"'; d.at++ {
		if d.data[d.at] == '\\' {
			d.at++
		}
	}
	d.at++
}

// bare steps to the end of a number or a literal.
func (d *decoder) bare() {
	for d.at < len(d.data) {
		switch d.data[d.at] {
		case ' ', '\t', '\r', '\n', ',', '}', ']':
			return
		}
		d.at++
	}
}

// members calls read at each value of the object that comes next, which reads or skips it.
func (d *decoder) members(read func(name string)) {
	d.space()
	d.at++ // {
	seen := map[string]bool{}
	for d.space(); d.data[d.at] != '}'; d.space() {
		if d.data[d.at] == ',' {
			d.at++
		}
		name := unquote(d.raw())
		d.space()
		d.at++ // :
		d.below(name, func() {
			if seen[name] {
				d.mistake("duplicate member %q", name)
			}
			seen[name] = true
			read(name)
		})
	}
	d.at++ // }
}

// items calls read at each item of the array that comes next, which reads or skips it.
func (d *decoder) items(read func()) {
	d.space()
	d.at++ // [
	n := 0
	for d.space(); d.data[d.at] != ']'; d.space() {
		if d.data[d.at] == ',' {
			d.at++
		}
		d.below(strconv.Itoa(n), read)
		n++
	}
	d.at++ // ]
}

func unquote(raw []byte) (s string) {
	_ = json.Unmarshal(raw, &s) // cannot fail: raw is a valid JSON string
	return s
}
