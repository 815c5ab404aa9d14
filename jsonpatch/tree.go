package jsonpatch

import (
	"bytes"
	"fmt"
	"slices"
)

// A tree is a value that operations may change. It is text until an operation reaches into it; then
// its members or elements become trees, and what is not reached stays text.
type tree struct {
	text   []byte // canonical; stale once there are kids
	levels int    // at most so many containers within each other, as far as it is text
	kids   []*member
	object bool // what kids are of
	found  int  // the member found last: operations tend to come in the order of members
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
	s := t.text
	if s[0] != '{' && s[0] != '[' {
		return false
	}
	t.object = s[0] == '{'
	all := make([]member, 0, 8)
	for i := 1; i < len(s)-1; i++ { // each round ends at a comma or at the closing bracket
		var m member
		if t.object {
			end := i + 1 + quote(s[i+1:])
			m.name = s[i+1 : end : end]
			i = end + 2
		}
		start := i
		i = valueEnd(s, i)
		m.tree = tree{text: s[start:i:i], levels: t.levels - 1}
		all = append(all, m)
	}
	t.kids = make([]*member, len(all))
	for i := range all {
		t.kids[i] = &all[i]
	}
	return true
}

// quote returns where the closing quote is of a canonical string whose opening quote was cut off.
func quote(s []byte) int {
	for i := 0; ; i++ {
		i += bytes.IndexByte(s[i:], '"')
		k := i
		for k > 0 && s[k-1] == '\\' {
			k--
		}
		if (i-k)%2 == 0 {
			return i
		}
	}
}

// valueEnd returns where the value at s[i] ends in a canonical text.
func valueEnd(s []byte, i int) int {
	for depth := 0; ; i++ {
		switch s[i] {
		case '"':
			i += 1 + quote(s[i+1:])
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
			if depth < 0 {
				return i
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
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
