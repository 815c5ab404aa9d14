package e2e_test

import (
	"io"
	"strings"
	"testing"
)

// TestJudge tries the judges on what they must let pass and what they must not: a judge that says
// yes to everything would make every other test here worthless.
func TestJudge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, doc, patch, want string }{ // after RFC 6902, appendix A
		{"add a member", `{"foo":"bar"}`, `[{"op":"add","path":"/baz","value":"qux"}]`, `{"baz":"qux","foo":"bar"}`},
		{"add an element", `{"foo":["bar","baz"]}`, `[{"op":"add","path":"/foo/1","value":"qux"}]`, `{"foo":["bar","qux","baz"]}`},
		{"add at the end", `[1]`, `[{"op":"add","path":"/-","value":[2.0]}]`, `[1,[2.0]]`},
		{"remove an element", `{"foo":["bar","qux","baz"]}`, `[{"op":"remove","path":"/foo/1"}]`, `{"foo":["bar","baz"]}`},
		{"move an element", `[1,2,3]`, `[{"op":"move","from":"/0","path":"/2"}]`, `[2,3,1]`},
		{"a copy shares nothing", `{"a":{"x":1}}`, `[{"op":"copy","from":"/a","path":"/b"},{"op":"replace","path":"/b/x","value":2}]`, `{"a":{"x":1},"b":{"x":2}}`},
		{"the whole document", `{"a":1}`, `[{"op":"replace","path":"","value":1e400}]`, `1e400`},
		{"tilde and slash", `{"/":9,"~1":10}`, `[{"op":"test","path":"/~01","value":10},{"op":"replace","path":"/~1","value":1}]`, `{"/":1,"~1":10}`},
		{"a failing test", `{"a":1.0}`, `[{"op":"test","path":"/a","value":1}]`, ""},
		{"no parent", `{"a":1}`, `[{"op":"add","path":"/b/c","value":1}]`, ""},
		{"nothing to remove", `{"a":1}`, `[{"op":"remove","path":"/b"}]`, ""},
		{"nothing to replace", `{"a":1}`, `[{"op":"replace","path":"/b","value":1}]`, ""},
		{"past the end", `[1]`, `[{"op":"add","path":"/2","value":1}]`, ""},
		{"a leading zero", `[1,2]`, `[{"op":"remove","path":"/01"}]`, ""},
		{"an unknown operation", `[1]`, `[{"op":"spam","path":"/0"}]`, ""},
	} {
		doc, err := value([]byte(tt.doc))
		if err != nil {
			t.Fatal(err)
		}
		switch got, err := applyPatch(doc, []byte(tt.patch)); {
		case tt.want == "" && err == nil:
			t.Errorf("%s: %s gives %s, want an error", tt.name, tt.patch, encode(got))
		case tt.want != "" && (err != nil || encode(got) != tt.want):
			t.Errorf("%s: %s gives %s, %v; want %s", tt.name, tt.patch, encode(got), err, tt.want)
		}
	}

	for _, tt := range []struct {
		name, wire string
		ok         bool
	}{
		{"whole events", "retry: 9\nevent: snapshot\ndata: 1\nid: 1-1-a\n\n:\n:\nevent: patch\ndata: []\nid: 2-2-a\n\n", true},
		{"cut after a line", "event: snapshot\ndata: 1\n", false},
		{"cut in a line", "event: snapshot\ndata: 1\nid: 1-1-a\n\n:", false},
		{"id first", "id: 1-1-a\nevent: snapshot\ndata: 1\n\n", false},
		{"a blank line after the heartbeat", ":\n\n", false},
		{"retry alone", "retry: 9\n\n", false},
		{"CRLF", "event: snapshot\r\ndata: 1\r\nid: 1-1-a\r\n\r\n", false},
		{"two lines of data", "event: snapshot\ndata: [\ndata: ]\nid: 1-1-a\n\n", false},
	} {
		err := readFrames(strings.NewReader(tt.wire), func(frame) bool { return true })
		if (err == io.EOF) != tt.ok { // io.EOF itself: one that is wrapped is a cut
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	for n := 2; n < 300; n++ {
		if canonical(document(n, 300)) == canonical(document(n-1, 300)) || strings.HasPrefix(canonical(document(n, 300)), "not") {
			t.Errorf("version %d is not a change: %s", n, document(n, 300))
		}
	}
}
