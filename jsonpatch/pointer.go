package jsonpatch

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrPath is the error for a pointer to something that is not there.
var ErrPath = errors.New("there is no such place in the document")

// ParsePointer splits a JSON Pointer (RFC 6901) into its decoded tokens; the empty pointer has none.
func ParsePointer(s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	if s[0] != '/' {
		return nil, fmt.Errorf("pointer %.64q does not start with a slash", s)
	}
	tokens := strings.Split(s[1:], "/")
	for i, t := range tokens {
		for k := strings.IndexByte(t, '~'); k >= 0; {
			if k+1 == len(t) || t[k+1] != '0' && t[k+1] != '1' {
				return nil, fmt.Errorf("pointer %.64q has a ~ that is followed by neither 0 nor 1", s)
			}
			next := strings.IndexByte(t[k+1:], '~')
			if next < 0 {
				break
			}
			k += 1 + next
		}
		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(t, "~1", "/"), "~0", "~")
	}
	return tokens, nil
}

// Lookup returns the text of the value that a JSON Pointer (RFC 6901) names, in canonical form. The
// error is a *SyntaxError, wraps ErrPath, or is one of ParsePointer.
func Lookup(doc []byte, pointer string) ([]byte, error) {
	d, err := Parse(doc, Limits{Size: maxSize})
	if err != nil {
		return nil, err
	}
	return d.Lookup(pointer)
}

// Lookup returns the text of the value that a JSON Pointer (RFC 6901) names, in canonical form. It
// must not be changed. The error wraps ErrPath or is one of ParsePointer.
func (d *Document) Lookup(pointer string) ([]byte, error) {
	r, err := d.find(pointer)
	if err != nil {
		return nil, err
	}
	return d.at(r), nil
}

func (d *Document) find(pointer string) (ref, error) {
	tokens, err := ParsePointer(pointer)
	if err != nil {
		return none, err
	}
	if len(d.tape) == 0 {
		return none, fmt.Errorf("%w: the document is empty", ErrPath)
	}
	at := ref{0, 0}
	for i, t := range tokens {
		if at = d.child(at, t); at == none {
			return none, fmt.Errorf("%w: %s", ErrPath, formatPointer(tokens[:i+1]))
		}
	}
	return at, nil
}

// at returns the text of a value.
func (d *Document) at(r ref) []byte {
	end := r.off + int(d.tape[r.at].len)
	return d.text[r.off:end:end]
}

// child returns the member or element of a container that a token names.
func (d *Document) child(r ref, token string) ref {
	n := &d.tape[r.at]
	skip := 0
	var name []byte
	switch n.kind {
	case kindObject:
		name = canonicalName(token)
	case kindArray:
		var ok bool
		if skip, ok = index(token); !ok {
			return none
		}
	default:
		return none
	}
	for c := r.at + 1; c < r.at+int(n.size); c += int(d.tape[c].size) {
		m := &d.tape[c]
		if n.kind == kindObject && bytes.Equal(nameOf(d.text, m, r.off), name) || n.kind == kindArray && skip == 0 {
			return ref{c, r.off + int(m.rel)}
		}
		skip--
	}
	return none
}

// canonicalName returns a name as it stands between the quotes in a canonical text.
func canonicalName(name string) []byte {
	var b []byte
	for _, r := range name {
		b = appendEscaped(b, r)
	}
	return b
}

// index reads an array index (RFC 6901, section 4): no sign, no leading zero.
func index(token string) (int, bool) {
	if token == "" || len(token) > 10 || len(token) > 1 && token[0] == '0' {
		return 0, false
	}
	n, err := strconv.ParseUint(token, 10, 40)
	return int(n), err == nil
}

// formatPointer is the reverse of ParsePointer.
func formatPointer(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte('/')
		b.WriteString(strings.ReplaceAll(strings.ReplaceAll(t, "~", "~0"), "/", "~1"))
	}
	return b.String()
}

// A pattern is a pointer as an option gives it, where the token * stands for any member or element.
type pattern [][]byte

func parsePattern(s string) (pattern, error) {
	tokens, err := ParsePointer(s)
	p := make(pattern, len(tokens))
	for i, t := range tokens {
		p[i] = canonicalName(t)
	}
	return p, err
}

func parsePatterns(pointers []string) (ps []pattern, err error) {
	if len(pointers) > 64 {
		return nil, fmt.Errorf("%d pointers, at most 64 are allowed", len(pointers))
	}
	for _, s := range pointers {
		p, err := parsePattern(s)
		if err != nil {
			return nil, err
		}
		ps = append(ps, p)
	}
	return ps, nil
}

func (p pattern) matches(i int, name []byte) bool {
	return string(p[i]) == "*" || bytes.Equal(p[i], name)
}

// matchesPath compares with a path as it stands in a patch.
func (p pattern) matchesPath(path []byte) bool {
	for i := range p {
		if len(path) == 0 {
			return false
		}
		token := path[1:]
		if k := bytes.IndexByte(token, '/'); k >= 0 {
			token, path = token[:k], token[k:]
		} else {
			path = nil
		}
		if bytes.IndexByte(token, '~') >= 0 {
			token = bytes.ReplaceAll(bytes.ReplaceAll(token, []byte("~1"), []byte("/")), []byte("~0"), []byte("~"))
		}
		if !p.matches(i, token) {
			return false
		}
	}
	return len(path) == 0
}
