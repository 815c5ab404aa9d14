// Package strict reads JSON that users wrote and reports every mistake in it at once, each by its
// JSON Pointer.
//
// encoding/json stops at the first mistake, takes "NAME" for "name", and lets unknown and repeated
// members pass. A configuration deserves the opposite.
package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"unicode/utf8"

	"freshet"
)

// Decode reads the JSON value data into what dst, a non-nil pointer, points to, by the json tags of
// its structs, and returns every mistake in document order; nil says that there is none. Names are
// case-sensitive. What data does not mention keeps its value, so dst may hold defaults; after a
// mistake the rest of dst is filled all the same. null stands for "not given" where the Go type has
// a nil, and is a mistake elsewhere.
//
// The inside of a json.RawMessage belongs to whoever reads it later and is only checked for syntax.
func Decode(data []byte, dst any) freshet.Invalid {
	to := reflect.ValueOf(dst)
	if to.Kind() != reflect.Pointer || to.IsNil() {
		panic("strict: Decode needs a non-nil pointer")
	}
	if broken := syntax(data); broken != nil {
		return broken
	}
	d := decoder{data: data, known: map[reflect.Type]map[string][]int{}}
	d.value(to.Elem())
	return d.found
}

// syntax reports what makes data no JSON text (RFC 8259); nothing can be said about the rest then.
func syntax(data []byte) freshet.Invalid {
	report := func(at int, detail string) freshet.Invalid {
		line, column := Position(data, at)
		return freshet.Invalid{{Detail: fmt.Sprintf("line %d, column %d (byte %d): %s", line, column, at, detail)}}
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return freshet.Invalid{{Detail: "empty, where a JSON value is required"}}
	}
	if !utf8.Valid(data) {
		return report(invalidUTF8(data), "not valid UTF-8")
	}
	var raw json.RawMessage
	err := json.Unmarshal(data, &raw)
	if err == nil {
		return nil
	}
	if s, ok := errors.AsType[*json.SyntaxError](err); ok {
		at := int(s.Offset)
		if at > 0 && !(at == len(data) && s.Error() == "unexpected end of JSON input") {
			at-- // the offset is behind the byte that does not fit
		}
		return report(at, s.Error())
	}
	return report(0, err.Error())
}

// invalidUTF8 is the offset of the first byte that is not UTF-8.
func invalidUTF8(data []byte) int {
	for at := 0; at < len(data); {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return len(data)
}

// Position turns the byte offset at of text into a line and a column, both from 1; the column counts
// characters.
func Position(text []byte, at int) (line, column int) {
	before := text[:max(0, min(at, len(text)))]
	line = 1 + bytes.Count(before, []byte("\n"))
	return line, 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
}
