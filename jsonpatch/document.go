package jsonpatch

import (
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"unicode/utf8"
)

// Limits bounds what is accepted. A zero field takes its default.
type Limits struct {
	Depth   int // nested arrays and objects; 256, at most 10000
	Size    int // bytes of the text as given; 64 MiB, at most 1 GiB
	Members int // values in the whole document, containers included; 4 Mi
}

const (
	defaultDepth   = 256
	defaultSize    = 64 << 20
	defaultMembers = 4 << 20
	maxDepth       = 10_000 // the parser recurses; this keeps its stack below a few megabytes
	maxSize        = 1 << 30
)

func (l Limits) orDefault() Limits {
	pick := func(n, standard, most int) int {
		if n <= 0 {
			n = standard
		}
		return min(n, most)
	}
	return Limits{
		Depth:   pick(l.Depth, defaultDepth, maxDepth),
		Size:    pick(l.Size, defaultSize, maxSize),
		Members: pick(l.Members, defaultMembers, maxSize),
	}
}

// What a SyntaxError is about, when it is one of the limits.
var (
	ErrDepth   = errors.New("nested too deeply")
	ErrSize    = errors.New("too large")
	ErrMembers = errors.New("too many values")
)

// A SyntaxError says why a text is not one JSON value that a Document can hold.
type SyntaxError struct {
	Offset int64  // of the first byte that is wrong, from 0
	Reason string // what is wrong there
	limit  error  // ErrDepth, ErrSize, ErrMembers or nil
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("not valid JSON at byte %d: %s", e.Offset, e.Reason)
}

// Unwrap returns ErrDepth, ErrSize or ErrMembers when one of the Limits was met.
func (e *SyntaxError) Unwrap() error { return e.limit }

// A Document is a JSON value, parsed. It holds its own copy of the text, in canonical form: no white
// space, each string in its shortest spelling (RFC 8259, section 7, leaves a choice of escapes), of
// members with the same name only the last. Numbers keep their spelling.
//
// After Parse it may be read by any number of goroutines at once. The zero Document holds nothing.
type Document struct {
	text   []byte // canonical; padding zeros lie behind it in the same array
	tape   []node // every value in document order, a container before what it contains
	loose  bool   // the text as given was not canonical; neither will the next one be
	source source // what it was, when loose
	depth  int    // the limit that held for this document
	id     uint64 // random, new at each Parse
	guide  uint64 // the id of the document that the pairs of the tape refer to
	spare  []byte // memory for writing the text anew
	slots  []uint32
}

// A node is one value. Nothing in it depends on where in the text or on the tape it stands, so that
// a subtree is copied to another document as it is.
type node struct {
	rel  uint32 // where the value starts, from the start of its container's value
	len  uint32 // of the value in bytes
	size uint32 // nodes in the subtree, itself included
	pair uint32 // 1 + index of the counterpart in the guide's tape; 0: none
	klen uint32 // of the member's name in bytes, between the quotes
	hash uint16 // of the member's name
	kind kind
	flag uint8
}

type kind uint8

const (
	kindLiteral kind = iota // true, false, null
	kindNumber
	kindString
	kindArray
	kindObject
)

const (
	flagSame uint8 = 1 << iota // it equals its pair, then the pairs of its children mean nothing
	flagDead                   // a member that a later one of the same name replaces
)

// padding lets the scanners read whole words at the end of a text. Zeros are wrong everywhere in JSON.
const padding = 8

// Parse reads one JSON value, strictly after RFC 8259. Invalid UTF-8, lone surrogates and a byte
// order mark are refused. An error is a *SyntaxError.
func Parse(raw []byte, lim Limits) (*Document, error) {
	d := new(Document)
	if err := d.Parse(raw, nil, lim); err != nil {
		return nil, err
	}
	return d, nil
}

// Parse is like the function Parse, but reuses the memory of d. What stands in the guide, a document
// thought to be similar, usually the one before, need not be parsed again: only bytes that differ
// are looked at. The guide changes neither the result nor what is accepted; it may be nil.
// After an error d holds nothing. raw is not kept.
func (d *Document) Parse(raw []byte, guide *Document, lim Limits) error {
	lim = lim.orDefault()
	if guide == d || guide != nil && (len(guide.tape) == 0 || guide.depth > lim.Depth) {
		guide = nil
	}
	d.id, d.guide, d.depth, d.loose, d.tape = newID(), 0, lim.Depth, false, d.tape[:0]
	if len(raw) > lim.Size {
		d.text = d.text[:0]
		return &SyntaxError{int64(lim.Size), fmt.Sprintf("more than %d bytes", lim.Size), ErrSize}
	}
	if utf8.Valid(raw) {
		if guide == nil || !guide.loose {
			d.text = pad(append(d.text[:0], raw...))
			if d.fill(guide, lim) {
				return nil
			}
		}
		var old source
		var oldText []byte
		if guide != nil && guide.loose {
			old, oldText = guide.source, guide.text
		}
		d.source.text = pad(append(d.source.text[:0], raw...))
		d.text = d.source.shorten(d.text[:0], &old, oldText)
		if d.loose = len(d.text) < len(raw); d.fill(guide, lim) {
			return nil
		}
	}
	d.text, d.tape = d.text[:0], d.tape[:0]
	if err := check(raw, lim); err != nil {
		return err
	}
	return &SyntaxError{0, "not understood", nil} // the two parsers disagree; the fuzz tests look for this
}

// fill makes the tape out of the text. It reports whether the text is canonical JSON within limits.
func (d *Document) fill(guide *Document, lim Limits) bool {
	for {
		p := parser{s: d.text[:len(d.text)+padding], tape: d.tape[:0], slots: d.slots, depth: lim.Depth, most: lim.Members}
		var end int
		if guide != nil {
			p.old, p.guide = guide.text[:len(guide.text)+padding], guide.tape
			end = p.guided(0, place{}, 0, 0)
			d.guide = guide.id
		} else {
			end = p.value(0, place{}, none)
		}
		d.tape, d.slots = p.tape, p.slots
		if end != len(d.text) || len(d.tape) > lim.Members {
			return false
		}
		if !p.twice {
			return true
		}
		d.spare = pad(d.write(d.spare[:0], 0, 0))
		d.text, d.spare = d.spare, d.text
		d.source.lines = d.source.lines[:0] // they do not lead into this text
	}
}

// write appends the value without the dead members.
func (d *Document) write(dst []byte, at, off int) []byte {
	n := &d.tape[at]
	if n.kind < kindArray {
		return append(dst, d.text[off:off+int(n.len)]...)
	}
	dst = append(dst, d.text[off])
	first := true
	for c := at + 1; c < at+int(n.size); c += int(d.tape[c].size) {
		m := &d.tape[c]
		if m.flag&flagDead != 0 {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		start := off + int(m.rel)
		if n.kind == kindObject {
			dst = append(dst, d.text[start-int(m.klen)-3:start]...)
		}
		dst = d.write(dst, c, start)
	}
	return append(dst, d.text[off+int(n.len)-1])
}

// Bytes returns the canonical text. It must not be changed.
func (d *Document) Bytes() []byte { return slices.Clip(d.text) }

// newID returns a random number. Two documents share one with a probability of 2⁻⁶⁴.
func newID() uint64 { return maphash.String(maphash.MakeSeed(), "") | 1 }

// pad puts the padding behind b.
func pad(b []byte) []byte {
	n := len(b)
	return append(b, make([]byte, padding)...)[:n]
}

// Compact appends the canonical text of src, as a Document has it, to dst. The error is a *SyntaxError.
func Compact(dst, src []byte) ([]byte, error) {
	d, err := Parse(src, Limits{Size: maxSize})
	if err != nil {
		return dst, err
	}
	return append(dst, d.text...), nil
}
