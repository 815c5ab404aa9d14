package jsonpatch_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"freshet/jsonpatch"
)

// Documents made to hurt: none takes long, however it nests, repeats or collides. The bound is a
// hundred times what is usual, for slow machines; what it finds is growth with the square of the size.
func TestAdversaries(t *testing.T) {
	nested := func(levels int, inner func(level int) string) []byte {
		var head, tail strings.Builder
		for i := range levels {
			head.WriteString(`[` + inner(i) + `,`)
			tail.WriteString(`]`)
		}
		return []byte(head.String() + `0` + tail.String())
	}
	list := func(n int, element func(i int) string) []byte {
		var b bytes.Buffer
		b.WriteByte('[')
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(element(i))
		}
		b.WriteByte(']')
		return b.Bytes()
	}
	object := func(n int, member func(i int) string) []byte {
		b := list(n, member)
		b[0], b[len(b)-1] = '{', '}'
		return b
	}
	text := func(i int) string { return fmt.Sprintf(`"%030d"`, i) }
	const n = 20_000
	for _, tt := range []struct {
		name     string
		from, to []byte
	}{
		{"moves at each of 250 levels", nested(250, func(i int) string { return text(i) + "," + text(i+1) + ",[1]" }), nested(250, func(i int) string { return "[2]," + text(i+1) + "," + text(i) })},
		{"a change below 250 levels", nested(250, func(int) string { return `"` + strings.Repeat("x", 4000) + `"` }), bytes.Replace(nested(250, func(int) string { return `"` + strings.Repeat("x", 4000) + `"` }), []byte("0]"), []byte("1]"), 1)},
		{"repeated values shifted", list(n, func(i int) string { return fmt.Sprint(i % 3) }), list(n, func(i int) string { return fmt.Sprint((i + i/100) % 3) })},
		{"one value, half as often", list(n, func(int) string { return `"same"` }), list(n/2, func(int) string { return `"same"` })},
		{"elements that start alike", list(n, func(i int) string { return `{"a-very-long-common-prefix-of-all":` + fmt.Sprint(i) + `}` }), list(n, func(i int) string { return `{"a-very-long-common-prefix-of-all":` + fmt.Sprint(n-i) + `}` })},
		{"many members, in reverse", object(n, func(i int) string { return text(i) + `:1` }), object(n, func(i int) string { return text(n-i-1) + `:1` })},
		{"many members, all new", object(n, func(i int) string { return text(i) + `:1` }), object(n, func(i int) string { return text(n+i) + `:1` })},
		{"one member many times", object(n, func(int) string { return `"a":1` }), object(n, func(i int) string { return fmt.Sprintf(`"a":%d`, i) })},
		{"objects with many identities", list(300, func(i int) string {
			return string(object(100, func(k int) string { return fmt.Sprintf(`"k%d_id":%d`, k, i) }))
		}), list(300, func(i int) string {
			return string(object(100, func(k int) string { return fmt.Sprintf(`"k%d_id":%d`, k, 299-i) }))
		})},
		{"the same text at every shift", list(n, func(int) string { return `[1]` }), append(append([]byte(`[[2],`), list(n, func(int) string { return `[1]` })[1:]...), ' ')},
		{"lines of white space", []byte("[" + strings.Repeat(" \n", 4*n) + "1]"), []byte("[" + strings.Repeat(" \n", 4*n) + "2]")},
	} {
		start := time.Now()
		old, err := jsonpatch.Parse(tt.from, jsonpatch.Limits{})
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		var d jsonpatch.Differ
		for _, guide := range []*jsonpatch.Document{old, nil} {
			var now jsonpatch.Document
			if err := now.Parse(tt.to, guide, jsonpatch.Limits{}); err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			patch, _ := d.Append(nil, old, &now)
			if len(patch) > len(now.Bytes())+40 {
				t.Errorf("%s: a patch of %d bytes for %d", tt.name, len(patch), len(now.Bytes()))
			}
			if got, err := jsonpatch.Apply(old.Bytes(), patch); len(patch) > 0 && len(patch) < 1<<18 && (err != nil || !jsonpatch.Equal(got, now.Bytes())) {
				t.Errorf("%s: %.200s: %v", tt.name, patch, err)
			}
		}
		t.Logf("%-30s %7d bytes %v", tt.name, len(tt.to), time.Since(start).Round(time.Millisecond))
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s took %v", tt.name, took)
		}
	}
}
