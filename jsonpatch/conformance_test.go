package jsonpatch_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"freshet/jsonpatch"
)

const vectors = "../../shared/conformance" // beside the repository

// without skips a test that wants the vectors, where make test shows it.
func without(t *testing.T) {
	t.Helper()
	reason := "no test vectors at " + vectors
	if path := os.Getenv("FRESHET_SKIPPED"); path != "" {
		if f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			fmt.Fprintf(f, "%s: %s\n", t.Name(), reason)
			f.Close()
		}
	}
	t.Skip(reason)
}

func readVectors(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(vectors, name))
	if errors.Is(err, os.ErrNotExist) {
		without(t)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The tests of json-patch/json-patch-tests: Apply does what they say, and Diff finds a way between
// their documents.
func TestPatchVectors(t *testing.T) {
	for _, file := range []string{"json-patch-tests.json", "json-patch-spec_tests.json"} {
		var tests []struct {
			Comment  string
			Doc      json.RawMessage
			Patch    json.RawMessage
			Expected json.RawMessage
			Error    string
			Disabled bool
		}
		if err := json.Unmarshal(readVectors(t, file), &tests); err != nil {
			t.Fatal(err)
		}
		for i, tt := range tests {
			if tt.Disabled || tt.Patch == nil {
				continue
			}
			got, err := jsonpatch.Apply(tt.Doc, tt.Patch)
			if tt.Error != "" {
				if err == nil {
					t.Errorf("%s %d %s: Apply(%s, %s) = %s, want an error: %s", file, i, tt.Comment, tt.Doc, tt.Patch, got, tt.Error)
				}
				continue
			}
			want := tt.Expected
			if want == nil {
				want = got // the test is that it does not fail
			}
			if err != nil || !jsonpatch.Equal(got, want) {
				t.Errorf("%s %d %s: Apply(%s, %s) = %s, %v; want %s", file, i, tt.Comment, tt.Doc, tt.Patch, got, err, want)
			}
			checkDiff(t, tt.Doc, want)
		}
	}
}

// checkDiff judges Diff by Apply and by the strict applier.
func checkDiff(t *testing.T, from, to []byte) {
	t.Helper()
	patch, err := jsonpatch.Diff(from, to)
	if err != nil {
		t.Errorf("Diff(%s, %s): %v", from, to, err)
		return
	}
	if got, err := jsonpatch.Apply(from, patch); err != nil || !jsonpatch.Equal(got, to) {
		t.Errorf("Diff(%s, %s) = %s leads to %s, %v", from, to, patch, got, err)
	}
	doc, err1 := decode(from)
	want, err2 := decode(to)
	got, err3 := strictApply(doc, patch)
	if err := errors.Join(err1, err2, err3); err != nil || normal(got) != normal(want) {
		t.Errorf("Diff(%s, %s) = %s leads to %v, %v by the strict applier", from, to, patch, got, err)
	}
}

// The test_parsing files of nst/JSONTestSuite.
func TestParsingVectors(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(vectors, "json-test-suite", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		without(t)
	}
	for _, file := range files {
		name := filepath.Base(file)
		text := readVectors(t, filepath.Join("json-test-suite", name))
		d, err := jsonpatch.Parse(text, jsonpatch.Limits{})
		syntax, isSyntax := errors.AsType[*jsonpatch.SyntaxError](err)
		switch {
		case strings.HasPrefix(name, "y_") && err != nil:
			t.Errorf("%s: %v", name, err)
		case strings.HasPrefix(name, "n_") && (!isSyntax || syntax.Offset < 0 || syntax.Offset > int64(len(text))):
			t.Errorf("%s: %v, want a SyntaxError with an offset", name, err)
		case strings.HasPrefix(name, "i_") && (err == nil) != implementationDefined[name]:
			t.Errorf("%s: %v, accepted should be %v", name, err, implementationDefined[name])
		}
		if err == nil {
			checkDiff(t, d.Bytes(), []byte("[]"))
			checkDiff(t, []byte("{}"), text)
		}
	}
}

// What RFC 8259 leaves open: numbers of any size are accepted; what is not Unicode, begins with a byte
// order mark or is nested too deeply is not.
var implementationDefined = map[string]bool{
	"i_number_double_huge_neg_exp.json":       true,
	"i_number_huge_exp.json":                  true,
	"i_number_neg_int_huge_exp.json":          true,
	"i_number_pos_double_huge_exp.json":       true,
	"i_number_real_neg_overflow.json":         true,
	"i_number_real_pos_overflow.json":         true,
	"i_number_real_underflow.json":            true,
	"i_number_too_big_neg_int.json":           true,
	"i_number_too_big_pos_int.json":           true,
	"i_number_very_big_negative_int.json":     true,
	"i_structure_500_nested_arrays.json":      false,
	"i_structure_UTF-8_BOM_empty_object.json": false,
}
