package app_test

import (
	"os"
	"strings"
	"testing"

	"freshet/internal/app"
)

// The document says what the program does.
func TestSourcesDocument(t *testing.T) {
	const path = "../../docs/sources.md"
	is, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(is) != app.SourcesDocument() {
		t.Errorf("%s is not what the types of source say: run make docs", path)
	}
}

// Every option is described, in words that end up in tables.
func TestOptionsAreDescribed(t *testing.T) {
	for _, s := range app.SourceTypes() {
		if s.Summary == "" || len(s.Feeds) == 0 {
			t.Errorf("%q is incomplete", s.Name)
		}
		for _, o := range s.Options {
			if o.Summary == "" || strings.Contains(o.Summary, "\n") || o.Type == "" {
				t.Errorf("%s: option %s has the description %q", s.Name, o.Name, o.Summary)
			}
		}
	}
}
