package app_test

import (
	"os"
	"testing"

	"freshet/internal/app"
)

// The document says what the program does.
func TestErrorsDocument(t *testing.T) {
	const path = "../../docs/errors.md"
	is, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(is) != app.ErrorsDocument() {
		t.Errorf("%s is not what the tables of errors say: run make docs", path)
	}
}
