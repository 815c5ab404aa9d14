package jsonpatch

import "sort"

// An alignment says which elements of two arrays are the same ones. Correctness does not depend on it:
// elements that were matched are compared.
type alignment struct {
	d      *Differ
	linked bool
	a, b   []ref // the elements
	head   int   // elements equal at the start
	endA   int   // behind these, elements are equal up to the end
	endB   int
	toB    []int32 // for each of a: 1 + the element of b that it became; 0 for none
	toA    []int32
	restA  []int32 // the elements that are not known to be equal to one of b
	restB  []int32
	moved  []int32 // for each of b, whether it moved; nil when none did
}

// array tells how array x became y. It reports false when y has better be sent whole.
func (d *Differ) array(x, y ref, linked bool, stop int) bool {
	if linked {
		changed := len(d.ints)
		done, ok := d.inPlace(x, y, stop)
		d.ints = d.ints[:changed]
		if done {
			return ok
		}
	}
	back := d.mark()
	defer d.release(back)
	al := alignment{d: d, linked: linked, a: d.children(d.a, x), b: d.children(d.b, y)}
	al.trim()
	al.toB, al.toA = take(&d.ints, len(al.a)), take(&d.ints, len(al.b))
	if al.linked {
		al.matchLinks()
	}
	al.restA, al.restB = al.rest(al.toB, al.endA), al.rest(al.toA, al.endB)
	al.match()
	return al.tell(stop)
}

// inPlace deals with the usual case: nothing moved, came or went, some elements changed. It reports
// done false when it is another case, having told nothing.
func (d *Differ) inPlace(x, y ref, stop int) (done, ok bool) {
	back := len(d.ints)
	d.lastKey = place{}
	i, k, changed := x.at+1, 0, 0 // changed scalars
	const little = 64             // bytes in which it does not pay to look for more
	small := d.a.tape[x.at].len <= little && d.b.tape[y.at].len <= little
	endA := d.a.end(x)
	tape := d.b.tape
	for j, endB := y.at+1, d.b.end(y); j < endB; j += int(tape[j].size) {
		n := &tape[j]
		if i >= endA || int(n.pair) != i+1 {
			return false, false
		}
		if n.flag&flagSame != 0 {
			i += int(n.size)
			k++
			continue
		}
		if n.kind < kindArray {
			changed++
		}
		if !small && (n.kind < kindArray && changed > 1 || !d.sameIdentity(x, y, i, j)) {
			return false, false
		}
		d.ints = append(d.ints, int32(k), int32(j))
		i += int(d.a.tape[i].size)
		k++
	}
	if i < endA {
		return false, false
	}
	if small && len(d.out)+changed*(leastOp+len(d.path)) > stop {
		return true, false
	}
	for c := d.ints[back:]; len(c) > 0; c = c[2:] { // stays valid when the stack moves
		j := int(c[1])
		parent := d.enterIndex(int(c[0]))
		d.value(d.a.in(x, int(d.b.tape[j].pair-1)), d.b.in(y, j), true)
		d.leave(parent)
		if len(d.out) > stop {
			return true, false
		}
	}
	return true, true
}

// sameIdentity says whether an element that is the pair of another still looks like the same thing.
func (d *Differ) sameIdentity(x, y ref, i, j int) bool {
	n := &d.b.tape[j]
	if n.kind != d.a.tape[i].kind {
		return false
	}
	if n.kind != kindObject {
		return n.kind != kindArray || n.size < 2 || d.b.tape[j+1].kind >= kindArray || d.b.tape[j+1].flag&flagSame != 0
	}
	if key := d.key(); key != nil {
		p, q := d.a.descend(d.a.in(x, i), key), d.b.descend(d.b.in(y, j), key)
		return p != none && q != none && string(d.a.at(p)) == string(d.b.at(q))
	}
	off, text := y.off+int(n.rel), -1
	if d.lastKey.klen != 0 { // most likely the same member as in the element before
		for c := j + 1; c < j+int(n.size); c += int(d.b.tape[c].size) {
			if m := &d.b.tape[c]; m.hash == d.lastKey.hash && m.klen == d.lastKey.klen && m.flag&flagSame != 0 {
				return true
			}
		}
	}
	for c := j + 1; c < j+int(n.size); c += int(d.b.tape[c].size) {
		m := &d.b.tape[c]
		if m.kind != kindString && m.kind != kindNumber {
			continue
		}
		if identifies(nameOf(d.b.text, m, off)) {
			d.lastKey = place{hash: m.hash, klen: m.klen}
			return m.flag&flagSame != 0
		}
		if text < 0 && m.kind == kindString {
			text = c
		}
	}
	if text < 0 {
		return true
	}
	m := &d.b.tape[text]
	d.lastKey = place{hash: m.hash, klen: m.klen}
	return m.flag&flagSame != 0
}

func (al *alignment) equal(i, j int) bool {
	d := al.d
	x, y := al.a[i], al.b[j]
	m, n := &d.a.tape[x.at], &d.b.tape[y.at]
	if al.linked && int(n.pair) == x.at+1 {
		if n.flag&flagSame != 0 {
			return true
		}
		if n.kind >= kindArray {
			return false
		}
	}
	return m.len == n.len && string(d.a.at(x)) == string(d.b.at(y))
}

func (al *alignment) trim() {
	n := min(len(al.a), len(al.b))
	for al.head < n && al.equal(al.head, al.head) {
		al.head++
	}
	al.endA, al.endB = len(al.a), len(al.b)
	for al.endA > al.head && al.endB > al.head && al.equal(al.endA-1, al.endB-1) {
		al.endA--
		al.endB--
	}
}

func (al *alignment) pair(i, j int) {
	al.toB[i], al.toA[j] = int32(j+1), int32(i+1)
}

// match pairs the elements that are not known to be equal: by identity, then by content, then by their
// order between two that are certain.
func (al *alignment) match() {
	restA, restB := al.restA, al.restB
	for _, by := range []func(restA, restB []int32){al.matchIdentity, al.matchContent} {
		if len(restA) == 0 || len(restB) == 0 {
			break
		}
		by(restA, restB)
		restA, restB = al.unmatched(restA, al.toB), al.unmatched(restB, al.toA)
	}
	al.findMoved()
	if len(restA) > 0 && len(restB) > 0 {
		al.matchRest()
	}
}

// rest lists the elements from head to end that have no counterpart.
func (al *alignment) rest(to []int32, end int) []int32 {
	base := len(al.d.ints)
	for i := al.head; i < end; i++ {
		if to[i] == 0 {
			al.d.ints = append(al.d.ints, int32(i))
		}
	}
	return al.d.ints[base:len(al.d.ints):len(al.d.ints)]
}

// unmatched lists those of some elements that have no counterpart.
func (al *alignment) unmatched(some, to []int32) []int32 {
	base := len(al.d.ints)
	for _, i := range some {
		if to[i] == 0 {
			al.d.ints = append(al.d.ints, i)
		}
	}
	return al.d.ints[base:len(al.d.ints):len(al.d.ints)]
}

// matchLinks takes over equal containers. Scalars are often equal by chance.
func (al *alignment) matchLinks() {
	tape := al.d.b.tape
	if len(al.a) == 0 {
		return
	}
	first, last := al.a[0].at, al.a[len(al.a)-1].at
	guess := al.head
	for j := al.head; j < al.endB; j++ {
		n := &tape[al.b[j].at]
		if n.flag&flagSame == 0 || n.kind < kindString || n.kind == kindString && n.len < 8 {
			continue
		}
		at := int(n.pair - 1)
		if guess >= len(al.a) || al.a[guess].at != at {
			if guess = 0; last > first { // elements are often of the same size
				guess = (at - first) * (len(al.a) - 1) / (last - first)
			}
			if al.a[guess].at != at {
				guess = sort.Search(len(al.a), func(i int) bool { return al.a[i].at >= at })
			}
		}
		if guess >= al.head && guess < al.endA && al.a[guess].at == at && al.toB[guess] == 0 {
			al.pair(guess, j)
		}
		guess++
	}
}
