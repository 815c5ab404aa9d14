package search

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"freshet/internal/strict"
)

// A property leads from a resource to the values of one of its members, through pointers, lists and
// maps. It follows the JSON names of the resource's type, so that whatever is added there can be searched.
type property struct {
	name  string
	path  []step
	leaf  reflect.Type
	group string // not empty: the property only groups others, and this is what to name instead
}

// A step goes to a field of a struct or, where key is set, to a member of a map.
type step struct {
	field int
	key   string
}

// propertyOf finds the property of a type; asked is how its name was spelled.
func propertyOf(t reflect.Type, name, asked string) (property, error) {
	p := property{name: name}
	for rest := p.name; ; {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice && t != reflect.TypeFor[json.RawMessage]() {
			t = t.Elem()
		}
		if t == reflect.TypeFor[json.RawMessage]() {
			return property{}, fmt.Errorf("%s cannot be searched", strings.TrimSuffix(strings.TrimSuffix(p.name, rest), "."))
		}
		if rest == "" {
			break
		}
		switch {
		case t.Kind() == reflect.Map:
			p.path = append(p.path, step{key: rest}) // a key may contain dots
			rest, t = "", t.Elem()
		case isStruct(t):
			var segment string
			segment, rest, _ = strings.Cut(rest, ".")
			index, names := member(t, segment)
			if index < 0 {
				return property{}, unknownProperty(asked, segment, names)
			}
			p.path = append(p.path, step{field: index})
			t = t.Field(index).Type
		default:
			return property{}, fmt.Errorf("unknown property %.100q: there is nothing below %s", asked, strings.TrimSuffix(p.name, "."+rest))
		}
	}
	p.leaf = t
	switch {
	case isStruct(t):
		_, names := member(t, "")
		p.group = "name one of its members " + strings.Join(names, ", ")
	case t.Kind() == reflect.Map:
		p.group = "name one of its members, such as " + p.name + ".key"
	}
	return p, nil
}

func isStruct(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]()
}

// member is the index of the field with this JSON name, or -1, and the names of all.
func member(t reflect.Type, name string) (index int, names []string) {
	index = -1
	for i := range t.NumField() {
		known, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, known)
		if known == name {
			index = i
		}
	}
	return index, names
}

func unknownProperty(name, segment string, names []string) error {
	if near := strict.Near(segment, names); near != "" {
		return fmt.Errorf("unknown property %.100q: did you mean %q?", name, near)
	}
	return fmt.Errorf("unknown property %.100q: known are %s", name, strings.Join(names, ", "))
}

// set says whether the resource has the property, with anything but its zero value.
func (p property) set(t reflect.Value) bool {
	return walk(t, p.path, func(v reflect.Value) bool { return !v.IsZero() })
}

// any says whether one of the property's values is equal.
func (p property) any(t reflect.Value, equal func(string) bool) bool {
	return walk(t, p.path, func(v reflect.Value) bool { return equal(text(v)) })
}

// walk calls found for each value at the end of the path until it returns true.
func walk(v reflect.Value, path []step, found func(reflect.Value) bool) bool {
	switch {
	case v.Kind() == reflect.Pointer:
		return !v.IsNil() && walk(v.Elem(), path, found)
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			if walk(v.Index(i), path, found) {
				return true
			}
		}
		return false
	case len(path) == 0:
		return found(v)
	case v.Kind() == reflect.Map:
		item := v.MapIndex(reflect.ValueOf(path[0].key))
		return item.IsValid() && walk(item, path[1:], found)
	}
	return walk(v.Field(path[0].field), path[1:], found)
}

// text is how a value reads in JSON, without quotes.
func text(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano)
	case encoding.TextMarshaler:
		if b, err := x.MarshalText(); err == nil {
			return string(b)
		}
	}
	if v.Kind() == reflect.String {
		return v.String()
	}
	return fmt.Sprint(v.Interface())
}

// normal spells a value that was searched for as text does: 60m is PT1H.
func (p property) normal(s string) string {
	v := reflect.New(p.leaf)
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v); ok && u.UnmarshalText([]byte(s)) == nil {
		return text(v.Elem())
	}
	return s
}
