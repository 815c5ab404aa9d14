package strict_test

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/internal/strict"
)

type inner struct {
	Every freshet.Duration `json:"every"`
	Deep  *inner           `json:"deep"`
}

type Embedded struct {
	Base string `json:"base"`
	Name string `json:"name"` // hidden by the outer one
}

type document struct {
	Embedded
	Name   string            `json:"name"`
	Count  int               `json:"count"`
	Small  uint8             `json:"small"`
	Ratio  float64           `json:"ratio"`
	On     bool              `json:"on"`
	Size   freshet.Bytes     `json:"size"`
	Allow  []netip.Prefix    `json:"allow"`
	Since  time.Time         `json:"since"`
	Raw    json.RawMessage   `json:"raw"`
	Labels map[string]string `json:"labels"`
	List   []inner           `json:"list"`
	Inner  inner             `json:"inner"`
	Pair   [2]int            `json:"pair"`
	Any    any               `json:"any"`
	Blob   []byte            `json:"blob"`
	Secret string            `json:"-"`
}

func TestMistakes(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"nothing wrong", `{"name":"a","raw":{"x":1,"x":2},"labels":null,"any":{"a":[1]},"list":[{"deep":{"every":"1s"}}],"pair":[1,2],"base":"b"}`, ``},
		{"a near name", `{"inner":{"evry":1}}`, `/inner/evry: unknown member "evry": did you mean "every"?`},
		{"another case", `{"NAME":"a"}`, `/NAME: unknown member "NAME": did you mean "name"?`},
		{"a far name", `{"inner":{"zzz":1}}`, `/inner/zzz: unknown member "zzz": known are deep, every`},
		{"a hidden field", `{"-":"a","Secret":1}`, `/-: unknown member "-": known are *; /Secret: unknown member "Secret": known are *`},
		{"pointer escapes", `{"labels":{"a/b~c":1}}`, `/labels/a~1b~0c: must be a string, not a number`},
		{
			"wrong types", `{"name":1,"count":"1","on":{},"list":{},"inner":[],"ratio":true}`,
			`/name: must be a string, not a number; /count: must be a number, not a string; /on: must be a boolean, not an object; ` +
				`/list: must be an array, not an object; /inner: must be an object, not an array; /ratio: must be a number, not a boolean`,
		},
		{"null", `{"name":null,"inner":null,"size":null,"list":null,"any":null}`, `/name: must not be null: leave it out instead; /inner: must not be null: leave it out instead; /size: must not be null: leave it out instead`},
		{"numbers", `{"count":1.5,"small":256,"ratio":1e999}`, `/count: must be a whole number, not 1.5; /small: 256 is out of range; /ratio: 1e999 is out of range`},
		{"negative", `{"small":-1}`, `/small: must not be negative, and is -1`},
		{
			"refused texts", `{"size":"1XB","allow":["10.0.0.0/8","x"],"since":"today","inner":{"every":"5"}}`,
			`/size: "1XB" is not a size*; /allow/1: "x" is neither an IP address*; /since: "today" is not an RFC 3339 time*; /inner/every: "5" is not a duration*`,
		},
		{"a duration as number", `{"inner":{"every":5}}`, `/inner/every: must be a string, not a number`},
		{
			"duplicates", `{"name":"a","name":"b","labels":{"x":"","x":""},"any":[{"y":1,"y":2}]}`,
			`/name: duplicate member "name"; /labels/x: duplicate member "x"; /any/0/y: duplicate member "y"`,
		},
		{"an escaped duplicate", `{"name":"a","n\u0061me":"b"}`, `/name: duplicate member "name"`},
		{"deep in lists", `{"list":[{},{"deep":{"deep":{"every":1}}}]}`, `/list/1/deep/deep/every: must be a string, not a number`},
		{"array length", `{"pair":[1]}`, `/pair: must have 2 items, not 1`},
		{"array too long", `{"pair":[1,2,3,4]}`, `/pair: must have 2 items, not 4`},
		{"base64", `{"blob":"?"}`, `/blob: is not base64`},
		{"not an object", `[]`, `must be an object, not an array`},
		{"empty", " \n", `empty, where a JSON value is required`},
		{"syntax", "{\n  \"é\": }", `line 2, column 8 (byte 10): invalid character '}' looking for beginning of value`},
		{"cut off", `{"a":`, `line 1, column 6 (byte 5): unexpected end of JSON input`},
		{"trailing", `{} x`, `line 1, column 4 (byte 3): invalid character 'x' after top-level value`},
		{"not UTF-8", "{\"name\":\"\xff\"}", `line 1, column 10 (byte 9): not valid UTF-8`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var doc document
			got := strict.Decode([]byte(tt.in), &doc)
			if (got == nil) != (tt.want == "") || !matches(got.Error(), tt.want) {
				t.Errorf("Decode(%s):\n got %s\nwant %s", tt.in, got.Error(), tt.want)
			}
		})
	}
}

// matches compares with "; "-separated wants, in which a star ends what has to be equal.
func matches(got, want string) bool {
	gots, wants := strings.Split(got, "; "), strings.Split(want, "; ")
	return slices.EqualFunc(gots, wants, func(g, w string) bool {
		if before, ok := strings.CutSuffix(w, "*"); ok {
			return strings.HasPrefix(g, before)
		}
		return g == w
	})
}

func TestValues(t *testing.T) {
	got := document{Count: 7, Labels: map[string]string{"kept": "yes"}}
	const in = `{"base":"b","name":"n\u00e9","size":"1KiB","raw": {"a": 1} ,"labels":{"new":"x"},"any":{"a":[1,null]},
		"list":[{"every":"PT5S"},{"deep":{"every":"1m"}}],"allow":["10.0.0.0/8"],"since":"2026-01-02T03:04:05Z","pair":[3,4],"blob":"AQI="}`
	if bad := strict.Decode([]byte(in), &got); bad != nil {
		t.Fatal(bad)
	}
	want := document{
		Embedded: Embedded{Base: "b"}, Name: "né", Count: 7, Size: 1024, Raw: json.RawMessage(`{"a": 1}`),
		Labels: map[string]string{"kept": "yes", "new": "x"}, Any: map[string]any{"a": []any{1.0, nil}},
		List:  []inner{{Every: freshet.Duration(5 * time.Second)}, {Deep: &inner{Every: freshet.Duration(time.Minute)}}},
		Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Pair: [2]int{3, 4}, Blob: []byte{1, 2},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// The raw message must not share memory with the input, which callers reuse.
func TestRawIsACopy(t *testing.T) {
	in := []byte(`{"raw":"abc"}`)
	var doc document
	strict.Decode(in, &doc)
	clear(in)
	if string(doc.Raw) != `"abc"` {
		t.Errorf("raw changed with its input: %q", doc.Raw)
	}
}

func TestNear(t *testing.T) {
	names := []string{"every", "id", "maxAge"}
	for word, want := range map[string]string{"evry": "every", "EVERY": "every", "xy": "", "maxage": "maxAge", "mxAg": "maxAge", "something": "", "": ""} {
		if got := strict.Near(word, names); got != want {
			t.Errorf("Near(%q) = %q; want %q", word, got, want)
		}
	}
}

// FuzzDecode holds Decode to encoding/json: what is no JSON is one mistake, and what Decode finds
// faultless encoding/json reads to the same value.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"name":"a","list":[{"deep":null}],"raw":[1,{"a":"\"}"}]}`, `{"count":1e3,"pair":[1,2]}`, `{"labels":{"a/b":""}}`, `"`, `{"any":{"\\":"\u007d"}}`, `{"since":"2026-01-02T03:04:05.5+01:00"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got, want document
		bad := strict.Decode(data, &got)
		err := json.Unmarshal(data, &want)
		if !json.Valid(data) && (len(bad) != 1 || bad[0].Pointer != "") {
			t.Errorf("%q is not JSON, and Decode says %v", data, bad)
		}
		if bad != nil {
			return
		}
		got.Since, want.Since = got.Since.UTC(), want.Since.UTC()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v; encoding/json %+v, %v", data, got, want, err)
		}
	})
}

func TestMerge(t *testing.T) {
	const in = `{"inner":{"every":1,"evry":1},"list":[{},{"deep":{}}],"name":"x"}`
	var doc document
	decoded := strict.Decode([]byte(in), &doc)
	got := strict.Merge([]byte(in), decoded, freshet.Invalid{
		{Pointer: "/name", Detail: "last"},
		{Pointer: "/count", Detail: "missing"},
		{Pointer: "/list/1/deep/every", Detail: "missing"},
		{Pointer: "/inner/every", Detail: "refused already"},
		{Pointer: "/list/0", Detail: "first item"},
		{Pointer: "/inner", Detail: "the sum of refused members"},
	})
	var order []string
	for _, e := range got {
		order = append(order, e.Pointer)
	}
	if want := []string{"/count", "/inner/every", "/inner/evry", "/list/0", "/list/1/deep/every", "/name"}; !slices.Equal(order, want) {
		t.Errorf("got %v; want %v", order, want)
	}
	if got := strict.Merge([]byte(`{`), freshet.Invalid{{Detail: "broken"}}, freshet.Invalid{{Pointer: "/a", Detail: "b"}}); len(got) != 1 {
		t.Errorf("a broken document says no more than that: %v", got)
	}
}
