package jsonpatch

import (
	"bytes"
	"math/bits"
)

func (p *parser) guidedArray(i int, pl place, gi, o int) int {
	self, ok := p.enter(pl, kindArray)
	if !ok {
		return -1
	}
	start := i
	if i++; p.s[i] == ']' {
		p.leave(self, 2)
		return i + 1
	}
	w := elementWalk{gi: gi, o: o, next: gi + 1, pos: gi + 1, end: gi + int(p.guide[gi].size)}
	base, element, count, same := len(p.slots), none, 0, true
	for {
		at, near := 0, w.next < w.end && w.jumps < manyJumps
		if near {
			g := &p.guide[w.next]
			if to := p.run(o+int(g.rel), i); i+int(g.len) < to {
				var n int
				w.next, i, n = p.take(w.next, w.end, o, start)
				w.pos, count = w.next, count+n
				w.inStep()
				if p.s[i] == ',' {
					i++
					continue
				}
				break
			}
		}
		self, off := len(p.tape), i
		m := place{rel: uint32(i - start)}
		known := near && w.pos == w.next && p.guide[w.next].kind <= kindNumber && p.s[i] <= '9' && p.s[i] != '"'
		if !known && (w.pos < w.end || w.look.slots != nil || w.next < w.end) {
			at = p.counterpart(&w, i)
		}
		if known { // one number became another
			at = w.next
			w.next += int(p.guide[at].size)
			w.pos = w.next
			i = p.changed(i, m, at)
		} else if at > 0 {
			i = p.guided(i, m, at, o+int(p.guide[at].rel))
		} else {
			i = p.value(i, m, element)
		}
		if i < 0 {
			return -1
		}
		if count++; p.shuffled && !w.positional {
			w.byPosition(p, count)
		}
		t := &p.tape[self]
		if t.kind >= kindArray {
			element = ref{self, off}
		}
		same = same && t.flag&flagSame != 0 && t.rel == p.guide[t.pair-1].rel
		if p.s[i] != ',' {
			break
		}
		i++
	}
	if p.s[i] != ']' {
		return -1
	}
	p.leave(self, i+1-start)
	p.slots = p.slots[:base]
	if same && p.tape[self].len == p.guide[gi].len {
		p.tape[self].flag = flagSame // its elements are, though not in text
	}
	return i + 1
}

// An elementWalk is where the reading of an array stands in the guide's array.
type elementWalk struct {
	gi, o      int
	next       int // the element that should come next
	pos        int // the same if every element since was changed in place
	end        int
	misses     int      // elements since that looked like none
	positional bool     // how elements start tells nothing
	shortest   int      // bytes by which they are looked up
	look       table    // all elements by how they start, after some misses
	jumps      int      // elements in a row that the table found, each elsewhere
	tag        int      // the bit of a slot from which on it holds a part of the hash
	ahead      int      // where the next element is thought to start
	hash       uint32   // of how it starts
	elements   []uint32 // node and rel of each; what the table's slots count
	long       bool     // each has at least prefix bytes
}

// manyJumps is when elements seem to be in no order, and it is no use to look near the last.
const manyJumps = 8

// counterpart guesses which element of the guide became the one at i; 0 is none.
func (p *parser) counterpart(w *elementWalk, i int) int {
	if c := p.s[i]; w.positional || c != '{' && c != '[' && c != '"' {
		at := w.pos // numbers tell nothing by how they start
		if at >= w.end {
			return 0
		}
		w.pos += int(p.guide[at].size)
		w.next = w.pos
		return at
	}
	if w.jumps >= manyJumps {
		next := w.next
		if at := p.lookUp(w, i); at > 0 {
			if w.jumps++; at == next {
				w.jumps = 0
			}
			return at
		}
		w.jumps = 0
	}
	for at, tries := w.next, 0; at < w.end && tries < 3; tries++ {
		if p.startsLike(i, at, w.o) {
			w.jumps = 0
			return w.found(p, at)
		}
		at += int(p.guide[at].size)
	}
	if w.pos < w.end && w.pos != w.next && p.startsLike(i, w.pos, w.o) {
		return w.found(p, w.pos)
	}
	if w.misses++; w.misses > 3 {
		if w.look.slots == nil {
			w.look = p.starts(w)
		}
		if at := p.lookUp(w, i); at > 0 {
			w.jumps++
			return at
		}
		w.jumps = 0
	}
	at := w.pos
	if at >= w.end {
		return 0
	}
	w.pos += int(p.guide[at].size)
	return at
}

// lookUp finds an element of the guide that starts like the one at i, in the table.
func (p *parser) lookUp(w *elementWalk, i int) int {
	t, h := w.look, w.hash
	if i != w.ahead {
		h = hashText(p.s, i, keyLength(p.s, i, w.shortest))
	}
	for k := h & t.mask; t.slots[k] != 0; k = (k + 1) & t.mask {
		// Each look at the guide may be far away in memory; the tag saves most that are in vain.
		if slot := t.slots[k]; slot>>w.tag == h>>w.tag {
			if at, v := w.element(slot); p.alike(w, i, at, v) {
				p.foresee(w, i+int(p.guide[at].len)+1)
				return w.found(p, at)
			}
		}
	}
	return 0
}

// foresee looks up the element after one that is likely to be as long as its counterpart, and touches what
// it finds. In a large array in no order every counterpart is out of the cache: so the memory fetches the
// next one while this one is read.
func (p *parser) foresee(w *elementWalk, i int) {
	if i+prefix+padding >= len(p.s) {
		return
	}
	w.ahead, w.hash = i, hashText(p.s, i, keyLength(p.s, i, w.shortest))
	if slot := w.look.slots[w.hash&w.look.mask]; slot>>w.tag == w.hash>>w.tag && slot != 0 {
		at, v := w.element(slot)
		beyond := min(at+2, len(p.guide)-1) // in the next cache line
		p.touched += p.old[v] + byte(p.guide[at].kind) + byte(p.guide[beyond].kind)
	}
}

// element is the node that a slot of the table stands for, and where its text is. It is kept apart from the
// nodes, so that neither waits for the other to be fetched from memory.
func (w *elementWalk) element(slot uint32) (at, v int) {
	n := 2 * (slot&(1<<w.tag-1) - 1)
	return int(w.elements[n]), w.o + int(w.elements[n+1])
}

// alike is startsLike for an element whose text is at v.
func (p *parser) alike(w *elementWalk, i, at, v int) bool {
	if w.long && i+prefix <= len(p.s) {
		return load(p.s, i) == load(p.old, v) && load(p.s, i+8) == load(p.old, v+8) && load(p.s, i+16) == load(p.old, v+16)
	}
	return p.startsLike(i, at, w.o)
}

// byPosition gives up guessing: from the element with that number on each is compared with the one
// in its place. That is for documents whose members come in another order each time.
func (w *elementWalk) byPosition(p *parser, number int) {
	at := w.gi + 1
	for ; number > 0 && at < w.end; number-- {
		at += int(p.guide[at].size)
	}
	w.positional, w.next, w.pos = true, at, at
}

func (w *elementWalk) found(p *parser, at int) int {
	w.next = at + int(p.guide[at].size)
	w.pos = w.next
	w.inStep()
	return at
}

// inStep forgets the misses; but a table, once it was needed, is asked at once.
func (w *elementWalk) inStep() {
	if w.look.slots == nil {
		w.misses = 0
	}
}

// prefix is how many bytes of an element say which one it is.
const prefix = 24

// startsLike says whether the value at i starts like an element of the guide.
func (p *parser) startsLike(i, at, o int) bool {
	g := &p.guide[at]
	v := o + int(g.rel)
	if int(g.len) >= prefix && i+prefix <= len(p.s) {
		return load(p.s, i) == load(p.old, v) && load(p.s, i+8) == load(p.old, v+8) && load(p.s, i+16) == load(p.old, v+16)
	}
	n := min(int(g.len), prefix)
	return i+n <= len(p.s) && string(p.s[i:i+n]) == string(p.old[v:v+n])
}

// keyLength returns how much of the value at i to hash: a string to its end, as far as seen, of others
// as much as the shortest of them has.
func keyLength(s []byte, i, shortest int) int {
	n := min(prefix, len(s)-padding-i)
	if s[i] != '"' {
		return min(shortest, n)
	}
	if k := bytes.IndexByte(s[i+1:i+n], '"'); k >= 0 {
		return k + 2
	}
	return n
}

// starts makes a table of the elements of the guide's array by how they start.
func (p *parser) starts(w *elementWalk) (t table) {
	count := 0
	w.shortest, w.long = prefix, true
	for c := w.gi + 1; c < w.end; c += int(p.guide[c].size) {
		count++
		w.long = w.long && int(p.guide[c].len) >= prefix
		if p.guide[c].kind >= kindArray {
			w.shortest = min(w.shortest, int(p.guide[c].len))
		}
	}
	w.tag = bits.Len(uint(count))
	w.elements, p.slots = takeSlots(p.slots, 2*count)
	t, p.slots = newTable(p.slots, count)
	tries := 4 * count // many elements that start alike would make this quadratic
	n := uint32(0)
	for c := w.gi + 1; c < w.end && tries > 0; {
		g := &p.guide[c]
		v := w.o + int(g.rel)
		w.elements[2*n], w.elements[2*n+1] = uint32(c), g.rel
		n++
		h := hashText(p.old, v, min(keyLength(p.old, v, w.shortest), int(g.len)))
		k := h & t.mask
		for t.slots[k] != 0 {
			k = (k + 1) & t.mask
			tries--
		}
		t.slots[k] = n | h>>w.tag<<w.tag
		c += int(g.size)
	}
	return t
}
