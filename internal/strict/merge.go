package strict

import (
	"cmp"
	"slices"
	"strings"

	"freshet"
)

// Merge joins what Decode found in data with what its caller found in the value afterwards, in
// document order. What the caller says about members that Decode refused is left out: it saw their
// zero values.
func Merge(data []byte, decoded, checked freshet.Invalid) freshet.Invalid {
	if syntax(data) != nil {
		return decoded
	}
	all := slices.Clone(decoded)
	for _, c := range checked {
		if !slices.ContainsFunc(decoded, func(d freshet.FieldError) bool {
			return within(c.Pointer, d.Pointer) || within(d.Pointer, c.Pointer) && !unknown(d)
		}) {
			all = append(all, c)
		}
	}
	order := ranks(data)
	slices.SortStableFunc(all, func(a, b freshet.FieldError) int { return cmp.Compare(rank(order, a.Pointer), rank(order, b.Pointer)) })
	return all
}

// unknown members have no value that anybody could have looked at.
func unknown(e freshet.FieldError) bool { return strings.HasPrefix(e.Detail, "unknown member ") }

// within says whether pointer is outer or below it.
func within(pointer, outer string) bool {
	rest, ok := strings.CutPrefix(pointer, outer)
	return ok && (rest == "" || rest[0] == '/')
}

// ranks numbers the pointers of data in document order.
func ranks(data []byte) map[string]int {
	d, order := decoder{data: data}, map[string]int{}
	var walk func()
	walk = func() {
		if at := string(d.path); order[at] == 0 {
			order[at] = len(order) + 1
		}
		switch d.peek() {
		case "object":
			d.members(func(string) { walk() })
		case "array":
			d.items(walk)
		default:
			d.skip()
		}
	}
	walk()
	return order
}

// rank is that of the pointer, or of the innermost value around it where it is missing.
func rank(order map[string]int, pointer string) int {
	for {
		if r, ok := order[pointer]; ok || pointer == "" {
			return r
		}
		pointer = pointer[:max(0, strings.LastIndexByte(pointer, '/'))]
	}
}
