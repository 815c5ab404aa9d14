package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestValues sends documents that are hard to get right, one after another, and holds what a reader
// makes of the events, and what a GET answers, against the source, number by number as it is spelled.
func TestValues(t *testing.T) {
	t.Parallel()
	s := serve(t, pushed+"  - {name: other, kind: snapshot, source: {type: http-post, alwaysOn: true}}\n")
	documents := []string{
		`{"a":1.0,"b":12345678901234567890,"c":1e400}`,
		`{"a":1,"b":12345678901234567890,"c":1e400}`,
		`{"a":1.00,"b":12345678901234567891,"c":1E400}`,
		`{"a":-0,"b":-0.0,"c":1e+400,"d":0.1e-7}`,
		`null`, `true`, `1.0`, `1`, `12345678901234567890`, `1e400`, `-0`, `""`, `"text"`, `[]`, `{}`,
		`{"":{"":{"":1}}}`,
		`{"":{"":{"":2}},"/":1,"~":2,"~1":3,"~0":4,"a/b":{"m~n":5},"//":6,"~01":7}`,
		`{"":{"":{"":2}},"/":2,"~":3,"~1":4,"~0":5,"a/b":{"m~n":6},"//":7,"~01":8}`,
		`{"quote\"":1,"back\\slash":2,"tab\t":3,"line\n":4,"nul\u0000":5,"ünï":6,"日本":7,"😀":8,"\u2028":9}`,
		`{"quote\"":2,"back\\slash":3,"tab\t":4,"line\n":5,"nul\u0000":6,"ünï":7,"日本":8,"😀":9,"\u2028":10}`,
		`{"text":"event: patch\ndata: 1\r\n\r\nid: 3","lines":"\u000b\u0085\u2029"}`,
		`{"text":"event: patch\ndata: 2\r\n\r\nid: 4","lines":"\u000b\u0085\u2029","0":[1,[2,[3]]],"-":["-"]}`,
		`{"text":"event: patch\ndata: 2\r\n\r\nid: 4","lines":"\u000b\u0085\u2029","0":[[2,[4]],1],"-":["-","-"]}`,
		`{"__proto__":{"x":1},"constructor":{"prototype":{"y":1}}}`,
		`{"__proto__":{"x":2},"constructor":{"prototype":{"y":2}},"z":1}`,
		`[1,2,3,4,5,6,7,8,9,10]`, `[10,1,2,3,4,5,6,7,8,9]`, `[1.0,2,3,4,5,6,7,8,9]`,
		`[{"id":1,"v":1},{"id":2,"v":2},{"id":3,"v":3}]`, `[{"id":3,"v":3},{"id":1,"v":1},{"id":2,"v":2.0}]`,
		"\n{ \"white\" : [ 1 , 2 ] ,\t\"space\" : { } }\r\n",
		deep(100),
		`"the end"`,
	}
	// Alone, most of them are sent whole, since that is shorter than a patch. Within a large document
	// each becomes a patch.
	within := make([]string, len(documents))
	for i, d := range documents {
		within[i] = fmt.Sprintf(`{"pad":%q,"doc":%s}`, strings.Repeat("x", 4000), d)
	}
	t.Run("alone", func(t *testing.T) {
		t.Parallel()
		sendInTurn(t, s, "doc", documents)
	})
	t.Run("within", func(t *testing.T) {
		t.Parallel()
		if r := sendInTurn(t, s, "other", within); r.patches < len(documents)*3/4 {
			t.Errorf("%d snapshots and %d patches: too few patches to judge by", r.snapshots, r.patches)
		}
	})
}

// sendInTurn publishes each document once a follower has the one before.
func sendInTurn(t *testing.T, s *server, topic string, documents []string) *replica {
	t.Helper()
	if err := s.publish(topic, documents[0]); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var r replica
	at := 0
	r.until(t, ctx, s.URL+"/live/"+topic, func() bool {
		if got, want := r.text, canonical(documents[at]); got != want {
			t.Errorf("document %d is\n%s\nwant\n%s", at, got, want)
		}
		if _, body := s.get("/live/" + topic); canonical(body) != canonical(documents[at]) {
			t.Errorf("GET of document %d is\n%s\nwant\n%s", at, body, documents[at])
		}
		at++
		if t.Failed() || at == len(documents) {
			return true
		}
		if err := s.publish(topic, documents[at]); err != nil {
			t.Error(err)
			return true
		}
		return false
	})
	if len(r.resets)+len(r.faults)+r.holes > 0 {
		t.Errorf("resets %v, faults %v, %d holes", r.resets, r.faults, r.holes)
	}
	t.Logf("%d snapshots, %d patches", r.snapshots, r.patches)
	return &r
}

// TestQuiet sends the same value in other words: nobody hears of it.
func TestQuiet(t *testing.T) {
	t.Parallel()
	s := serve(t, pushed)
	for _, same := range []string{`{"a":1,"b":[1,"é"]}`, ` { "b" : [ 1 , "é" ] , "a" : 1 } `, `{"b":[1,"\u00e9"],"a":1}`} {
		if err := s.publish("doc", same); err != nil {
			t.Fatal(err)
		}
	}
	resp, _ := s.get("/live/doc")
	if id := eventID(resp); !strings.HasPrefix(id, "1-") {
		t.Errorf("after the same value three times the event is %s, want revision 1", id)
	}
}
