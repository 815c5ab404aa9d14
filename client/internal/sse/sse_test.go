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

	"freshet/client/internal/sse"
)

// read returns every event of a stream, written as name|data|id, and the id and retry it ends with.
func read(r io.Reader, lastID string) (events []string, id string, retry time.Duration, err error) {
	s := sse.NewReader(r, 1<<20, lastID)
	for {
		e, err := s.Next()
		if err != nil {
			retry, _ = s.Retry()
			return events, s.LastID(), retry, err
		}
		events = append(events, fmt.Sprintf("%s|%s|%s", e.Name, e.Data, e.ID))
	}
}

// The cases follow the standard's text and the web-platform-tests of eventsource/.
var streams = []struct {
	name, in string
	want     []string
	id       string
	retry    time.Duration
}{
	{"an event", "event: patch\ndata: []\nid: 1\n\n", []string{"patch|[]|1"}, "1", 0},
	{"no name is message", "data:x\n\n", []string{"message|x|"}, "", 0},
	{"one space after the colon goes", "data:  x \n\n", []string{"message| x |"}, "", 0},
	{"a tab stays", "data:\tx\n\n", []string{"message|\tx|"}, "", 0},
	{"lines of data are joined", "data: a\ndata\ndata: b\n\n", []string{"message|a\n\nb|"}, "", 0},
	{"empty data is an event", "data\n\ndata:\n\n", []string{"message||", "message||"}, "", 0},
	{"no data is none", "event: x\n\ndata: y\n\n", []string{"message|y|"}, "", 0},
	{"an id alone moves the id", "id: 7\n\n", nil, "7", 0},
	{"an id without its empty line does not", "id: 6\n\nid: 7\n", nil, "6", 0},
	{"an id stays", "id: 7\ndata: a\n\ndata: b\n\n", []string{"message|a|7", "message|b|7"}, "7", 0},
	{"an empty id resets it", "id: 7\ndata: a\n\nid\ndata: b\n\n", []string{"message|a|7", "message|b|"}, "", 0},
	{"an id with NUL is ignored", "id: 7\n\nid: 8\x00\ndata: a\n\n", []string{"message|a|7"}, "7", 0},
	{"the last half is dropped", "data: a\n\ndata: b\n", []string{"message|a|"}, "", 0},
	{"CR", "data: a\rdata: b\r\rdata: c\r\r", []string{"message|a\nb|", "message|c|"}, "", 0},
	{"CRLF", "data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", []string{"message|a\nb|", "message|c|"}, "", 0},
	{"ends mixed", "data: a\r\n\rdata: b\n\r\ndata: c\r\r\n", []string{"message|a|", "message|b|", "message|c|"}, "", 0},
	{"byte order mark", "\xEF\xBB\xBFdata: a\n\n", []string{"message|a|"}, "", 0},
	{"only one of them", "\xEF\xBB\xBF\xEF\xBB\xBFdata: a\n\ndata: b\n\n", []string{"message|b|"}, "", 0},
	{"half of one", "\xEF\xBBdata: a\n\ndata: b\n\n", []string{"message|b|"}, "", 0},
	{"comments and heartbeats", ":\n: hello\ndata: a\n:\n\n:\n", []string{"message|a|"}, "", 0},
	{"retry", "retry: 1500\n\n", nil, "", 1500 * time.Millisecond},
	{"retry with more is ignored", "retry: 1500\nretry: 1000x\nretry: -1\nretry:\nretry: 1.5\nretry:  9\n\n", nil, "", 1500 * time.Millisecond},
	{"retry counts at once", "retry: 20", nil, "", 0},
	{"retry in a block that is cut", "retry: 20\ndata: x", nil, "", 20 * time.Millisecond},
	{"unknown fields are ignored", "data: a\nfoo: b\n data: c\nDATA: d\ndata d\n\n", []string{"message|a|"}, "", 0},
	{"a colon in the value", "data: {\"a\":1}\n\n", []string{`message|{"a":1}|`}, "", 0},
	{"bytes that are not text", "data: \xff\n\n", []string{"message|\xff|"}, "", 0},
	{"nothing", "", nil, "", 0},
}

func TestReader(t *testing.T) {
	for _, tt := range streams {
		t.Run(tt.name, func(t *testing.T) {
			for way, r := range map[string]io.Reader{
				"whole": strings.NewReader(tt.in), "by bytes": iotest.OneByteReader(strings.NewReader(tt.in)),
				"with the error": iotest.DataErrReader(strings.NewReader(tt.in)),
			} {
				got, id, retry, err := read(r, "")
				if !slices.Equal(got, tt.want) || id != tt.id || retry != tt.retry || !errors.Is(err, io.EOF) {
					t.Errorf("%s: %q, id %q, retry %v, %v; want %q, %q, %v", way, got, id, retry, err, tt.want, tt.id, tt.retry)
				}
			}
		})
	}
}

func TestReaderStartsWithTheIDItIsGiven(t *testing.T) {
	got, id, _, _ := read(strings.NewReader("data: a\n\n"), "41-x-y")
	if want := []string{"message|a|41-x-y"}; !slices.Equal(got, want) || id != "41-x-y" {
		t.Errorf("%q, id %q; want %q", got, id, want)
	}
}

// An event whose line ends are bare CRs must not wait for what follows.
func TestReaderDoesNotWaitForLFAfterCR(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	go func() { _, _ = w.Write([]byte("data: a\r\r")) }()
	if e, err := sse.NewReader(r, 1<<10, "").Next(); err != nil || string(e.Data) != "a" {
		t.Errorf("%q, %v", e.Data, err)
	}
}

func TestReaderKeepsCommentsAndCountsBytes(t *testing.T) {
	first := "retry: 10\n: reset history-expired\nevent: snapshot\r\ndata: 1\nid: 2-3-4\n\n"
	second := "data: x\r\n\r\n"
	s := sse.NewReader(strings.NewReader(first+second+second), 1<<10, "")
	e, err := s.Next()
	if want := []string{"reset history-expired"}; err != nil || !slices.Equal(e.Comments, want) || e.Bytes != len(first) {
		t.Errorf("comments %q, %d bytes, %v; want %q and %d", e.Comments, e.Bytes, err, want, len(first))
	}
	// The LF of the CRLF that ended the event cannot be waited for, so it is counted with neither.
	if e, err = s.Next(); err != nil || e.Bytes != len(second)-1 || e.Comments != nil {
		t.Errorf("second: comments %q, %d bytes, %v; want none and %d", e.Comments, e.Bytes, err, len(second)-1)
	}
	if e, err = s.Next(); err != nil || e.Bytes != len(second)-1 {
		t.Errorf("third: %d bytes, %v; want %d", e.Bytes, err, len(second)-1)
	}
}

func TestTapGetsWhatWasTaken(t *testing.T) {
	in := ":\nid: 1\r\ndata: a\r\n\r\n:\rdata: b\r\r:\ndata: half"
	var tap bytes.Buffer
	s := sse.NewReader(strings.NewReader(in), 1<<10, "")
	s.Tap(&tap)
	for _, want := range []string{in[:19], in[:31], in[:33]} {
		_, _ = s.Next()
		if tap.String() != want {
			t.Errorf("%q; want %q", &tap, want)
		}
	}
	r, w := io.Pipe()
	_ = r.Close()
	s = sse.NewReader(strings.NewReader(in), 1<<10, "")
	s.Tap(w)
	if _, err := s.Next(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v; want %v", err, io.ErrClosedPipe)
	}
}

func TestReaderRefusesBlocksThatAreTooLong(t *testing.T) {
	line := "data: " + strings.Repeat("x", 100) + "\n"
	for name, in := range map[string]string{
		"one line": "data: " + strings.Repeat("x", 3000), "a whole event": "data: " + strings.Repeat("x", 3000) + "\n\n", "many lines": strings.Repeat(line, 30), "comments": strings.Repeat(":\n", 1500),
	} {
		if _, err := sse.NewReader(strings.NewReader(in), 2000, "").Next(); !errors.Is(err, sse.ErrTooLong) {
			t.Errorf("%s: %v; want %v", name, err, sse.ErrTooLong)
		}
	}
	in := strings.Repeat(line+"\n", 100) // long together, each short
	if got, _, _, err := read(strings.NewReader(in), ""); len(got) != 100 || !errors.Is(err, io.EOF) {
		t.Errorf("%d events, %v", len(got), err)
	}
}

func TestReaderTakesLongEvents(t *testing.T) {
	data := strings.Repeat("0123456789abcdef", 4<<20) // 64 MiB
	s := sse.NewReader(strings.NewReader("event: snapshot\ndata: "+data+"\nid: 1-1-a\n\ndata: x\n\n"), 65<<20, "")
	if e, err := s.Next(); err != nil || string(e.Data) != data {
		t.Errorf("%d bytes, %v; want %d", len(e.Data), err, len(data))
	}
	if e, err := s.Next(); err != nil || string(e.Data) != "x" {
		t.Errorf("after it: %q, %v", e.Data, err)
	}
}

func FuzzReader(f *testing.F) {
	for _, s := range streams {
		f.Add([]byte(s.in), 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		want := reference(in)
		cut = min(max(cut, 0), len(in))
		for _, r := range []io.Reader{
			bytes.NewReader(in),
			iotest.OneByteReader(bytes.NewReader(in)),
			io.MultiReader(bytes.NewReader(in[:cut]), bytes.NewReader(in[cut:])),
		} {
			got, _, _, err := read(r, "")
			if !slices.Equal(got, want) || !errors.Is(err, io.EOF) {
				t.Errorf("%q gives %q, %v; want %q", in, got, err, want)
			}
		}
	})
}

// reference reads a whole stream in the plainest way there is, straight from the standard's text.
func reference(in []byte) (events []string) {
	text := strings.TrimPrefix(string(in), "\uFEFF")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(text, "\n")
	var name, data, id string
	for _, line := range lines[:len(lines)-1] {
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if name == "" {
				name = "message"
			}
			if data != "" {
				events = append(events, name+"|"+strings.TrimSuffix(data, "\n")+"|"+id)
			}
			name, data = "", ""
		case field == "event":
			name = value
		case field == "data":
			data += value + "\n"
		case field == "id" && !strings.Contains(value, "\x00"):
			id = value
		}
	}
	return events
}

func BenchmarkReader(b *testing.B) {
	for _, size := range []int{200, 50_000} {
		event := "event: patch\ndata: " + strings.Repeat("x", size) + "\nid: 42-1k3-9f86d081\n\n"
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(len(event)))
			b.ReportAllocs()
			s := sse.NewReader(&endless{event: event}, 1<<20, "")
			for b.Loop() {
				if _, err := s.Next(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// endless repeats an event for ever.
type endless struct {
	event string
	at    int
}

func (e *endless) Read(p []byte) (n int, _ error) {
	for n < len(p) {
		k := copy(p[n:], e.event[e.at:])
		n, e.at = n+k, (e.at+k)%len(e.event)
	}
	return n, nil
}
