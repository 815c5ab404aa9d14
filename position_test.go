package freshet_test

import (
	"strings"
	"testing"

	"freshet"
)

func TestPosition(t *testing.T) {
	for _, p := range []freshet.Position{
		{}, {Revision: 1, Sequence: 1, Tag: "9f86d081"}, {Revision: 1<<64 - 1, Sequence: 1<<64 - 1, Tag: "zzzzzzzzzzzzzzzz"}, {Revision: 0, Sequence: 7, Tag: "0"},
	} {
		id := p.String()
		if got, err := freshet.ParsePosition(id); err != nil || got != p {
			t.Errorf("ParsePosition(%q) = %+v, %v; want %+v", id, got, err, p)
		}
		if len(id) > 64 || strings.Trim(id, "0123456789abcdefghijklmnopqrstuvwxyz-") != "" {
			t.Errorf("id %q is longer than 64 bytes, or has characters for which browsers may want a preflight", id)
		}
	}
	for _, id := range []string{
		"", "1", "1-2", "-1-a", "1--a", "01-2-a", "1-02-a", "1-2-A", "1-2-a-b", "1-2-a b", "1-2-é", "+1-2-a", "1-2-" + strings.Repeat("a", 17),
		"18446744073709551616-1-a", "1-zzzzzzzzzzzzzz-a", "earliest", "1-2-a\n",
	} {
		if p, err := freshet.ParsePosition(id); err == nil {
			t.Errorf("ParsePosition(%q) = %+v; want an error", id, p)
		}
	}
}

// What is accepted is exactly what String makes, so that nothing else reaches the journal or a header.
func FuzzPosition(f *testing.F) {
	f.Add("42-1k3-9f86d081")
	f.Add("0-0-")
	f.Fuzz(func(t *testing.T, id string) {
		if p, err := freshet.ParsePosition(id); err == nil && p.String() != id {
			t.Errorf("ParsePosition(%q) = %+v, which is %q", id, p, p)
		}
	})
}
