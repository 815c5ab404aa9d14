package jsonpatch

import (
	"encoding/binary"
	"math/bits"
)

// A source is a text as it was given, when it was not canonical, and where its lines went. The next
// text is compared with it, so that lines that did not change need not be shortened again.
type source struct {
	text  []byte // padded
	lines []seam
}

// A seam is where a line begins, behind its white space, in a text and in its canonical form. What
// stands before is whole: the forms of both sides do not depend on each other.
type seam struct{ from, to uint32 }

// shorten writes the canonical form of src.text behind dst, but for members of the same name. Old is the
// source of the canonical text oldText, or empty. What is not JSON does not become JSON by it; the
// parser finds that out.
func (src *source) shorten(dst []byte, old *source, oldText []byte) []byte {
	n := len(src.text)
	s := src.text[:n+padding]
	if cap(dst) < n+2*padding {
		dst = make([]byte, 0, n+n/8+2*padding)
	}
	dst = dst[:n+2*padding] // never longer than src, and words are written whole
	w := lineWalk{old: old, oldText: oldText}
	src.lines = src.lines[:0]
	i, j := 0, 0
	for i < n {
		switch c := s[i]; c {
		case ' ', '\n', '\r', '\t':
			i = skipSpace(s, i)
			if j == 0 || i >= n {
				continue
			}
			if scalar(dst[j-1]) {
				if scalar(s[i]) {
					dst[j] = ' ' // "1 2" must not become "12"
					j++
				}
				continue
			}
			if c != ' ' {
				i, j = src.line(&w, dst, i, j)
			}
		case '"':
			i, j = shortenString(dst, j, s, i)
			if s[i] == ':' { // most often a name, with one space before its value
				dst[j] = ':'
				i, j = i+1, j+1
				if s[i] == ' ' {
					i++
				}
			}
		default: // copy up to the next white space or string
			dst[j] = c
			x := load(s, i+1)
			binary.LittleEndian.PutUint64(dst[j+1:], x)
			k := 8
			if m := (x - ones*('"'+1)) &^ x & highs; m != 0 {
				k = bits.TrailingZeros64(m) >> 3
			}
			k = min(k+1, n-i)
			i, j = i+k, j+k
		}
	}
	return pad(dst[:j])
}

// A lineWalk is where the lines of the old source stand.
type lineWalk struct {
	old     *source
	oldText []byte
	next    int // the line that should come next
	misses  int // lines since that were another
}

// line notes that a line begins, and copies lines that are in the old source as well. It returns
// where the texts go on.
func (src *source) line(w *lineWalk, dst []byte, i, j int) (int, int) {
	src.lines = append(src.lines, seam{uint32(i), uint32(j)})
	lines := w.old.lines
	if len(lines) == 0 {
		return i, j
	}
	// Either the lines since were changed in place, or they are new, or one is gone.
	for _, at := range [...]int{w.next + w.misses, w.next, w.next + w.misses + 1} {
		if at+1 >= len(lines) {
			continue
		}
		first := lines[at]
		end := first.from + uint32(mismatch(w.old.text[first.from:], src.text[i:]))
		if lines[at+1].from > end {
			continue
		}
		k := at + 1
		for ; k < len(lines) && lines[k].from <= end; k++ {
			l := lines[k]
			src.lines = append(src.lines, seam{uint32(i) + l.from - first.from, uint32(j) + l.to - first.to})
		}
		last := lines[k-1]
		j += copy(dst[j:], w.oldText[first.to:last.to])
		w.next, w.misses = k-1, 1 // the line that begins there is another
		return i + int(last.from-first.from), j
	}
	w.misses++
	return i, j
}

// scalar says whether a byte outside strings is part of a number or a word.
func scalar(c byte) bool {
	switch c {
	case '{', '}', '[', ']', ',', ':', '"':
		return false
	}
	return true
}

func skipSpace(s []byte, i int) int {
	for i++; ; i++ {
		if c := s[i]; c > ' ' {
			return i // most often one space
		}
		x := load(s, i) ^ ones*' '
		for x == 0 {
			i += 8
			x = load(s, i) ^ ones*' '
		}
		i += bits.TrailingZeros64(x) >> 3
		if c := s[i]; c != '\n' && c != '\r' && c != '\t' {
			return i
		}
	}
}

// shortenString copies the string at s[i] to dst[j] and returns the places after both. A string that
// is wrong is copied up to the mistake, and stays wrong there.
func shortenString(dst []byte, j int, s []byte, i int) (int, int) {
	dst[j] = '"'
	i, j = i+1, j+1
	for {
		x := load(s, i)
		binary.LittleEndian.PutUint64(dst[j:], x)
		m := special(x)
		if m == 0 {
			i, j = i+8, j+8
			continue
		}
		k := bits.TrailingZeros64(m) >> 3
		i, j = i+k, j+k
		if s[i] != '\\' {
			return i + 1, j + 1 // the closing quote; or a mistake, which was copied with the word
		}
		r, n := unescape(s[i:])
		if n == 0 {
			dst[j] = 0 // as wrong as the escape; a backslash might go with what follows
			return i + 1, j + 1
		}
		j = len(appendEscaped(dst[:j], r))
		i += n
	}
}
