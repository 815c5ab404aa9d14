package jsonpatch

import (
	"math"
	"slices"
)

// matchContent pairs elements of equal value.
func (al *alignment) matchContent(restA, restB []int32) {
	d := al.d
	back := d.mark()
	defer d.release(back)
	c := classes{of: take(&d.ints, len(restA)+len(restB)), na: len(restA)}
	repeats := c.sort(al, restA, restB)
	if c.n == 0 {
		return
	}
	a, b := c.common(d, restA, c.of[:c.na]), c.common(d, restB, c.of[c.na:])
	if repeats {
		al.matchRepeated(a, b, restA, restB, &c)
	}
	// What is left, of each value the first with the first. Without repeats that is all.
	head, next := take(&d.ints, c.n+1), take(&d.ints, len(restA))
	for _, r := range slices.Backward(a) {
		if al.toB[restA[r]] == 0 {
			next[r] = head[c.of[r]]
			head[c.of[r]] = r + 1
		}
	}
	for _, r := range b {
		class := c.of[c.na+int(r)]
		if first := head[class]; first != 0 && al.toA[restB[r]] == 0 {
			head[class] = next[first-1]
			al.pair(int(restA[first-1]), int(restB[r]))
		}
	}
}

// classes numbers the values that two lists of elements have in common, from 1.
type classes struct {
	of []int32 // for each of the first list, then of the second; 0 for a value of one list only
	na int     // length of the first list
	n  int     // highest number
}

// sort finds the classes and reports whether one has more than one element on a side.
func (c *classes) sort(al *alignment, restA, restB []int32) (repeats bool) {
	d := al.d
	hashes := take(&d.hashes, len(restA))
	t, slots := newTable(d.slots, len(restA))
	d.slots = slots
	first := take(&d.ints, 2*len(restA)) // by element of the first list: its class, and how often it was met in the second
	met := first[len(restA):]
	for r, i := range restA {
		h := d.hashValue(d.a, al.a[i])
		hashes[r] = h
		k := uint32(h) & t.mask
		for t.slots[k] != 0 && hashes[t.slots[k]-1] != h {
			k = (k + 1) & t.mask
		}
		if t.slots[k] == 0 {
			t.slots[k] = uint32(r + 1)
		}
		c.of[r] = int32(t.slots[k])
	}
	for q, j := range restB {
		h := d.hashValue(d.b, al.b[j])
		k := uint32(h) & t.mask
		for t.slots[k] != 0 && hashes[t.slots[k]-1] != h {
			k = (k + 1) & t.mask
		}
		if t.slots[k] == 0 {
			continue
		}
		r := t.slots[k] - 1
		if met[r]++; met[r] == 1 {
			c.n++
			first[r] = int32(c.n)
		} else {
			repeats = true
		}
		c.of[c.na+q] = first[r]
	}
	for r := range restA {
		f := c.of[r] - 1
		c.of[r] = first[f]
		repeats = repeats || int(f) != r && first[f] != 0
	}
	return repeats
}

// common lists the elements that have a class.
func (c *classes) common(d *Differ, rest, of []int32) []int32 {
	base := len(d.ints)
	for r := range rest {
		if of[r] != 0 {
			d.ints = append(d.ints, int32(r))
		}
	}
	return d.ints[base:len(d.ints):len(d.ints)]
}

// edits bounds the work, and the memory, on lists that have few of their values in the same order.
const edits = 256

// matchRepeated pairs a longest common subsequence (Myers, An O(ND) Difference Algorithm, 1986),
// unless many elements lie outside it.
func (al *alignment) matchRepeated(a, b, restA, restB []int32, c *classes) {
	d := al.d
	back := d.mark()
	defer d.release(back)
	n, m := len(a), len(b)
	limit := min(edits, n+m, 16+2*int(math.Sqrt(float64(n+m)))) // time is O(limit²), which is O(n)
	same := func(x, y int) bool { return c.of[a[x]] == c.of[c.na+int(b[y])] }
	v := take(&d.ints, 2*limit+3) // furthest x on each diagonal k, at limit+1+k
	var trace []int32             // rows of v, 2e+1 long for e edits
	base := len(d.ints)
	for e := 0; e <= limit; e++ {
		for k := -e; k <= e; k += 2 {
			x := int(v[limit+1+k+1])
			if k != -e && (k == e || v[limit+1+k-1] >= v[limit+1+k+1]) {
				x = int(v[limit+1+k-1]) + 1
			}
			y := x - k
			for x < n && y < m && y >= 0 && same(x, y) {
				x, y = x+1, y+1
			}
			v[limit+1+k] = int32(x)
			if x >= n && y >= m {
				trace = d.ints[base:]
				al.follow(trace, e, k, a, b, restA, restB)
				return
			}
		}
		d.ints = append(d.ints, v[limit+1-e:limit+1+e+1]...)
	}
}

// follow walks back along the path that matchRepeated found, which ends on diagonal k after e edits,
// and pairs what lies on its diagonals.
func (al *alignment) follow(trace []int32, e, k int, a, b, restA, restB []int32) {
	x, y := len(a), len(b)
	for ; e > 0; e-- {
		row := trace[(e-1)*(e-1) : e*e] // the diagonals from -(e-1) to e-1
		at := func(k int) int {
			if k < -(e-1) || k > e-1 {
				return -1
			}
			return int(row[k+e-1])
		}
		down := k == -e || k != e && at(k-1) < at(k+1)
		var startX int
		if down {
			startX = at(k + 1)
		} else {
			startX = at(k-1) + 1
		}
		for ; x > startX; x, y = x-1, y-1 {
			al.pair(int(restA[a[x-1]]), int(restB[b[y-1]]))
		}
		if down {
			k++
		} else {
			k--
			x--
		}
		y = x - k
	}
	for ; x > 0 && y > 0; x, y = x-1, y-1 {
		al.pair(int(restA[a[x-1]]), int(restB[b[y-1]]))
	}
}

// matchRest pairs what has no counterpart by its order between elements that keep theirs. Replacing
// an element, or parts of it, takes less than removing it and adding another.
func (al *alignment) matchRest() {
	moved := func(j int32) bool { return al.moved != nil && al.moved[j] != 0 }
	i := al.head
	for j := al.head; j < al.endB; j++ {
		switch {
		case al.toA[j] == 0:
			for i < al.endA && al.toB[i] != 0 && moved(al.toB[i]-1) {
				i++
			}
			if i < al.endA && al.toB[i] == 0 {
				al.pair(i, j)
				i++
			}
		case !moved(int32(j)):
			i = int(al.toA[j])
		}
	}
}

// findMoved marks the elements of b that must move: those outside a longest run of elements that keep
// their order (Fredman, On computing the length of longest increasing subsequences, 1975).
func (al *alignment) findMoved() {
	d := al.d
	ordered := true
	for j, last := al.head, int32(0); j < al.endB; j++ {
		if i := al.toA[j]; i != 0 {
			ordered = ordered && i > last
			last = i
		}
	}
	if ordered {
		return
	}
	moved := take(&d.ints, len(al.b))
	before := take(&d.ints, len(al.b))            // 1 + the element before it in the longest run that ends with it
	tails := take(&d.ints, al.endB-al.head+1)[:0] // 1 + the element with which a run of that length best ends
	for j := al.head; j < al.endB; j++ {
		if al.toA[j] == 0 {
			continue
		}
		moved[j] = 1
		lo, hi := 0, len(tails)
		for lo < hi {
			if mid := (lo + hi) / 2; al.toA[tails[mid]-1] < al.toA[j] {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		if lo > 0 {
			before[j] = tails[lo-1]
		}
		if lo == len(tails) {
			tails = append(tails, 0)
		}
		tails[lo] = int32(j + 1)
	}
	for j := tails[len(tails)-1]; j != 0; j = before[j-1] {
		moved[j-1] = 0
	}
	al.moved = moved
}
