package jsonpatch

import "fmt"

// ApplyMerge applies a JSON Merge Patch (RFC 7396) to a JSON text and returns the new document in canonical
// form. The error is a *SyntaxError, about one of the two.
func ApplyMerge(doc, patch []byte) ([]byte, error) {
	a, err := Parse(doc, Limits{})
	if err != nil {
		return nil, fmt.Errorf("document: %w", err)
	}
	b, err := Parse(patch, Limits{})
	if err != nil {
		return nil, fmt.Errorf("merge patch: %w", err)
	}
	m := mergeApplier{a: a, b: b, out: make([]byte, 0, len(a.text)+len(b.text))}
	m.value(ref{0, 0}, ref{0, 0})
	return m.out, nil
}

// A mergeApplier writes what a document, a, becomes by a patch, b.
type mergeApplier struct {
	d    Differ
	a, b *Document
	out  []byte
}

// value writes what x becomes by the patch y; x is none where there was nothing.
func (m *mergeApplier) value(x, y ref) {
	if m.b.tape[y.at].kind != kindObject {
		m.out = append(m.out, m.b.at(y)...)
		return
	}
	base := len(m.d.slots)
	defer func() { m.d.slots = m.d.slots[:base] }()
	start := len(m.out)
	var olds table
	if x != none && m.a.tape[x.at].kind == kindObject {
		olds = m.d.names(m.a, x)
		news := m.d.names(m.b, y)
		for i := x.at + 1; i < m.a.end(x); i += int(m.a.tape[i].size) {
			if j := news.find(m.b, m.a, y.off, x.off, i); j == 0 {
				m.name(nameOf(m.a.text, &m.a.tape[i], x.off))
				m.out = append(m.out, m.a.at(m.a.in(x, i))...)
			} else {
				m.member(m.a.in(x, i), y, j)
			}
		}
	}
	for j := y.at + 1; j < m.b.end(y); j += int(m.b.tape[j].size) {
		if olds.slots == nil || olds.find(m.a, m.b, x.off, y.off, j) == 0 {
			m.member(none, y, j)
		}
	}
	if len(m.out) == start {
		m.out = append(m.out, '{')
	}
	m.out[start] = '{'
	m.out = append(m.out, '}')
}

// member writes what the member of an object becomes by member j of the patch y, unless that removes it.
func (m *mergeApplier) member(old, y ref, j int) {
	now := m.b.in(y, j)
	if m.b.text[now.off] == 'n' { // null, as no other value begins so
		return
	}
	m.name(nameOf(m.b.text, &m.b.tape[j], y.off))
	m.value(old, now)
}

// name begins a member. What stands before the first becomes the opening brace.
func (m *mergeApplier) name(name []byte) {
	m.out = append(append(append(m.out, ',', '"'), name...), '"', ':')
}
