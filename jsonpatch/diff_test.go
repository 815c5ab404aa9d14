package jsonpatch_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"freshet/jsonpatch"
)

func TestDiff(t *testing.T) {
	for _, tt := range []struct{ name, from, to, want string }{
		{"same value, nothing to say", `{"eur":1.08}`, `{ "eur": 1.08 }`, `[]`},
		{"order of members", `{"a":1,"b":[{"c":1,"d":2}]}`, `{"b":[{"d":2,"c":1}],"a":1}`, `[]`},
		{"spelling of strings", `["\u00e9\/\u0041"]`, `["é/A"]`, `[]`},
		{"spelling of numbers", `{"a":1.0}`, `{"a":1.00}`, `[{"op":"replace","path":"/a","value":1.00}]`},
		{"large integers", `{"a":9007199254740992}`, `{"a":9007199254740993}`, `[{"op":"replace","path":"/a","value":9007199254740993}]`},
		{"beyond float64", `{"a":1e400}`, `{"a":1e401}`, `[{"op":"replace","path":"/a","value":1e401}]`},
		{"negative zero", `{"a":0}`, `{"a":-0}`, `[{"op":"replace","path":"/a","value":-0}]`},
		{"a slash in a name is escaped", `{"a/b":1}`, `{}`, `[{"op":"remove","path":"/a~1b"}]`},
		{"a tilde in a name is escaped", `{"m~n":1,"kkkkkkkkkkkkkk":2}`, `{"kkkkkkkkkkkkkk":2}`, `[{"op":"remove","path":"/m~0n"}]`},
		{"a quote in a name", `{"q\"":1,"kkkkkkkkkkkkkk":2}`, `{"kkkkkkkkkkkkkk":2}`, `[{"op":"remove","path":"/q\""}]`},
		{"the empty name", `{"":1,"kkkkkkkkkkkkkk":2}`, `{"":2,"kkkkkkkkkkkkkk":2}`, `[{"op":"replace","path":"/","value":2}]`},
		{"names that look like indices", `{"0":1,"-":2,"01":3}`, `{"0":1,"-":3,"01":3}`, `[{"op":"replace","path":"/-","value":3}]`},
		{"null is a value", `{"a":null}`, `{"a":false}`, `[{"op":"replace","path":"/a","value":false}]`},
		{"null is not absent", `{"a":null,"kkkkkkkkkkkkkk":2}`, `{"kkkkkkkkkkkkkk":2}`, `[{"op":"remove","path":"/a"}]`},
		{"the root changes type", `{}`, `[]`, `[{"op":"replace","path":"","value":[]}]`},
		{"the root is a scalar", `"a"`, `null`, `[{"op":"replace","path":"","value":null}]`},
		{"empty array and empty object", `{"a":[]}`, `{"a":{}}`, `[{"op":"replace","path":"/a","value":{}}]`},
		{"the last of a name wins", `{"a":1,"a":2}`, `{"a":2}`, `[]`},
		{"one in at the head", `["a longer text","b longer text"]`, `["new","a longer text","b longer text"]`, `[{"op":"add","path":"/0","value":"new"}]`},
		{"one out at the head", `["x","a longer text","b longer text"]`, `["a longer text","b longer text"]`, `[{"op":"remove","path":"/0"}]`},
		{
			"a move, and a change in what moved", `[{"id":1,"v":"aaaaaaaaaaaaaaaaaaaaaaaaaaaa","n":1},{"id":2,"v":"b"},{"id":3,"v":"cccccccccccccccccccccccccccccccccc"}]`,
			`[{"id":2,"v":"b"},{"id":3,"v":"cccccccccccccccccccccccccccccccccc"},{"id":1,"v":"aaaaaaaaaaaaaaaaaaaaaaaaaaaa","n":2}]`,
			`[{"op":"move","from":"/0","path":"/2"},{"op":"replace","path":"/2/n","value":2}]`,
		},
		{"many small changes become one", `{"o":{"a":1,"b":2,"c":3}}`, `{"o":{"a":2,"b":3,"c":4}}`, `[{"op":"replace","path":"/o","value":{"a":2,"b":3,"c":4}}]`},
		{
			"appending is shorter with a dash", `["aaaaaaaa",1,2,3,4,5,6,7,8,9,"bbbbbbbb"]`, `["aaaaaaaa",1,2,3,4,5,6,7,8,9,"bbbbbbbb",0]`,
			`[{"op":"add","path":"/-","value":0}]`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := jsonpatch.Diff([]byte(tt.from), []byte(tt.to))
			if err != nil || string(got) != tt.want {
				t.Errorf("Diff(%s, %s) = %s, %v; want %s", tt.from, tt.to, got, err, tt.want)
			}
			checkDiff(t, []byte(tt.from), []byte(tt.to))
		})
	}
}

// fast-json-patch refuses paths with these names, however they are reached.
func TestHostileNames(t *testing.T) {
	const rest = `"text":"so long that nobody replaces all of it for a small change"`
	for _, name := range []string{"__proto__", "constructor", "prototype"} {
		for _, tt := range []struct{ from, to string }{
			{`{%s,"o":{"%s":1}}`, `{%s,"o":{"%s":2}}`},
			{`{%s,"o":{"%s":{"a":{"b":1}}}}`, `{%s,"o":{"%s":{"a":{"b":2}}}}`},
			{`{%s,"o":{"a":1}}`, `{%s,"o":{"a":1,"%s":2}}`},
			{`{%s,"o":{"a":1,"%s":2}}`, `{%s,"o":{"a":1}}`},
			{`{%s,"o":{"%s":[1,2,3]}}`, `{%s,"o":{"%s":[3,2,1]}}`},
		} {
			fill := func(s string) []byte {
				return []byte(strings.ReplaceAll(strings.Replace(s, "%s", rest, 1), "%s", name))
			}
			from, to := fill(tt.from), fill(tt.to)
			patch, err := jsonpatch.Diff(from, to)
			if err != nil || !bytes.HasPrefix(patch, []byte(`[{"op":"replace","path":"/o","value":{`)) {
				t.Errorf("Diff(%s, %s) = %s, %v", from, to, patch, err)
			}
			checkDiff(t, from, to)
		}
	}
}

func TestHeadInsertIsOneOperation(t *testing.T) {
	list := func(ids ...int) []byte {
		b := []byte{'['}
		for _, id := range ids {
			b = fmt.Appendf(b, `{"id":%d,"name":"item"},`, id)
		}
		b[len(b)-1] = ']'
		return b
	}
	ids := make([]int, 10_001)
	for i := range ids {
		ids[i] = i
	}
	from, to := list(ids[1:]...), list(ids...)
	want := `[{"op":"add","path":"/0","value":{"id":0,"name":"item"}}]`
	if got, err := jsonpatch.Diff(from, to); err != nil || string(got) != want {
		t.Errorf("one in at the head: %.300s, %v", got, err)
	}
	a, err := jsonpatch.Parse(from, jsonpatch.Limits{})
	b, err2 := jsonpatch.Parse(to, jsonpatch.Limits{})
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	var d jsonpatch.Differ
	if got, _ := d.Append(nil, a, b); string(got) != want {
		t.Errorf("the same of documents that know nothing of each other: %.300s", got)
	}
}

// Moves are as few as possible: one for each element off a longest run that keeps its order.
func TestFewestMoves(t *testing.T) {
	m := newMaker(1)
	for range 100 {
		n := 2 + m.IntN(30)
		perm := m.Perm(n)
		var from, to []string
		for i := range n {
			text := func(i int) string { return strconv.Quote(strings.Repeat("x", 200) + strconv.Itoa(i)) }
			from, to = append(from, text(i)), append(to, text(perm[i]))
		}
		patch, err := jsonpatch.Diff([]byte("["+strings.Join(from, ",")+"]"), []byte("["+strings.Join(to, ",")+"]"))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := bytes.Count(patch, []byte(`"move"`)), n-longestRun(perm); got != want {
			t.Errorf("%v: %d moves, want %d: %s", perm, got, want, patch)
		}
	}
}

func longestRun(p []int) (longest int) {
	run := make([]int, len(p))
	for i := range p {
		run[i] = 1
		for j := range i {
			if p[j] < p[i] {
				run[i] = max(run[i], run[j]+1)
			}
		}
		longest = max(longest, run[i])
	}
	return longest
}

func TestAppend(t *testing.T) {
	parse := func(s string) *jsonpatch.Document {
		t.Helper()
		d, err := jsonpatch.Parse([]byte(s), jsonpatch.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	var d jsonpatch.Differ
	long := `"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk":1`
	patch, stats := d.Append([]byte("before "), parse(`{"a":1,`+long+`}`), parse(`{"a":2,`+long+`}`))
	if string(patch) != `before [{"op":"replace","path":"/a","value":2}]` || stats != (jsonpatch.Stats{Ops: 1}) {
		t.Errorf("%s, %+v", patch, stats)
	}
	patch, stats = d.Append([]byte("before "), parse(`{"a":1}`), parse(`{ "a":1}`))
	if string(patch) != "before " || stats != (jsonpatch.Stats{}) {
		t.Errorf("no change: %s, %+v", patch, stats)
	}
	patch, stats = d.Append(nil, parse(`[]`), parse(`{}`))
	if string(patch) != `[{"op":"replace","path":"","value":{}}]` || stats != (jsonpatch.Stats{Ops: 1, Whole: true}) {
		t.Errorf("all of it: %s, %+v", patch, stats)
	}
	patch, stats = d.Append(nil, new(jsonpatch.Document), parse(`1`))
	if string(patch) != `[{"op":"replace","path":"","value":1}]` || !stats.Whole {
		t.Errorf("from nothing: %s, %+v", patch, stats)
	}
}

// A guide of another shape, of an earlier version, or parsed anew in the meantime does no harm.
func TestGuideIsOnlyAGuide(t *testing.T) {
	var guide, now jsonpatch.Document
	var d jsonpatch.Differ
	parse := func(doc, guide *jsonpatch.Document, s string) {
		t.Helper()
		if err := doc.Parse([]byte(s), guide, jsonpatch.Limits{}); err != nil {
			t.Fatal(err)
		}
	}
	parse(&guide, nil, `{"a":[1,2,3],"b":{"c":"d"},"e":"a text that makes it longer than a patch"}`)
	parse(&now, &guide, `{"b":{"c":"d"},"a":[1,2,3,4],"e":"a text that makes it longer than a patch"}`)
	parse(&guide, nil, `{"a":[1,2,3,4],"b":{"c":"e"},"e":"a text that makes it longer than a patch"}`)
	want := `[{"op":"replace","path":"/b/c","value":"d"}]`
	if patch, _ := d.Append(nil, &guide, &now); string(patch) != want {
		t.Errorf("%s, want %s", patch, want)
	}
	parse(&now, &now, `[1]`)
	if string(now.Bytes()) != "[1]" {
		t.Errorf("guided by itself: %s", now.Bytes())
	}
}
