package jsonpatch_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"freshet/jsonpatch"
)

func TestApply(t *testing.T) {
	for _, tt := range []struct{ name, doc, patch, want string }{
		{"add to an object", `{"a":1}`, `[{"op":"add","path":"/b","value":[1, 2]}]`, `{"a":1,"b":[1,2]}`},
		{"add over a member", `{"a":1}`, `[{"op":"add","path":"/a","value":2}]`, `{"a":2}`},
		{"add into an array", `[1,3]`, `[{"op":"add","path":"/1","value":2}]`, `[1,2,3]`},
		{"add behind an array", `[1]`, `[{"op":"add","path":"/1","value":2},{"op":"add","path":"/-","value":3}]`, `[1,2,3]`},
		{"add to an empty array", `[]`, `[{"op":"add","path":"/0","value":{}}]`, `[{}]`},
		{"the whole document", `{"a":1}`, `[{"op":"add","path":"","value":null}]`, `null`},
		{"remove", `{"a":[1,2,3],"b":{}}`, `[{"op":"remove","path":"/a/1"},{"op":"remove","path":"/b"}]`, `{"a":[1,3]}`},
		{"remove all", `{"a":[1]}`, `[{"op":"remove","path":"/a/0"}]`, `{"a":[]}`},
		{"replace", `{"a":{"b":[1]}}`, `[{"op":"replace","path":"/a/b/0","value":"x"}]`, `{"a":{"b":["x"]}}`},
		{"move within an array", `[1,2,3,4]`, `[{"op":"move","from":"/0","path":"/2"}]`, `[2,3,1,4]`},
		{"move to another place", `{"a":{"x":1},"b":[]}`, `[{"op":"move","from":"/a/x","path":"/b/-"}]`, `{"a":{},"b":[1]}`},
		{"move onto itself", `{"a":1}`, `[{"op":"move","from":"/a","path":"/a"}]`, `{"a":1}`},
		{"move to the root", `{"a":{"b":1}}`, `[{"op":"move","from":"/a","path":""}]`, `{"b":1}`},
		{"copy is a copy", `{"a":{"x":1}}`, `[{"op":"copy","from":"/a","path":"/b"},{"op":"add","path":"/a/y","value":2},{"op":"add","path":"/b/z","value":3}]`, `{"a":{"x":1,"y":2},"b":{"x":1,"z":3}}`},
		{"copy of what was changed", `{"a":[1]}`, `[{"op":"add","path":"/a/0","value":0},{"op":"copy","from":"/a","path":"/b"},{"op":"remove","path":"/a/0"}]`, `{"a":[1],"b":[0,1]}`},
		{"copy into itself", `{"a":{"x":1}}`, `[{"op":"copy","from":"/a","path":"/a/a"}]`, `{"a":{"x":1,"a":{"x":1}}}`},
		{"test by value", `{"a":{"b":1,"c":[1.0]}}`, `[{"op":"test","path":"/a","value":{"c":[10e-1],"b":1}}]`, `{"a":{"b":1,"c":[1.0]}}`},
		{"test after a change", `{"a":[1]}`, `[{"op":"add","path":"/a/-","value":2},{"op":"test","path":"/a","value":[1,2]}]`, `{"a":[1,2]}`},
		{"names that need escapes", `{"a/b":1,"m~n":2,"q\"":3,"é":4}`, `[{"op":"remove","path":"/a~1b"},{"op":"remove","path":"/m~0n"},{"op":"remove","path":"/q\""},{"op":"replace","path":"/\u00e9","value":5}]`, `{"é":5}`},
		{"the text around stays", `{"n":1.50,"s":"}]\",{","a":[ ]}`, `[{"op":"add","path":"/x","value":1e400}]`, `{"n":1.50,"s":"}]\",{","a":[],"x":1e400}`},
		{"unknown members are ignored", `{}`, `[{"op":"add","path":"/a","value":1,"from":7,"why":"because"}]`, `{"a":1}`},
		{"nothing to do", ` [ 1 ] `, `[]`, `[1]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := jsonpatch.Apply([]byte(tt.doc), []byte(tt.patch))
			if err != nil || string(got) != tt.want {
				t.Errorf("Apply(%s, %s) = %s, %v; want %s", tt.doc, tt.patch, got, err, tt.want)
			}
		})
	}
}

func TestApplyErrors(t *testing.T) {
	const doc = `{"a":[1,2],"s":"x","o":{"b":null}}`
	for _, tt := range []struct {
		patch string
		index int
		op    string
		path  string
		is    error
	}{
		{`{}`, -1, "", "", nil},
		{`[`, -1, "", "", nil},
		{`[1]`, 0, "", "", nil},
		{`[{"op":"add","value":1}]`, 0, "add", "", nil},
		{`[{"path":"/a","value":1}]`, 0, "", "", nil},
		{`[{"op":"add","path":null,"value":1}]`, 0, "add", "", nil},
		{`[{"op":"add","path":"/a"}]`, 0, "add", "/a", nil},
		{`[{"op":"spam","path":"/a"}]`, 0, "spam", "/a", nil},
		{`[{"op":"copy","path":"/a"}]`, 0, "copy", "/a", nil},
		{`[{"op":"add","path":"a","value":1}]`, 0, "add", "a", nil},
		{`[{"op":"add","path":"/~2","value":1}]`, 0, "add", "/~2", nil},
		{`[{"op":"add","path":"/a/-","value":3},{"op":"remove","path":"/a/3"}]`, 1, "remove", "/a/3", jsonpatch.ErrPath},
		{`[{"op":"add","path":"/a/3","value":1}]`, 0, "add", "/a/3", jsonpatch.ErrPath},
		{`[{"op":"add","path":"/a/01","value":1}]`, 0, "add", "/a/01", jsonpatch.ErrPath},
		{`[{"op":"add","path":"/a/-1","value":1}]`, 0, "add", "/a/-1", jsonpatch.ErrPath},
		{`[{"op":"add","path":"/a/1e0","value":1}]`, 0, "add", "/a/1e0", jsonpatch.ErrPath},
		{`[{"op":"add","path":"/a/18446744073709551616","value":1}]`, 0, "add", "/a/18446744073709551616", jsonpatch.ErrPath},
		{`[{"op":"add","path":"/s/x","value":1}]`, 0, "add", "/s/x", jsonpatch.ErrPath},
		{`[{"op":"add","path":"/x/y","value":1}]`, 0, "add", "/x/y", jsonpatch.ErrPath},
		{`[{"op":"replace","path":"/x","value":1}]`, 0, "replace", "/x", jsonpatch.ErrPath},
		{`[{"op":"replace","path":"/a/-","value":1}]`, 0, "replace", "/a/-", jsonpatch.ErrPath},
		{`[{"op":"remove","path":"/o/x"}]`, 0, "remove", "/o/x", jsonpatch.ErrPath},
		{`[{"op":"remove","path":""}]`, 0, "remove", "", nil},
		{`[{"op":"move","from":"/x","path":"/y"}]`, 0, "move", "/y", jsonpatch.ErrPath},
		{`[{"op":"move","from":"/o","path":"/o/b"}]`, 0, "move", "/o/b", nil},
		{`[{"op":"copy","from":"/x","path":"/y"}]`, 0, "copy", "/y", jsonpatch.ErrPath},
		{`[{"op":"test","path":"/s","value":"y"}]`, 0, "test", "/s", nil},
		{`[{"op":"test","path":"/o","value":{}}]`, 0, "test", "/o", nil},
		{`[{"op":"test","path":"/x","value":null}]`, 0, "test", "/x", jsonpatch.ErrPath},
		{`[{"op":"add","path":"` + strings.Repeat("/a", 300) + `","value":1}]`, 0, "add", strings.Repeat("/a", 300), jsonpatch.ErrDepth},
	} {
		got, err := jsonpatch.Apply([]byte(doc), []byte(tt.patch))
		e, ok := errors.AsType[*jsonpatch.ApplyError](err)
		if got != nil || !ok || e.Index != tt.index || e.Op != tt.op || e.Path != tt.path || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("Apply(%.200s) = %s, %v", tt.patch, got, err)
		}
	}
	if _, err := jsonpatch.Apply([]byte(`{`), []byte(`[]`)); err == nil {
		t.Error("half a document was accepted")
	} else if _, ok := errors.AsType[*jsonpatch.SyntaxError](err); !ok {
		t.Errorf("half a document: %v", err)
	}
}

// A short patch must not make a huge or bottomless document.
func TestApplyBounds(t *testing.T) {
	var double, nest []string
	for i := range 300 {
		double = append(double, fmt.Sprintf(`{"op":"copy","from":"/a","path":"/a/%d"}`, i))
		nest = append(nest, `{"op":"copy","from":"","path":"/a"}`)
	}
	for name, tt := range map[string]struct {
		doc, patch string
		want       error
	}{
		"copies of copies":     {`{"a":{"text":"0123456789"}}`, strings.Join(double, ","), jsonpatch.ErrSize},
		"copies side by side":  {`{"a":["` + strings.Repeat("x", 1<<20) + `"]}`, strings.Repeat(`{"op":"copy","from":"/a/0","path":"/a/-"},`, 100) + `{"op":"test","path":"","value":1}`, jsonpatch.ErrSize},
		"copies of everything": {`{}`, strings.Join(nest, ","), jsonpatch.ErrDepth},
	} {
		if _, err := jsonpatch.Apply([]byte(tt.doc), []byte("["+tt.patch+"]")); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	patch := `[{"op":"add","path":"/a","value":` + deep + `},{"op":"move","from":"/a","path":"/b` + strings.Repeat("/0", 150) + `/0"}]`
	doc := `{"b":` + strings.Repeat("[", 151) + strings.Repeat("]", 151) + `}`
	if _, err := jsonpatch.Apply([]byte(doc), []byte(patch)); !errors.Is(err, jsonpatch.ErrDepth) {
		t.Errorf("deep moved into deep: %v", err)
	}
}

func TestCompose(t *testing.T) {
	const doc = `{"a":1,"text":"so long that nobody replaces all of it"}`
	step := func(n int) []byte { return fmt.Appendf(nil, `[{"op":"replace","path":"/a","value":%d}]`, n) }
	got, err := jsonpatch.Compose([]byte(doc), step(2), step(3), step(4))
	if want := `[{"op":"replace","path":"/a","value":4}]`; err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	if got, err := jsonpatch.Compose([]byte(doc), step(2), step(1)); err != nil || string(got) != "[]" {
		t.Errorf("there and back: %s, %v", got, err)
	}
	if _, err := jsonpatch.Compose([]byte(doc), step(2), []byte(`[{"op":"remove","path":"/x"}]`)); !errors.Is(err, jsonpatch.ErrPath) {
		t.Errorf("a patch that does not fit: %v", err)
	}
}
