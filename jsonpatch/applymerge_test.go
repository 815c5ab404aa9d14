package jsonpatch_test

import (
	"testing"

	"freshet/jsonpatch"
)

// The examples of RFC 7396, appendix A, and our own.
func TestApplyMerge(t *testing.T) {
	for _, tt := range []struct{ doc, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{`{"a":1.0,"b":1e400}`, ` { "a" : 1.00 , "c" : [ null ] } `, `{"a":1.00,"b":1e400,"c":[null]}`},
		{`{"a":1}`, `{"a":2,"a":{"x":null}}`, `{"a":{}}`},
	} {
		if got, err := jsonpatch.ApplyMerge([]byte(tt.doc), []byte(tt.patch)); err != nil || string(got) != tt.want {
			t.Errorf("%s to %s: %s, %v; want %s", tt.patch, tt.doc, got, err, tt.want)
		}
	}
	for _, bad := range [][2]string{{`{`, `1`}, {`1`, `{`}} {
		if got, err := jsonpatch.ApplyMerge([]byte(bad[0]), []byte(bad[1])); err == nil {
			t.Errorf("%s to %s: %s; want an error", bad[1], bad[0], got)
		}
	}
}

// Any merge patch leads to what the algorithm of the RFC says.
func FuzzApplyMerge(f *testing.F) {
	for i, s := range sharp {
		f.Add([]byte(s), []byte(sharp[(i+1)%len(sharp)]))
		f.Add([]byte(sharp[(i+3)%len(sharp)]), []byte(s))
	}
	f.Add([]byte(`{"a":{"b":1,"c":2},"d":[{}]}`), []byte(`{"a":{"b":null,"x":{"y":null}},"d":null,"e":{}}`))
	f.Fuzz(func(t *testing.T, doc, patch []byte) {
		got, err := jsonpatch.ApplyMerge(doc, patch)
		if err != nil {
			return
		}
		d, err1 := decode(doc)
		p, err2 := decode(patch)
		g, err3 := decode(got)
		if err1 != nil || err2 != nil || err3 != nil {
			t.Fatalf("%q, %q: %s, %v, %v, %v", doc, patch, got, err1, err2, err3)
		}
		if want := normal(mergePatch(d, p)); normal(g) != want {
			t.Fatalf("ApplyMerge(%q, %q) = %s; want %s", doc, patch, got, want)
		}
	})
}

// A merge patch that says what changed leads there, to the spelling of each number.
func FuzzMerge(f *testing.F) {
	addPairs(f)
	f.Fuzz(func(t *testing.T, from, to []byte) {
		a, err1 := jsonpatch.Parse(from, jsonpatch.Limits{})
		b, err2 := jsonpatch.Parse(to, jsonpatch.Limits{})
		if err1 != nil || err2 != nil {
			return
		}
		var d jsonpatch.Differ
		patch, ok := d.AppendMerge(nil, a, b)
		if !ok {
			return
		}
		got := a.Bytes()
		if len(patch) > 0 {
			var err error
			if got, err = jsonpatch.ApplyMerge(got, patch); err != nil {
				t.Fatalf("%q: %v", patch, err)
			}
		}
		if !jsonpatch.Equal(got, b.Bytes()) {
			t.Fatalf("%s to %s: %s leads to %s", a.Bytes(), b.Bytes(), patch, got)
		}
	})
}
