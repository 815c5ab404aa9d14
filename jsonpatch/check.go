package jsonpatch

import (
	"fmt"
	"unicode/utf8"
)

// A checker finds out what is wrong with a text that the parser refused. It is the plain reading of
// RFC 8259, white space included, and is slow; nothing depends on it but errors.
type checker struct {
	s    []byte
	i    int
	left int // values still allowed
	err  *SyntaxError
}

// check returns nil for a text that Parse accepts.
func check(s []byte, lim Limits) error {
	c := checker{s: s, left: lim.Members}
	if len(s) >= 3 && string(s[:3]) == "\xef\xbb\xbf" {
		c.fail("a byte order mark is not allowed (RFC 8259, section 8.1)", nil)
		return c.err
	}
	if c.space(); c.value(lim.Depth) && c.i < len(s) {
		c.expected("the end of the text")
	}
	if c.err != nil {
		return c.err
	}
	return nil
}

func (c *checker) fail(reason string, limit error) bool {
	if c.err == nil {
		c.err = &SyntaxError{int64(c.i), reason, limit}
	}
	return false
}

func (c *checker) expected(what string) bool {
	if c.i >= len(c.s) {
		return c.fail("the text ends where "+what+" is expected", nil)
	}
	r, n := utf8.DecodeRune(c.s[c.i:])
	if r == utf8.RuneError && n <= 1 {
		return c.fail("invalid UTF-8", nil)
	}
	return c.fail(fmt.Sprintf("%q where %s is expected", r, what), nil)
}

func (c *checker) peek() byte {
	if c.i < len(c.s) {
		return c.s[c.i]
	}
	return 0
}

func (c *checker) space() {
	for c.i < len(c.s) && (c.s[c.i] == ' ' || c.s[c.i] == '\n' || c.s[c.i] == '\r' || c.s[c.i] == '\t') {
		c.i++
	}
}

// value checks a value and the white space after it.
func (c *checker) value(depth int) (ok bool) {
	if c.left--; c.left < 0 {
		return c.fail("too many values", ErrMembers)
	}
	switch b := c.peek(); {
	case b == '{' || b == '[':
		if depth == 0 {
			return c.fail("nested too deeply", ErrDepth)
		}
		ok = c.container(depth-1, b == '{')
	case b == '"':
		ok = c.text()
	case b == '-' || digit(b):
		ok = c.number()
	default:
		ok = c.literal()
	}
	c.space()
	return ok
}

func (c *checker) container(depth int, object bool) bool {
	closing, what := byte(']'), "',' or ']'"
	if object {
		closing, what = '}', "',' or '}'"
	}
	c.i++
	if c.space(); c.peek() == closing {
		c.i++
		return true
	}
	for {
		if object {
			if c.peek() != '"' {
				return c.expected("a member's name")
			}
			if !c.text() {
				return false
			}
			if c.space(); c.peek() != ':' {
				return c.expected("':'")
			}
			c.i++
			c.space()
		}
		if !c.value(depth) {
			return false
		}
		switch c.peek() {
		case ',':
			c.i++
			c.space()
		case closing:
			c.i++
			return true
		default:
			return c.expected(what)
		}
	}
}

func (c *checker) literal() bool {
	for _, word := range []string{"true", "false", "null"} {
		if len(c.s)-c.i >= len(word) && string(c.s[c.i:c.i+len(word)]) == word {
			c.i += len(word)
			return true
		}
	}
	return c.expected("a value")
}

func (c *checker) number() bool {
	if c.peek() == '-' {
		c.i++
	}
	if c.peek() == '0' {
		c.i++
	} else if !c.digits() {
		return false
	}
	if c.peek() == '.' {
		if c.i++; !c.digits() {
			return false
		}
	}
	if c.peek()|0x20 == 'e' {
		if c.i++; c.peek() == '+' || c.peek() == '-' {
			c.i++
		}
		return c.digits()
	}
	return true
}

func (c *checker) digits() bool {
	if !digit(c.peek()) {
		return c.expected("a digit")
	}
	for digit(c.peek()) {
		c.i++
	}
	return true
}

// text checks a string.
func (c *checker) text() bool {
	for c.i++; c.i < len(c.s); {
		switch b := c.s[c.i]; {
		case b == '"':
			c.i++
			return true
		case b < ' ':
			return c.fail(fmt.Sprintf("control character %#02x in a string, which must be escaped", b), nil)
		case b == '\\':
			if !c.escape() {
				return false
			}
		default:
			r, n := utf8.DecodeRune(c.s[c.i:])
			if r == utf8.RuneError && n <= 1 {
				return c.fail("invalid UTF-8", nil)
			}
			c.i += n
		}
	}
	return c.fail("the text ends inside a string", nil)
}

func (c *checker) escape() bool {
	if _, n := unescape(c.s[c.i:]); n > 0 {
		c.i += n
		return true
	}
	if c.i+1 < len(c.s) && c.s[c.i+1] == 'u' && hex4(c.s[c.i+2:]) >= 0 {
		return c.fail("a lone surrogate, which stands for no character", nil)
	}
	return c.fail("an escape that does not exist", nil)
}
