package jsonpatch

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

func load(s []byte, i int) uint64 { return binary.LittleEndian.Uint64(s[i:]) }

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special marks the bytes of a word that end a run of ordinary characters in a string: quotes,
// backslashes and control characters. Only the lowest mark is reliable.
func special(x uint64) uint64 {
	q, b := x^ones*'"', x^ones*'\\'
	return ((q-ones)&^q | (b-ones)&^b | (x-ones*' ')&^x) & highs
}

// stringEnd returns where the closing quote is of the string whose first character is at i, or -1
// when it is not one in canonical form. s is padded.
func stringEnd(s []byte, i int) int {
	for {
		m := special(load(s, i))
		if m == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(m) >> 3
		switch s[i] {
		case '"':
			return i
		case '\\':
			n := canonicalEscape(s[i:])
			if n == 0 {
				return -1
			}
			i += n
		default:
			return -1
		}
	}
}

// canonicalEscape returns the length of the escape that s starts with, 0 unless there is no shorter
// spelling. s holds at least 6 bytes.
func canonicalEscape(s []byte) int {
	switch s[1] {
	case '"', '\\', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if c := hex4(s[2:]); c >= 0 && c < ' ' && shortEscape(byte(c)) == 0 && (s[5] < 'A' || s[5] >= 'a') {
			return 6
		}
	}
	return 0
}

// shortEscape returns the letter that stands for a character after a backslash, or 0.
func shortEscape(c byte) byte {
	switch c {
	case '"', '\\':
		return c
	case '\b':
		return 'b'
	case '\f':
		return 'f'
	case '\n':
		return 'n'
	case '\r':
		return 'r'
	case '\t':
		return 't'
	}
	return 0
}

// unescape returns the character that the escape at the start of s stands for, and the length of the
// escape, which is 0 when there is no such escape.
func unescape(s []byte) (r rune, n int) {
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case '"', '\\', '/':
		return rune(s[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r = hex4(s[2:])
		if r < 0 || !utf16.IsSurrogate(r) {
			return max(r, 0), 6 * int(1+r>>31) // 0 for a negative one
		}
		if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
			if r = utf16.DecodeRune(r, hex4(s[8:])); r != utf8.RuneError {
				return r, 12
			}
		}
	}
	return 0, 0
}

// hex4 reads four hexadecimal digits, or returns -1.
func hex4(s []byte) (r rune) {
	if len(s) < 4 {
		return -1
	}
	for _, c := range s[:4] {
		switch {
		case digit(c):
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

func digit(c byte) bool { return c-'0' < 10 }

// appendEscaped appends a character as it stands in a canonical string.
func appendEscaped(dst []byte, r rune) []byte {
	switch {
	case r >= utf8.RuneSelf:
		return utf8.AppendRune(dst, r)
	case shortEscape(byte(r)) != 0:
		return append(dst, '\\', shortEscape(byte(r)))
	case r < ' ':
		const digits = "0123456789abcdef"
		return append(dst, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
	}
	return append(dst, byte(r))
}
