package settings

import (
	"encoding/json"
	"reflect"
	"strings"

	"freshet"
)

// Describe are the members of a configuration of the type of which of is a value.
func Describe(of any) []freshet.Option { return describe(nil, "", reflect.TypeOf(of)) }

func describe(options []freshet.Option, prefix string, t reflect.Type) []freshet.Option {
	for f := range fieldsOf(t) {
		typ := f.typ
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		o := freshet.Option{
			Name: prefix + f.name, Type: nameOf(typ), Summary: f.tag.Get("doc"), Default: f.tag.Get("default"),
			Required: f.tag.Get("required") == "true", Secret: typ == secretType,
		}
		o.Least, o.Most, _ = strings.Cut(f.tag.Get("range"), "..")
		if oneof := f.tag.Get("oneof"); oneof != "" {
			o.OneOf = strings.Split(oneof, ",")
		}
		options = append(options, o)
		switch o.Type {
		case "object":
			options = describe(options, o.Name+".", typ)
		case "object of objects":
			options = describe(options, o.Name+".*.", typ.Elem())
		case "list of objects":
			options = describe(options, o.Name+"[].", typ.Elem())
		}
	}
	return options
}

var ( //nolint:gochecknoglobals // constants
	secretType  = reflect.TypeFor[Secret]()
	urlType     = reflect.TypeFor[URL]()
	headersType = reflect.TypeFor[Headers]()
	rawType     = reflect.TypeFor[json.RawMessage]()
)

func nameOf(t reflect.Type) string {
	switch t {
	case secretType:
		return "secret"
	case urlType:
		return "URL"
	case headersType:
		return "headers"
	case rawType:
		return "JSON"
	case reflect.TypeFor[freshet.Duration]():
		return "duration"
	case reflect.TypeFor[freshet.Bytes]():
		return "size"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.String:
		return "text"
	case reflect.Struct:
		return "object"
	case reflect.Map:
		return "object of " + plural(nameOf(t.Elem()))
	case reflect.Slice:
		return "list of " + plural(nameOf(t.Elem()))
	}
	panic("settings: unsupported type " + t.String())
}

func plural(name string) string {
	switch name {
	case "text", "JSON", "headers":
		return name
	}
	return name + "s"
}
