package jsonpatch

import (
	"errors"
	"fmt"
)

// ErrKey is the error for a collection whose items cannot be told apart.
var ErrKey = errors.New("items without a key of their own")

// An ItemKind says what happened to an item of a collection.
type ItemKind string

// The kinds of item change.
const (
	ItemCreated ItemKind = "created"
	ItemUpdated ItemKind = "updated"
	ItemDeleted ItemKind = "deleted"
)

// An ItemChange is what happened to one item of a keyed collection. Its texts are canonical JSON and
// belong to the documents.
type ItemChange struct {
	Kind    ItemKind
	Key     []byte         // a string, number or literal
	Value   []byte         // the item as it is now; as it was last, when it was deleted
	Old     []byte         // the item as it was, when it was updated
	Members []MemberChange // what changed in it; nil unless it is an object before and after
}

// A MemberChange is a member of an updated item that is not what it was.
type MemberChange struct {
	Name     string
	Old, New []byte // nil: not there
}

// Items compares a collection in two documents item by item. The pointer leads to it: an array, whose
// items are identified by key, a member's name or a pointer inside the item; or an object, whose items
// are its members and whose key is "". Created and updated items come in the order of the new
// document, deleted ones after them in that of the old. Noise is no update, as in Options, except that
// pointers start at the item. The order of items is not looked at.
//
// A collection that is not there has no items; if it is in neither document, the error wraps ErrPath.
// Items that have no key, or share one, lead to an error that wraps ErrKey.
func (d *Differ) Items(from, to *Document, pointer, key string) ([]ItemChange, error) {
	var path []string
	if key != "" {
		path = []string{key}
		if key[0] == '/' {
			var err error
			if path, err = ParsePointer(key); err != nil {
				return nil, fmt.Errorf("key: %w", err)
			}
		}
	}
	x, errX := from.find(pointer)
	y, errY := to.find(pointer)
	if errX != nil && errY != nil {
		return nil, errY
	}
	olds, err := keyed(from, x, path)
	if err != nil {
		return nil, fmt.Errorf("%s before: %w", pointer, err)
	}
	news, err := keyed(to, y, path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pointer, err)
	}
	return d.compareItems(from, to, olds, news), nil
}

// A collection is its items in order, and their numbers by key.
type collection struct {
	keys  [][]byte
	items []ref
	byKey map[string]int
}

func keyed(doc *Document, at ref, path []string) (collection, error) {
	c := collection{byKey: map[string]int{}}
	if at == none {
		return c, nil
	}
	n := &doc.tape[at.at]
	if n.kind < kindArray || (n.kind == kindObject) != (path == nil) {
		return c, fmt.Errorf("%w: neither an array with a key nor an object without", ErrKey)
	}
	for i := at.at + 1; i < doc.end(at); i += int(doc.tape[i].size) {
		item := doc.in(at, i)
		var key []byte
		if path == nil {
			name := nameOf(doc.text, &doc.tape[i], at.off)
			key = append(append([]byte{'"'}, name...), '"')
		} else if k := doc.descend(item, path); k != none {
			key = doc.at(k)
		} else {
			return c, fmt.Errorf("%w: item %d has none", ErrKey, len(c.items))
		}
		if _, twice := c.byKey[string(key)]; twice {
			return c, fmt.Errorf("%w: %s comes twice", ErrKey, key)
		}
		c.byKey[string(key)] = len(c.items)
		c.keys, c.items = append(c.keys, key), append(c.items, item)
	}
	return c, nil
}

func (d *Differ) compareItems(from, to *Document, olds, news collection) (changes []ItemChange) {
	w := noiseWalk{d: d, a: from, b: to}
	all := func(ps []pattern) uint64 { return 1<<len(ps) - 1 }
	for j, key := range news.keys {
		i, known := olds.byKey[string(key)]
		now := news.items[j]
		switch {
		case !known:
			changes = append(changes, ItemChange{Kind: ItemCreated, Key: key, Value: to.at(now)})
		case !d.equal(from, to, olds.items[i], now) && !w.same(olds.items[i], now, matching{all(d.ignore), all(d.sets)}):
			changes = append(changes, ItemChange{ItemUpdated, key, to.at(now), from.at(olds.items[i]), d.memberChanges(from, to, olds.items[i], now)})
		}
	}
	for i, key := range olds.keys {
		if _, still := news.byKey[string(key)]; !still {
			changes = append(changes, ItemChange{Kind: ItemDeleted, Key: key, Value: from.at(olds.items[i])})
		}
	}
	return changes
}

func (d *Differ) memberChanges(from, to *Document, x, y ref) (changes []MemberChange) {
	if from.tape[x.at].kind != kindObject || to.tape[y.at].kind != kindObject {
		return nil
	}
	defer func(base int, numeric bool) { d.slots, d.numeric = d.slots[:base], numeric }(len(d.slots), d.numeric)
	d.numeric = false // the item changed; now all of it is told
	left, right := d.names(from, x), d.names(to, y)
	for j := y.at + 1; j < to.end(y); j += int(to.tape[j].size) {
		c := MemberChange{Name: memberName(to, y, j), New: to.at(to.in(y, j))}
		if i := left.find(from, to, x.off, y.off, j); i != 0 {
			if d.equal(from, to, from.in(x, i), to.in(y, j)) {
				continue
			}
			c.Old = from.at(from.in(x, i))
		}
		changes = append(changes, c)
	}
	for i := x.at + 1; i < from.end(x); i += int(from.tape[i].size) {
		if right.find(to, from, y.off, x.off, i) == 0 {
			changes = append(changes, MemberChange{Name: memberName(from, x, i), Old: from.at(from.in(x, i))})
		}
	}
	return changes
}

func memberName(d *Document, container ref, at int) string {
	n := &d.tape[at]
	v := container.off + int(n.rel)
	return unquote(d.text[v-int(n.klen)-3 : v-1])
}

// AppendItems appends changes as one JSON object with the members created, updated and deleted, each
// left out when empty:
//
//	{"created":[{"key":7,"value":{…}}],"updated":[{"key":2,"new":{"qty":5},"old":{"qty":4}}],"deleted":[{"key":3,"value":{…}}]}
//
// In new and old stand the members that changed; for items that are not objects, the items.
func AppendItems(dst []byte, changes []ItemChange) []byte {
	dst = append(dst, '{')
	before := len(dst)
	for _, kind := range []ItemKind{ItemCreated, ItemUpdated, ItemDeleted} {
		first := true
		for _, c := range changes {
			if c.Kind != kind {
				continue
			}
			if first && len(dst) > before {
				dst = append(dst, ',')
			}
			if first {
				dst = append(append(append(dst, '"'), kind...), '"', ':', '[')
			} else {
				dst = append(dst, ',')
			}
			first = false
			dst = append(append(dst, `{"key":`...), c.Key...)
			if kind == ItemUpdated {
				dst = appendSide(append(dst, `,"new":`...), c, c.Value, func(m MemberChange) []byte { return m.New })
				dst = appendSide(append(dst, `,"old":`...), c, c.Old, func(m MemberChange) []byte { return m.Old })
			} else {
				dst = append(append(dst, `,"value":`...), c.Value...)
			}
			dst = append(dst, '}')
		}
		if !first {
			dst = append(dst, ']')
		}
	}
	return append(dst, '}')
}

// appendSide appends what an updated item was before or after: the members that changed, or all of it.
func appendSide(dst []byte, c ItemChange, whole []byte, side func(MemberChange) []byte) []byte {
	if c.Members == nil {
		return append(dst, whole...)
	}
	dst = append(dst, '{')
	first := true
	for _, m := range c.Members {
		value := side(m)
		if value == nil {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(append(append(dst, '"'), canonicalName(m.Name)...), '"', ':')
		dst = append(dst, value...)
	}
	return append(dst, '}')
}
