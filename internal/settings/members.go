package settings

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A member is a text or a number in a configuration: where it is, and how it is spelled.
type member struct {
	path []string // of names; items of lists have their index
	raw  []byte
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1") //nolint:gochecknoglobals // a constant table

// Pointer is the JSON Pointer (RFC 6901) of a member with these names.
func Pointer(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		b.WriteString("/" + pointerEscapes.Replace(name))
	}
	return b.String()
}

// text is the member's value where it is a text.
func (m member) text() (s string, ok bool) {
	if m.raw[0] != '"' {
		return "", false
	}
	err := json.Unmarshal(m.raw, &s)
	return s, err == nil
}

// field is the member's path without the places of items in lists, and with the names of headers in lower case.
func (m member) field(of reflect.Type) string {
	parts := slices.Clone(m.path)
	for i := range parts {
		switch t := typeAt(of, m.path[:i]); {
		case t == headersType:
			parts[i] = strings.ToLower(parts[i])
		case t != nil && t.Kind() == reflect.Slice:
			parts[i] = ""
		}
	}
	return strings.Join(parts, "\x00")
}

// key tells the member from others; the names of headers are the same in any case.
func (m member) key(of reflect.Type) string {
	parts := slices.Clone(m.path)
	if n := len(parts); n > 0 && typeAt(of, m.path[:n-1]) == headersType {
		parts[n-1] = strings.ToLower(parts[n-1])
	}
	return strings.Join(parts, "\x00")
}

// secret says whether the member, of a class, is nothing to show as a whole.
func (m member) secret(c class) bool {
	text, _ := m.text()
	switch c {
	case aSecret:
		return text != "" && !isReference(text)
	case aHeader:
		return isSecretHeader(m.path[len(m.path)-1], text) && !isReference(text)
	case inBody:
		return slices.ContainsFunc(m.path, IsSecretName)
	}
	return false
}

// rewrite passes each member of a configuration through change, and leaves all else as it is spelled.
// What is no JSON object comes back unchanged.
func rewrite(config json.RawMessage, change func(member) []byte) json.RawMessage {
	var out []byte
	done := 0
	dec := json.NewDecoder(bytes.NewReader(config))
	dec.UseNumber()
	var path []string
	var walk func() bool
	walk = func() bool {
		from := int(dec.InputOffset())
		token, err := dec.Token()
		if err != nil {
			return false
		}
		switch open, _ := token.(json.Delim); open {
		case '{', '[':
			for i := 0; dec.More(); i++ {
				name := strconv.Itoa(i)
				if open == '{' {
					key, err := dec.Token()
					if err != nil {
						return false
					}
					name, _ = key.(string)
				}
				path = append(path, name)
				ok := walk()
				path = path[:len(path)-1]
				if !ok {
					return false
				}
			}
			_, err := dec.Token()
			return err == nil
		}
		to := int(dec.InputOffset())
		switch token.(type) {
		case string, json.Number:
			if len(path) == 0 {
				return false
			}
			from += bytes.IndexFunc(config[from:to], func(r rune) bool { return !strings.ContainsRune(" \t\r\n,:", r) })
			if changed := change(member{path, config[from:to]}); !bytes.Equal(changed, config[from:to]) {
				out = append(append(out, config[done:from]...), changed...)
				done = to
			}
		}
		return true
	}
	if !walk() || done == 0 {
		return config
	}
	return append(out, config[done:]...)
}

// spell writes a text as JSON in which URLs keep their ampersands.
func spell(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // every text can be written
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
