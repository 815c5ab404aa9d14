package files

import "io"

// A Line is what a splitter finds.
type Line struct {
	Data, Last     []byte
	Size           int64
	Ended, TooLong bool
}

// Split finds all lines.
func Split(r io.Reader, csv bool, delimiter string, limit int64) (all []Line, err error) {
	for s := newSplitter(r, csv, delimiter, limit); ; {
		l, err := s.next()
		if err != nil || l.size == 0 {
			return all, err
		}
		all = append(all, Line{l.data, l.last, l.size, l.ended, l.tooLong})
	}
}
