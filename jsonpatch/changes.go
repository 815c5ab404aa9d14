package jsonpatch

// AppendChanges appends what leads from one document to another as one JSON object that tells it item by
// item, nothing when nothing changed:
//
//	{"created":[{"array":"/items","key":7,"value":{…}}],
//	 "updated":[{"array":"/items","key":2,"value":{…},"previous":{…}}],
//	 "deleted":[{"array":"/items","key":3,"previous":{…}}],
//	 "keys":{"/items":"id"},
//	 "patch":[…]}
//
// The items are those of arrays of objects that lie in objects only, and that a member identifies before and
// after: the one that Options.ArrayKeys names, else one that is found, which is told in keys as ArrayKeys has it.
// The order of items is not told: where nothing else changed, nothing did. What is outside of these arrays is told
// in patch (RFC 6902), which says nothing of what is in them. Arrays of objects that have had a key, and have none,
// are replaced as a whole, so that a patch never depends on the order of items. keys and patch are left out when empty.
//
// It reports false, appending nothing, where only the whole document will do: a document that is no object or
// array, or has become the other; a path that clients in JavaScript refuse; and where no items changed and the
// patch is not smaller than the document.
func (d *Differ) AppendChanges(dst []byte, from, to *Document) ([]byte, bool) {
	root := ref{0, 0}
	if len(to.tape) == 0 || len(from.tape) > 0 && d.equal(from, to, root, root) || d.noise(from, to) {
		return dst, true
	}
	if len(from.tape) == 0 || from.tape[0].kind != to.tape[0].kind || to.tape[0].kind < kindArray {
		return dst, false
	}
	defer func(numeric bool) { d.numeric = numeric }(d.numeric)
	d.numeric = false // there is a change; now all of it is told
	d.a, d.b, d.out, d.ops, d.path = from, to, nil, 0, d.path[:0]
	c := changer{d: d}
	ok := c.value(root, root, from.id == to.guide)
	patch := d.out
	d.a, d.b, d.out = nil, nil, nil // keeps none of the caller's memory
	if !ok || c.items == 0 && len(patch) >= len(to.text) {
		return dst, false
	}
	if c.items == 0 && len(patch) == 0 {
		return dst, true // only the order of items
	}
	return c.write(dst, patch), true
}

// A changer tells of changes by item. What is told by a patch its Differ writes.
type changer struct {
	d                               *Differ
	items                           int // changes of items so far
	created, updated, deleted, keys []byte
}

func (c *changer) write(dst, patch []byte) []byte {
	dst = append(appendList(append(dst, `{"created":`...), c.created), `,"updated":`...)
	dst = append(appendList(dst, c.updated), `,"deleted":`...)
	dst = appendList(dst, c.deleted)
	if len(c.keys) > 0 {
		dst = append(append(append(dst, `,"keys":{`...), c.keys[1:]...), '}')
	}
	if len(patch) > 0 {
		dst = appendList(append(dst, `,"patch":`...), patch)
	}
	return append(dst, '}')
}

// appendList appends elements, each of which stands after a comma.
func appendList(dst, elements []byte) []byte {
	dst = append(dst, '[')
	if len(elements) > 0 {
		dst = append(dst, elements[1:]...)
	}
	return append(dst, ']')
}

// value tells how value x of the old document becomes y of the new one. It reports false where that has to be
// told by a value further up.
func (c *changer) value(x, y ref, linked bool) bool {
	d := c.d
	m, n := &d.a.tape[x.at], &d.b.tape[y.at]
	if linked && n.flag&flagSame != 0 || d.equal(d.a, d.b, x, y) {
		return true
	}
	switch {
	case m.kind != n.kind || m.kind < kindArray:
		d.value(x, y, linked)
	case m.kind == kindObject:
		return c.object(x, y, linked)
	case c.array(x, y):
	case !d.a.objectsOnly(x):
		d.value(x, y, linked)
	default: // whoever applies this may have the items in another order
		d.replace(y)
	}
	return true
}

// object tells of its members, or replaces it where that is shorter and no items in it are told of.
func (c *changer) object(x, y ref, linked bool) bool {
	d := c.d
	start, ops, items := len(d.out), d.ops, c.items
	ok := c.members(x, y, linked)
	if ok && len(d.out)-start <= d.replaceCost(y) || c.items > items || len(d.path) == 0 {
		return ok
	}
	d.out, d.ops = d.out[:start], ops
	d.replace(y)
	return true
}

func (c *changer) members(x, y ref, linked bool) bool {
	d := c.d
	base := len(d.slots)
	defer func() { d.slots = d.slots[:base] }()
	names, seen := d.names(d.a, x), 0
	for j := y.at + 1; j < d.b.end(y); j += int(d.b.tape[j].size) {
		i := names.find(d.a, d.b, x.off, y.off, j)
		if i != 0 {
			seen++
		}
		if !c.member(x, y, i, j, linked) {
			return false
		}
	}
	return d.removeMembers(x, y, seen, maxSize)
}

// member tells of member j of y, which is i of x, or new where that is 0.
func (c *changer) member(x, y ref, i, j int, linked bool) bool {
	d := c.d
	name := nameOf(d.b.text, &d.b.tape[j], y.off)
	before, items := len(d.out), c.items
	parent := d.enter(name)
	ok := true
	if i == 0 {
		d.add(d.b.in(y, j))
	} else {
		ok = c.value(d.a.in(x, i), d.b.in(y, j), linked && int(d.b.tape[j].pair) == i+1)
	}
	d.leave(parent)
	return ok && (!hostile(name) || len(d.out) == before && c.items == items)
}

// array tells of the items of an array. It reports false, having told nothing, where they have no key.
func (c *changer) array(x, y ref) bool {
	d := c.d
	back := d.mark()
	defer d.release(back)
	key, olds, news, ok := d.itemKey(x, y)
	if !ok {
		return false
	}
	items := c.items
	for j, item := range news.items {
		i := olds.find(d.b, news.ids[j])
		switch {
		case i < 0:
			c.created = c.entry(c.created, d.b, news.ids[j], `,"value":`, item)
		case !d.equal(d.a, d.b, olds.items[i], item):
			c.updated = c.entry(c.updated, d.b, news.ids[j], `,"value":`, item)
			c.updated = append(append(append(c.updated[:len(c.updated)-1], `,"previous":`...), d.a.at(olds.items[i])...), '}')
		}
	}
	for i, item := range olds.items {
		if news.find(d.a, olds.ids[i]) < 0 {
			c.deleted = c.entry(c.deleted, d.a, olds.ids[i], `,"previous":`, item)
		}
	}
	if c.items > items {
		c.keys = append(append(append(c.keys, `,"`...), d.path...), `":"`...)
		c.keys = append(appendKey(c.keys, key), '"')
	}
	return true
}

// entry appends what became of an item.
func (c *changer) entry(dst []byte, doc *Document, id span, name string, item ref) []byte {
	c.items++
	dst = append(append(append(dst, `,{"array":"`...), c.d.path...), `","key":`...)
	dst = append(append(dst, doc.text[id.off:id.off+id.len]...), name...)
	return append(append(dst, doc.at(item)...), '}')
}

// appendKey appends a key as Options.ArrayKeys has it: a name, or a pointer where a name will not do.
func appendKey(dst []byte, key [][]byte) []byte {
	if len(key) == 1 && len(key[0]) > 0 && key[0][0] != '/' {
		return append(dst, key[0]...)
	}
	for _, name := range key {
		dst = appendToken(append(dst, '/'), name)
	}
	return dst
}

// objectsOnly says whether an array has several elements, all of them objects: then their order may not be known.
func (d *Document) objectsOnly(r ref) bool {
	count := 0
	for i := r.at + 1; i < d.end(r); i += int(d.tape[i].size) {
		if d.tape[i].kind != kindObject {
			return false
		}
		count++
	}
	return count > 1
}
