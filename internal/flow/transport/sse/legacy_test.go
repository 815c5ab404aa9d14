package sse

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/internal/flow/fanout"
	"freshet/jsonpatch"
)

func TestLegacy(t *testing.T) {
	at := freshet.Position{Revision: 3, Sequence: 9, Tag: "ab"}
	fault := fanout.FaultEntry(freshet.Fault{Time: time.Unix(0, 0).UTC(), Code: 70404, Category: "publication", Message: "upstream answered 404 – Not Found"}).Data
	for _, tt := range []struct {
		name, want string
		ev         freshet.Event
	}{
		{"a document", "event: data\ndata: {\"\\u00fc\":\"\\u20ac\\ud83d\\ude00\\u2028\"}\n\n", freshet.Event{Position: at, Type: freshet.TypeSnapshot, Data: []byte(`{"ü":"€😀` + "\u2028" + `"}`)}},
		{"a patch", "event: patch\ndata: [{\"op\":\"add\",\"path\":\"/a\",\"value\":1.0}]\n\n", freshet.Event{Position: at, Type: freshet.TypePatch, Data: []byte(`[{"op":"add","path":"/a","value":1.0}]`)}},
		{"a fault", "event: error\ndata: {\"cause\":\"not found\",\"message\":\"upstream answered 404 \\u2013 Not Found\",\"status\":70404}\n\n", freshet.Event{Position: at, Type: freshet.TypeError, Data: fault}},
		{"no fault any more", ":\n", freshet.Event{Position: at, Type: freshet.TypeRecovered, Data: []byte(`{}`)}},
	} {
		if got := string(encodeLegacy(tt.ev)); got != tt.want {
			t.Errorf("%s: %q; want %q", tt.name, got, tt.want)
		}
	}
	if got := string((&Legacy{}).opening()); got != "event: _\n\n" {
		t.Errorf("the opening is %q", got)
	}
	if got := string((&Legacy{ID: "a-b"}).opening()); got != "event: _\nid: a-b\n\n" {
		t.Errorf("the opening with an id is %q", got)
	}
}

// Whatever a document holds, its event is ASCII, and the data is the document.
func FuzzLegacyFrame(f *testing.F) {
	f.Add([]byte(`{"a":"\n\r\u2028\u0000","ü€😀":"event: x\n\nid: 1"}`))
	f.Add([]byte(`"` + "\u2028\U0010ffff\uffff\\ud800" + `"`))
	f.Add([]byte(` [ 1 , 1.0 ] `))
	f.Fuzz(func(t *testing.T, raw []byte) {
		doc, err := jsonpatch.Parse(raw, jsonpatch.Limits{})
		if err != nil {
			t.Skip("not an event that there can be")
		}
		frame := encodeLegacy(freshet.Event{Type: freshet.TypeSnapshot, Data: doc.Bytes()})
		data, ok := bytes.CutPrefix(frame, []byte("event: data\ndata: "))
		data, whole := bytes.CutSuffix(data, []byte("\n\n"))
		if !ok || !whole || strings.IndexFunc(string(data), func(r rune) bool { return r < ' ' || r > '~' && r != 0x7f }) >= 0 {
			t.Fatalf("frame %q", frame)
		}
		if !json.Valid(data) || !jsonpatch.Equal(data, raw) {
			t.Errorf("data %s; want %s", data, raw)
		}
	})
}
