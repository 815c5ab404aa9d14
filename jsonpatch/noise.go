package jsonpatch

import "strconv"

// noise says whether the differences between two documents are none that count.
func (d *Differ) noise(from, to *Document) bool {
	if len(d.ignore) == 0 || len(from.tape) == 0 {
		return false
	}
	w := noiseWalk{d: d, a: from, b: to}
	return w.same(ref{0, 0}, ref{0, 0}, from.id == to.guide, d.ignore, 0)
}

type noiseWalk struct {
	d    *Differ
	a, b *Document
}

// same compares two values at the given depth. The patterns are those that the path so far matches.
func (w *noiseWalk) same(x, y ref, linked bool, ignore []pattern, depth int) bool {
	for _, p := range ignore {
		if len(p) == depth {
			return true
		}
	}
	if len(ignore) == 0 {
		return w.d.equal(w.a, w.b, x, y)
	}
	na, nb := &w.a.tape[x.at], &w.b.tape[y.at]
	if na.kind != nb.kind {
		return false
	}
	switch na.kind {
	case kindObject:
		return w.objects(x, y, ignore, depth)
	case kindArray:
		i, j := x.at+1, y.at+1
		endA, endB := x.at+int(na.size), y.at+int(nb.size)
		for n := 0; i < endA && j < endB; n++ {
			if !w.same(w.a.in(x, i), w.b.in(y, j), false,
				below(ignore, depth, strconv.AppendInt(nil, int64(n), 10)), depth+1) {
				return false
			}
			i, j = i+int(w.a.tape[i].size), j+int(w.b.tape[j].size)
		}
		return i >= endA && j >= endB
	}
	return string(w.a.at(x)) == string(w.b.at(y))
}

func (w *noiseWalk) objects(x, y ref, ignore []pattern, depth int) bool {
	base := len(w.d.slots)
	defer func() { w.d.slots = w.d.slots[:base] }()
	left, right := w.d.names(w.a, x), w.d.names(w.b, y)
	for j := y.at + 1; j < y.at+int(w.b.tape[y.at].size); j += int(w.b.tape[j].size) {
		inner := below(ignore, depth, nameOf(w.b.text, &w.b.tape[j], y.off))
		i := left.find(w.a, w.b, x.off, y.off, j)
		if i == 0 && !ends(inner, depth+1) {
			return false
		}
		if i != 0 && !w.same(w.a.in(x, i), w.b.in(y, j), false, inner, depth+1) {
			return false
		}
	}
	for i := x.at + 1; i < x.at+int(w.a.tape[x.at].size); i += int(w.a.tape[i].size) {
		if right.find(w.b, w.a, y.off, x.off, i) == 0 && !ends(below(ignore, depth, nameOf(w.a.text, &w.a.tape[i], x.off)), depth+1) {
			return false
		}
	}
	return true
}

// ends says whether one of the patterns is as long as the path.
func ends(ps []pattern, depth int) bool {
	for _, p := range ps {
		if len(p) == depth {
			return true
		}
	}
	return false
}

// below returns the patterns that go on matching with one more name.
func below(ps []pattern, depth int, name []byte) (inner []pattern) {
	for _, p := range ps {
		if p.matches(depth, name) {
			inner = append(inner, p)
		}
	}
	return inner
}
