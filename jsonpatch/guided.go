package jsonpatch

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
)

// The guided reading of a text: where its bytes equal those of the guide, the guide's nodes are
// copied. Which value of the guide a value is compared with is a guess that only costs time when it is
// wrong: every byte is either compared with a byte that was accepted before or read by the parser.

// run returns how far the text from i on equals the guide's from o on: up to s[to].
func (p *parser) run(o, i int) (to int) {
	if i-o == p.shift && i < p.to {
		return p.to
	}
	return p.runAnew(o, i)
}

func (p *parser) runAnew(o, i int) int {
	p.shift, p.from = i-o, i
	p.to = i + mismatch(p.old[o:], p.s[i:])
	return p.to
}

// mismatch returns the length of the common prefix.
func mismatch(a, b []byte) int {
	const long, block = 128, 512
	n := min(len(a), len(b))
	x, y := a[:n], b[:n]
	for len(x) >= 8 && len(y) >= 8 {
		if diff := binary.LittleEndian.Uint64(x) ^ binary.LittleEndian.Uint64(y); diff != 0 {
			return n - len(x) + bits.TrailingZeros64(diff)>>3
		}
		x, y = x[8:], y[8:]
		if n-len(x) == long { // whole blocks are compared much faster than words
			for len(x) >= block && len(y) >= block && bytes.Equal(x[:block], y[:block]) {
				x, y = x[block:], y[block:]
			}
		}
	}
	for i := range x {
		if x[i] != y[i] {
			return n - len(x) + i
		}
	}
	return n
}

// guided reads a value whose counterpart is node gi of the guide, at o in its text.
func (p *parser) guided(i int, pl place, gi, o int) int {
	g := &p.guide[gi]
	n := int(g.len)
	// The byte behind a number decides whether it ends there.
	if to := p.run(o, i); i+n < to || i+n == to && g.kind >= kindString {
		if g.size == 1 {
			p.same(pl, gi)
			return i + n
		}
		at := len(p.tape)
		p.tape = append(p.tape, p.guide[gi:gi+int(g.size)]...)
		t := &p.tape[at]
		t.rel, t.klen, t.hash, t.pair, t.flag = pl.rel, pl.klen, pl.hash, uint32(gi+1), flagSame
		return i + n
	}
	at := len(p.tape)
	var end int
	switch c := p.s[i]; {
	case c == '{' && g.kind == kindObject:
		end = p.guidedObject(i, pl, gi, o)
	case c == '[' && g.kind == kindArray:
		end = p.guidedArray(i, pl, gi, o)
	default:
		end = p.value(i, pl, none)
	}
	if end < 0 {
		return -1
	}
	t := &p.tape[at]
	t.pair = uint32(gi + 1)
	if end-i == n && p.shift == i-o && p.from <= i && end <= p.to {
		t.flag = flagSame
	}
	return end
}

// changed reads a value whose counterpart is a scalar, and to which run has been from before it.
func (p *parser) changed(i int, pl place, at int) int {
	self := len(p.tape)
	end := p.value(i, pl, none)
	if end > 0 {
		t := &p.tape[self]
		t.pair = uint32(at + 1)
		if t.len == p.guide[at].len && end <= p.to {
			t.flag = flagSame
		}
	}
	return end
}

// take copies the children of a guide's container from first on, as many of them as equal the text
// before p.to, the byte behind each included; first does. It returns the child after them, where the
// text goes on, and their number. Container and start are where the two containers begin in their texts.
func (p *parser) take(first, end, container, start int) (next, i, n int) {
	limit := uint32(p.to - p.shift - container)
	delta := uint32(container + p.shift - start)
	guide := p.guide
	tape := slices.Grow(p.tape, end-first)
	k := len(tape)
	tape = tape[:cap(tape)]
	var last uint32
	for next = first; next < end; n++ {
		g := &guide[next]
		if g.rel+g.len >= limit {
			break
		}
		last = g.rel + g.len
		t := &tape[k]
		*t = *g
		t.rel += delta
		t.pair = uint32(next + 1)
		t.flag = flagSame
		k++
		next++
		if rest := int(g.size) - 1; rest > 0 {
			copy(tape[k:k+rest], guide[next:next+rest])
			k += rest
			next += rest
		}
	}
	p.tape = tape[:k]
	return next, container + int(last) + p.shift, n
}

func (p *parser) guidedObject(i int, pl place, gi, o int) int {
	self, ok := p.enter(pl, kindObject)
	if !ok {
		return -1
	}
	start := i
	if i++; p.s[i] == '}' {
		p.leave(self, 2)
		return i + 1
	}
	w := memberWalk{gi: gi, o: o, next: gi + 1, end: gi + int(p.guide[gi].size)}
	base, same := len(p.slots), true
	for {
		at, m, known := w.next, place{}, false
		if at < w.end && w.look.slots == nil {
			g := &p.guide[at]
			k := int(g.klen) + 3
			to := p.run(o+int(g.rel)-k, i)
			if i+k+int(g.len) < to {
				w.next, i, _ = p.take(at, w.end, o, start)
				if p.s[i] == ',' {
					i++
					continue
				}
				break
			}
			if i+k <= to {
				m, known = place{klen: g.klen, hash: g.hash}, true
				w.next += int(g.size)
			}
		}
		if !known {
			if m, ok = p.name(i); !ok {
				return -1
			}
			at = p.seek(&w, i, m)
		}
		i += int(m.klen) + 3
		m.rel = uint32(i - start)
		switch g := &p.guide[at]; {
		case at == 0:
			i = p.value(i, m, none)
			same = false
		case known && g.kind < kindArray:
			member := len(p.tape)
			i = p.changed(i, m, at)
			same = same && i > 0 && p.tape[member].flag&flagSame != 0
		case !known && g.kind < kindArray: // most often found out of order
			if p.sameScalar(i, o+int(g.rel), g) {
				p.same(m, at)
				i += int(g.len)
				break
			}
			member := len(p.tape)
			if i = p.value(i, m, none); i < 0 {
				return -1
			}
			p.tape[member].pair = uint32(at + 1)
			same = false
		default:
			member := len(p.tape)
			i = p.guided(i, m, at, o+int(g.rel))
			same = same && i > 0 && p.tape[member].flag&flagSame != 0
		}
		if i < 0 {
			return -1
		}
		if p.s[i] != ',' {
			break
		}
		i++
	}
	if p.s[i] != '}' {
		return -1
	}
	p.leave(self, i+1-start)
	p.slots = p.slots[:base]
	p.shuffled = p.shuffled || w.look.slots != nil
	if w.twice || w.fresh > 1 {
		p.distinct(self, start)
	} else if same && p.tape[self].size == p.guide[gi].size {
		p.tape[self].flag = flagSame // all its members are those of the guide's object, in another order
	}
	return i + 1
}

// sameScalar says whether the value at i is the scalar g of the guide, at o in its text.
func (p *parser) sameScalar(i, o int, g *node) bool {
	n := int(g.len)
	if i+n >= len(p.s) {
		return false
	}
	switch {
	case n <= 8:
		if (load(p.s, i)^load(p.old, o))<<(64-8*n) != 0 {
			return false
		}
	case n <= 16:
		if (load(p.s, i)^load(p.old, o))|(load(p.s, i+n-8)^load(p.old, o+n-8)) != 0 {
			return false
		}
	default:
		if !bytes.Equal(p.s[i:i+n], p.old[o:o+n]) {
			return false
		}
	}
	c := p.s[i+n]
	return c == ',' || c == '}' // else a longer number; or an error, which the caller sees
}

// A memberWalk is where the reading of an object stands in the guide's object.
type memberWalk struct {
	gi, o     int   // the guide's object
	next, end int   // its members not met yet, while they come in order
	look      table // all of its members, once they do not
	twice     bool  // some member may have come twice
	skipped   bool  // a member was passed over
	fresh     int   // members that the guide does not have
}

// seek finds the guide's member with the name at i, or returns 0.
func (p *parser) seek(w *memberWalk, i int, m place) int {
	if w.look.slots == nil {
		if w.next < w.end { // most often one member is gone, or one is new
			at := w.next + int(p.guide[w.next].size)
			if at < w.end && p.namedAs(i, m, at, w.o) {
				w.next = at + int(p.guide[at].size)
				w.skipped = true
				return at
			}
		} else if !w.skipped {
			w.twice = true // a new name, or one that was there already
			return 0
		}
		w.look = p.members(w)
	}
	t := w.look
	for k := spread(m.hash, m.klen) & t.mask; t.slots[k] != 0; k = (k + 1) & t.mask {
		if at := int(t.slots[k]&^met - 1); p.namedAs(i, m, at, w.o) {
			w.twice = w.twice || t.slots[k]&met != 0
			t.slots[k] |= met
			return at
		}
	}
	w.fresh++
	return 0
}

// namedAs says whether the member that starts at i has the name of a member of the guide.
func (p *parser) namedAs(i int, m place, at, o int) bool {
	g := &p.guide[at]
	if g.hash != m.hash || g.klen != m.klen {
		return false
	}
	v, k := o+int(g.rel)-2, int(m.klen)
	if k <= 8 {
		return (load(p.s, i+1)^load(p.old, v-k))<<(64-8*k) == 0
	}
	return bytes.Equal(p.s[i+1:i+1+k], p.old[v-k:v])
}

// met marks a slot of a table of members whose member was met.
const met = 1 << 31

// members makes a table of the members of the guide's object.
func (p *parser) members(w *memberWalk) (t table) {
	count := w.end - w.gi - 1 // good enough unless it has large values
	if count > 32 {
		count = 0
		for c := w.gi + 1; c < w.end; c += int(p.guide[c].size) {
			count++
		}
	}
	w.twice = w.twice || w.skipped // those before next were met, but which of them?
	t, p.slots = newTable(p.slots, 2*count)
	for c := w.gi + 1; c < w.end; {
		g := &p.guide[c]
		k := spread(g.hash, g.klen) & t.mask
		for t.slots[k] != 0 {
			k = (k + 1) & t.mask
		}
		t.slots[k] = uint32(c + 1)
		if c < w.next {
			t.slots[k] |= met
		}
		c += int(g.size)
	}
	return t
}
