package jsonpatch_test

import (
	"errors"
	"slices"
	"testing"

	"freshet/jsonpatch"
)

func TestParsePointer(t *testing.T) {
	for _, tt := range []struct {
		pointer string
		want    []string
		wrong   bool
	}{
		{"", nil, false},
		{"/", []string{""}, false},
		{"/foo/0", []string{"foo", "0"}, false},
		{"/a~1b/m~0n/~01", []string{"a/b", "m~n", "~1"}, false},
		{"//", []string{"", ""}, false},
		{"foo", nil, true},
		{"/a~", nil, true},
		{"/a~2", nil, true},
		{"/~0~", nil, true},
	} {
		got, err := jsonpatch.ParsePointer(tt.pointer)
		if !slices.Equal(got, tt.want) || (err != nil) != tt.wrong {
			t.Errorf("ParsePointer(%q) = %q, %v", tt.pointer, got, err)
		}
	}
}

// The document and the pointers are those of RFC 6901, section 5.
func TestLookup(t *testing.T) {
	const doc = `{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8, "é": 1.50}`
	for _, tt := range []struct{ pointer, want string }{
		{"/foo", `["bar","baz"]`},
		{"/foo/0", `"bar"`},
		{"/", `0`},
		{"/a~1b", `1`},
		{"/c%d", `2`},
		{"/e^f", `3`},
		{"/g|h", `4`},
		{"/i\\j", `5`},
		{"/k\"l", `6`},
		{"/ ", `7`},
		{"/m~0n", `8`},
		{"/é", `1.50`},
		{"/foo/2", ""},
		{"/foo/-", ""},
		{"/foo/00", ""},
		{"/foo/+1", ""},
		{"/foo/99999999999999999999", ""},
		{"/bar", ""},
		{"/foo/0/x", ""},
		{"//x", ""},
	} {
		got, err := jsonpatch.Lookup([]byte(doc), tt.pointer)
		if string(got) != tt.want || (tt.want == "") != errors.Is(err, jsonpatch.ErrPath) {
			t.Errorf("Lookup(%q) = %s, %v; want %s", tt.pointer, got, err, tt.want)
		}
	}
	if got, err := jsonpatch.Lookup([]byte(`[ 1 ]`), ""); string(got) != "[1]" || err != nil {
		t.Errorf("the whole document: %s, %v", got, err)
	}
	if _, err := jsonpatch.Lookup([]byte(`[1`), ""); err == nil {
		t.Error("half a document was accepted")
	}
}
