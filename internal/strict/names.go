package strict

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// fields maps the JSON names of a struct's fields to their indexes. Those of embedded structs count
// as its own; the outer of two equal names wins.
func fields(t reflect.Type) map[string][]int {
	known := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if !f.IsExported() || name == "-" || f.Anonymous && name == "" && inner.Kind() == reflect.Struct {
			continue
		}
		if name == "" {
			name = f.Name
		}
		if other, ok := known[name]; !ok || len(f.Index) < len(other) {
			known[name] = f.Index
		}
	}
	return known
}

// allocate is FieldByIndex that makes the embedded pointers on its way.
func allocate(v reflect.Value, index []int) reflect.Value {
	for _, i := range index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

// hint says what could have been meant by an unknown name.
func hint(name string, known map[string][]int) string {
	names := slices.Sorted(maps.Keys(known))
	if near := Near(name, names); near != "" {
		return fmt.Sprintf(": did you mean %q?", near)
	}
	if len(names) == 0 {
		return ": none is allowed here"
	}
	return ": known are " + strings.Join(names, ", ")
}

// Near returns the one of names that word was probably meant to be, at most two edits away or equal
// but for case; "" where none is close.
func Near(word string, names []string) string {
	best, least := "", 3
	for _, name := range names {
		if strings.EqualFold(word, name) {
			return name
		}
		if d := distance(word, name); d < least && d < min(len(word), len(name)) {
			best, least = name, d
		}
	}
	return best
}

// distance is the Levenshtein distance of a and b in bytes; anything above 2 may count as 3.
func distance(a, b string) int {
	if max(len(a)-len(b), len(b)-len(a)) > 2 {
		return 3
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
