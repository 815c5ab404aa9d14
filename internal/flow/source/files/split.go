package files

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"unicode/utf8"
)

// A splitter finds the lines of a file: of CSV its records, which may have line breaks in quotes.
type splitter struct {
	r         *bufio.Reader
	csv       bool
	delimiter byte // the last of its bytes
	limit     int  // of a line
}

func newSplitter(r io.Reader, csv bool, delimiter string, limit int64) *splitter {
	s := &splitter{r: bufio.NewReaderSize(r, 64<<10), csv: csv, limit: int(limit), delimiter: ','}
	if n := len(delimiter); n > 0 && n <= utf8.UTFMax {
		s.delimiter = delimiter[n-1]
	}
	return s
}

// A line is what a splitter finds.
type line struct {
	data    []byte // without what is over the limit, with the line break
	size    int64  // bytes in the file
	ended   bool   // by a line break
	tooLong bool
	last    []byte // its last bytes, at most near
}

// next reads a line. At the end of the file the line is empty, or has no line break.
func (s *splitter) next() (l line, err error) {
	quoted, fresh := false, true // within quotes; at the beginning of a value
	for {
		part, err := s.r.ReadSlice('\n')
		l.size += int64(len(part))
		if room := s.limit + 2 - len(l.data); room >= len(part) {
			l.data = append(l.data, part...)
		} else {
			if !l.tooLong {
				l.tooLong, l.last = true, bytes.Clone(l.data[max(0, len(l.data)-near):])
			}
			l.last = append(l.last, part[max(0, len(part)-near):]...)
			l.last = l.last[max(0, len(l.last)-near):]
		}
		if s.csv {
			quoted, fresh = s.quotes(part, quoted, fresh)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return s.finish(l), nil
		case err != nil:
			return line{}, err //nolint:wrapcheck // it is the store's
		case !quoted || l.tooLong:
			l.ended = true
			return s.finish(l), nil
		}
	}
}

func (s *splitter) finish(l line) line {
	if !l.tooLong {
		l.last = l.data[max(0, len(l.data)-near):]
	}
	return l
}

// quotes follows the quotes of RFC 4180: one opens a value only at its beginning, and two within are one of
// its text.
func (s *splitter) quotes(part []byte, quoted, fresh bool) (bool, bool) {
	for _, c := range part {
		switch {
		case c == '"' && (quoted || fresh):
			// The second of two within a value seems to open it again, which comes to the same.
			quoted, fresh = !quoted, quoted
		case quoted:
		default:
			fresh = c == s.delimiter || c == '\n'
		}
	}
	return quoted, fresh
}
