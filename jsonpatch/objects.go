package jsonpatch

// object tells how object x became y. It reports false when y has better be sent whole: when the
// operations do not fit before stop in the output, or would need a path that clients refuse.
func (d *Differ) object(x, y ref, linked bool, stop int) bool {
	if !linked {
		return d.strangers(x, y, stop)
	}
	back := len(d.ints)
	next, end := x.at+1, d.a.end(x)
	ordered, seen := true, 0
	least := len(d.out) // of the output, when all that changed is told
	tape := d.b.tape
	for j, endB := y.at+1, d.b.end(y); j < endB; j += int(tape[j].size) {
		n := &tape[j]
		if i := int(n.pair) - 1; i >= 0 {
			ordered = ordered && i == next
			next = i + int(n.size) // what equals it has the same size
			if n.flag&flagSame == 0 {
				next = i + int(d.a.tape[i].size)
			}
			seen++
		}
		if n.flag&flagSame == 0 {
			d.ints = append(d.ints, int32(j))
			if n.kind < kindArray || n.pair == 0 { // others may turn out to be equal
				least += leastOp + len(d.path) + int(n.klen+n.len)
			}
		}
	}
	ok := least <= stop
	for _, j := range d.ints[back:] {
		if !ok {
			break
		}
		n, name := &tape[j], nameOf(d.b.text, &tape[j], y.off)
		switch {
		case n.pair == 0:
			ok = d.member(none, d.b.in(y, int(j)), false, name, stop)
		case n.kind < kindArray && d.a.tape[n.pair-1].kind < kindArray: // it differs, or it would be flagged
			if len(d.out)+len(opReplace)+len(d.path)+len("/")+len(name)+len(opValue)+int(n.len)+len("}") > stop || hostile(name) {
				ok = false
				break
			}
			parent := d.enter(name)
			d.replace(d.b.in(y, int(j)))
			d.leave(parent)
		default:
			ok = d.member(d.a.in(x, int(n.pair-1)), d.b.in(y, int(j)), true, name, stop)
		}
	}
	d.ints = d.ints[:back]
	if !ok || ordered && next == end {
		return ok
	}
	return d.removeMembers(x, y, seen, stop)
}

// leastOp is less than an operation with a value takes, without path and value.
const leastOp = len(opAdd) + len(opValue) + len("}")

// strangers does the same for two objects of which nothing is known.
func (d *Differ) strangers(x, y ref, stop int) bool {
	base := len(d.slots)
	defer func() { d.slots = d.slots[:base] }()
	var names table
	next, end, seen := x.at+1, d.a.end(x), 0
	for j := y.at + 1; j < d.b.end(y); j += int(d.b.tape[j].size) {
		i := next
		if i >= end || !sameName(d.a, d.b, x.off, y.off, i, j) {
			if names.slots == nil {
				names = d.names(d.a, x)
			}
			i = names.find(d.a, d.b, x.off, y.off, j)
		}
		old := none
		if i > 0 {
			old = d.a.in(x, i)
			next = i + int(d.a.tape[i].size)
			seen++
		}
		if !d.member(old, d.b.in(y, j), false, nameOf(d.b.text, &d.b.tape[j], y.off), stop) {
			return false
		}
	}
	return d.removeMembers(x, y, seen, stop)
}

// member tells how a member became another; old is none for a new one.
func (d *Differ) member(old, now ref, linked bool, name []byte, stop int) bool {
	before := len(d.out)
	parent := d.enter(name)
	if old == none {
		d.add(now)
	} else {
		d.value(old, now, linked)
	}
	d.leave(parent)
	return len(d.out) == before || len(d.out) <= stop && !hostile(name)
}

// removeMembers removes the members of x that y does not have; seen is how many it has.
func (d *Differ) removeMembers(x, y ref, seen, stop int) bool {
	for i := x.at + 1; i < d.a.end(x); i += int(d.a.tape[i].size) {
		seen--
	}
	if seen == 0 {
		return true
	}
	base := len(d.slots)
	defer func() { d.slots = d.slots[:base] }()
	names := d.names(d.b, y)
	for i := x.at + 1; i < d.a.end(x); i += int(d.a.tape[i].size) {
		if names.find(d.b, d.a, y.off, x.off, i) != 0 {
			continue
		}
		name := nameOf(d.a.text, &d.a.tape[i], x.off)
		parent := d.enter(name)
		d.remove()
		d.leave(parent)
		if hostile(name) || len(d.out) > stop {
			return false
		}
	}
	return true
}

// hostile says whether clients in JavaScript refuse paths with that name, to keep prototypes safe.
func hostile(name []byte) bool {
	switch string(name) {
	case "__proto__", "constructor", "prototype":
		return true
	}
	return false
}
