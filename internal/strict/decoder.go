package strict

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"freshet"
)

// A decoder is a cursor in a text that is known to be valid JSON, and the pointer of the value there.
type decoder struct {
	data  []byte
	at    int
	path  []byte // RFC 6901
	found freshet.Invalid
	known map[reflect.Type]map[string][]int // fields of the structs that were met
}

func (d *decoder) mistake(format string, args ...any) {
	d.found = append(d.found, freshet.FieldError{Pointer: string(d.path), Detail: fmt.Sprintf(format, args...)})
}

// below runs read with the pointer one token longer.
func (d *decoder) below(token string, read func()) {
	length := len(d.path)
	d.path = append(append(d.path, '/'), pointerEscapes.Replace(token)...)
	read()
	d.path = d.path[:length]
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1") //nolint:gochecknoglobals // a constant table

var (
	timeType   = reflect.TypeFor[time.Time]()
	rawType    = reflect.TypeFor[json.RawMessage]()
	prefixType = reflect.TypeFor[netip.Prefix]()
)

// value reads the next value into to.
func (d *decoder) value(to reflect.Value) {
	kind := d.peek()
	switch {
	case to.Type() == rawType:
		to.SetBytes(bytes.Clone(d.raw()))
	case kind == "null":
		d.null(to)
	case to.Kind() == reflect.Pointer:
		if to.IsNil() {
			to.Set(reflect.New(to.Type().Elem()))
		}
		d.value(to.Elem())
	case to.Type() == timeType:
		d.text(kind, func(s string) error {
			t, err := time.Parse(time.RFC3339, s)
			if err != nil {
				return fmt.Errorf("%q is not an RFC 3339 time such as 2006-01-02T15:04:05Z", s)
			}
			to.Set(reflect.ValueOf(t))
			return nil
		})
	case to.Type() == prefixType:
		d.text(kind, func(s string) error {
			p, err := parsePrefix(s)
			if err != nil {
				return err
			}
			to.Set(reflect.ValueOf(p))
			return nil
		})
	case implements[json.Unmarshaler](to):
		d.refused(to.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(d.raw()))
	case implements[encoding.TextUnmarshaler](to):
		d.text(kind, func(s string) error {
			return to.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s))
		})
	default:
		d.plain(kind, to)
	}
}

// parsePrefix reads addresses as people write them: a block in the notation of RFC 4632, or one alone.
func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err == nil {
		return p, nil
	}
	if host, _, ok := strings.Cut(s, "/"); ok {
		if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() == "" {
			return p, fmt.Errorf("%.60q has no length that its address can have: write a whole number from 0 to %d behind the slash", s, addr.BitLen())
		}
	}
	return p, fmt.Errorf("%.60q is neither an IP address nor a block of them such as 10.0.0.0/8 or fd00::/8", s)
}

func implements[T any](v reflect.Value) bool {
	return v.CanAddr() && reflect.PointerTo(v.Type()).Implements(reflect.TypeFor[T]())
}

// plain reads a value whose type has no opinion of its own.
func (d *decoder) plain(kind string, to reflect.Value) {
	switch to.Kind() {
	case reflect.Struct:
		if d.must(kind, "object") {
			d.structure(to)
		}
	case reflect.Map:
		if d.must(kind, "object") {
			d.mapping(to)
		}
	case reflect.Slice, reflect.Array:
		if to.Kind() == reflect.Slice && to.Type().Elem().Kind() == reflect.Uint8 {
			d.scalar(kind, "string", to)
		} else if d.must(kind, "array") {
			d.list(to)
		}
	case reflect.Interface:
		start := d.at
		d.repeats()
		d.refused(json.Unmarshal(d.data[start:d.at], to.Addr().Interface()))
	case reflect.String:
		d.scalar(kind, "string", to)
	case reflect.Bool:
		d.scalar(kind, "boolean", to)
	default: // numbers; json.Unmarshal objects to types that JSON cannot hold
		d.scalar(kind, "number", to)
	}
}

// null reads a null.
func (d *decoder) null(to reflect.Value) {
	d.skip()
	switch to.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		to.SetZero()
	default:
		d.mistake("must not be null: leave it out instead")
	}
}

// must steps over a value of another kind than wanted and reports it.
func (d *decoder) must(kind, wanted string) bool {
	if kind == wanted {
		return true
	}
	d.skip()
	d.mistake("must be %s, not %s", article(wanted), article(kind))
	return false
}

func article(kind string) string {
	if strings.ContainsAny(kind[:1], "ao") {
		return "an " + kind
	}
	return "a " + kind
}

// scalar reads a value of a basic type.
func (d *decoder) scalar(kind, wanted string, to reflect.Value) {
	if !d.must(kind, wanted) {
		return
	}
	raw := d.raw()
	err := json.Unmarshal(raw, to.Addr().Interface())
	if err == nil {
		return
	}
	switch {
	case kind == "number" && to.Kind() != reflect.Float64 && to.Kind() != reflect.Float32 && bytes.ContainsAny(raw, ".eE"):
		d.mistake("must be a whole number, not %.40s", raw)
	case kind == "number" && raw[0] == '-' && to.CanUint():
		d.mistake("must not be negative, and is %.40s", raw)
	case kind == "number":
		d.mistake("%.40s is out of range", raw)
	case to.Kind() == reflect.Slice:
		d.mistake("is not base64")
	default:
		d.refused(err)
	}
}

// text reads a string and lets its type parse it.
func (d *decoder) text(kind string, parse func(string) error) {
	if d.must(kind, "string") {
		d.refused(parse(unquote(d.raw())))
	}
}

// refused reports what a type says about the value just read.
func (d *decoder) refused(err error) {
	if err == nil {
		return
	}
	if inner, ok := errors.AsType[freshet.Invalid](err); ok {
		d.found = append(d.found, inner.In(string(d.path))...)
		return
	}
	d.mistake("%s", err)
}

func (d *decoder) structure(to reflect.Value) {
	known := d.known[to.Type()]
	if known == nil {
		known = fields(to.Type())
		d.known[to.Type()] = known
	}
	d.members(func(name string) {
		index, ok := known[name]
		if !ok {
			d.skip()
			d.mistake("unknown member %q%s", name, hint(name, known))
			return
		}
		field, err := to.FieldByIndexErr(index)
		if err != nil { // inside an embedded pointer that is nil
			field = allocate(to, index)
		}
		d.value(field)
	})
}

func (d *decoder) mapping(to reflect.Value) {
	if to.IsNil() {
		to.Set(reflect.MakeMap(to.Type()))
	}
	d.members(func(name string) {
		key := reflect.New(to.Type().Key()).Elem()
		switch {
		case implements[encoding.TextUnmarshaler](key):
			d.refused(key.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(name)))
		case key.Kind() == reflect.String:
			key.SetString(name)
		default:
			panic("strict: unsupported type of map key " + key.Type().String())
		}
		item := reflect.New(to.Type().Elem()).Elem()
		d.value(item)
		to.SetMapIndex(key, item)
	})
}

func (d *decoder) list(to reflect.Value) {
	n, surplus := 0, 0
	if to.Kind() == reflect.Slice {
		to.Set(reflect.MakeSlice(to.Type(), 0, 0))
	}
	d.items(func() {
		switch {
		case to.Kind() == reflect.Slice:
			item := reflect.New(to.Type().Elem()).Elem()
			d.value(item)
			to.Set(reflect.Append(to, item))
		case n < to.Len():
			d.value(to.Index(n))
		default:
			d.skip()
			surplus++
		}
		n++
	})
	if surplus > 0 || to.Kind() == reflect.Array && n < to.Len() {
		d.mistake("must have %d items, not %d", to.Len(), n)
	}
}

// repeats steps over a value of no particular shape and reports members that are there twice.
func (d *decoder) repeats() {
	switch d.peek() {
	case "object":
		d.members(func(string) { d.repeats() })
	case "array":
		d.items(d.repeats)
	default:
		d.skip()
	}
}
