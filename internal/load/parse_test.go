package load_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"freshet/internal/load"
)

const (
	blocks = "retry: 5\nevent: snapshot\ndata: {\"a\":1}\nid: 1-1-aa\n\n" +
		":\n:\n" +
		": reset history-expired\nevent: patch\r\ndata: [1,\r\ndata:2]\r\nid: 2-2-bb\r\n\r\n" +
		"id: 9\n\n" + // no data: no event
		"data\n\n" +
		"dataset: no\nevent:event\ndata:  two spaces\nid:3-3-cc\n\n" +
		"data: never ended\n"
	plain   = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + blocks
	chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"
)

var want = []load.SeenEvent{
	{Name: "snapshot", Data: `{"a":1}`, ID: "1-1-aa"},
	{Name: "patch", Data: "[1,\n2]", ID: "2-2-bb", Reset: true},
	{},
	{Name: "event", Data: " two spaces", ID: "3-3-cc"},
}

// chunks writes a body in chunks of n bytes.
func chunks(n int) string {
	var b strings.Builder
	b.WriteString(chunked)
	for part := range slices.Chunk([]byte(blocks), n) {
		fmt.Fprintf(&b, "%X;ext=1\r\n%s\r\n", len(part), part)
	}
	return b.String()
}

// An answer is read the same wherever it is cut.
func TestAnswerCutAnywhere(t *testing.T) {
	for name, text := range map[string]string{
		"until the end of the connection": plain,
		"in chunks of 11 bytes":           chunks(11),
		"in chunks of 17 bytes":           chunks(17),
		"in one chunk":                    chunks(len(blocks)),
	} {
		for i := range len(text) + 1 {
			events, status, err := load.ReadAnswer([]byte(text[:i]), []byte(text[i:]))
			if err != nil || status != 200 || !slices.Equal(events, want) {
				t.Fatalf("%s, cut at %d: status %d, %v, events\n%+v; want\n%+v", name, i, status, err, events, want)
			}
		}
		var bytes [][]byte
		for i := range len(text) {
			bytes = append(bytes, []byte(text[i:i+1]))
		}
		if events, _, err := load.ReadAnswer(bytes...); err != nil || !slices.Equal(events, want) {
			t.Errorf("%s, byte by byte: %v, events\n%+v; want\n%+v", name, err, events, want)
		}
	}
}

func TestAnswerEnds(t *testing.T) {
	for _, tt := range []struct{ name, text, err string }{
		{"with its last chunk", chunked + "3\r\n:\n\n\r\n0\r\nTrailer: x\r\n\r\nmore", "the answer ended"},
		{"with its length", "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}more", "the answer ended"},
		{"with its header", "HTTP/1.1 204 No Content\r\n\r\nmore", "the answer ended"},
		{"not HTTP", "SSH-2.0-OpenSSH\r\n\r\n", `"SSH-2.0-OpenSSH" is not the status line`},
		{"a size that is none", chunked + "xyz\r\n", `"xyz" is not the size of a chunk`},
		{"a negative size", chunked + "-1\r\n", `"-1" is not the size of a chunk`},
		{"a chunk longer than its size", chunked + "1\r\nab\r\n", "a chunk is longer than it said"},
		{"another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "transfer coding"},
		{"a header without an end", "HTTP/1.1 200 OK\r\n" + strings.Repeat("x", 40_000), "no end of line"},
	} {
		_, _, err := load.ReadAnswer([]byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v; want an error with %q", tt.name, err, tt.err)
		}
	}
}

// Whatever comes, and however it is cut: no panic, and the same events.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(plain), 3)
	f.Add([]byte(chunks(5)), 50)
	f.Add([]byte(chunked+"0\r\n\r\n"), 1)
	f.Fuzz(func(t *testing.T, text []byte, n int) {
		whole, status, err := load.ReadAnswer(text)
		n = max(n&0xff, 1)
		parts := slices.Collect(slices.Chunk(text, n))
		events, status2, err2 := load.ReadAnswer(parts...)
		if status != status2 || !slices.Equal(events, whole) || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Errorf("in parts of %d: status %d, %v, %+v; whole: %d, %v, %+v", n, status2, err2, events, status, err, whole)
		}
	})
}

func TestStamp(t *testing.T) {
	m := load.Message(1732520123456789012, 42, 100)
	if at, number, ok := load.FindStamp(m); !ok || at != 1732520123456789012 || number != 42 || len(m) != 100 {
		t.Errorf("the stamp of %s (%d bytes) is %d, %d, %t", m, len(m), at, number, ok)
	}
	for _, text := range []string{"", `"@`, `"@12`, `"@12.`, `"@.1"`, `{"at":"12.1"}`} {
		if _, _, ok := load.FindStamp([]byte(text)); ok {
			t.Errorf("%s has a stamp", text)
		}
	}
}

func FuzzStamp(f *testing.F) {
	f.Add([]byte(`[{"op":"replace","path":"/at","value":"@1.2"}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, _, ok := load.FindStamp(data); ok && !strings.Contains(string(data), `"@`) {
			t.Errorf("%q has a stamp", data)
		}
	})
}
