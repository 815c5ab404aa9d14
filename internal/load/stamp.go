package load

import (
	"bytes"
	"strconv"
	"time"
)

// A stamp says when a payload was made, and which one of its topic it is. It travels in the payload
// as a JSON string, "@<ns since 1970>.<number>", which a patch carries too, since it always changes.
type stamp struct {
	at     int64 // ns since 1970
	number int
}

func (s stamp) append(dst []byte) []byte {
	dst = append(dst, '"', '@')
	dst = strconv.AppendInt(dst, s.at, 10)
	dst = append(dst, '.')
	dst = strconv.AppendInt(dst, int64(s.number), 10)
	return append(dst, '"')
}

// findStamp finds the first stamp in a payload, a document or a patch.
func findStamp(data []byte) (s stamp, ok bool) {
	at := bytes.Index(data, []byte(`"@`))
	if at < 0 {
		return stamp{}, false
	}
	data = data[at+2:]
	ns, n := digits(data)
	if n == 0 || n >= len(data) || data[n] != '.' {
		return stamp{}, false
	}
	number, m := digits(data[n+1:])
	return stamp{int64(ns), number}, m > 0
}

func now() int64 { return time.Now().UnixNano() }

// message is a message of about size bytes.
func message(s stamp, size int) []byte {
	b := append(make([]byte, 0, size+64), `{"at":`...)
	b = s.append(b)
	b = append(b, `,"text":"`...)
	for len(b) < size-2 {
		b = append(b, 'a'+byte((len(b)+s.number)%26))
	}
	return append(b, '"', '}')
}
