package sse

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"freshet"
	"freshet/internal/flow/transport/deflate"
	"freshet/jsonpatch"
)

// Whatever a document holds, its event is one block of known lines with the id last, and the data is the
// document.
func FuzzFrame(f *testing.F) {
	f.Add([]byte(`{"a":"\n\r\u2028\u0000","b":"event: x\n\nid: 1"}`), "patch")
	f.Add([]byte(`"`+"\u2028 "+`"`), "snapshot")
	f.Add([]byte(` [ 1 , 1.0 ] `), "event")
	f.Fuzz(func(t *testing.T, raw []byte, kind string) {
		doc, err := jsonpatch.Parse(raw, jsonpatch.Limits{})
		if err != nil || strings.ContainsAny(kind, "\r\n") {
			t.Skip("not an event that there can be")
		}
		ev := freshet.Event{Position: freshet.Position{Revision: 3, Sequence: 9, Tag: "ab"}, Type: freshet.EventType(kind), Data: doc.Bytes()}
		frame := encode(ev)
		body, ok := bytes.CutSuffix(frame, []byte("\n\n"))
		lines := bytes.Split(body, []byte("\n"))
		if !ok || len(lines) != 3 || bytes.ContainsRune(frame, '\r') ||
			string(lines[0]) != "event: "+kind || !bytes.HasPrefix(lines[1], []byte("data: ")) || string(lines[2]) != "id: 3-9-ab" {
			t.Fatalf("frame %q", frame)
		}
		data := bytes.TrimPrefix(lines[1], []byte("data: "))
		if !json.Valid(data) || !jsonpatch.Equal(data, raw) {
			t.Errorf("data %s; want %s", data, raw)
		}
		var d deflate.Deflater
		deflated := append(d.Deflate(encode(ev)), d.Deflate([]byte(heartbeat))...)
		plain, err := io.ReadAll(flate.NewReader(bytes.NewReader(deflated)))
		if err != io.ErrUnexpectedEOF || string(plain) != string(frame)+heartbeat { // no final block: the stream goes on
			t.Errorf("inflated %q, %v; want %q", plain, err, frame)
		}
	})
}

// An event without a position has no id line, so that the client keeps the id that it has.
func TestFrameWithoutID(t *testing.T) {
	if got := string(encode(freshet.Event{Type: freshet.TypeError, Data: []byte(`{}`)})); got != "event: error\ndata: {}\n\n" {
		t.Errorf("got %q", got)
	}
}

func BenchmarkFrame(b *testing.B) {
	ev := freshet.Event{Position: freshet.Position{Revision: 3, Sequence: 9, Tag: "ab"}, Type: freshet.TypePatch, Data: bytes.Repeat([]byte("x"), 1000)}
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			encode(ev)
		}
	})
	b.Run("deflate", func(b *testing.B) {
		var d deflate.Deflater
		for b.Loop() {
			d.Deflate(encode(ev))
		}
	})
}
