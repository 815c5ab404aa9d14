package jsonpatch_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
)

// This file is a second opinion: a JSON reader, writer and RFC 6902 applier on decoded values,
// written from the RFCs and without the package under test. Numbers stay text.

// decode reads one JSON value with its numbers as text.
func decode(text []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("something follows the value")
	}
	return v, nil
}

// normal writes a decoded value in a form in which equal values, and only they, have equal texts.
func normal(v any) string {
	var b strings.Builder
	writeNormal(&b, v)
	return b.String()
}

func writeNormal(b *strings.Builder, v any) {
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		sort.Strings(names)
		b.WriteByte('{')
		for _, name := range names {
			b.WriteString(strconv.Quote(name) + ":")
			writeNormal(b, v[name])
			b.WriteByte(',')
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for _, e := range v {
			writeNormal(b, e)
			b.WriteByte(',')
		}
		b.WriteByte(']')
	case string:
		b.WriteString(strconv.Quote(v))
	case json.Number:
		b.WriteString(v.String())
	default:
		fmt.Fprint(b, v) // true, false, <nil>
	}
}

// strictApply applies a patch to a decoded document. It is right or fails; it refuses whatever
// RFC 6902 does not allow.
func strictApply(doc any, patch []byte) (any, error) {
	v, err := decode(patch)
	if err != nil {
		return nil, err
	}
	ops, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("the patch is no array")
	}
	for i, op := range ops {
		if doc, err = strictOp(doc, op); err != nil {
			return nil, fmt.Errorf("operation %d: %w", i, err)
		}
	}
	return doc, nil
}

func strictOp(doc, operation any) (any, error) {
	op, ok := operation.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("no object")
	}
	path, err := strictPointer(op, "path")
	if err != nil {
		return nil, err
	}
	value, given := op["value"]
	switch op["op"] {
	case "add":
		if !given {
			return nil, fmt.Errorf("no value")
		}
		return edit(doc, path, "add", clone(value))
	case "replace":
		if !given {
			return nil, fmt.Errorf("no value")
		}
		return edit(doc, path, "replace", clone(value))
	case "remove":
		return edit(doc, path, "remove", nil)
	case "test":
		at, err := get(doc, path)
		if err == nil && (!given || normal(at) != normal(value)) {
			err = fmt.Errorf("test failed")
		}
		return doc, err
	}
	from, err := strictPointer(op, "from")
	if err != nil {
		return nil, err
	}
	at, err := get(doc, from)
	if err != nil {
		return nil, err
	}
	switch op["op"] {
	case "copy":
		return edit(doc, path, "add", clone(at))
	case "move":
		if len(path) > len(from) && strings.Join(path[:len(from)], "\x00") == strings.Join(from, "\x00") {
			return nil, fmt.Errorf("into itself")
		}
		if doc, err = edit(doc, from, "remove", nil); err != nil {
			return nil, err
		}
		return edit(doc, path, "add", at)
	}
	return nil, fmt.Errorf("unknown op")
}

func strictPointer(op map[string]any, name string) ([]string, error) {
	s, ok := op[name].(string)
	if !ok {
		return nil, fmt.Errorf("no %s", name)
	}
	if s == "" {
		return nil, nil
	}
	if s[0] != '/' {
		return nil, fmt.Errorf("bad pointer")
	}
	tokens := strings.Split(s[1:], "/")
	for i, t := range tokens {
		if strings.Count(t, "~") != strings.Count(t, "~0")+strings.Count(t, "~1") {
			return nil, fmt.Errorf("bad pointer")
		}
		tokens[i] = strings.NewReplacer("~0", "~", "~1", "/").Replace(t)
	}
	return tokens, nil
}

func strictIndex(token string, n int) (int, error) {
	i, err := strconv.Atoi(token)
	if err != nil || strconv.Itoa(i) != token || i < 0 || i >= n {
		return 0, fmt.Errorf("bad index %q of %d", token, n)
	}
	return i, nil
}

func get(doc any, path []string) (any, error) {
	for _, token := range path {
		switch c := doc.(type) {
		case map[string]any:
			v, ok := c[token]
			if !ok {
				return nil, fmt.Errorf("no member %q", token)
			}
			doc = v
		case []any:
			i, err := strictIndex(token, len(c))
			if err != nil {
				return nil, err
			}
			doc = c[i]
		default:
			return nil, fmt.Errorf("no container")
		}
	}
	return doc, nil
}

func edit(doc any, path []string, how string, value any) (any, error) {
	if len(path) == 0 {
		if how == "remove" {
			return nil, fmt.Errorf("remove of the root")
		}
		return value, nil
	}
	token := path[0]
	switch c := doc.(type) {
	case map[string]any:
		old, ok := c[token]
		if len(path) > 1 {
			if !ok {
				return nil, fmt.Errorf("no member %q", token)
			}
			v, err := edit(old, path[1:], how, value)
			c[token] = v
			return c, err
		}
		if how != "add" && !ok {
			return nil, fmt.Errorf("no member %q", token)
		}
		if c[token] = value; how == "remove" {
			delete(c, token)
		}
		return c, nil
	case []any:
		if len(path) == 1 && how == "add" && token == "-" {
			return append(c, value), nil
		}
		room := len(c)
		if len(path) == 1 && how == "add" {
			room++
		}
		i, err := strictIndex(token, room)
		if err != nil {
			return nil, err
		}
		switch {
		case len(path) > 1:
			c[i], err = edit(c[i], path[1:], how, value)
			return c, err
		case how == "replace":
			c[i] = value
		case how == "remove":
			c = append(c[:i], c[i+1:]...)
		default:
			c = append(c, nil)
			copy(c[i+1:], c[i:])
			c[i] = value
		}
		return c, nil
	}
	return nil, fmt.Errorf("no container")
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for name, e := range v {
			m[name] = clone(e)
		}
		return m
	case []any:
		s := make([]any, len(v))
		for i, e := range v {
			s[i] = clone(e)
		}
		return s
	}
	return v
}
