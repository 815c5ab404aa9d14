package sse_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"freshet/internal/flow/source/sse"
)

const none = time.Duration(-1)

// The cases follow the standard's text and the web-platform-tests of eventsource/.
var streams = []struct {
	name, in string
	want     []string
	id       string
	retry    time.Duration
}{
	{"an event", "event: patch\ndata: []\nid: 1\n\n", []string{"patch|[]|1"}, "1", none},
	{"no name is message", "data:x\n\n", []string{"message|x|"}, "", none},
	{"one space after the colon goes", "data:  x \n\n", []string{"message| x |"}, "", none},
	{"lines of data are joined", "data: a\ndata\ndata: b\n\n", []string{"message|a\n\nb|"}, "", none},
	{"empty data is an event", "data\n\ndata:\n\n", []string{"message||", "message||"}, "", none},
	{"no data is none", "event: x\n\ndata: y\n\n", []string{"message|y|"}, "", none},
	{"an id alone moves the id", "id: 7\n\n", nil, "7", none},
	{"an id without its empty line does not", "id: 6\n\nid: 7\n", nil, "6", none},
	{"an id stays", "id: 7\ndata: a\n\ndata: b\n\n", []string{"message|a|7", "message|b|7"}, "7", none},
	{"an empty id resets it", "id: 7\ndata: a\n\nid\ndata: b\n\n", []string{"message|a|7", "message|b|"}, "", none},
	{"an id with NUL is ignored", "id: 7\n\nid: 8\x00\ndata: a\n\n", []string{"message|a|7"}, "7", none},
	{"an id that is too long is ignored", "id: 7\n\nid: " + strings.Repeat("8", 2100) + "\ndata: a\n\n", []string{"message|a|7"}, "7", none},
	{"the last half is dropped", "data: a\n\ndata: b\n", []string{"message|a|"}, "", none},
	{"CR", "data: a\rdata: b\r\rdata: c\r\r", []string{"message|a\nb|", "message|c|"}, "", none},
	{"CRLF", "data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", []string{"message|a\nb|", "message|c|"}, "", none},
	{"ends mixed", "data: a\r\n\rdata: b\n\r\ndata: c\r\r\n", []string{"message|a|", "message|b|", "message|c|"}, "", none},
	{"byte order mark", "\xEF\xBB\xBFdata: a\n\n", []string{"message|a|"}, "", none},
	{"only one of them", "\xEF\xBB\xBF\xEF\xBB\xBFdata: a\n\ndata: b\n\n", []string{"message|b|"}, "", none},
	{"half of one", "\xEF\xBBdata: a\n\ndata: b\n\n", []string{"message|b|"}, "", none},
	{"comments and heartbeats", ":\n: hello\ndata: a\n:\n\n:\n", []string{"message|a|"}, "", none},
	{"retry", "retry: 1500\n\n", nil, "", 1500 * time.Millisecond},
	{"retry with more is ignored", "retry: 1500\nretry: 1000x\nretry: -1\nretry:\nretry: 1.5\nretry:  9\n\n", nil, "", 1500 * time.Millisecond},
	{"retry counts at once", "retry: 20\ndata: x", nil, "", 20 * time.Millisecond},
	{"retry of many digits", "retry: 99999999999999999999\n", nil, "", 1<<63 - 1 - (1<<63-1)%time.Millisecond},
	{"unknown fields are ignored", "data: a\nfoo: b\n data: c\nDATA: d\ndata d\n\n", []string{"message|a|"}, "", none},
	{"a colon in the value", "data: {\"a\":1}\n\n", []string{`message|{"a":1}|`}, "", none},
	{"bytes that are not text", "data: \xff\n\n", []string{"message|\xff|"}, "", none},
	{"an event that is too long is passed over", "id: 1\ndata: a\n\ndata: " + strings.Repeat("x", 5001) + "\nid: 2\n\nid: 3\ndata: b\n\n", []string{"message|a|1", "message||2|large", "message|b|3"}, "3", none},
	{"and one of many lines", strings.Repeat("data: 0123456789\n", 455) + "id: 2\n\ndata: b\n\n", []string{"message||2|large", "message|b|2"}, "2", none},
	{"one that just fits is not", strings.Repeat("data: 01234567\n", 500) + "data:" + strings.Repeat("x", 500) + "\n\n", []string{"message|" + strings.Repeat("01234567\n", 500) + strings.Repeat("x", 500) + "|"}, "", none},
	{"a comment that is too long", ":" + strings.Repeat("x", 100_000) + "\ndata: b\n\n", []string{"message|b|"}, "", none},
	{"nothing", "", nil, "", none},
}

func TestReader(t *testing.T) {
	for _, tt := range streams {
		t.Run(tt.name, func(t *testing.T) {
			for way, r := range map[string]io.Reader{
				"whole": strings.NewReader(tt.in), "by bytes": iotest.OneByteReader(strings.NewReader(tt.in)),
				"with the error": iotest.DataErrReader(strings.NewReader(tt.in)),
			} {
				got, id, retry, err := sse.Read(r, 5000, "")
				if !slices.Equal(got, tt.want) || id != tt.id || retry != tt.retry || !errors.Is(err, io.EOF) {
					t.Errorf("%s: %.200q, id %q, retry %v, %v; want %.200q, %q, %v", way, got, id, retry, err, tt.want, tt.id, tt.retry)
				}
			}
		})
	}
	if got, id, _, _ := sse.Read(strings.NewReader("data: a\n\n"), 100, "41"); !slices.Equal(got, []string{"message|a|41"}) || id != "41" {
		t.Errorf("%q, id %q", got, id)
	}
}

// An event whose line ends are bare CRs must not wait for what follows.
func TestReaderDoesNotWaitForLFAfterCR(t *testing.T) {
	r, w := io.Pipe()
	go func() {
		_, _ = w.Write([]byte("data: a\r\r"))
		_ = w.CloseWithError(errors.New("later"))
	}()
	if got, _, _, err := sse.Read(r, 100, ""); err == nil || !slices.Equal(got, []string{"message|a|"}) {
		t.Errorf("%q, %v", got, err)
	}
}

// FuzzReader holds the reader against the standard's text taken literally, however the stream is cut.
func FuzzReader(f *testing.F) {
	for _, s := range streams {
		if len(s.in) < 3000 { // longer ones take long to minimise
			f.Add([]byte(s.in), uint16(3))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, size uint16) {
		const limit = 64
		want, wantID := literal(in, limit)
		for _, r := range []io.Reader{bytes.NewReader(in), &pieces{in, int(size%700) + 1}} {
			got, id, _, err := sse.Read(r, limit, "")
			if !slices.Equal(got, want) || id != wantID || !errors.Is(err, io.EOF) {
				t.Errorf("%q: %q, id %q, %v; want %q, id %q", in, got, id, err, want, wantID)
			}
		}
	})
}

type pieces struct {
	rest []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.size)], p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// literal does what section 9.2.6 says, step by step, on the whole stream at once.
func literal(in []byte, limit int) (events []string, lastID string) {
	text := string(bytes.TrimPrefix(in, []byte("\xEF\xBB\xBF")))
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(text, "\n")
	var data, name, id string
	has := false
	for _, line := range lines[:len(lines)-1] {
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			lastID = id
			if has {
				if name == "" {
					name = "message"
				}
				if data = strings.TrimSuffix(data, "\n"); len(data) > limit {
					events = append(events, fmt.Sprintf("%s||%s|large", name, lastID))
				} else {
					events = append(events, fmt.Sprintf("%s|%s|%s", name, data, lastID))
				}
			}
			data, name, has = "", "", false
		case field == "data":
			data, has = data+value+"\n", true
		case field == "event" && len(value) <= 2048:
			name = value
		case field == "id" && len(value) <= 2048 && !strings.Contains(value, "\x00"):
			id = value
		}
	}
	return events, lastID
}
