package jsonpatch

import (
	"bytes"
	"math"
	"strconv"
)

// equalValues compares two canonical texts as the test operation does (RFC 6902, section 4.6):
// numbers by value.
func equalValues(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	lim := Limits{Size: maxSize, Depth: maxDepth, Members: maxSize}
	x, errX := Parse(a, lim)
	y, errY := Parse(b, lim)
	if errX != nil || errY != nil {
		return false
	}
	d := Differ{numeric: true}
	return d.equal(x, y, ref{0, 0}, ref{0, 0})
}

// A decimal is a number's digits without zeros at both ends, and the power of ten that the first
// digit stands behind: 0.digits × 10^exp.
type decimal struct {
	negative bool
	digits   []byte
	exp      int64
	huge     bool // the exponent does not fit; then only the spelling tells
}

// equalNumbers compares two valid JSON numbers exactly, however long.
func equalNumbers(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, y := parseDecimal(a), parseDecimal(b)
	if len(x.digits) == 0 || len(y.digits) == 0 {
		return len(x.digits) == len(y.digits) // zero is zero, whatever its sign
	}
	return !x.huge && !y.huge && x.negative == y.negative && x.exp == y.exp && bytes.Equal(x.digits, y.digits)
}

func parseDecimal(s []byte) (d decimal) {
	if d.negative = s[0] == '-'; d.negative {
		s = s[1:]
	}
	if e := bytes.IndexAny(s, "eE"); e >= 0 {
		exp, err := strconv.ParseInt(string(s[e+1:]), 10, 64)
		d.exp, d.huge = exp, err != nil || exp > math.MaxInt32 || exp < math.MinInt32
		s = s[:e]
	}
	whole, fraction, _ := bytes.Cut(s, []byte{'.'})
	d.digits = append(append(d.digits, whole...), fraction...)
	d.exp += int64(len(whole))
	trimmed := bytes.TrimLeft(d.digits, "0")
	d.exp -= int64(len(d.digits) - len(trimmed))
	d.digits = bytes.TrimRight(trimmed, "0")
	return d
}
