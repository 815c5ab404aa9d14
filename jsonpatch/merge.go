package jsonpatch

// AppendMerge appends the JSON Merge Patch (RFC 7396) that leads from one document to another, nothing
// when nothing changed. It reports false, appending nothing, for a change that such a patch cannot
// express: a member that becomes null, or a new object that holds one. Nor does it name __proto__,
// constructor or prototype, as clients in JavaScript would set what they should not.
func (d *Differ) AppendMerge(dst []byte, from, to *Document) ([]byte, bool) {
	root := ref{0, 0}
	if len(to.tape) == 0 || len(from.tape) > 0 && d.equal(from, to, root, root) || d.noise(from, to) {
		return dst, true
	}
	defer func(numeric bool) { d.numeric = numeric }(d.numeric)
	d.numeric = false // there is a change; now all of it is told
	m := merger{d: d, a: from, b: to, out: dst}
	if len(from.tape) > 0 && from.tape[0].kind == kindObject && to.tape[0].kind == kindObject {
		m.objects(root, root)
	} else {
		m.ok = to.tape[0].kind != kindObject || !to.unmergeable(root)
		m.out = append(m.out, to.text...)
	}
	if !m.ok {
		return dst, false
	}
	return m.out, true
}

type merger struct {
	d    *Differ
	a, b *Document
	out  []byte
	ok   bool
}

// objects appends what leads from one object to the other, and sets ok unless it cannot be said.
func (m *merger) objects(x, y ref) {
	d := m.d
	base := len(d.slots)
	defer func() { d.slots = d.slots[:base] }()
	left, right := d.names(m.a, x), d.names(m.b, y)
	start := len(m.out)
	m.ok = true
	for j := y.at + 1; j < m.b.end(y) && m.ok; j += int(m.b.tape[j].size) {
		n, now := &m.b.tape[j], m.b.in(y, j)
		i := left.find(m.a, m.b, x.off, y.off, j)
		if i != 0 && d.equal(m.a, m.b, m.a.in(x, i), now) {
			continue
		}
		name := nameOf(m.b.text, n, y.off)
		if m.name(name); hostile(name) {
			m.ok = false
			return
		}
		if i != 0 && n.kind == kindObject && m.a.tape[i].kind == kindObject {
			m.objects(m.a.in(x, i), now)
			continue
		}
		m.ok = !m.b.unmergeable(now)
		m.out = append(m.out, m.b.at(now)...)
	}
	for i := x.at + 1; i < m.a.end(x); i += int(m.a.tape[i].size) {
		if right.find(m.b, m.a, y.off, x.off, i) == 0 {
			name := nameOf(m.a.text, &m.a.tape[i], x.off)
			m.name(name)
			m.out = append(m.out, "null"...)
			m.ok = m.ok && !hostile(name)
		}
	}
	if len(m.out) == start {
		m.out = append(m.out, '{')
	}
	m.out[start] = '{'
	m.out = append(m.out, '}')
}

// name begins a member. What stands before the first becomes the opening brace.
func (m *merger) name(name []byte) {
	m.out = append(append(append(m.out, ',', '"'), name...), '"', ':')
}

// unmergeable says whether a merge patch would take a part of the value for a removal: null itself, or a
// null in an object that no array holds (RFC 7396, section 2); or set a member that is refused.
func (d *Document) unmergeable(r ref) bool {
	n := &d.tape[r.at]
	if n.kind != kindObject {
		return d.text[r.off] == 'n'
	}
	for c := r.at + 1; c < d.end(r); c += int(d.tape[c].size) {
		if hostile(nameOf(d.text, &d.tape[c], r.off)) || d.unmergeable(d.in(r, c)) {
			return true
		}
	}
	return false
}
