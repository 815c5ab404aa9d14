package jsonpatch_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"freshet/jsonpatch"
)

// sharp are texts with edges: seeds of the fuzz tests.
var sharp = []string{
	`{"a":1}`, `{"a":null}`, `[]`, `{}`, `0`, `-0.0e-0`, `1e400`, `""`, ` [ 1 , "x\u00e9\ud83d\ude00\/" ] `, `{"a":1,"a":2,"":3}`,
	`[[1,2],[3]]`, `[1,2,3,1,2,3]`, `[{"id":1,"n":"a"},{"id":2,"n":"b"}]`, `[{"id":2,"n":"b"},{"id":1,"n":"c"}]`, `{"__proto__":{"a":1}}`,
	`{"a/b":{"m~n":[true,false]}}`, `"\ud800"`, "\"\xff\"", `[1 2]`, `{"a":1,}`, `{"b":2,"a":{"c":[{}]}}`,
	`{"rows":[{"k":"aaaaaaaaaaaaaaaaaaaaaaaaa","v":1},{"k":"bbbbbbbbbbbbbbbbbbbbbbbbb","v":2},{"k":"ccccccccccccccccccccccccc","v":3}]}`,
}

func seedWithVectors(f *testing.F, add func([]byte)) {
	for _, s := range sharp {
		add([]byte(s))
	}
	files, err := filepath.Glob(filepath.Join(vectors, "json-test-suite", "*.json"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil && len(b) < 4096 {
			add(b)
		}
	}
}

// What is accepted is what RFC 8259 calls JSON, without lone surrogates, and guided by anything the same.
func FuzzParse(f *testing.F) {
	seedWithVectors(f, func(b []byte) { f.Add(b, []byte(`{"a":[1,{"b":"c"}]}`)) })
	f.Fuzz(func(t *testing.T, text, other []byte) {
		d, err := jsonpatch.Parse(text, jsonpatch.Limits{})
		if valid := json.Valid(text) && utf8.Valid(text); err == nil && !valid || err != nil && valid && !strings.Contains(err.Error(), "surrogate") && !strings.Contains(err.Error(), "deep") {
			t.Fatalf("%q: %v", text, err)
		}
		guide, errGuide := jsonpatch.Parse(other, jsonpatch.Limits{})
		if errGuide != nil {
			return
		}
		var guided jsonpatch.Document
		errGuided := guided.Parse(text, guide, jsonpatch.Limits{})
		if (err == nil) != (errGuided == nil) || err != nil && err.Error() != errGuided.Error() {
			t.Fatalf("%q: %v, guided by %q: %v", text, err, other, errGuided)
		}
		if err != nil {
			return
		}
		if string(guided.Bytes()) != string(d.Bytes()) {
			t.Fatalf("%q: %q, guided by %q: %q", text, d.Bytes(), other, guided.Bytes())
		}
		again, err := jsonpatch.Compact(nil, d.Bytes())
		if err != nil || string(again) != string(d.Bytes()) {
			t.Fatalf("%q: %q, and once more %q, %v", text, d.Bytes(), again, err)
		}
		v, errV := decode(text)
		w, errW := decode(again)
		if errV != nil || errW != nil || normal(v) != normal(w) {
			t.Fatalf("%q became %q", text, again)
		}
	})
}

// addPairs are documents, and what could come after each.
func addPairs(f *testing.F) {
	f.Helper()
	for i, s := range sharp {
		f.Add([]byte(s), []byte(sharp[(i+1)%len(sharp)]))
		f.Add([]byte(sharp[(i+5)%len(sharp)]), []byte(s))
	}
	for i := range 40 {
		m := newMaker(uint64(i))
		v := m.value(3)
		f.Add(m.text(v, i%3), m.text(m.next(v), 2))
	}
}

func FuzzDiff(f *testing.F) {
	addPairs(f)
	f.Fuzz(func(t *testing.T, from, to []byte) {
		a, err1 := jsonpatch.Parse(from, jsonpatch.Limits{})
		b, err2 := jsonpatch.Parse(to, jsonpatch.Limits{})
		if err1 != nil || err2 != nil {
			return
		}
		old, err1 := decode(from)
		now, err2 := decode(to)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		var guided jsonpatch.Document
		if err := guided.Parse(to, a, jsonpatch.Limits{}); err != nil {
			t.Fatalf("%q guided by %q: %v", to, from, err)
		}
		d, err := jsonpatch.NewDiffer(jsonpatch.Options{})
		if err != nil {
			t.Fatal(err)
		}
		judge(t, d, a, &guided, old, now)
		judge(t, d, a, b, old, now)
	})
}

// Apply agrees with the strict applier about every patch, or is stricter about none.
func FuzzApply(f *testing.F) {
	for _, s := range []string{
		`[{"op":"add","path":"/a","value":1}]`, `[{"op":"copy","from":"","path":"/a"},{"op":"move","from":"/a","path":"/b/0"}]`,
		`[{"op":"test","path":"/0","value":1.0},{"op":"remove","path":"/1"},{"op":"replace","path":"","value":{}}]`, `[{"op":"add","path":"/a~1b/m~0n/-","value":null}]`,
	} {
		for _, doc := range sharp {
			f.Add([]byte(doc), []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, doc, patch []byte) {
		got, err := jsonpatch.Apply(doc, patch)
		v, errDecode := decode(doc)
		if errDecode != nil || strings.Contains(string(patch), `"test"`) { // the strict one compares numbers as text
			return
		}
		want, errStrict := strictApply(v, patch)
		if err == nil && errStrict != nil {
			t.Fatalf("Apply(%q, %q) = %s, want an error: %v", doc, patch, got, errStrict)
		}
		if err != nil {
			return // the strict applier knows no limits and no surrogates
		}
		if g, errGot := decode(got); errGot != nil || normal(g) != normal(want) {
			t.Fatalf("Apply(%q, %q) = %s, want %s", doc, patch, got, normal(want))
		}
	})
}

func FuzzPointer(f *testing.F) {
	for _, s := range []string{"", "/", "/a~1b/0", "/~0~1", "/~", "a", "//é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tokens, err := jsonpatch.ParsePointer(s)
		if err != nil {
			return
		}
		var back strings.Builder
		for _, token := range tokens {
			back.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(token))
		}
		if back.String() != s {
			t.Fatalf("%q has the tokens %q", s, tokens)
		}
		if !utf8.ValidString(s) || slices.Contains(tokens, "\ufffd") {
			return
		}
		// A document in which the pointer leads to 1.
		doc := []byte("1")
		for _, token := range slices.Backward(tokens) {
			name, err := json.Marshal(token)
			if err != nil {
				t.Fatal(err)
			}
			doc = append(append(append([]byte("{"), name...), ':'), append(doc, '}')...)
		}
		if len(tokens) > 256 {
			return
		}
		if got, err := jsonpatch.Lookup(doc, s); err != nil || string(got) != "1" {
			t.Fatalf("Lookup(%q, %q) = %s, %v", doc, s, got, err)
		}
	})
}
