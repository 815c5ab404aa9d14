package jsonpatch_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"freshet/jsonpatch"
)

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct {
		text   string
		offset int64
		reason string
	}{
		{``, 0, "the text ends where a value is expected"},
		{`{"a":1,}`, 7, "'}' where a member's name is expected"},
		{` [1 2]`, 4, "'2' where ',' or ']' is expected"},
		{"[12\n 3]", 5, "'3' where ',' or ']' is expected"},
		{`[tr ue]`, 1, "'t' where a value is expected"},
		{`{"a" 1}`, 5, "'1' where ':' is expected"},
		{`[01]`, 2, "'1' where ',' or ']' is expected"},
		{`[1.]`, 3, "']' where a digit is expected"},
		{`[-]`, 2, "']' where a digit is expected"},
		{`[1e+]`, 4, "']' where a digit is expected"},
		{`[+1]`, 1, "'+' where a value is expected"},
		{`["abc`, 5, "the text ends inside a string"},
		{"[\"a\tb\"]", 3, "control character 0x09 in a string, which must be escaped"},
		{"[\"\\\t\"\"]", 2, "an escape that does not exist"},
		{`["\x"]`, 2, "an escape that does not exist"},
		{`["\u12g4"]`, 2, "an escape that does not exist"},
		{`["\ud800"]`, 2, "a lone surrogate, which stands for no character"},
		{`["\udc00\ud800"]`, 2, "a lone surrogate, which stands for no character"},
		{`["\ud800\u0041"]`, 2, "a lone surrogate, which stands for no character"},
		{"[\"a\xff\"]", 3, "invalid UTF-8"},
		{"[\"\xed\xa0\x80\"]", 2, "invalid UTF-8"},
		{"\xef\xbb\xbf{}", 0, "a byte order mark is not allowed (RFC 8259, section 8.1)"},
		{`{} x`, 3, "'x' where the end of the text is expected"},
		{"\x00", 0, "'\\x00' where a value is expected"},
		{"[1\u00a0]", 2, "'\\u00a0' where ',' or ']' is expected"},
	} {
		var guided jsonpatch.Document
		guide, err := jsonpatch.Parse([]byte(`{"a":1}`), jsonpatch.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for how, err := range map[string]error{
			"Parse":  func() error { _, err := jsonpatch.Parse([]byte(tt.text), jsonpatch.Limits{}); return err }(),
			"guided": guided.Parse([]byte(tt.text), guide, jsonpatch.Limits{}),
		} {
			e, ok := errors.AsType[*jsonpatch.SyntaxError](err)
			if !ok || e.Offset != tt.offset || e.Reason != tt.reason {
				t.Errorf("%s(%q): %v, want %q at byte %d", how, tt.text, err, tt.reason, tt.offset)
			}
		}
		if guided.Bytes() != nil && len(guided.Bytes()) != 0 {
			t.Errorf("after the error the document holds %q", guided.Bytes())
		}
	}
}

func TestLimits(t *testing.T) {
	deep := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	for _, tt := range []struct {
		name string
		text []byte
		lim  jsonpatch.Limits
		want error
	}{
		{"as deep as allowed", deep(256), jsonpatch.Limits{}, nil},
		{"too deep", deep(257), jsonpatch.Limits{}, jsonpatch.ErrDepth},
		{"too deep for less", deep(4), jsonpatch.Limits{Depth: 3}, jsonpatch.ErrDepth},
		{"far too deep", deep(1_000_000), jsonpatch.Limits{Depth: 1 << 40}, jsonpatch.ErrDepth},
		{"as long as allowed", []byte(`"abcd"`), jsonpatch.Limits{Size: 6}, nil},
		{"too long", []byte(`"abcde"`), jsonpatch.Limits{Size: 6}, jsonpatch.ErrSize},
		{"as many as allowed", []byte(`[1,{"a":2}]`), jsonpatch.Limits{Members: 4}, nil},
		{"too many", []byte(`[1,{"a":2},3]`), jsonpatch.Limits{Members: 4}, jsonpatch.ErrMembers},
	} {
		if _, err := jsonpatch.Parse(tt.text, tt.lim); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		guide, err := jsonpatch.Parse(tt.text, jsonpatch.Limits{Depth: 10_000})
		if err != nil {
			continue
		}
		if err := new(jsonpatch.Document).Parse(tt.text, guide, tt.lim); !errors.Is(err, tt.want) {
			t.Errorf("%s, guided: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestCompact(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{" {\n \"a\" : [ 1 , 2.50 ,\ttrue ] , \"b c\" : { } }\r\n", `{"a":[1,2.50,true],"b c":{}}`},
		{`["\u00e9\u0041\/\u0022\u005c\u000a\u001F\ud83d\uDE00\u2028"]`, "[\"éA/\\\"\\\\\\n\\u001f😀\u2028\"]"},
		{`{"a":1,"b":2,"\u0061":3}`, `{"b":2,"a":3}`},
		{`{"a":{"x":1,"x":2},"a":[{"y":1,"y":{"z":1,"z":2}}]}`, `{"a":[{"y":{"z":2}}]}`},
		{`  -0.0e+5 `, `-0.0e+5`},
		{`"` + strings.Repeat("é", 100) + `"`, `"` + strings.Repeat("é", 100) + `"`},
	} {
		got, err := jsonpatch.Compact([]byte("> "), []byte(tt.text))
		if err != nil || string(got) != "> "+tt.want {
			t.Errorf("Compact(%s) = %s, %v; want %s", tt.text, got, err, tt.want)
		}
	}
	if got, err := jsonpatch.Compact([]byte("kept"), []byte("[1")); err == nil || string(got) != "kept" {
		t.Errorf("on an error: %s, %v", got, err)
	}
}

func TestEqual(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":[1,2]}`, ` {"b":[1, 2],"a":1}`, true},
		{`{"a":{"b":1,"c":2},"d":3}`, `{"d":3,"a":{"c":2,"b":1}}`, true},
		{`"é"`, `"\u00e9"`, true},
		{`[1,2]`, `[2,1]`, false},
		{`1`, `1.0`, false},
		{`{"a":1}`, `{"a":1,"b":2}`, false},
		{`{"aa":1,"b":2}`, `{"aa":1,"c":2}`, false},
		{`{"a":[],"b":{}}`, `{"b":[],"a":{}}`, false},
		{`{`, `{`, false},
		{`null`, `false`, false},
	} {
		if got := jsonpatch.Equal([]byte(tt.a), []byte(tt.b)); got != tt.want {
			t.Errorf("Equal(%s, %s) = %v", tt.a, tt.b, got)
		}
	}
}

// Whatever is done to a text, with a guide or without, the same is accepted, and that is what the
// standard library accepts, invalid UTF-8 and lone surrogates apart.
func TestDamagedTexts(t *testing.T) {
	const bytes = "\x00\t \n\"\\,:{}[]0123456789.eE+-truefalsn/udDcC8\xc3\xa9\xff\xed\xa0"
	var guided jsonpatch.Document
	for i := range 5_000 {
		m := newMaker(uint64(i))
		text := m.text(m.value(4), i%2*2)
		guide, err := jsonpatch.Parse(text, jsonpatch.Limits{})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for range m.IntN(3) + 1 {
			at := m.IntN(len(text))
			switch m.IntN(3) {
			case 0:
				text[at] = bytes[m.IntN(len(bytes))]
			case 1:
				text = append(text[:at], text[at+1:]...)
			default:
				text = append(text[:at], append([]byte{bytes[m.IntN(len(bytes))]}, text[at:]...)...)
			}
			if len(text) == 0 {
				text = []byte("1")
			}
		}
		plain, err := jsonpatch.Parse(text, jsonpatch.Limits{})
		errGuided := guided.Parse(text, guide, jsonpatch.Limits{})
		if fmt.Sprint(err) != fmt.Sprint(errGuided) {
			t.Fatalf("%q: %v, guided by %s: %v", text, err, guide.Bytes(), errGuided)
		}
		if err == nil && string(plain.Bytes()) != string(guided.Bytes()) {
			t.Fatalf("%q: %s, guided by %s: %s", text, plain.Bytes(), guide.Bytes(), guided.Bytes())
		}
		if accepted := json.Valid(text) && utf8.Valid(text) && !loneSurrogate(text); accepted != (err == nil) {
			t.Fatalf("%q: %v", text, err)
		}
	}
}

// loneSurrogate says whether decoding a valid text replaces an escape, other than that of U+FFFD.
func loneSurrogate(text []byte) bool {
	v, err := decode(text)
	return err == nil && strings.ContainsRune(normalRunes(v), utf8.RuneError)
}

func normalRunes(v any) string {
	var b strings.Builder
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			b.WriteString(v)
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for name, e := range v {
				b.WriteString(name)
				walk(e)
			}
		}
	}
	walk(v)
	return b.String()
}
