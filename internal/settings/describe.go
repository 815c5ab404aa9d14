package settings

import (
	"encoding/json"
	"reflect"
	"strings"

	"freshet"
)

// A Field is what people and programs are told of one member of a configuration.
type Field struct {
	Name     string   `json:"name"`              // with those that it is in: pagination.page.parameterName
	Type     string   `json:"type"`              // text, boolean, integer, number, duration, size, URL, secret, headers, JSON, object, list of …
	Doc      string   `json:"doc"`               // one sentence or more
	Default  string   `json:"default,omitempty"` // as a configuration spells it
	Least    string   `json:"least,omitempty"`
	Most     string   `json:"most,omitempty"`
	OneOf    []string `json:"oneOf,omitempty"`
	Required bool     `json:"required,omitempty"`
	Secret   bool     `json:"secret,omitempty"` // never shown again
}

// Describe are the members of a configuration of the type of which of is a value.
func Describe(of any) []Field { return describe(nil, "", reflect.TypeOf(of)) }

func describe(fields []Field, prefix string, t reflect.Type) []Field {
	for f := range fieldsOf(t) {
		typ := f.typ
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		d := Field{
			Name: prefix + f.name, Type: nameOf(typ), Doc: f.tag.Get("doc"), Default: f.tag.Get("default"),
			Required: f.tag.Get("required") == "true", Secret: typ == secretType,
		}
		d.Least, d.Most, _ = strings.Cut(f.tag.Get("range"), "..")
		if oneof := f.tag.Get("oneof"); oneof != "" {
			d.OneOf = strings.Split(oneof, ",")
		}
		fields = append(fields, d)
		switch {
		case d.Type == "object":
			fields = describe(fields, d.Name+".", typ)
		case d.Type == "list of objects":
			fields = describe(fields, d.Name+"[].", typ.Elem())
		}
	}
	return fields
}

var (
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
	if name == "text" || name == "JSON" {
		return name
	}
	return name + "s"
}
