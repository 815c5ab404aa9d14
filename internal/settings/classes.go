package settings

import (
	"encoding/json"
	"reflect"
	"slices"
)

// A class is what a member of a configuration is to those who hide secrets.
type class int

const (
	ordinary class = iota
	aSecret
	aHeader
	aURL
	anAddress // not a URL: a host, or a broker
	inBody    // of JSON without a type
)

// typeAt is the type of what is at a path in a configuration of a type; nil where the type has no such
// member. Below JSON without a type all is of that type.
func typeAt(t reflect.Type, path []string) reflect.Type {
	for _, name := range path {
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch {
		case t == rawType:
			return rawType
		case t.Kind() == reflect.Slice || t.Kind() == reflect.Map:
			t = t.Elem()
		case t.Kind() == reflect.Struct:
			f, ok := fieldNamed(t, name)
			if !ok {
				return nil
			}
			t = f.typ
		default:
			return nil
		}
	}
	return t
}

func fieldNamed(t reflect.Type, name string) (field, bool) {
	for f := range fieldsOf(t) {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}

// classOf is the class of the member at a path in a configuration of a type.
func classOf(t reflect.Type, path []string) class {
	if len(path) == 0 {
		return ordinary
	}
	within, is := typeAt(t, path[:len(path)-1]), typeAt(t, path)
	if within != nil && within.Kind() == reflect.Pointer {
		within = within.Elem()
	}
	switch {
	case within == nil || is == nil:
		return ordinary
	case is == secretType:
		return aSecret
	case is == urlType:
		return aURL
	case within == headersType:
		return aHeader
	case is == rawType:
		return inBody
	}
	if tagged(t, path, "address") {
		return anAddress
	}
	return ordinary
}

// tagged says whether a member, or what it is in, such as a list, has a tag that says true.
func tagged(t reflect.Type, path []string, tag string) bool {
	for i := range path {
		parent := typeAt(t, path[:i])
		if parent == nil {
			return false
		}
		if parent.Kind() == reflect.Pointer {
			parent = parent.Elem()
		}
		if parent.Kind() != reflect.Struct {
			continue
		}
		if f, ok := fieldNamed(parent, path[i]); ok && f.tag.Get(tag) == "true" {
			return true
		}
	}
	return false
}

// protections are the switches of a configuration that protect its secrets on their way, such as that of TLS, and
// whether they are on.
func protections(config json.RawMessage, t reflect.Type) map[string]bool {
	var tree any
	if json.Unmarshal(config, &tree) != nil {
		return nil
	}
	found := map[string]bool{}
	var walk func(path []string, v any)
	walk = func(path []string, v any) {
		switch v := v.(type) {
		case bool:
			if tagged(t, path, "protects") {
				found[Pointer(path...)] = v
			}
		case map[string]any:
			for name, item := range v {
				walk(append(slices.Clip(path), name), item)
			}
		}
	}
	walk(nil, tree)
	return found
}
