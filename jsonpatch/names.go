package jsonpatch

import (
	"bytes"
	"hash/maphash"
	"math/bits"
)

// seed keeps those who choose the names in a document from choosing names with the same hash.
var seed = maphash.String(maphash.MakeSeed(), "names")

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xd6e8feb86659fd93)
	return hi ^ lo
}

// hashBytes hashes s[i:i+n]; s is padded.
func hashBytes(s []byte, i, n int) uint64 {
	h := seed ^ uint64(n)
	for ; n > 8; n -= 8 {
		h = mix(h, load(s, i))
		i += 8
	}
	return mix(h, load(s, i)<<(64-8*n)) // n = 0 shifts everything out
}

// nameHash shortens the hash of a member's name to what a node has room for.
func nameHash(h uint64) uint16 { return uint16(h ^ h>>32) }

// A table finds nodes by a hash. Its slots hold 1 + index of a node; 0 is free.
// Tables on top of each other in one slice are used like a stack.
type table struct {
	slots []uint32
	mask  uint32
}

// newTable takes slots for n entries from the end of a stack.
func newTable(stack []uint32, n int) (table, []uint32) {
	size := 1 << bits.Len(uint(2*n))
	slots, stack := takeSlots(stack, size)
	clear(slots)
	return table{slots, uint32(size - 1)}, stack
}

// takeSlots takes n slots from the end of a stack, as they were left.
func takeSlots(stack []uint32, n int) (slots, all []uint32) {
	base := len(stack)
	if base+n > cap(stack) {
		grown := make([]uint32, base, 2*(base+n))
		copy(grown, stack)
		stack = grown
	}
	stack = stack[:base+n]
	return stack[base:], stack
}

// spread makes a slot number out of a name's hash, which has 16 bits only.
func spread(hash uint16, klen uint32) uint32 { return uint32(hash)*0x9e3779b1>>8 ^ klen }

// distinct marks the members of an object that a later member of the same name replaces.
func (p *parser) distinct(self, off int) {
	// Most often the hashes alone, or some bits of them, are distinct.
	const most = 64
	var seen [16]uint64
	end, count, again := len(p.tape), 0, uint64(0)
	for c := self + 1; c < end && count <= most; c += int(p.tape[c].size) {
		h := p.tape[c].hash
		bit := uint64(1) << (h & 63)
		again |= seen[h>>6&15] & bit
		seen[h>>6&15] |= bit
		count++
	}
	if count <= most && again == 0 {
		return
	}
	count = 0
	for c := self + 1; c < end; c += int(p.tape[c].size) {
		count++
	}
	base := len(p.slots)
	var t table
	t, p.slots = newTable(p.slots, count)
	for c := self + 1; c < end; c += int(p.tape[c].size) {
		n := &p.tape[c]
		k := spread(n.hash, n.klen) & t.mask
		for ; t.slots[k] != 0; k = (k + 1) & t.mask {
			m := &p.tape[t.slots[k]-1]
			if m.hash == n.hash && m.klen == n.klen && bytes.Equal(nameOf(p.s, m, off), nameOf(p.s, n, off)) {
				m.flag |= flagDead
				p.twice = true
				break
			}
		}
		t.slots[k] = uint32(c + 1)
	}
	p.slots = p.slots[:base]
}

// nameOf returns the name of a member of the object that starts at off.
func nameOf(s []byte, n *node, off int) []byte {
	v := off + int(n.rel) - 2
	return s[v-int(n.klen) : v]
}
