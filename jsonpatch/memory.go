package jsonpatch

// memory is what a Differ works on, each slice used like a stack: who takes from the end gives back
// with the mark from before. A slice that was taken stays valid when the stack moves to a larger array.
type memory struct {
	slots  []uint32
	ints   []int32
	kids   []ref
	hashes []uint64
	spans  []span
}

type mark struct{ slots, ints, kids, hashes, spans int }

func (m *memory) mark() mark {
	return mark{len(m.slots), len(m.ints), len(m.kids), len(m.hashes), len(m.spans)}
}

func (m *memory) release(to mark) {
	m.slots, m.ints, m.kids = m.slots[:to.slots], m.ints[:to.ints], m.kids[:to.kids]
	m.hashes, m.spans = m.hashes[:to.hashes], m.spans[:to.spans]
}

// take returns n elements from the end of a stack, set to zero.
func take[T any](stack *[]T, n int) []T {
	base := len(*stack)
	if base+n > cap(*stack) {
		grown := make([]T, base, 2*(base+n))
		copy(grown, *stack)
		*stack = grown
	}
	*stack = (*stack)[:base+n]
	s := (*stack)[base : base+n : base+n]
	clear(s)
	return s
}

// children lists the elements of an array.
func (m *memory) children(d *Document, r ref) []ref {
	base := len(m.kids)
	for c := r.at + 1; c < d.end(r); c += int(d.tape[c].size) {
		m.kids = append(m.kids, d.in(r, c))
	}
	return m.kids[base:len(m.kids):len(m.kids)]
}

// A span is a piece of text that identifies an element; an empty one does not.
type span struct{ off, len int }
