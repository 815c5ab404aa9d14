package journal_test

import (
	"strings"
	"testing"

	"freshet/internal/flow/journal"
)

func TestHeader(t *testing.T) {
	const good = "1 patch 42 9f86d081 7 1700000000000000000 3 100 10 0 NONCE"
	for _, tt := range []struct {
		name, header string
		ok           bool
	}{
		{"an entry", good, true},
		{"no tag, no time", "1 event 0 - 0 - 1 0 0 0 N", true},
		{"before 1970", "1 event 0 - 0 -5 1 0 0 0 N", true},
		{"of another version", "2" + good[1:], false},
		{"a field short", strings.TrimSuffix(good, " NONCE"), false},
		{"a field long", good + " x", false},
		{"empty", "", false},
		{"a number with a sign", strings.Replace(good, "42", "+42", 1), false},
		{"a number with a zero before", strings.Replace(good, "42", "042", 1), false},
		{"a number too large", strings.Replace(good, "42", "18446744073709551616", 1), false},
		{"two spaces", strings.Replace(good, " 42", "  42", 1), false},
		{"no nonce", "1 event 0 - 0 - 1 0 0 0 ", false},
		{"more parts than there can be", "1 event 0 - 0 - 1 0 0 65536 N", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := journal.ParseHeader(tt.header); (err == nil) != tt.ok || tt.ok && got != tt.header {
				t.Errorf("%q = %q, %v", tt.header, got, err)
			}
		})
	}
}

func FuzzHeader(f *testing.F) {
	f.Add("1 patch 42 9f86d081 7 1700000000000000000 3 100 10 0 NONCE")
	f.Add("1 event 0 - 0 - 1 0 0 0 N")
	f.Add("1 event 0 - 0 -9223372036854775808 1 0 0 0 N")
	f.Add("1 -  -     ")
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := journal.ParseHeader(s); err == nil && got != s {
			t.Errorf("%q was read as %q", s, got)
		}
	})
}
