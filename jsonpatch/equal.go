package jsonpatch

import "bytes"

// Equal says whether two texts are the same JSON value. White space, the order of members and the
// spelling of strings do not matter; the spelling of numbers does. What is not JSON equals nothing.
func Equal(a, b []byte) bool {
	da, errA := Parse(a, Limits{Size: maxSize, Depth: maxDepth, Members: maxSize})
	db, errB := Parse(b, Limits{Size: maxSize, Depth: maxDepth, Members: maxSize})
	if errA != nil || errB != nil {
		return false
	}
	var d Differ
	return d.equal(da, db, ref{0, 0}, ref{0, 0})
}

// equal compares two values. Texts that are equal are the same value; others may be, when they hold
// objects.
func (d *Differ) equal(a, b *Document, x, y ref) bool {
	na, nb := &a.tape[x.at], &b.tape[y.at]
	if na.kind != nb.kind || na.size != nb.size || na.len != nb.len && !d.numeric {
		return false
	}
	if bytes.Equal(a.at(x), b.at(y)) {
		return true
	}
	switch na.kind {
	case kindNumber:
		return d.numeric && equalNumbers(a.at(x), b.at(y))
	case kindArray:
		for i, j := x.at+1, y.at+1; i < x.at+int(na.size); {
			if !d.equal(a, b, a.in(x, i), b.in(y, j)) {
				return false
			}
			i, j = i+int(a.tape[i].size), j+int(b.tape[j].size)
		}
		return true // as many nodes as each other
	case kindObject:
		return d.equalObjects(a, b, x, y)
	}
	return false
}

// equalObjects relies on the same number of nodes: if each member of b has an equal in a, there is no
// room for another member in a.
func (d *Differ) equalObjects(a, b *Document, x, y ref) bool {
	base := len(d.slots)
	defer func() { d.slots = d.slots[:base] }()
	names := d.names(a, x)
	next := x.at + 1
	for j := y.at + 1; j < y.at+int(b.tape[y.at].size); j += int(b.tape[j].size) {
		i := next
		if i >= x.at+int(a.tape[x.at].size) || !sameName(a, b, x.off, y.off, i, j) {
			if i = names.find(a, b, x.off, y.off, j); i == 0 {
				return false
			}
		}
		if !d.equal(a, b, a.in(x, i), b.in(y, j)) {
			return false
		}
		next = i + int(a.tape[i].size)
	}
	return true
}

func sameName(a, b *Document, offA, offB, i, j int) bool {
	m, n := &a.tape[i], &b.tape[j]
	return m.hash == n.hash && m.klen == n.klen && bytes.Equal(nameOf(a.text, m, offA), nameOf(b.text, n, offB))
}

// names makes a table of an object's members on the stack of slots.
func (d *Differ) names(a *Document, x ref) table {
	end := x.at + int(a.tape[x.at].size)
	count := 0
	for i := x.at + 1; i < end; i += int(a.tape[i].size) {
		count++
	}
	var t table
	t, d.slots = newTable(d.slots, count)
	for i := x.at + 1; i < end; i += int(a.tape[i].size) {
		n := &a.tape[i]
		k := spread(n.hash, n.klen) & t.mask
		for t.slots[k] != 0 {
			k = (k + 1) & t.mask
		}
		t.slots[k] = uint32(i + 1)
	}
	return t
}

// find returns the member of a that has the name of member j of b, or 0.
func (t table) find(a, b *Document, offA, offB, j int) int {
	n := &b.tape[j]
	for k := spread(n.hash, n.klen) & t.mask; t.slots[k] != 0; k = (k + 1) & t.mask {
		if i := int(t.slots[k] - 1); sameName(a, b, offA, offB, i, j) {
			return i
		}
	}
	return 0
}

// hashValue hashes a value so that equal ones have equal hashes, whatever the order of members.
func (d *Differ) hashValue(doc *Document, r ref) uint64 {
	n := &doc.tape[r.at]
	if n.kind < kindArray {
		return hashBytes(doc.padded(), r.off, int(n.len))
	}
	h := seed + uint64(n.kind)
	for c := r.at + 1; c < doc.end(r); c += int(doc.tape[c].size) {
		m := &doc.tape[c]
		v := d.hashValue(doc, doc.in(r, c))
		if n.kind == kindArray {
			h = mix(h, v)
		} else {
			h += mix(hashBytes(doc.padded(), r.off+int(m.rel-m.klen)-2, int(m.klen)), v)
		}
	}
	return mix(h, uint64(n.size))
}
