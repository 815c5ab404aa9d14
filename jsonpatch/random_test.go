package jsonpatch_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// A maker makes random documents with sharp edges, and later versions of them.
type maker struct{ *rand.Rand }

func newMaker(seed uint64) maker { return maker{rand.New(rand.NewPCG(seed, 7))} }

var (
	names = []string{
		"", "a", "b", "id", "name", "a/b", "m~n", "~1", "~01", `q"`, "t\t", "é", "日本", "__proto__", "constructor",
		"prototype", "0", "1", "-", "a-name-longer-than-sixteen-bytes", "\u0001", "x y", `\`, "toString",
	}
	scalars = []any{
		nil, true, false, json.Number("0"), json.Number("-0"), json.Number("1"), json.Number("1.0"), json.Number("1e400"),
		json.Number("12345678901234567890"), json.Number("9007199254740993"), json.Number("0.1"), "", "a", "b", "é", "\U0001F600", "\u2028", `"\/`,
		"\u0000\n", "a text that is longer than sixteen bytes", "<html>&",
	}
)

func (m maker) scalar() any {
	if m.IntN(3) == 0 {
		return json.Number(fmt.Sprint(m.IntN(20)))
	}
	return scalars[m.IntN(len(scalars))]
}

func (m maker) value(depth int) any {
	if depth <= 0 || m.IntN(3) == 0 {
		return m.scalar()
	}
	switch m.IntN(5) {
	case 0, 1:
		return m.object(depth)
	case 2: // records with an identity
		list := make([]any, m.IntN(8))
		for i, k := range m.Perm(len(list)) {
			o := m.object(depth - 1)
			o["id"] = json.Number(fmt.Sprint(k))
			list[i] = o
		}
		return list
	case 3: // few different values
		list := make([]any, m.IntN(14))
		for i := range list {
			list[i] = json.Number(fmt.Sprint(m.IntN(4)))
		}
		return list
	}
	list := make([]any, m.IntN(7))
	for i := range list {
		list[i] = m.value(depth - 1)
	}
	return list
}

func (m maker) object(depth int) map[string]any {
	o := map[string]any{}
	for range m.IntN(6) {
		o[names[m.IntN(len(names))]] = m.value(depth - 1)
	}
	return o
}

// order returns the names of an object in random order, the same for the same seed.
func (m maker) order(o map[string]any) []string {
	order := slices.Sorted(maps.Keys(o))
	m.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}

// next changes a value in one to three of its places.
func (m maker) next(v any) any {
	v = clone(v)
	for range 1 + m.IntN(3) {
		v = m.change(v, 3)
	}
	return v
}

func (m maker) change(v any, depth int) any {
	switch c := v.(type) {
	case map[string]any:
		order := m.order(c)
		if len(order) == 0 {
			c[names[m.IntN(len(names))]] = m.value(2)
			return c
		}
		name := order[0]
		switch m.IntN(6) {
		case 0:
			delete(c, name)
		case 1:
			c[names[m.IntN(len(names))]] = m.value(2)
		case 2:
			return m.value(depth)
		default:
			c[name] = m.change(c[name], depth-1)
		}
		return c
	case []any:
		i := m.IntN(len(c) + 1)
		switch k := m.IntN(8); {
		case k == 0 || i == len(c):
			return append(c[:i:i], append([]any{m.value(2)}, c[i:]...)...)
		case k == 1:
			return append(c[:i], c[i+1:]...)
		case k == 2:
			j := m.IntN(len(c))
			e := c[i]
			c = append(c[:i], c[i+1:]...)
			return append(c[:j:j], append([]any{e}, c[j:]...)...)
		case k == 3:
			m.Shuffle(len(c), func(i, j int) { c[i], c[j] = c[j], c[i] })
			return c
		case k == 4:
			return append(c, clone(c[i]))
		case k == 5 && m.IntN(3) == 0:
			return m.value(depth)
		}
		c[i] = m.change(c[i], depth-1)
		return c
	}
	return m.value(max(depth, 0))
}

// text writes a value as some JSON text: members in random order, now and then white space, escapes
// and members given twice. How is 0 for compact text.
func (m maker) text(v any, how int) []byte {
	var b strings.Builder
	m.write(&b, v, how)
	return []byte(b.String())
}

func (m maker) write(b *strings.Builder, v any, how int) {
	space := func() {
		if how > 0 && m.IntN(4) == 0 {
			b.WriteString([]string{" ", "\n    ", "\t", "\r\n          "}[m.IntN(4)])
		}
	}
	space()
	switch v := v.(type) {
	case map[string]any:
		order := m.order(v)
		b.WriteByte('{')
		for i, name := range order {
			if i > 0 {
				b.WriteByte(',')
			}
			if how > 1 && m.IntN(10) == 0 { // overridden at once, or by the last member of that name
				m.writeString(b, name, how)
				b.WriteString(":[1],")
			}
			space()
			m.writeString(b, name, how)
			space()
			b.WriteByte(':')
			m.write(b, v[name], how)
		}
		space()
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			m.write(b, e, how)
		}
		space()
		b.WriteByte(']')
	case string:
		m.writeString(b, v, how)
	default:
		t, _ := json.Marshal(v)
		b.Write(t)
	}
	space()
}

func (m maker) writeString(b *strings.Builder, s string, how int) {
	if how > 0 && m.IntN(4) == 0 {
		b.WriteByte('"')
		for _, r := range s {
			switch {
			case r > 0xffff:
				r -= 0x10000
				fmt.Fprintf(b, `\u%04x\u%04X`, 0xd800+r>>10, 0xdc00+r&0x3ff)
			case r == '/' && m.IntN(2) == 0:
				b.WriteString(`\/`)
			default:
				fmt.Fprintf(b, `\u%04X`, r)
			}
		}
		b.WriteByte('"')
		return
	}
	t, _ := json.Marshal(s) // escapes < and > as well
	b.Write(t)
}
