package jsonpatch

import "bytes"

// identifies says whether a member of that name usually says which thing an object is.
func identifies(name []byte) bool {
	switch string(name) {
	case "id", "_id", "ID", "Id", "uuid", "guid", "key", "symbol", "code", "isin", "ticker", "sku", "slug", "uri", "url", "href", "@id":
		return true
	}
	return len(name) > 2 && (bytes.HasSuffix(name, []byte("Id")) || bytes.HasSuffix(name, []byte("_id")) || bytes.HasSuffix(name, []byte("ID")))
}

// key returns the configured key of the array at the current path, or nil.
func (d *Differ) key() []string {
	for _, k := range d.keys {
		if k.array.matchesPath(d.path) {
			return k.key
		}
	}
	return nil
}

// descend follows names into a value, and returns none unless it meets a scalar at the end.
func (d *Document) descend(r ref, names []string) ref {
	for _, name := range names {
		if r = d.child(r, name); r == none {
			return none
		}
	}
	if d.tape[r.at].kind >= kindArray {
		return none
	}
	return r
}

// matchIdentity pairs elements that have the same value in the member that identifies them.
func (al *alignment) matchIdentity(restA, restB []int32) {
	d := al.d
	if key := d.key(); key != nil {
		al.identify(restA, restB, func(doc *Document, r ref) ref { return doc.descend(r, key) })
		return
	}
	first := al.b[restB[0]]
	if d.b.tape[first.at].kind != kindObject {
		return
	}
	for _, known := range []bool{true, false} {
		tries := 0
		for c := first.at + 1; c < d.b.end(first) && tries < 4; c += int(d.b.tape[c].size) {
			n := &d.b.tape[c]
			if (n.kind == kindString || known && n.kind == kindNumber) && identifies(nameOf(d.b.text, n, first.off)) == known {
				tries++
				if al.identify(restA, restB, func(doc *Document, r ref) ref { return doc.namesake(r, d.b, first, c) }) {
					return
				}
			}
		}
	}
}

// namesake returns the scalar member of r that has the name of a member of another object.
func (d *Document) namesake(r ref, other *Document, container ref, member int) ref {
	if d.tape[r.at].kind != kindObject {
		return none
	}
	for c := r.at + 1; c < d.end(r); c += int(d.tape[c].size) {
		if sameName(d, other, r.off, container.off, c, member) {
			if d.tape[c].kind >= kindArray {
				return none
			}
			return d.in(r, c)
		}
	}
	return none
}

// identify pairs elements by what id returns of them. It reports false, having paired none, when
// that does not identify enough of them.
func (al *alignment) identify(restA, restB []int32, id func(*Document, ref) ref) bool {
	d := al.d
	back := d.mark()
	defer d.release(back)
	ids := take(&d.spans, len(restA))
	t, slots := newTable(d.slots, len(restA))
	d.slots = slots
	textA, textB := d.a.padded(), d.b.padded()
	found := 0
	for r, i := range restA {
		at := id(d.a, al.a[i])
		if at == none {
			continue
		}
		found++
		ids[r] = span{at.off, int(d.a.tape[at.at].len)}
		k := hashText(textA, ids[r].off, ids[r].len) & t.mask
		for ; t.slots[k] != 0; k = (k + 1) & t.mask {
			if s := ids[t.slots[k]-1]; bytes.Equal(textA[s.off:s.off+s.len], d.a.at(at)) {
				return false // not unique
			}
		}
		t.slots[k] = uint32(r + 1)
	}
	if 2*found < min(len(restA), len(restB)) {
		return false
	}
	paired := 0
	taken := take(&d.ints, len(restA)+len(restB))
	for q, j := range restB {
		at := id(d.b, al.b[j])
		if at == none {
			continue
		}
		text := d.b.at(at)
		for k := hashText(textB, at.off, len(text)) & t.mask; t.slots[k] != 0; k = (k + 1) & t.mask {
			r := t.slots[k] - 1
			if s := ids[r]; !bytes.Equal(textA[s.off:s.off+s.len], text) {
				continue
			}
			if taken[r] != 0 {
				return false
			}
			taken[r], taken[len(restA)+q] = 1, int32(r+1)
			paired++
			break
		}
	}
	for q, j := range restB {
		if r := taken[len(restA)+q]; r != 0 {
			al.pair(int(restA[r-1]), int(j))
		}
	}
	return paired > 0
}

// padded returns the text with the zeros behind it.
func (d *Document) padded() []byte { return d.text[:len(d.text)+padding] }

// hashText hashes s[i:i+n]; s is padded.
func hashText(s []byte, i, n int) uint32 {
	h := hashBytes(s, i, n)
	return uint32(h ^ h>>32)
}
