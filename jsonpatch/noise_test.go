package jsonpatch_test

import (
	"math"
	"strings"
	"testing"

	"freshet/jsonpatch"
)

func TestNoise(t *testing.T) {
	type options = jsonpatch.Options
	for _, tt := range []struct {
		name     string
		options  options
		from, to string
		change   bool
	}{
		{"ignored member", options{Ignore: []string{"/meta/at"}}, `{"meta":{"at":1,"v":1}}`, `{"meta":{"at":2,"v":1}}`, false},
		{"a member beside the ignored one", options{Ignore: []string{"/meta/at"}}, `{"meta":{"at":1,"v":1}}`, `{"meta":{"at":2,"v":2}}`, true},
		{"below the ignored member", options{Ignore: []string{"/meta"}}, `{"meta":{"at":[1]},"v":1}`, `{"meta":{"at":[2,3]},"v":1}`, false},
		{"an ignored member comes", options{Ignore: []string{"/at"}}, `{"v":1}`, `{"v":1,"at":2}`, false},
		{"an ignored member goes", options{Ignore: []string{"/at"}}, `{"v":1,"at":2}`, `{"v":1}`, false},
		{"the parent of the ignored member goes", options{Ignore: []string{"/meta/at"}}, `{"v":1,"meta":{"at":2}}`, `{"v":1}`, true},
		{"any element", options{Ignore: []string{"/items/*/at"}}, `{"items":[{"at":1},{"at":2}]}`, `{"items":[{"at":3},{"at":4}]}`, false},
		{"any member", options{Ignore: []string{"/*/at"}}, `{"x":{"at":1},"y":{"at":2}}`, `{"y":{"at":3},"x":{"at":4}}`, false},
		{"one element", options{Ignore: []string{"/1"}}, `[1,2,3]`, `[1,5,3]`, false},
		{"an element more", options{Ignore: []string{"/1"}}, `[1,2,3]`, `[1,5,3,4]`, true},
		{"everything", options{Ignore: []string{""}}, `[1]`, `{}`, false},
		{"a name with a slash", options{Ignore: []string{"/a~1b"}}, `{"a/b":1}`, `{"a/b":2}`, false},
		{"two pointers", options{Ignore: []string{"/a", "/b"}}, `{"a":1,"b":1,"c":1}`, `{"a":2,"b":2,"c":1}`, false},
		{"within the tolerance", options{Tolerance: 0.01}, `{"t":21.501,"u":[1]}`, `{"t":21.509,"u":[1]}`, false},
		{"beyond the tolerance", options{Tolerance: 0.01}, `{"t":21.50}`, `{"t":21.52}`, true},
		{"a number and a string", options{Tolerance: 1}, `{"t":1}`, `{"t":"1"}`, true},
		{"the same number", options{NumericEqual: true}, `[1.0,100,-0,12345678901234567890]`, `[1.00,1e2,0.0,1234567890123456789e1]`, false},
		{"not the same number", options{NumericEqual: true}, `[12345678901234567890]`, `[12345678901234567891]`, true},
		{"a set", options{Sets: []string{"/tags"}}, `{"tags":["a","b",{"c":1,"d":2}]}`, `{"tags":[{"d":2,"c":1},"a","b"]}`, false},
		{"a set with another element", options{Sets: []string{"/tags"}}, `{"tags":["a","b"]}`, `{"tags":["b","c"]}`, true},
		{"an element twice", options{Sets: []string{"/tags"}}, `{"tags":["a","b","b"]}`, `{"tags":["a","a","b"]}`, true},
		{"sets anywhere", options{Sets: []string{"/*/tags"}}, `[{"tags":[1,2]},{"tags":[3,4]}]`, `[{"tags":[2,1]},{"tags":[4,3]}]`, false},
		{"not a set", options{Sets: []string{"/other"}}, `{"tags":[1,2]}`, `{"tags":[2,1]}`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := jsonpatch.NewDiffer(tt.options)
			if err != nil {
				t.Fatal(err)
			}
			var now jsonpatch.Document
			old, err := jsonpatch.Parse([]byte(tt.from), jsonpatch.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			for _, guide := range []*jsonpatch.Document{old, nil} {
				if err := now.Parse([]byte(tt.to), guide, jsonpatch.Limits{}); err != nil {
					t.Fatal(err)
				}
				patch, _ := d.Append(nil, old, &now)
				if (len(patch) > 0) != tt.change {
					t.Errorf("%s to %s: %s", tt.from, tt.to, patch)
				}
				if !tt.change {
					continue
				}
				// What else differs is told too.
				if got, err := jsonpatch.Apply(old.Bytes(), patch); err != nil || !jsonpatch.Equal(got, now.Bytes()) {
					t.Errorf("%s to %s: %s leads to %s, %v", tt.from, tt.to, patch, got, err)
				}
			}
		})
	}
}

func TestArrayKeys(t *testing.T) {
	d, err := jsonpatch.NewDiffer(jsonpatch.Options{ArrayKeys: map[string]string{"/items": "sku", "/*/deep": "/p/n"}})
	if err != nil {
		t.Fatal(err)
	}
	pad := strings.Repeat("x", 60)
	for _, tt := range []struct{ from, to, want string }{
		{
			`{"items":[{"id":1,"sku":"a","v":"` + pad + `","n":1},{"id":2,"sku":"b","v":"` + pad + `","n":1}]}`,
			`{"items":[{"id":1,"sku":"b","v":"` + pad + `","n":1},{"id":2,"sku":"a","v":"` + pad + `","n":1}]}`,
			`[{"op":"replace","path":"/items/0/sku","value":"b"},{"op":"replace","path":"/items/1/sku","value":"a"}]`,
		},
		{
			`{"x":{"deep":[{"p":{"n":1},"v":"` + pad + `1"},{"p":{"n":2},"v":"` + pad + `2"}]}}`,
			`{"x":{"deep":[{"p":{"n":2},"v":"` + pad + `3"},{"p":{"n":1},"v":"` + pad + `1"}]}}`,
			`[{"op":"move","from":"/x/deep/1","path":"/x/deep/0"},{"op":"replace","path":"/x/deep/0/v","value":"` + pad + `3"}]`,
		},
	} {
		a, err1 := jsonpatch.Parse([]byte(tt.from), jsonpatch.Limits{})
		b, err2 := jsonpatch.Parse([]byte(tt.to), jsonpatch.Limits{})
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if got, _ := d.Append(nil, a, b); string(got) != tt.want {
			t.Errorf("%s to %s: %s, want %s", tt.from, tt.to, got, tt.want)
		}
	}
}

func TestOptionErrors(t *testing.T) {
	for field, o := range map[string]jsonpatch.Options{
		"ArrayKeys: ":          {ArrayKeys: map[string]string{"items": "id"}},
		`ArrayKeys["/items"]`:  {ArrayKeys: map[string]string{"/items": ""}},
		`ArrayKeys["/items"]:`: {ArrayKeys: map[string]string{"/items": "/a~"}},
		"Ignore: ":             {Ignore: []string{"/ok", "wrong"}},
		"Ignore: 65":           {Ignore: make([]string, 65)},
		"Sets: ":               {Sets: []string{"/~"}},
		"Tolerance: -1":        {Tolerance: -1},
		"Tolerance: NaN":       {Tolerance: math.NaN()},
		"Rollup: 5":            {Rollup: 5},
	} {
		if _, err := jsonpatch.NewDiffer(o); err == nil || !strings.HasPrefix(err.Error(), "options: "+field) {
			t.Errorf("%+v: %v, want an error that begins with %q", o, err, field)
		}
	}
}

// Small changes are kept apart, or rolled up, as the option says.
func TestRollup(t *testing.T) {
	from, to := `{"x":{"a":1,"b":"`+strings.Repeat("y", 50)+`","c":3},"z":"`+strings.Repeat("z", 300)+`"}`, ""
	to = strings.NewReplacer(`"a":1`, `"a":2`, `"c":3`, `"c":4`).Replace(from)
	for rollup, want := range map[int]int{0: 2, 100: 2, 50: 1, 300: 2} {
		d, err := jsonpatch.NewDiffer(jsonpatch.Options{Rollup: rollup})
		a, err1 := jsonpatch.Parse([]byte(from), jsonpatch.Limits{})
		b, err2 := jsonpatch.Parse([]byte(to), jsonpatch.Limits{})
		if err != nil || err1 != nil || err2 != nil {
			t.Fatal(err, err1, err2)
		}
		if patch, stats := d.Append(nil, a, b); stats.Ops != want {
			t.Errorf("at %d %%: %s", rollup, patch)
		}
	}
}
