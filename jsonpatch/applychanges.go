package jsonpatch

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// ApplyChanges applies what AppendChanges made to a JSON text, all of it or nothing, and returns the new document
// in canonical form. Items stay where they are, and those that were created come last in their array, in their
// order: but for the order of items it is the document that the changes lead to. The error is a *SyntaxError, an
// *ApplyError about the patch, or wraps ErrPath or ErrKey where the changes do not fit the document.
func ApplyChanges(doc, changes []byte) ([]byte, error) {
	c, err := Parse(changes, Limits{})
	if err != nil {
		return nil, fmt.Errorf("changes: %w", err)
	}
	root := ref{0, 0}
	if c.tape[0].kind != kindObject {
		return nil, errors.New("changes: not an object")
	}
	if patch := c.child(root, "patch"); patch != none {
		if doc, err = Apply(doc, c.at(patch)); err != nil {
			return nil, err
		}
	}
	a, err := Parse(doc, Limits{})
	if err != nil {
		return nil, fmt.Errorf("document: %w", err)
	}
	arrays, err := changedArrays(a, c)
	if err != nil {
		return nil, err
	}
	out, done := make([]byte, 0, len(a.text)+len(c.text)), 0
	for _, array := range arrays {
		end := array.at.off + int(a.tape[array.at.at].len)
		if array.at.off < done {
			return nil, fmt.Errorf("%w: %q lies in another array of keys", ErrPath, array.pointer)
		}
		out = append(out, a.text[done:array.at.off]...)
		if out, err = array.apply(out, a, c); err != nil {
			return nil, err
		}
		done = end
	}
	return append(out, a.text[done:]...), nil
}

// A changedArray is an array of a document and what becomes of its items.
type changedArray struct {
	pointer string
	at      ref
	key     [][]byte
	entries map[ItemKind][]ref // in the changes
}

// changedArrays sorts the changes by array, in the order of the document.
func changedArrays(doc, changes *Document) ([]*changedArray, error) {
	root := ref{0, 0}
	known := map[string]*changedArray{}
	var arrays []*changedArray
	if keys := changes.child(root, "keys"); keys != none {
		if changes.tape[keys.at].kind != kindObject {
			return nil, fmt.Errorf("%w: keys is not an object", ErrKey)
		}
		for i := keys.at + 1; i < changes.end(keys); i += int(changes.tape[i].size) {
			array, err := newChangedArray(doc, memberName(changes, keys, i), changes.at(changes.in(keys, i)))
			if err != nil {
				return nil, err
			}
			known[array.pointer] = array
			arrays = append(arrays, array)
		}
	}
	for _, kind := range []ItemKind{ItemCreated, ItemUpdated, ItemDeleted} {
		list := changes.child(root, string(kind))
		if list == none {
			continue
		}
		if changes.tape[list.at].kind != kindArray {
			return nil, fmt.Errorf("changes: %s is not an array", kind)
		}
		for i := list.at + 1; i < changes.end(list); i += int(changes.tape[i].size) {
			entry := changes.in(list, i)
			at := changes.child(entry, "array")
			if at == none || changes.tape[at.at].kind != kindString {
				return nil, fmt.Errorf("%w: an item of %s names no array", ErrPath, kind)
			}
			array := known[unquote(changes.at(at))]
			if array == nil {
				return nil, fmt.Errorf("%w: keys has none for the array %s", ErrKey, changes.at(at))
			}
			array.entries[kind] = append(array.entries[kind], entry)
		}
	}
	slices.SortFunc(arrays, func(a, b *changedArray) int { return cmp.Compare(a.at.off, b.at.off) })
	return arrays, nil
}

// newChangedArray finds an array by its pointer; key is a text, as Options.ArrayKeys has it.
func newChangedArray(doc *Document, pointer string, key []byte) (*changedArray, error) {
	at, err := doc.find(pointer)
	if err != nil {
		return nil, err
	}
	if doc.tape[at.at].kind != kindArray || key[0] != '"' {
		return nil, fmt.Errorf("%w: %q", ErrKey, pointer)
	}
	names := []string{unquote(key)}
	if len(names[0]) > 0 && names[0][0] == '/' {
		if names, err = ParsePointer(names[0]); err != nil {
			return nil, fmt.Errorf("key of %q: %w", pointer, err)
		}
	}
	array := &changedArray{pointer: pointer, at: at, entries: map[ItemKind][]ref{}}
	for _, name := range names {
		array.key = append(array.key, canonicalName(name))
	}
	return array, nil
}

// apply appends what the array becomes.
func (c *changedArray) apply(dst []byte, doc, changes *Document) ([]byte, error) {
	var m memory
	olds, ok := m.keyedArray(doc, c.at, c.key)
	if !ok {
		return nil, fmt.Errorf("%w: in the array %q", ErrKey, c.pointer)
	}
	now := make([][]byte, len(olds.items)) // nil: gone
	for i, item := range olds.items {
		now[i] = doc.at(item)
	}
	for _, kind := range []ItemKind{ItemDeleted, ItemUpdated} {
		for _, entry := range c.entries[kind] {
			key, value, err := c.read(changes, entry, kind)
			if err != nil {
				return nil, err
			}
			i := olds.find(changes, span{key.off, int(changes.tape[key.at].len)})
			if i < 0 || now[i] == nil {
				return nil, fmt.Errorf("%w: the array %q has no item %s to be %s", ErrKey, c.pointer, changes.at(key), kind)
			}
			now[i] = value
		}
	}
	for _, entry := range c.entries[ItemCreated] {
		key, value, err := c.read(changes, entry, ItemCreated)
		if err != nil {
			return nil, err
		}
		if i := olds.find(changes, span{key.off, int(changes.tape[key.at].len)}); i >= 0 {
			return nil, fmt.Errorf("%w: the array %q has an item %s already", ErrKey, c.pointer, changes.at(key))
		}
		now = append(now, value)
	}
	start := len(dst)
	for _, value := range now {
		if value != nil {
			dst = append(append(dst, ','), value...)
		}
	}
	if len(dst) == start {
		dst = append(dst, '[')
	}
	dst[start] = '['
	return append(dst, ']'), nil
}

// read reads an entry: the item's key, and what it becomes.
func (c *changedArray) read(changes *Document, entry ref, kind ItemKind) (key ref, value []byte, err error) {
	if key = changes.child(entry, "key"); key == none {
		return key, nil, fmt.Errorf("%w: of an item that was %s in the array %q", ErrKey, kind, c.pointer)
	}
	if kind == ItemDeleted {
		return key, nil, nil
	}
	at := changes.child(entry, "value")
	if at == none {
		return key, nil, fmt.Errorf("%w: there is no value of the item %s in the array %q", ErrKey, changes.at(key), c.pointer)
	}
	return key, changes.at(at), nil
}
