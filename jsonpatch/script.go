package jsonpatch

import "slices"

// tell writes the operations: removals from the end, moves, insertions from the start, then what
// changed inside elements. It reports false when they do not fit before stop.
func (al *alignment) tell(stop int) bool {
	d := al.d
	start, ops := len(d.out), d.ops
	moves := al.moved != nil
	ok := al.removals(stop) && (!moves || al.moves(stop)) && al.insertions(stop) && al.changes(stop)
	if !moves || len(al.a) != len(al.b) || d.retold >= 2 {
		return ok
	}
	// The same by index may be shorter. Trying that below a few levels would double the work on each.
	d.retold++
	defer func() { d.retold-- }()
	first, firstOps := len(d.out), d.ops
	if ok {
		stop = first + first - start
	} else {
		d.out, first = d.out[:start], start
	}
	d.ops = ops
	if second := al.byIndex(stop); second && len(d.out) < stop {
		d.out = append(d.out[:start], d.out[first:]...)
		return true
	}
	d.out, d.ops = d.out[:first], firstOps
	return ok
}

func (al *alignment) removals(stop int) bool {
	d := al.d
	for _, i := range slices.Backward(al.restA) {
		if al.toB[i] == 0 {
			parent := d.enterIndex(int(i))
			d.remove()
			d.leave(parent)
			if len(d.out) > stop {
				return false
			}
		}
	}
	return true
}

func (al *alignment) insertions(stop int) bool {
	d := al.d
	length := len(al.a)
	for _, i := range al.restA {
		if al.toB[i] == 0 {
			length--
		}
	}
	for _, r := range al.restB {
		j := int(r)
		if al.toA[j] != 0 {
			continue
		}
		parent := len(d.path)
		if j == length && j >= 10 {
			d.path = append(d.path, '/', '-')
		} else {
			d.enterIndex(j)
		}
		d.add(al.b[j])
		d.leave(parent)
		length++
		if len(d.out) > stop {
			return false
		}
	}
	return true
}

func (al *alignment) changes(stop int) bool {
	d := al.d
	for _, r := range al.restB {
		j := int(r)
		i := int(al.toA[j]) - 1
		if i < 0 || al.equal(i, j) {
			continue
		}
		parent := d.enterIndex(j)
		d.value(al.a[i], al.b[j], al.linked && int(d.b.tape[al.b[j].at].pair) == al.a[i].at+1)
		d.leave(parent)
		if len(d.out) > stop {
			return false
		}
	}
	return true
}

func (al *alignment) byIndex(stop int) bool {
	d := al.d
	for j := al.head; j < al.endB; j++ {
		if al.equal(j, j) {
			continue
		}
		parent := d.enterIndex(j)
		d.value(al.a[j], al.b[j], al.linked && int(d.b.tape[al.b[j].at].pair) == al.a[j].at+1)
		d.leave(parent)
		if len(d.out) > stop {
			return false
		}
	}
	return true
}

// moves writes one move for each element that is marked. Those that stay divide the array into gaps;
// in a gap come first the elements that were moved there, in their new order, then those still to be
// moved, in their old one. Two trees count them, so that each index is found in O(log n).
func (al *alignment) moves(stop int) bool {
	d := al.d
	back := d.mark()
	defer d.release(back)
	n := al.endA - al.head
	rank := take(&d.ints, n)      // among the kept elements, in old order
	staying := take(&d.ints, n+1) // how many elements of lower rank stay
	pending, arrived := fenwick(take(&d.ints, n+2)), fenwick(take(&d.ints, n+2))
	kept := 0
	for i := al.head; i < al.endA; i++ {
		if j := al.toB[i]; j != 0 {
			rank[i-al.head] = int32(kept)
			staying[kept+1] = staying[kept]
			if al.moved[j-1] != 0 {
				pending.add(kept, 1)
			} else {
				staying[kept+1]++
			}
			kept++
		}
	}
	t, gap, last := 0, 0, 0 // elements in place; how many of them stay; the rank of the last that stays
	for j := al.head; j < al.endB; j++ {
		i := int(al.toA[j]) - 1
		if i < 0 {
			continue
		}
		r := int(rank[i-al.head])
		if al.moved[j] == 0 {
			gap, last = gap+1, r
			t++
			continue
		}
		own := int(staying[r])
		from := own + arrived.sum(own+1) + pending.sum(r)
		pending.add(r, -1)
		to := t
		if gap > 0 {
			to += pending.sum(last)
		}
		arrived.add(gap, 1)
		t++
		if from == to {
			continue
		}
		d.move(al.head+from, al.head+to)
		if len(d.out) > stop {
			return false
		}
	}
	return true
}

func (d *Differ) move(from, to int) {
	d.out = append(d.out, opMove...)
	parent := d.enterIndex(from)
	d.out = append(d.out, d.path...)
	d.leave(parent)
	d.out = append(d.out, opPath...)
	parent = d.enterIndex(to)
	d.out = append(d.out, d.path...)
	d.leave(parent)
	d.out = append(d.out, '"', '}')
	d.ops++
}

// A fenwick is a tree of sums (Fenwick, A new data structure for cumulative frequency tables, 1994).
type fenwick []int32

func (f fenwick) add(i int, n int32) {
	for i++; i < len(f); i += i & -i {
		f[i] += n
	}
}

// sum adds up what was added at all indices below i.
func (f fenwick) sum(i int) (n int) {
	for ; i > 0; i -= i & -i {
		n += int(f[i])
	}
	return n
}
