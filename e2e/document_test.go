package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// document is version n of a document that lives: items come, go, move and change, beside members
// that are hard to get right. The same n gives the same text, so that whoever holds a document can
// be judged by its member n alone. The last version says so, for clients that end by themselves.
func document(n, last int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"n":%d,"last":%t,"items":[`, n, n == last)
	first := true
	for k := range 24 {
		id := k
		if n/9%2 == 1 && k < 4 { // four items change their order now and then
			id = 3 - k
		}
		if mix(id, n/11)%5 == 0 { // and each is away now and then
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		fmt.Fprintf(&b, `{"id":%d,"name":"item \"%d\" ü€😀","price":%d.%02d,"stock":{"a/b":%d,"m~n":[%d,%d]}}`,
			id, id, mix(id, n/(1+id%7))%1000, mix(id, n/13)%100, mix(id, n/17)%50, mix(id, n/5)%3, id)
	}
	// The spelling of each number counts, and so does every odd key.
	spelling := []string{"1.0", "1", "1.00", "10e-1", "12345678901234567890", "12345678901234567891", "2", "0.1e1"}
	fmt.Fprintf(&b, `],"number":%s,"a/b":{"~":%d,"/":null,"":%t},"é\"\\":"%c","big":12345678901234567890}`,
		spelling[n%len(spelling)], mix(1, n/3)%9, n%4 == 0, 'а'+rune(n%32))
	return b.String()
}

// mix is a number that looks random and depends on nothing but a and b.
func mix(a, b int) int {
	h := uint32(a)*2654435761 ^ uint32(b)*2246822519
	h ^= h >> 15
	h *= 3266489917
	h ^= h >> 13
	return int(h & 0xffff)
}

// value reads one JSON value with its numbers as they are spelled.
func value(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one JSON value")
	}
	return v, nil
}

// canonical is the one text of all those that mean the same: keys sorted, no white space, and
// numbers as they are spelled.
func canonical(text string) string {
	v, err := value([]byte(text))
	if err != nil {
		return "not JSON: " + text
	}
	return encode(v)
}

// canonicalJS is canonical for clients whose numbers are doubles.
func canonicalJS(text string) string {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return "not JSON: " + text
	}
	return encode(v)
}

func encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// version is the member n of a document.
func version(text string) int {
	var d struct{ N int }
	_ = json.Unmarshal([]byte(text), &d)
	return d.N
}

// applyPatch applies an RFC 6902 patch. It shares no code with Freshet: it is what Freshet is judged by.
func applyPatch(doc any, patch []byte) (any, error) {
	var ops []struct {
		Op, Path, From string
		Value          json.RawMessage
	}
	if err := json.Unmarshal(patch, &ops); err != nil {
		return nil, err
	}
	for i, op := range ops {
		var v any
		var err error
		switch op.Op {
		case "add", "replace", "test":
			if v, err = value(op.Value); err != nil {
				return nil, fmt.Errorf("operation %d: %w", i, err)
			}
		case "copy", "move":
			if v, err = at(doc, op.From); err == nil {
				v, err = value([]byte(encode(v))) // a copy shares nothing with what it was copied from
			}
			if err == nil && op.Op == "move" {
				doc, err = edit(doc, op.From, "remove", nil)
			}
		}
		switch {
		case err != nil:
		case op.Op == "test":
			var have any
			if have, err = at(doc, op.Path); err == nil && encode(have) != encode(v) {
				err = fmt.Errorf("is not %s", op.Value)
			}
		case op.Op == "copy" || op.Op == "move":
			doc, err = edit(doc, op.Path, "add", v)
		case op.Op == "add" || op.Op == "replace" || op.Op == "remove":
			doc, err = edit(doc, op.Path, op.Op, v)
		default:
			err = fmt.Errorf("no such operation")
		}
		if err != nil {
			return nil, fmt.Errorf("operation %d, %s %s: %w", i, op.Op, op.Path, err)
		}
	}
	return doc, nil
}

// unescape reads a token of RFC 6901, section 4: the order of the two steps matters.
func unescape(token string) string {
	return strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
}

func at(doc any, pointer string) (any, error) {
	for pointer != "" {
		var token string
		token, pointer = next(pointer)
		switch node := doc.(type) {
		case map[string]any:
			child, ok := node[token]
			if !ok {
				return nil, fmt.Errorf("no member %q", token)
			}
			doc = child
		case []any:
			i, err := index(token, len(node)-1)
			if err != nil {
				return nil, err
			}
			doc = node[i]
		default:
			return nil, fmt.Errorf("nothing below a scalar")
		}
	}
	return doc, nil
}

// next splits a pointer after its first token.
func next(pointer string) (token, rest string) {
	token, rest, found := strings.Cut(pointer[1:], "/")
	if found {
		rest = "/" + rest
	}
	return unescape(token), rest
}

// edit returns doc with one place added, replaced or removed, as RFC 6902 sections 4.1 to 4.3 say.
func edit(doc any, pointer, op string, v any) (any, error) {
	if pointer == "" {
		if op == "remove" {
			return nil, fmt.Errorf("the whole document cannot be removed")
		}
		return v, nil
	}
	if pointer[0] != '/' {
		return nil, fmt.Errorf("not a pointer")
	}
	token, rest := next(pointer)
	switch node := doc.(type) {
	case map[string]any:
		child, ok := node[token]
		if !ok && (rest != "" || op != "add") {
			return nil, fmt.Errorf("no member %q", token)
		}
		if rest == "" && op == "remove" {
			delete(node, token)
			return node, nil
		}
		child, err := edit(child, rest, op, v)
		node[token] = child
		return node, err
	case []any:
		if rest == "" && op == "add" {
			i, err := len(node), error(nil)
			if token != "-" {
				i, err = index(token, len(node))
			}
			if err != nil {
				return nil, err
			}
			return append(node[:i:i], append([]any{v}, node[i:]...)...), nil
		}
		i, err := index(token, len(node)-1)
		if err != nil {
			return nil, err
		}
		if rest == "" && op == "remove" {
			return append(node[:i:i], node[i+1:]...), nil
		}
		node[i], err = edit(node[i], rest, op, v)
		return node, err
	}
	return nil, fmt.Errorf("nothing below a scalar")
}

// index reads an array index: no sign, no leading zero.
func index(token string, most int) (int, error) {
	var i int
	if _, err := fmt.Sscanf(token, "%d", &i); err != nil || fmt.Sprint(i) != token || i < 0 || i > most {
		return 0, fmt.Errorf("no index %q", token)
	}
	return i, nil
}
