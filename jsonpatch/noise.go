package jsonpatch

import (
	"bytes"
	"math"
	"math/bits"
	"strconv"
)

// A noiseWalk compares two documents by the rules of Options. It runs only when they differ.
type noiseWalk struct {
	d     *Differ
	a, b  *Document
	depth int // of the values compared
}

// A matching is the set of patterns that agree with the path so far, a bit for each.
type matching struct{ ignore, sets uint64 }

// noise says whether what differs between two documents are only differences that do not count.
func (d *Differ) noise(from, to *Document) bool {
	if len(d.ignore) == 0 && len(d.sets) == 0 && !d.numeric && d.tolerance == 0 || len(from.tape) == 0 {
		return false
	}
	w := noiseWalk{d: d, a: from, b: to}
	all := func(ps []pattern) uint64 { return 1<<len(ps) - 1 }
	return w.same(ref{0, 0}, ref{0, 0}, matching{all(d.ignore), all(d.sets)})
}

// ends says whether one of the patterns is as long as the path.
func ends(ps []pattern, alive uint64, depth int) bool {
	for ; alive != 0; alive &= alive - 1 {
		if len(ps[bits.TrailingZeros64(alive)]) == depth {
			return true
		}
	}
	return false
}

// below returns the patterns that still agree with the path when a name is added to it.
func below(ps []pattern, alive uint64, depth int, name []byte) uint64 {
	for rest := alive; rest != 0; rest &= rest - 1 {
		i := bits.TrailingZeros64(rest)
		if p := ps[i]; len(p) <= depth || !p.matches(depth, name) {
			alive &^= 1 << i
		}
	}
	return alive
}

func (w *noiseWalk) below(m matching, name []byte) matching {
	return matching{below(w.d.ignore, m.ignore, w.depth, name), below(w.d.sets, m.sets, w.depth, name)}
}

// same compares two values.
func (w *noiseWalk) same(x, y ref, m matching) bool {
	na, nb := &w.a.tape[x.at], &w.b.tape[y.at]
	if ends(w.d.ignore, m.ignore, w.depth) || bytes.Equal(w.a.at(x), w.b.at(y)) {
		return true
	}
	if na.kind != nb.kind {
		return false
	}
	switch na.kind {
	case kindNumber:
		return w.sameNumber(w.a.at(x), w.b.at(y))
	case kindObject:
		return w.sameObject(x, y, m)
	case kindArray:
		if ends(w.d.sets, m.sets, w.depth) {
			return w.sameSet(x, y)
		}
		return w.sameArray(x, y, m)
	}
	return false
}

func (w *noiseWalk) sameNumber(a, b []byte) bool {
	if w.d.numeric && equalNumbers(a, b) {
		return true
	}
	if w.d.tolerance == 0 {
		return false
	}
	p, errP := strconv.ParseFloat(string(a), 64)
	q, errQ := strconv.ParseFloat(string(b), 64)
	return errP == nil && errQ == nil && math.Abs(p-q) <= w.d.tolerance
}

func (w *noiseWalk) sameArray(x, y ref, m matching) bool {
	i, j := x.at+1, y.at+1
	var digits [20]byte
	for n := 0; i < w.a.end(x) && j < w.b.end(y); n++ {
		inner := w.below(m, strconv.AppendInt(digits[:0], int64(n), 10))
		w.depth++
		ok := w.same(w.a.in(x, i), w.b.in(y, j), inner)
		w.depth--
		if !ok {
			return false
		}
		i, j = i+int(w.a.tape[i].size), j+int(w.b.tape[j].size)
	}
	return i >= w.a.end(x) && j >= w.b.end(y)
}

// sameSet compares the elements of two arrays whatever their order, each as often as it occurs.
func (w *noiseWalk) sameSet(x, y ref) bool {
	d := w.d
	back := d.mark()
	defer d.release(back)
	a, b := d.children(w.a, x), d.children(w.b, y)
	if len(a) != len(b) {
		return false
	}
	t, slots := newTable(d.slots, len(a))
	d.slots = slots
	for i, e := range a {
		k := uint32(d.hashValue(w.a, e)) & t.mask
		for t.slots[k] != 0 {
			k = (k + 1) & t.mask
		}
		t.slots[k] = uint32(i + 1)
	}
	taken := take(&d.ints, len(a))
	for _, e := range b {
		k := uint32(d.hashValue(w.b, e)) & t.mask
		for ; t.slots[k] != 0; k = (k + 1) & t.mask {
			if i := t.slots[k] - 1; taken[i] == 0 && d.equal(w.a, w.b, a[i], e) {
				taken[i] = 1
				break
			}
		}
		if t.slots[k] == 0 {
			return false
		}
	}
	return true
}

func (w *noiseWalk) sameObject(x, y ref, m matching) bool {
	d := w.d
	base := len(d.slots)
	defer func() { d.slots = d.slots[:base] }()
	left, right := d.names(w.a, x), d.names(w.b, y)
	for j := y.at + 1; j < w.b.end(y); j += int(w.b.tape[j].size) {
		inner := w.below(m, nameOf(w.b.text, &w.b.tape[j], y.off))
		i := left.find(w.a, w.b, x.off, y.off, j)
		w.depth++
		ok := i == 0 && ends(d.ignore, inner.ignore, w.depth) || i != 0 && w.same(w.a.in(x, i), w.b.in(y, j), inner)
		w.depth--
		if !ok {
			return false
		}
	}
	for i := x.at + 1; i < w.a.end(x); i += int(w.a.tape[i].size) {
		if right.find(w.b, w.a, y.off, x.off, i) != 0 {
			continue
		}
		if inner := w.below(m, nameOf(w.a.text, &w.a.tape[i], x.off)); !ends(d.ignore, inner.ignore, w.depth+1) {
			return false
		}
	}
	return true
}
