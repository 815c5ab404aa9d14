package jsonpatch

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Options steers what a change is and how it is told. The zero Options computes exact patches.
//
// Pointers are JSON Pointers (RFC 6901) in which the token * stands for any member or element.
//
// Ignore, Sets, Tolerance and NumericEqual say which differences are noise. Where all differences are,
// nothing changed. Where one is not, the patch tells all of them, so that applying it always gives the
// new document. After noise keep comparing with the old document, or slow drift is never seen.
type Options struct {
	// ArrayKeys names, by the pointer of an array, the member that identifies its elements: a
	// member's name, or a pointer inside the element. Without it one is looked for.
	ArrayKeys map[string]string

	Ignore       []string // what is at these pointers or below; at most 64
	Sets         []string // the order of elements in these arrays; at most 64
	Tolerance    float64  // numbers that differ by no more than this
	NumericEqual bool     // other spellings of the same number: 1.0 and 1.00

	// Rollup is how much the operations inside a member or element may cost, in percent of
	// replacing it; then it is replaced. 0 means 100, the smallest patch. 150 is best when
	// patches are compressed afterwards: many small operations compress well. 10 to 1000.
	Rollup int
}

// A Differ computes patches. It keeps memory between calls and must not be used by two goroutines at
// once. The zero Differ is one of the zero Options.
type Differ struct {
	keys         []arrayKey
	ignore, sets []pattern
	tolerance    float64
	numeric      bool // numbers of equal value are equal
	rollup       int  // percent; 0 is 100

	a, b    *Document
	out     []byte // operations, each after a comma
	ops     int
	retold  int    // nested arrays that are being told a second time
	path    []byte // of the values being compared, as it stands in a patch
	lastKey place  // of the member that identified an element last
	memory
}

type arrayKey struct {
	array pattern
	key   []string
}

// Stats tells about a patch.
type Stats struct {
	Ops   int  // operations
	Whole bool // the patch is one replace of the whole document
}

// NewDiffer checks the options. The error names the field and says what is wrong with it.
func NewDiffer(o Options) (*Differ, error) {
	d := &Differ{tolerance: o.Tolerance, numeric: o.NumericEqual, rollup: o.Rollup}
	if !(o.Tolerance >= 0) || math.IsInf(o.Tolerance, 0) {
		return nil, fmt.Errorf("options: Tolerance: %v is not a number from 0 on", o.Tolerance)
	}
	if o.Rollup != 0 && (o.Rollup < 10 || o.Rollup > 1000) {
		return nil, fmt.Errorf("options: Rollup: %d is not from 10 to 1000", o.Rollup)
	}
	for _, s := range slices.Sorted(maps.Keys(o.ArrayKeys)) {
		p, err := parsePattern(s)
		if err != nil {
			return nil, fmt.Errorf("options: ArrayKeys: %w", err)
		}
		key := []string{o.ArrayKeys[s]}
		if strings.HasPrefix(key[0], "/") {
			if key, err = ParsePointer(key[0]); err != nil {
				return nil, fmt.Errorf("options: ArrayKeys[%q]: %w", s, err)
			}
		} else if key[0] == "" {
			return nil, fmt.Errorf("options: ArrayKeys[%q]: the name of a member is required", s)
		}
		d.keys = append(d.keys, arrayKey{p, key})
	}
	var err error
	if d.ignore, err = parsePatterns(o.Ignore); err != nil {
		return nil, fmt.Errorf("options: Ignore: %w", err)
	}
	if d.sets, err = parsePatterns(o.Sets); err != nil {
		return nil, fmt.Errorf("options: Sets: %w", err)
	}
	return d, nil
}

// Diff returns the RFC 6902 patch that leads from one JSON text to another, "[]" when they are the
// same value. The error is a *SyntaxError.
func Diff(from, to []byte) ([]byte, error) {
	a, err := Parse(from, Limits{Size: maxSize})
	if err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	b := new(Document)
	if err := b.Parse(to, a, Limits{Size: maxSize}); err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	var d Differ
	patch, stats := d.Append(nil, a, b)
	if stats.Ops == 0 {
		return []byte("[]"), nil
	}
	return patch, nil
}

// Append appends the RFC 6902 patch that leads from one document to another, nothing when nothing
// changed. It is fastest when from was the guide of to. A patch is never larger than the new document
// and 40 bytes.
func (d *Differ) Append(dst []byte, from, to *Document) ([]byte, Stats) {
	start := len(dst)
	d.a, d.b, d.out, d.ops, d.path = from, to, dst, 0, d.path[:0]
	root := ref{0, 0}
	switch {
	case len(to.tape) == 0:
		return dst, Stats{}
	case len(from.tape) == 0:
		d.replace(root)
	default:
		d.value(root, root, from.id == to.guide)
	}
	out := d.out
	d.a, d.b, d.out = nil, nil, nil // keeps none of the caller's memory
	if d.ops == 0 || d.noise(from, to) {
		return out[:start], Stats{}
	}
	out[start] = '['
	return append(out, ']'), Stats{Ops: d.ops, Whole: d.ops == 1 && isWhole(out[start:])}
}

const (
	opAdd     = `,{"op":"add","path":"`
	opRemove  = `,{"op":"remove","path":"`
	opReplace = `,{"op":"replace","path":"`
	opMove    = `,{"op":"move","from":"`
	opPath    = `","path":"`
	opValue   = `","value":`
)

func isWhole(patch []byte) bool {
	const whole = opReplace + opValue
	return len(patch) >= len(whole) && string(patch[1:len(whole)]) == whole[1:]
}

func (d *Differ) write(op string, value ref) {
	out := append(d.out, op...)
	out = append(out, d.path...)
	out = append(out, opValue...)
	out = append(out, d.b.at(value)...)
	d.out = append(out, '}')
	d.ops++
}

func (d *Differ) replace(value ref) { d.write(opReplace, value) }
func (d *Differ) add(value ref)     { d.write(opAdd, value) }

func (d *Differ) remove() {
	d.out = append(d.out, opRemove...)
	d.out = append(d.out, d.path...)
	d.out = append(d.out, '"', '}')
	d.ops++
}

// replaceCost is what a replace of the value takes in a patch.
func (d *Differ) replaceCost(value ref) int {
	return len(opReplace) + len(d.path) + len(opValue) + int(d.b.tape[value.at].len) + 1
}

// enter adds a name to the path and returns what leave needs to take it away.
func (d *Differ) enter(name []byte) (parent int) {
	parent = len(d.path)
	path := append(d.path, '/')
	for i, c := range name {
		if c == '~' || c == '/' {
			d.path = appendToken(path, name[i:])
			return parent
		}
		path = append(path, c) // names are short
	}
	d.path = path
	return parent
}

// appendToken appends a name as a pointer has it (RFC 6901, section 3).
func appendToken(path, name []byte) []byte {
	for _, c := range name {
		switch c {
		case '~':
			path = append(path, '~', '0')
		case '/':
			path = append(path, '~', '1')
		default:
			path = append(path, c)
		}
	}
	return path
}

func (d *Differ) enterIndex(i int) (parent int) {
	parent = len(d.path)
	d.path = strconv.AppendInt(append(d.path, '/'), int64(i), 10)
	return parent
}

func (d *Differ) leave(parent int) { d.path = d.path[:parent] }

// in returns a child of a container.
func (d *Document) in(container ref, at int) ref { return ref{at, container.off + int(d.tape[at].rel)} }

// end returns the node behind a value.
func (d *Document) end(r ref) int { return r.at + int(d.tape[r.at].size) }

// value tells how value x of the old document becomes y of the new one. Linked says that x is the
// pair of y.
func (d *Differ) value(x, y ref, linked bool) {
	na, nb := &d.a.tape[x.at], &d.b.tape[y.at]
	if linked && nb.flag&flagSame != 0 {
		return
	}
	if na.len == nb.len && (!linked || nb.kind < kindArray) && string(d.a.at(x)) == string(d.b.at(y)) {
		return
	}
	if na.kind != nb.kind || na.kind < kindArray {
		d.replace(y)
		return
	}
	start, ops := len(d.out), d.ops
	budget := d.replaceCost(y)
	if len(d.path) > 0 && d.rollup != 0 {
		budget = budget * d.rollup / 100
	}
	ok := false
	if na.kind == kindObject {
		ok = d.object(x, y, linked, start+budget)
	} else {
		ok = d.array(x, y, linked, start+budget)
	}
	if !ok || len(d.out) > start+budget {
		d.out, d.ops = d.out[:start], ops
		d.replace(y)
	}
}
