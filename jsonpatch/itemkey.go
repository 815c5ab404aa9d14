package jsonpatch

import (
	"bytes"
	"iter"
)

// A keyedArray is one whose items are objects that a scalar identifies.
type keyedArray struct {
	doc   *Document
	items []ref
	ids   []span // where the text of each item's key is
	table table
}

// itemKey finds what identifies the items of the array at the current path, before and after. Both indexes lie
// on the Differ's stacks.
func (d *Differ) itemKey(x, y ref) (key [][]byte, olds, news keyedArray, ok bool) {
	if names := d.key(); names != nil {
		for _, name := range names {
			key = append(key, canonicalName(name))
		}
		olds, news, ok = d.keyedBoth(x, y, key)
		return key, olds, news, ok
	}
	doc, sample := d.b, y
	if d.b.tape[y.at].size == 1 {
		doc, sample = d.a, x
	}
	for name := range doc.likelyKeys(sample) {
		try := [][]byte{name}
		back := d.mark()
		o, n, unique := d.keyedBoth(x, y, try)
		shared := unique && n.shares(o)
		if shared || unique && !ok {
			key, olds, news, ok = try, o, n, true
		} else {
			d.release(back)
		}
		if shared { // else there may be a better one: what identifies items seldom changes in all of them
			break
		}
	}
	return key, olds, news, ok
}

// likelyKeys yields the names of members of an array's first item that may identify the items: first those that
// usually do, then texts of other names.
func (d *Document) likelyKeys(array ref) iter.Seq[[]byte] {
	const most = 4 // of each
	return func(yield func([]byte) bool) {
		if d.tape[array.at].size == 1 {
			return
		}
		first := d.in(array, array.at+1)
		if d.tape[first.at].kind != kindObject {
			return
		}
		for _, usual := range []bool{true, false} {
			tries := 0
			for c := first.at + 1; c < d.end(first) && tries < most; c += int(d.tape[c].size) {
				n := &d.tape[c]
				name := nameOf(d.text, n, first.off)
				if (n.kind == kindString || usual && n.kind == kindNumber) && identifies(name) == usual {
					if tries++; !yield(name) {
						return
					}
				}
			}
		}
	}
}

func (d *Differ) keyedBoth(x, y ref, key [][]byte) (olds, news keyedArray, ok bool) {
	if olds, ok = d.keyedArray(d.a, x, key); ok {
		news, ok = d.keyedArray(d.b, y, key)
	}
	return olds, news, ok
}

// keyedArray indexes the items of an array. It reports false where one has no key, or two have the same.
func (m *memory) keyedArray(doc *Document, r ref, key [][]byte) (k keyedArray, ok bool) {
	k = keyedArray{doc: doc, items: m.children(doc, r)}
	k.ids = take(&m.spans, len(k.items))
	k.table, m.slots = newTable(m.slots, len(k.items))
	for i, item := range k.items {
		at := doc.scalar(item, key)
		if at == none {
			return k, false
		}
		k.ids[i] = span{at.off, int(doc.tape[at.at].len)}
		slot, twice := k.slot(doc, k.ids[i])
		if twice {
			return k, false
		}
		k.table.slots[slot] = uint32(i + 1)
	}
	return k, true
}

// scalar returns the scalar that names lead to in an object, else none.
func (d *Document) scalar(r ref, names [][]byte) ref {
	for _, name := range names {
		if d.tape[r.at].kind != kindObject {
			return none
		}
		found := none
		for c := r.at + 1; c < d.end(r); c += int(d.tape[c].size) {
			if n := &d.tape[c]; int(n.klen) == len(name) && bytes.Equal(nameOf(d.text, n, r.off), name) {
				found = d.in(r, c)
				break
			}
		}
		if r = found; r == none {
			return none
		}
	}
	if d.tape[r.at].kind >= kindArray {
		return none
	}
	return r
}

// slot is where the item with a key is in the table, or would be.
func (k *keyedArray) slot(doc *Document, id span) (slot uint32, there bool) {
	text := doc.text[id.off : id.off+id.len]
	at := hashText(doc.padded(), id.off, id.len) & k.table.mask
	for ; k.table.slots[at] != 0; at = (at + 1) & k.table.mask {
		if s := k.ids[k.table.slots[at]-1]; bytes.Equal(k.doc.text[s.off:s.off+s.len], text) {
			return at, true
		}
	}
	return at, false
}

// find is the number of the item with a key that stands in a document, or -1.
func (k *keyedArray) find(doc *Document, id span) int {
	slot, there := k.slot(doc, id)
	if !there {
		return -1
	}
	return int(k.table.slots[slot]) - 1
}

// shares says whether an item is in both.
func (k *keyedArray) shares(other keyedArray) bool {
	for _, id := range k.ids {
		if other.find(k.doc, id) >= 0 {
			return true
		}
	}
	return false
}
