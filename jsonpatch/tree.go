package jsonpatch

import (
	"bytes"
	"fmt"
	"slices"
)

// A tree is a value that operations may change. It is text until an operation reaches into it; then
// its members or elements become trees, and what is not reached stays text.
type tree struct {
	text   []byte    // canonical; stale once there are kids
	doc    *Document // where the text stands, to find its parts; nil: not known
	at     int       // its node there
	kids   []*member
	object bool // what kids are of
	found  int  // the member found last: operations tend to come in the order of members
}

// tree returns a value of the document as a tree.
func (d *Document) tree(r ref) tree { return tree{text: d.at(r), doc: d, at: r.at} }

// levels returns how deeply a value without kids is nested: 0 for a scalar.
func (t *tree) levels() int {
	if t.text[0] != '{' && t.text[0] != '[' {
		return 0
	}
	t.parse()
	return t.doc.levels(t.at)
}

// parse makes sure that the parts of a text are known.
func (t *tree) parse() {
	if t.doc != nil {
		return
	}
	d, err := Parse(t.text, Limits{Size: maxSize, Depth: maxDepth, Members: maxSize})
	if err != nil {
		panic("jsonpatch: a value that was just written is not JSON: " + err.Error())
	}
	t.doc, t.at = d, 0
}

// levels returns how many containers lie within each other.
func (d *Document) levels(at int) (n int) {
	if d.tape[at].kind < kindArray {
		return 0
	}
	for c := at + 1; c < at+int(d.tape[at].size); c += int(d.tape[c].size) {
		if d.tape[c].kind >= kindArray {
			n = max(n, d.levels(c))
		}
	}
	return n + 1
}

type member struct {
	name []byte // canonical, without quotes
	tree
}

// bytes is about the length of the value's text: exact for text, a sum without commas for kids.
func (t *tree) bytes() int {
	if t.kids == nil {
		return len(t.text)
	}
	n := 2
	for i := range t.kids {
		n += len(t.kids[i].name) + t.kids[i].bytes()
	}
	return n
}

func (t *tree) write(dst []byte) []byte {
	if t.kids == nil {
		return append(dst, t.text...)
	}
	open, closing := byte('['), byte(']')
	if t.object {
		open, closing = '{', '}'
	}
	dst = append(dst, open)
	for i := range t.kids {
		if i > 0 {
			dst = append(dst, ',')
		}
		if t.object {
			dst = append(append(append(dst, '"'), t.kids[i].name...), '"', ':')
		}
		dst = t.kids[i].write(dst)
	}
	return append(dst, closing)
}

// open turns the text of a container into kids. It reports false for a scalar.
func (t *tree) open() bool {
	if t.kids != nil {
		return true
	}
	if t.text[0] != '{' && t.text[0] != '[' {
		return false
	}
	t.parse()
	d := t.doc
	n := &d.tape[t.at]
	t.object = n.kind == kindObject
	count := 0
	for c := t.at + 1; c < t.at+int(n.size); c += int(d.tape[c].size) {
		count++
	}
	all := make([]member, count)
	t.kids = make([]*member, count)
	i := 0
	for c := t.at + 1; c < t.at+int(n.size); c += int(d.tape[c].size) {
		k := &d.tape[c]
		m := &all[i]
		m.tree = tree{text: t.text[k.rel : k.rel+k.len : k.rel+k.len], doc: d, at: c}
		if t.object {
			m.name = nameOf(t.text, k, 0)
		}
		t.kids[i] = m
		i++
	}
	return true
}

func (t *tree) member(name string) int {
	want := canonicalName(name)
	n := len(t.kids)
	for k := range n {
		i := t.found + k
		if i >= n {
			i -= n
		}
		if bytes.Equal(t.kids[i].name, want) {
			t.found = i
			return i
		}
	}
	return -1
}

// step returns the number of the kid that a token names.
func (t *tree) step(token string) (int, error) {
	if !t.open() {
		return 0, fmt.Errorf("%w: %q is looked for in a value that has no members", ErrPath, token)
	}
	if t.object {
		if i := t.member(token); i >= 0 {
			return i, nil
		}
		return 0, fmt.Errorf("%w: no member %q", ErrPath, token)
	}
	i, ok := index(token)
	if !ok || i >= len(t.kids) {
		return 0, fmt.Errorf("%w: no element %q in an array of %d", ErrPath, token, len(t.kids))
	}
	return i, nil
}

func (t *tree) find(path []string) (*tree, error) {
	for _, token := range path {
		i, err := t.step(token)
		if err != nil {
			return nil, err
		}
		t = &t.kids[i].tree
	}
	return t, nil
}

func (t *tree) remove(path []string) (tree, error) {
	if len(path) == 0 {
		return tree{}, fmt.Errorf("the whole document cannot be removed")
	}
	parent, err := t.find(path[:len(path)-1])
	if err != nil {
		return tree{}, err
	}
	i, err := parent.step(path[len(path)-1])
	if err != nil {
		return tree{}, err
	}
	removed := parent.kids[i].tree
	parent.kids = slices.Delete(parent.kids, i, i+1)
	parent.found = min(parent.found, max(len(parent.kids)-1, 0))
	return removed, nil
}

// add puts a value in place and returns the bytes of the member that it replaced.
func (t *tree) add(path []string, value tree) (replaced int, err error) {
	parent, err := t.find(path[:len(path)-1])
	if err != nil {
		return 0, err
	}
	token := path[len(path)-1]
	if !parent.open() {
		return 0, fmt.Errorf("%w: %q is to be added to a value that has no members", ErrPath, token)
	}
	if parent.object {
		if i := parent.member(token); i >= 0 {
			replaced = parent.kids[i].bytes() + len(token)
			parent.kids[i].tree = value
			return replaced, nil
		}
		parent.kids = append(parent.kids, &member{canonicalName(token), value})
		return 0, nil
	}
	i, ok := len(parent.kids), true
	if token != "-" {
		i, ok = index(token)
	}
	if !ok || i > len(parent.kids) {
		return 0, fmt.Errorf("%w: %q is no place in an array of %d", ErrPath, token, len(parent.kids))
	}
	parent.kids = slices.Insert(parent.kids, i, &member{tree: value})
	return 0, nil
}
