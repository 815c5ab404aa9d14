package jsonpatch

import (
	"math/bits"
	"slices"
)

// A parser makes a tape out of a canonical text. It knows only right and wrong; check knows why.
// Its methods return the index behind what they read, or -1.
type parser struct {
	s        []byte // padded
	tape     []node
	depth    int  // levels that may still be entered
	most     int  // nodes
	twice    bool // a member is dead because another has its name
	slots    []uint32
	disorder int  // objects in a row whose members did not come as in the one before
	shuffled bool // the members of an object were found in another order than in the guide

	// The guide, and what is known of its text: s[from:to] is old[from-shift:to-shift].
	old             []byte
	guide           []node
	from, to, shift int
	touched         byte // sums what was read for the sake of the cache alone, or that would not be done
}

// A place is what a value's node holds besides the value.
type place struct {
	rel, klen uint32
	hash      uint16
}

// A ref is a node of a tape and where its value stands in the text.
type ref struct{ at, off int }

// none is no value at all.
var none = ref{-1, 0}

// add appends a node. It writes the fields where they stay: copying a node that was just put together
// makes the processor wait for the single writes.
func (p *parser) add(pl place, n int, k kind) *node {
	at := len(p.tape)
	if at == cap(p.tape) {
		p.tape = slices.Grow(p.tape, 1)
	}
	p.tape = p.tape[:at+1]
	t := &p.tape[at]
	t.rel, t.len, t.size, t.pair = pl.rel, uint32(n), 1, 0
	t.klen, t.hash, t.kind, t.flag = pl.klen, pl.hash, k, 0
	return t
}

// same appends the node of a scalar that equals node gi of the guide.
func (p *parser) same(pl place, gi int) {
	g := &p.guide[gi]
	t := p.add(pl, int(g.len), g.kind)
	t.pair, t.flag = uint32(gi+1), flagSame
}

// value reads a value. Like is a value of the same tape that probably has the same shape.
func (p *parser) value(i int, pl place, like ref) int {
	var end int
	switch c := p.s[i]; c {
	case '"':
		if end = stringEnd(p.s, i+1) + 1; end == 0 {
			return -1
		}
		p.add(pl, end-i, kindString)
		return end
	case '{':
		return p.object(i, pl, like)
	case '[':
		return p.array(i, pl, like)
	case 't', 'n', 'f':
		if end = literalEnd(p.s, i); end < 0 {
			return -1
		}
		p.add(pl, end-i, kindLiteral)
		return end
	default:
		if end = numberEnd(p.s, i); end < 0 {
			return -1
		}
		p.add(pl, end-i, kindNumber)
		return end
	}
}

func literalEnd(s []byte, i int) int {
	const ntrue, nfals, nnull = 0x65757274, 0x736c6166, 0x6c6c756e // little-endian words
	switch x := uint32(load(s, i)); {
	case x == ntrue || x == nnull:
		return i + 4
	case x == nfals && s[i+4] == 'e':
		return i + 5
	}
	return -1
}

// numberEnd reads a number (RFC 8259, section 6).
func numberEnd(s []byte, i int) int {
	if s[i] == '-' {
		i++
	}
	start := i
	for digit(s[i]) {
		i++
	}
	if i == start || s[start] == '0' && i > start+1 {
		return -1
	}
	if s[i] == '.' {
		i++
		for start = i; digit(s[i]); {
			i++
		}
		if i == start {
			return -1
		}
	}
	if s[i]|0x20 == 'e' {
		if i++; s[i] == '+' || s[i] == '-' {
			i++
		}
		for start = i; digit(s[i]); {
			i++
		}
		if i == start {
			return -1
		}
	}
	return i
}

// enter adds the node of a container, whose length and size leave sets.
func (p *parser) enter(pl place, k kind) (self int, ok bool) {
	p.depth--
	p.add(pl, 0, k)
	return len(p.tape) - 1, p.depth >= 0 && len(p.tape) <= p.most
}

func (p *parser) leave(self, length int) {
	p.depth++
	p.tape[self].len = uint32(length)
	p.tape[self].size = uint32(len(p.tape) - self)
}

func (p *parser) array(i int, pl place, like ref) int {
	self, ok := p.enter(pl, kindArray)
	if !ok {
		return -1
	}
	start := i
	if i++; p.s[i] == ']' {
		p.leave(self, 2)
		return i + 1
	}
	// Of the like array only the first element is used, to begin with.
	element := none
	if like.at >= 0 && p.tape[like.at].kind == kindArray && p.tape[like.at].size > 1 {
		element = ref{like.at + 1, like.off + 1}
	}
	for {
		at, off := len(p.tape), i
		pl := place{rel: uint32(i - start)}
		if c := p.s[i]; c <= '9' && c != '"' { // the only place where values come without names in great numbers
			if i = numberEnd(p.s, i); i < 0 {
				return -1
			}
			p.add(pl, i-off, kindNumber)
		} else if i = p.value(i, pl, element); i < 0 {
			return -1
		} else if p.tape[at].kind >= kindArray {
			element = ref{at, off}
		}
		switch p.s[i] {
		case ',':
			i++
		case ']':
			p.leave(self, i+1-start)
			return i + 1
		default:
			return -1
		}
	}
}

func (p *parser) object(i int, pl place, like ref) int {
	self, ok := p.enter(pl, kindObject)
	if !ok {
		return -1
	}
	start := i
	if i++; p.s[i] == '}' {
		p.leave(self, 2)
		return i + 1
	}
	next, end := 0, 0 // the like object's members that were not met yet
	if like.at >= 0 && p.tape[like.at].kind == kindObject {
		next, end = like.at+1, like.at+int(p.tape[like.at].size)
		if p.disorder >= 8 && p.disorder&15 != 0 {
			next = end // each object has an order of its own; now and then see whether that is still so
		}
	}
	ordered, before, misses := true, none, 0
	for {
		var m place
		var twin ref
		if next < end && p.sameName(i, next, like.off) {
			n := &p.tape[next]
			m, twin = place{klen: n.klen, hash: n.hash}, ref{next, like.off + int(n.rel)}
			next += int(n.size)
		} else if m, ok = p.name(i); !ok {
			return -1
		} else if next >= end {
			ordered, twin = false, before
		} else if found := p.skipTo(i, next, end, like.off, m); found > 0 {
			twin = ref{found, like.off + int(p.tape[found].rel)}
			next = found + int(p.tape[found].size)
		} else {
			if ordered, twin = false, before; misses > 2 {
				next = end // there is no order here
			}
			misses++
		}
		i += int(m.klen) + 3
		m.rel = uint32(i - start)
		at, off := len(p.tape), i
		if i = p.value(i, m, twin); i < 0 {
			return -1
		}
		if p.tape[at].kind >= kindArray {
			before = ref{at, off}
		}
		switch p.s[i] {
		case ',':
			i++
		case '}':
			p.leave(self, i+1-start)
			if ordered {
				p.disorder = 0
				return i + 1
			}
			p.disorder++
			p.distinct(self, start)
			return i + 1
		default:
			return -1
		}
	}
}

// sameName says whether the member that starts at i has the name of a node of the same tape.
func (p *parser) sameName(i, at, off int) bool {
	n := &p.tape[at]
	k := int(n.klen) + 3
	v := off + int(n.rel)
	return i+k <= len(p.s) && string(p.s[i:i+k]) == string(p.s[v-k:v])
}

// name reads a member's name and the colon behind it.
func (p *parser) name(i int) (place, bool) {
	if p.s[i] != '"' {
		return place{}, false
	}
	x := load(p.s, i+1)
	if m := special(x); m != 0 { // at most 7 bytes long, as most names are
		k := bits.TrailingZeros64(m) >> 3
		if end := i + 1 + k; p.s[end] == '"' && p.s[end+1] == ':' {
			return place{klen: uint32(k), hash: nameHash(mix(seed^uint64(k), x<<(64-8*k)))}, true
		}
	}
	end := stringEnd(p.s, i+1)
	if end < 0 || p.s[end+1] != ':' {
		return place{}, false
	}
	n := end - i - 1
	return place{klen: uint32(n), hash: nameHash(hashBytes(p.s, i+1, n))}, true
}

// skipTo looks for the name at i among the next few members of the like object, for records that
// leave out members. It returns 0 when it is not there.
func (p *parser) skipTo(i, next, end, off int, m place) int {
	for range 3 {
		if next >= end {
			return 0
		}
		if n := &p.tape[next]; n.hash == m.hash && p.sameName(i, next, off) {
			return next
		}
		next += int(p.tape[next].size)
	}
	return 0
}
