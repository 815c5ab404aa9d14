package journal_test

import (
	"bytes"
	"strings"
	"testing"

	"freshet/internal/flow/journal"
)

func TestHeader(t *testing.T) {
	const good = "2 patch 42 9f86d081 7 1700000000000000000 3 100 10 0 1 NONCE"
	for _, tt := range []struct {
		name, header string
		ok           bool
	}{
		{"an entry", good, true},
		{"no tag, no time", "2 event 0 - 0 - 1 0 0 0 1 N", true},
		{"before 1970", "2 event 0 - 0 -5 1 0 0 0 1 N", true},
		{"of another version", "1" + good[1:], false},
		{"a field short", strings.TrimSuffix(good, " NONCE"), false},
		{"a field long", good + " x", false},
		{"empty", "", false},
		{"a number with a sign", strings.Replace(good, "42", "+42", 1), false},
		{"a number with a zero before", strings.Replace(good, "42", "042", 1), false},
		{"a number too large", strings.Replace(good, "42", "18446744073709551616", 1), false},
		{"two spaces", strings.Replace(good, " 42", "  42", 1), false},
		{"no nonce", "2 event 0 - 0 - 1 0 0 0 1 ", false},
		{"more parts than there can be", "2 event 0 - 0 - 1 0 0 65536 1 N", false},
		{"as many entries as there can be", "2 event 0 - 0 - 1 0 0 0 1024 N", true},
		{"more entries than there can be", "2 event 0 - 0 - 1 0 0 0 1025 N", false},
		{"no entries", "2 event 0 - 0 - 1 0 0 0 0 N", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := journal.ParseHeader(tt.header); (err == nil) != tt.ok || tt.ok && got != tt.header {
				t.Errorf("%q = %q, %v", tt.header, got, err)
			}
		})
	}
}

func FuzzHeader(f *testing.F) {
	f.Add("2 patch 42 9f86d081 7 1700000000000000000 3 100 10 0 1 NONCE")
	f.Add("2 event 0 - 0 - 1 0 0 0 1 N")
	f.Add("2 event 0 - 0 -9223372036854775808 1 0 0 0 1 N")
	f.Add("2 -  -      ")
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := journal.ParseHeader(s); err == nil && got != s {
			t.Errorf("%q was read as %q", s, got)
		}
	})
}

func FuzzBatch(f *testing.F) {
	f.Add([]byte("event 1 ab 5 2\n{}patch 2 c -5 0\n"))
	f.Add([]byte("event 1 ab 5 3\n{}"))
	f.Add([]byte("event  ab 5 x\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if again, err := journal.ParseBatch(body); err == nil {
			if third, err := journal.ParseBatch(again); err != nil || !bytes.Equal(third, again) {
				t.Errorf("%q was read as %q, that as %q: %v", body, again, third, err)
			}
		}
	})
}
