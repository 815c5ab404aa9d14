package jsonpatch_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"freshet/jsonpatch"
)

func TestAppendChanges(t *testing.T) {
	const text = `"text":"a text that makes a patch smaller than the document"`
	const more = `,"more":"text that does the same for changes of several members"`
	keys := map[string]string{"/rows": "/at/x", "/odd~1/*/l": "k"}
	for _, tt := range []struct {
		name, from, to, want string
		keys                 map[string]string
	}{
		{
			name: "created, updated, deleted", from: `{"items":[{"id":1,"q":1.0},{"id":2},{"id":"2"}]}`, to: `{"items":[{"id":"2"},{"id":1,"q":1.00},{"id":3}]}`,
			want: `{"created":[{"array":"/items","key":3,"value":{"id":3}}],"updated":[{"array":"/items","key":1,"value":{"id":1,"q":1.00},"previous":{"id":1,"q":1.0}}],"deleted":[{"array":"/items","key":2,"previous":{"id":2}}],"keys":{"/items":"id"}}`,
		},
		{name: "order is not told", from: `[{"id":1},{"id":2}]`, to: `[{"id":2},{"id":1}]`, want: ``},
		{
			name: "the root, and an empty array before", from: `[]`, to: `[{"id":2}]`,
			want: `{"created":[{"array":"","key":2,"value":{"id":2}}],"updated":[],"deleted":[],"keys":{"":"id"}}`,
		},
		{
			name: "an empty array after", from: `[{"id":2}]`, to: `[]`,
			want: `{"created":[],"updated":[],"deleted":[{"array":"","key":2,"previous":{"id":2}}],"keys":{"":"id"}}`,
		},
		{
			name: "what is outside of the arrays is a patch", from: `{"n":1,"m":{"l":[{"id":1,"q":1}],"z":1,` + text + `}}`, to: `{"n":2,"m":{"l":[{"id":1,"q":2}],` + text + `}}`,
			want: `{"created":[],"updated":[{"array":"/m/l","key":1,"value":{"id":1,"q":2},"previous":{"id":1,"q":1}}],"deleted":[],"keys":{"/m/l":"id"},"patch":[{"op":"replace","path":"/n","value":2},{"op":"remove","path":"/m/z"}]}`,
		},
		{
			name: "a member that identifies better", from: `[{"price":"1","name":"a"},{"price":"2","name":"b"}]`, to: `[{"price":"3","name":"a"},{"price":"4","name":"b"}]`,
			want: `{"created":[],"updated":[{"array":"","key":"a","value":{"price":"3","name":"a"},"previous":{"price":"1","name":"a"}},{"array":"","key":"b","value":{"price":"4","name":"b"},"previous":{"price":"2","name":"b"}}],"deleted":[],"keys":{"":"name"}}`,
		},
		{
			name: "keys that are configured", keys: keys, from: `{"rows":[{"id":1,"at":{"x":1}}],"odd/":{"é\"":{"l":[{"k":null}]}}}`, to: `{"rows":[{"id":1,"at":{"x":2}}],"odd/":{"é\"":{"l":[]}}}`,
			want: `{"created":[{"array":"/rows","key":2,"value":{"id":1,"at":{"x":2}}}],"updated":[],"deleted":[{"array":"/rows","key":1,"previous":{"id":1,"at":{"x":1}}},{"array":"/odd~1/é\"/l","key":null,"previous":{"k":null}}],"keys":{"/rows":"/at/x","/odd~1/é\"/l":"k"}}`,
		},
		{
			name: "a key twice: the array as a whole", from: `{"l":[{"id":1},{"id":2}],` + text + `}`, to: `{"l":[{"id":1},{"id":2},{"id":2}],` + text + `}`,
			want: `{"created":[],"updated":[],"deleted":[],"patch":[{"op":"replace","path":"/l","value":[{"id":1},{"id":2},{"id":2}]}]}`,
		},
		{
			name: "arrays of other things", from: `{"l":[1,2,3],"m":[[{"id":1}]],` + text + `}`, to: `{"l":[1,3],"m":[[{"id":2}]],` + text + `}`,
			want: `{"created":[],"updated":[],"deleted":[],"patch":[{"op":"remove","path":"/l/1"},{"op":"replace","path":"/m/0/0/id","value":2}]}`,
		},
		{
			name: "arrays that come and go", from: `{"a":[{"id":1}],` + text + `}`, to: `{"b":[{"id":1}],` + text + `}`,
			want: `{"created":[],"updated":[],"deleted":[],"patch":[{"op":"add","path":"/b","value":[{"id":1}]},{"op":"remove","path":"/a"}]}`,
		},
		{
			name: "an object that is shorter as a whole", from: `{"o":{"a":1,"b":2,"c":3},` + text + more + `}`, to: `{"o":{"a":4,"b":5,"c":6},` + text + more + `}`,
			want: `{"created":[],"updated":[],"deleted":[],"patch":[{"op":"replace","path":"/o","value":{"a":4,"b":5,"c":6}}]}`,
		},
		{
			name: "a name that is refused", from: `{"o":{"__proto__":1,"c":3},` + text + more + `}`, to: `{"o":{"__proto__":2,"c":3},` + text + more + `}`,
			want: `{"created":[],"updated":[],"deleted":[],"patch":[{"op":"replace","path":"/o","value":{"__proto__":2,"c":3}}]}`,
		},
		{name: "a name that is refused at the root", from: `{"constructor":[{"id":1}]}`, to: `{"constructor":[{"id":2}]}`, want: "whole"},
		{name: "larger than the document", from: `{"a":1}`, to: `{"a":2}`, want: "whole"},
		{name: "another kind of document", from: `{"a":1}`, to: `[]`, want: "whole"},
		{name: "a scalar", from: `1`, to: `2`, want: "whole"},
		{name: "nothing", from: `{"a":1,"b":[1]}`, to: `{"b":[1],"a":1}`, want: ``},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err1 := jsonpatch.Parse([]byte(tt.from), jsonpatch.Limits{})
			b, err2 := jsonpatch.Parse([]byte(tt.to), jsonpatch.Limits{})
			d, err3 := jsonpatch.NewDiffer(jsonpatch.Options{ArrayKeys: tt.keys})
			if err := errors.Join(err1, err2, err3); err != nil {
				t.Fatal(err)
			}
			compact := strings.ReplaceAll(tt.want, "é\"", `é\"`)
			if tt.keys != nil {
				a, b = escaped(t, tt.from), escaped(t, tt.to)
			}
			got, ok := d.AppendChanges([]byte(">"), a, b)
			if !ok {
				got = append(got, "whole"...)
			}
			if string(got) != ">"+compact {
				t.Errorf("got  %s\nwant >%s", got, compact)
			}
		})
	}
}

// escaped reads a document in which the name é" stands as it is.
func escaped(t *testing.T, text string) *jsonpatch.Document {
	t.Helper()
	d, err := jsonpatch.Parse([]byte(strings.ReplaceAll(text, "é\"", `\u00e9\"`)), jsonpatch.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// What does not fit is refused, whatever it is.
func TestApplyChangesThatDoNotFit(t *testing.T) {
	const doc = `{"l":[{"id":1},{"id":2}],"n":1}`
	for changes, want := range map[string]string{
		`[]`:                                   "not an object",
		`{`:                                    "not valid JSON",
		`{"created":{}}`:                       "created is not an array",
		`{"created":[1]}`:                      "names no array",
		`{"created":[{"array":"/l","key":3}]}`: `keys has none for the array "/l"`,
		`{"keys":[]}`:                          "keys is not an object",
		`{"keys":{"/l":1}}`:                    `"/l"`,
		`{"keys":{"/n":"id"}}`:                 `"/n"`,
		`{"keys":{"/m":"id"}}`:                 "/m",
		`{"keys":{"/l":"/~"}}`:                 "~",
		`{"keys":{"/l":"name"}}`:               "without a key",
		`{"keys":{"/l":"id"},"created":[{"array":"/l","key":3}]}`:                        "no value",
		`{"keys":{"/l":"id"},"created":[{"array":"/l","key":2,"value":{"id":2}}]}`:       "already",
		`{"keys":{"/l":"id"},"updated":[{"array":"/l","key":3,"value":{"id":3}}]}`:       "no item 3 to be updated",
		`{"keys":{"/l":"id"},"deleted":[{"array":"/l","key":3}]}`:                        "no item 3 to be deleted",
		`{"keys":{"/l":"id"},"deleted":[{"array":"/l","key":2},{"array":"/l","key":2}]}`: "no item 2 to be deleted",
		`{"keys":{"/l":"id"},"deleted":[{"array":"/l"}]}`:                                "key",
		`{"patch":[{"op":"remove","path":"/m"}]}`:                                        "no member",
	} {
		if got, err := jsonpatch.ApplyChanges([]byte(doc), []byte(changes)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v; want an error with %q", changes, got, err, want)
		}
	}
}

// model applies changes to a decoded document, by the words of their documentation and not by our code.
func model(doc any, changes []byte) (any, error) {
	var c struct {
		Created, Updated, Deleted []struct {
			Array                string
			Key, Value, Previous json.RawMessage
		}
		Keys  map[string]string
		Patch json.RawMessage
	}
	if err := json.Unmarshal(changes, &c); err != nil {
		return nil, err
	}
	if c.Patch != nil {
		var err error
		if doc, err = strictApply(doc, c.Patch); err != nil {
			return nil, err
		}
	}
	edit := func(pointer string, with func([]any) []any) {
		if pointer == "" {
			doc = with(doc.([]any))
			return
		}
		tokens, _ := jsonpatch.ParsePointer(pointer)
		at := doc
		for _, token := range tokens[:len(tokens)-1] {
			at = at.(map[string]any)[token]
		}
		parent, last := at.(map[string]any), tokens[len(tokens)-1]
		parent[last] = with(parent[last].([]any))
	}
	index := func(pointer string, list []any, key json.RawMessage) int {
		want, _ := decode(key)
		return slices.IndexFunc(list, func(item any) bool { return normal(item.(map[string]any)[c.Keys[pointer]]) == normal(want) })
	}
	for _, e := range c.Deleted {
		edit(e.Array, func(list []any) []any { i := index(e.Array, list, e.Key); return slices.Delete(list, i, i+1) })
	}
	for _, e := range c.Updated {
		edit(e.Array, func(list []any) []any { list[index(e.Array, list, e.Key)], _ = decode(e.Value); return list })
	}
	for _, e := range c.Created {
		edit(e.Array, func(list []any) []any { v, _ := decode(e.Value); return append([]any{v}, list...) }) // first: their place is not told
	}
	return doc, nil
}

// unordered is a document with the items of its arrays of objects, outside of other arrays, in the order of their texts.
func unordered(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var b strings.Builder
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			fmt.Fprintf(&b, "%q:%s,", name, unordered(v[name]))
		}
		return "{" + b.String() + "}"
	case []any:
		var items []string
		objects := true
		for _, e := range v {
			_, ok := e.(map[string]any)
			objects = objects && ok
			items = append(items, normal(e))
		}
		if objects {
			slices.Sort(items)
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	return normal(v)
}

// Readers who apply changes one after the other, each with the items in an order of its own, hold the document
// at any time.
func TestChangesRandom(t *testing.T) {
	said, items := 0, 0
	for i := range 150 {
		m := newMaker(uint64(i))
		v := any(m.object(4))
		if i%3 == 0 {
			v = map[string]any{"list": m.records(), "other": map[string]any{"list": m.records(), "text": strings.Repeat("x", 200)}}
		}
		before, err := jsonpatch.Parse(m.text(v, 2), jsonpatch.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		var d jsonpatch.Differ
		ours, theirs := before.Bytes(), clone(v)
		for range 12 {
			if o, ok := v.(map[string]any); ok && i%3 == 0 && m.IntN(2) == 0 {
				o = clone(o).(map[string]any)
				if list, ok := o["list"].([]any); ok {
					o["list"] = m.edit(list)
				}
				v = o
			} else {
				v = m.next(v)
			}
			now := new(jsonpatch.Document)
			var guide *jsonpatch.Document
			if m.IntN(4) > 0 {
				guide = before
			}
			if err := now.Parse(m.text(v, 2), guide, jsonpatch.Limits{}); err != nil {
				t.Fatal(err)
			}
			changes, ok := d.AppendChanges(nil, before, now)
			switch {
			case !ok:
				ours, theirs = now.Bytes(), clone(v)
			case len(changes) > 0:
				said++
				if strings.Contains(string(changes), `"keys"`) {
					items++
				}
				was := ours
				if ours, err = jsonpatch.ApplyChanges(was, changes); err != nil {
					t.Fatalf("%s does not fit %s: %v", changes, was, err)
				}
				if theirs, err = model(theirs, changes); err != nil {
					t.Fatalf("%s does not fit: %v", changes, err)
				}
			}
			got, err := decode(ours)
			if err != nil || unordered(got) != unordered(v) || unordered(theirs) != unordered(v) {
				t.Fatalf("%s to %s: %s leads to %s and %s, %v", before.Bytes(), now.Bytes(), changes, ours, normal(theirs), err)
			}
			before = now
		}
	}
	if said < 600 || items < 60 {
		t.Errorf("only %d of the changes could be said, %d of them with items", said, items)
	}
}

// records are items with an id, most often with one each.
func (m maker) records() []any {
	list := make([]any, m.IntN(6))
	for i := range list {
		list[i] = map[string]any{"id": json.Number(fmt.Sprint(m.IntN(40))), "v": m.value(2)}
	}
	return list
}

// edit creates, updates, deletes and moves records.
func (m maker) edit(list []any) []any {
	for range 1 + m.IntN(3) {
		i := m.IntN(len(list) + 1)
		switch k := m.IntN(4); {
		case k == 0 || i == len(list):
			list = slices.Insert(list, i, any(map[string]any{"id": json.Number(fmt.Sprint(m.IntN(4000)))}))
		case k == 1:
			list = slices.Delete(list, i, i+1)
		case k == 2:
			m.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		default:
			if o, ok := list[i].(map[string]any); ok {
				o["v"] = m.value(2)
			}
		}
	}
	return list
}

func FuzzChanges(f *testing.F) {
	for i, s := range sharp {
		f.Add([]byte(s), []byte(sharp[(i+1)%len(sharp)]), []byte(sharp[(i+5)%len(sharp)]))
	}
	for i := range 30 {
		m := newMaker(uint64(i))
		v := any(map[string]any{"list": m.records(), "other": m.value(3)})
		w := m.next(v)
		f.Add(m.text(v, i%3), m.text(w, 2), m.text(m.next(w), 2))
	}
	f.Fuzz(func(t *testing.T, first, second, third []byte) {
		var d jsonpatch.Differ
		var before *jsonpatch.Document
		var held []byte
		for _, text := range [][]byte{first, second, third} {
			now, err := jsonpatch.Parse(text, jsonpatch.Limits{})
			if err != nil {
				return
			}
			if before == nil {
				before, held = now, now.Bytes()
				continue
			}
			changes, ok := d.AppendChanges(nil, before, now)
			if !ok {
				held = now.Bytes()
			} else if len(changes) > 0 {
				if held, err = jsonpatch.ApplyChanges(held, changes); err != nil {
					t.Fatalf("%s does not fit: %v", changes, err)
				}
			}
			got, err1 := decode(held)
			want, err2 := decode(now.Bytes())
			if err := errors.Join(err1, err2); err != nil || unordered(got) != unordered(want) {
				t.Fatalf("%s: %s leads to %s instead of %s, %v", before.Bytes(), changes, held, now.Bytes(), err)
			}
			before = now
		}
	})
}

// Whatever the changes are, they are applied or refused.
func FuzzApplyChanges(f *testing.F) {
	for _, s := range []string{
		`{"created":[{"array":"/l","key":3,"value":{"id":3}}],"updated":[{"array":"/l","key":1,"value":{"id":1,"n":2}}],"deleted":[{"array":"/l","key":2}],"keys":{"/l":"id"},"patch":[{"op":"add","path":"/m","value":1}]}`,
		`{"keys":{"":"/a/b","/0/l":"id"},"deleted":[{"array":"","key":null}]}`, `{"keys":1,"created":{}}`,
	} {
		f.Add([]byte(`{"l":[{"id":1},{"id":2}]}`), []byte(s))
		f.Add([]byte(`[{"a":{"b":null},"l":[]}]`), []byte(s))
	}
	f.Fuzz(func(t *testing.T, doc, changes []byte) {
		got, err := jsonpatch.ApplyChanges(doc, changes)
		if err != nil {
			return
		}
		if again, err := jsonpatch.Compact(nil, got); err != nil || string(again) != string(got) {
			t.Fatalf("ApplyChanges(%q, %q) = %s, which is not canonical JSON: %v", doc, changes, got, err)
		}
	})
}

// What a change of one of 5000 items costs, in each way to tell it.
func BenchmarkTell(b *testing.B) {
	text := func(price int) []byte {
		var t strings.Builder
		t.WriteString(`{"at":1,"quotes":[`)
		for i := range 5000 {
			if i > 0 {
				t.WriteByte(',')
			}
			p := 100
			if i == 2500 {
				p = price
			}
			fmt.Fprintf(&t, `{"symbol":"S%04d","name":"a company with a name","price":%d.5,"volume":%d,"tags":["a","b"]}`, i, p, i*7)
		}
		t.WriteString(`]}`)
		return []byte(t.String())
	}
	from, err := jsonpatch.Parse(text(100), jsonpatch.Limits{})
	to := new(jsonpatch.Document)
	if err := errors.Join(err, to.Parse(text(200), from, jsonpatch.Limits{})); err != nil {
		b.Fatal(err)
	}
	var d jsonpatch.Differ
	for name, tell := range map[string]func([]byte) []byte{
		"patch":   func(dst []byte) []byte { patch, _ := d.Append(dst, from, to); return patch },
		"merge":   func(dst []byte) []byte { patch, _ := d.AppendMerge(dst, from, to); return patch },
		"changes": func(dst []byte) []byte { patch, _ := d.AppendChanges(dst, from, to); return patch },
	} {
		b.Run(name, func(b *testing.B) {
			var out []byte
			for b.Loop() {
				out = tell(out[:0])
			}
			b.ReportMetric(float64(len(out)), "B/event")
		})
	}
}
