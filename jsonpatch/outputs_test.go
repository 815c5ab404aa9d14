package jsonpatch_test

import (
	"errors"
	"testing"

	"freshet/jsonpatch"
)

func TestAppendMerge(t *testing.T) {
	for _, tt := range []struct {
		from, to, want string
		ok             bool
	}{
		{`{"a":1,"b":{"c":2,"d":3}}`, `{"a":1,"b":{"c":4,"e":5}}`, `{"b":{"c":4,"e":5,"d":null}}`, true},
		{`{"a":[1,2]}`, `{"a":[1,null]}`, `{"a":[1,null]}`, true},
		{`{"a":1}`, `{"a":{}}`, `{"a":{}}`, true},
		{`{"a":{"b":1}}`, `{"a":{}}`, `{"a":{"b":null}}`, true},
		{`{"a":1}`, `[1]`, `[1]`, true},
		{`[1]`, `{"a":{"b":[null]}}`, `{"a":{"b":[null]}}`, true},
		{`{"a":1}`, `null`, `null`, true},
		{`{"a":1,"b":2}`, `{"b":2,"a":1}`, ``, true},
		{`{"q\"":1}`, `{"q\"":1.0}`, `{"q\"":1.0}`, true},
		{`{"a":1}`, `{"a":null}`, ``, false},
		{`{"a":1}`, `{"a":1,"b":{"c":null}}`, ``, false},
		{`{"a":1}`, `{"a":[{"c":null}]}`, `{"a":[{"c":null}]}`, true},
		{`{"a":null,"b":1}`, `{"a":null,"b":2}`, `{"b":2}`, true},
		{`1`, `{"a":null}`, ``, false},
		{`{"__proto__":1,"b":1}`, `{"__proto__":1,"b":2}`, `{"b":2}`, true},
		{`{"__proto__":1}`, `{"__proto__":2}`, ``, false},
		{`{"constructor":1}`, `{}`, ``, false},
		{`{}`, `{"a":{"prototype":1}}`, ``, false},
	} {
		a, err1 := jsonpatch.Parse([]byte(tt.from), jsonpatch.Limits{})
		b, err2 := jsonpatch.Parse([]byte(tt.to), jsonpatch.Limits{})
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		var d jsonpatch.Differ
		if got, ok := d.AppendMerge([]byte(">"), a, b); string(got) != ">"+tt.want || ok != tt.ok {
			t.Errorf("%s to %s: %s, %v; want %s, %v", tt.from, tt.to, got, ok, tt.want, tt.ok)
		}
	}
}

// mergePatch is the algorithm of RFC 7396, section 2, on decoded values.
func mergePatch(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for name, value := range p {
		if value == nil {
			delete(t, name)
		} else {
			t[name] = mergePatch(t[name], value)
		}
	}
	return t
}

func TestMergeRandom(t *testing.T) {
	var d jsonpatch.Differ
	said := 0
	for i := range 2000 {
		m := newMaker(uint64(i))
		v := m.value(4)
		want := m.next(v)
		a, err1 := jsonpatch.Parse(m.text(v, 0), jsonpatch.Limits{})
		b, err2 := jsonpatch.Parse(m.text(want, 2), jsonpatch.Limits{})
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		patch, ok := d.AppendMerge(nil, a, b)
		if !ok || len(patch) == 0 {
			continue
		}
		said++
		p, err := decode(patch)
		if got := mergePatch(clone(v), p); err != nil || normal(got) != normal(want) {
			t.Fatalf("%s to %s: %s leads to %s, %v", a.Bytes(), b.Bytes(), patch, normal(got), err)
		}
	}
	if said < 250 {
		t.Errorf("only %d of the changes could be said", said)
	}
}

func TestItems(t *testing.T) {
	const from = `{"items":[{"id":1,"n":"a","q":1.0},{"id":2,"n":"b"},{"id":3,"n":"c"}],"map":{"x":1,"y":{"z":1}},"at":1}`
	for _, tt := range []struct {
		name, to, pointer, key, want string
		options                      jsonpatch.Options
		is                           error
	}{
		{
			name: "created, updated, deleted", to: `{"items":[{"id":3,"n":"c"},{"id":4},{"id":1,"n":"A","q":1.0,"r":[1]}]}`, pointer: "/items", key: "id",
			want: `{"created":[{"key":4,"value":{"id":4}}],"updated":[{"key":1,"new":{"n":"A","r":[1]},"old":{"n":"a"}}],"deleted":[{"key":2,"value":{"id":2,"n":"b"}}]}`,
		},
		{name: "order is nothing", to: `{"items":[{"id":3,"n":"c"},{"n":"b","id":2},{"id":1,"n":"a","q":1.0}]}`, pointer: "/items", key: "id", want: `{}`},
		{
			name: "an object", to: `{"map":{"y":{"z":2},"w":null}}`, pointer: "/map",
			want: `{"created":[{"key":"w","value":null}],"updated":[{"key":"y","new":{"z":2},"old":{"z":1}}],"deleted":[{"key":"x","value":1}]}`,
		},
		{
			name: "items that are no objects", to: `{"map":{"x":2,"y":[1]}}`, pointer: "/map",
			want: `{"updated":[{"key":"x","new":2,"old":1},{"key":"y","new":[1],"old":{"z":1}}]}`,
		},
		{
			name: "a pointer as the key", to: `{"items":[{"id":1,"n":"a","q":1.0},{"id":2,"n":"b"}]}`, pointer: "/items", key: "/id",
			want: `{"deleted":[{"key":3,"value":{"id":3,"n":"c"}}]}`,
		},
		{name: "noise", to: `{"items":[{"id":1,"n":"x","q":1.00},{"id":2,"n":"y"},{"id":3,"n":"z"}]}`, pointer: "/items", key: "id", want: `{}`, options: jsonpatch.Options{Ignore: []string{"/n"}, NumericEqual: true}},
		{name: "gone as a whole", to: `{}`, pointer: "/map", want: `{"deleted":[{"key":"x","value":1},{"key":"y","value":{"z":1}}]}`},
		{name: "not there", to: `{}`, pointer: "/nothing", is: jsonpatch.ErrPath},
		{name: "no key", to: `{"items":[{"n":1}]}`, pointer: "/items", key: "id", is: jsonpatch.ErrKey},
		{name: "a key twice", to: `{"items":[{"id":1},{"id":1}]}`, pointer: "/items", key: "id", is: jsonpatch.ErrKey},
		{name: "an array without a key", to: from, pointer: "/items", is: jsonpatch.ErrKey},
		{name: "a number", to: from, pointer: "/at", is: jsonpatch.ErrKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := jsonpatch.NewDiffer(tt.options)
			a, err1 := jsonpatch.Parse([]byte(from), jsonpatch.Limits{})
			b, err2 := jsonpatch.Parse([]byte(tt.to), jsonpatch.Limits{})
			if err := errors.Join(err, err1, err2); err != nil {
				t.Fatal(err)
			}
			changes, err := d.Items(a, b, tt.pointer, tt.key)
			if !errors.Is(err, tt.is) || err != nil && tt.is == nil {
				t.Fatal(err)
			}
			if got := string(jsonpatch.AppendItems(nil, changes)); tt.is == nil && got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
