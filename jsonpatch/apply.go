package jsonpatch

import (
	"errors"
	"fmt"
	"slices"
)

// An ApplyError says which operation of a patch failed, and why. Nothing was changed then.
type ApplyError struct {
	Index  int    // of the operation in the patch, from 0; -1 when it is the patch as a whole
	Op     string // the operation's op, as far as known
	Path   string // the operation's path
	Reason string
	err    error // ErrPath, ErrSize, ErrDepth, ErrMembers or nil
}

func (e *ApplyError) Error() string {
	if e.Index < 0 {
		return "not a JSON Patch: " + e.Reason
	}
	return fmt.Sprintf("patch operation %d (%s %q): %s", e.Index, e.Op, e.Path, e.Reason)
}

// Unwrap returns ErrPath for a place that is not there, one of ErrSize, ErrDepth and ErrMembers for a
// result beyond the limits, and nil for other reasons.
func (e *ApplyError) Unwrap() error { return e.err }

// Apply applies an RFC 6902 patch to a JSON text, all of it or nothing, and returns the new document
// in canonical form. A result beyond the default Limits is refused before it is built. The error is a
// *SyntaxError about the document, or an *ApplyError.
func Apply(doc, patch []byte) ([]byte, error) {
	var lim Limits
	lim = lim.orDefault()
	d, err := Parse(doc, lim)
	if err != nil {
		return nil, fmt.Errorf("document: %w", err)
	}
	p, err := Parse(patch, lim)
	if err != nil {
		return nil, &ApplyError{Index: -1, Reason: err.Error(), err: errors.Unwrap(err)}
	}
	if p.tape[0].kind != kindArray {
		return nil, &ApplyError{Index: -1, Reason: "it is not an array"}
	}
	a := applier{lim: lim, doc: d.tree(ref{0, 0}), size: len(d.text)}
	i := 0
	for at := 1; at < len(p.tape); at += int(p.tape[at].size) {
		op, err := readOp(p, ref{at, int(p.tape[at].rel)})
		if err == nil {
			err = a.apply(op)
		}
		if err != nil {
			e := &ApplyError{Index: i, Op: op.op, Path: op.path, Reason: err.Error()}
			for _, known := range []error{ErrPath, ErrSize, ErrDepth, ErrMembers} {
				if errors.Is(err, known) {
					e.err = known
				}
			}
			return nil, e
		}
		i++
	}
	return a.doc.write(make([]byte, 0, a.size)), nil
}

// An operation is one element of a patch.
type operation struct {
	op, path, from string
	value          tree
}

// readOp reads an operation. Members that RFC 6902 does not name are ignored (section 4).
func readOp(p *Document, at ref) (op operation, err error) {
	if p.tape[at.at].kind != kindObject {
		return op, errors.New("an operation must be an object")
	}
	text := func(name string) (string, error) {
		m := p.child(at, name)
		if m == none || p.tape[m.at].kind != kindString {
			return "", fmt.Errorf("the member %q must be a string", name)
		}
		return unquote(p.at(m)), nil
	}
	if op.op, err = text("op"); err != nil {
		return op, err
	}
	if op.path, err = text("path"); err != nil {
		return op, err
	}
	switch op.op {
	case "remove":
	case "move", "copy":
		op.from, err = text("from")
	case "add", "replace", "test":
		m := p.child(at, "value")
		if m == none {
			return op, errors.New(`the member "value" is missing`)
		}
		op.value = p.tree(m)
	default:
		err = fmt.Errorf("there is no operation %q", op.op)
	}
	return op, err
}

// unquote decodes a canonical string.
func unquote(s []byte) string {
	s = s[1 : len(s)-1]
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			b = append(b, s[i])
			i++
			continue
		}
		r, n := unescape(s[i:])
		b = append(b, string(r)...)
		i += n
	}
	return string(b)
}

// An applier holds a document while operations change it.
type applier struct {
	lim  Limits
	doc  tree
	size int // at least the bytes of the document's text
}

func (a *applier) apply(op operation) error {
	path, err := a.pointer(op.path)
	if err != nil {
		return err
	}
	switch op.op {
	case "test":
		at, err := a.doc.find(path)
		if err == nil && !equalValues(at.write(nil), op.value.text) {
			err = errors.New("the value is another")
		}
		return err
	case "remove":
		removed, err := a.doc.remove(path)
		if err == nil {
			a.size -= removed.bytes()
		}
		return err
	case "add":
		return a.add(path, op.value)
	case "replace":
		if len(path) > 0 {
			removed, err := a.doc.find(path)
			if err != nil {
				return err
			}
			return a.put(path, removed, op.value)
		}
		return a.add(path, op.value)
	}
	from, err := a.pointer(op.from)
	if err != nil {
		return fmt.Errorf("from: %w", err)
	}
	if op.op == "move" {
		return a.move(from, path)
	}
	at, err := a.doc.find(from)
	if err != nil {
		return fmt.Errorf("from: %w", err)
	}
	return a.add(path, a.flat(at))
}

// pointer reads a pointer that is no longer than a document may be deep.
func (a *applier) pointer(s string) ([]string, error) {
	tokens, err := ParsePointer(s)
	if err == nil && len(tokens) > a.lim.Depth {
		err = ErrDepth
	}
	return tokens, err
}

// flat returns a copy of a tree as text alone, so that no two places share nodes.
func (a *applier) flat(t *tree) tree {
	if t.kids == nil {
		return *t
	}
	return tree{text: t.write(nil)}
}

func (a *applier) move(from, path []string) error {
	if len(from) < len(path) && slices.Equal(from, path[:len(from)]) {
		return errors.New("a value cannot be moved into itself") // RFC 6902, section 4.4
	}
	at, err := a.doc.find(from)
	if err != nil {
		return fmt.Errorf("from: %w", err)
	}
	if slices.Equal(from, path) {
		return nil
	}
	value := a.flat(at)
	if _, err := a.doc.remove(from); err != nil {
		return fmt.Errorf("from: %w", err)
	}
	a.size -= value.bytes()
	return a.add(path, value)
}

// add puts a value in the place of path. The limits hold for what it would lead to.
func (a *applier) add(path []string, value tree) error {
	if err := a.room(path, value, 0); err != nil {
		return err
	}
	if len(path) == 0 {
		a.doc, a.size = value, value.bytes()
		return nil
	}
	replaced, err := a.doc.add(path, value)
	if err == nil {
		a.size += value.bytes() + len(path[len(path)-1]) + 4 - replaced
	}
	return err
}

func (a *applier) put(path []string, at *tree, value tree) error {
	old := at.bytes()
	if err := a.room(path, value, old); err != nil {
		return err
	}
	*at = value
	a.size += value.bytes() - old
	return nil
}

func (a *applier) room(path []string, value tree, freed int) error {
	if len(path) > 0 && a.size+value.bytes()-freed > a.lim.Size {
		return fmt.Errorf("the document would be %w", ErrSize)
	}
	if len(path)+value.levels() > a.lim.Depth {
		return fmt.Errorf("the document would be %w", ErrDepth)
	}
	return nil
}
