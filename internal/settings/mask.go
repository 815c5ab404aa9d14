package settings

import (
	"bytes"
	"encoding/json"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Masked stands for a secret wherever a configuration is shown, and on its way back in for the value
// that is stored.
const Masked = "***"

// IsSecretName says whether something of this name, in a header, a query or a document, is rather not
// shown. It is generous: what is hidden without need can still be changed, what is shown is out.
func IsSecretName(name string) bool {
	name = strings.ToLower(name)
	plain := strings.NewReplacer("-", "", "_", "", ".", "", " ", "").Replace(name)
	switch plain {
	case "sig", "sid", "code", "pin", "otp", "pass", "pwd", "pw", "jwt", "appid":
		return true
	}
	plain = strings.ReplaceAll(plain, "keyword", "")
	return slices.ContainsFunc([]string{
		"auth", "bearer", "cookie", "credential", "hmac", "key", "passcode", "passphrase", "passwd", "password", "private", "secret", "session", "signature", "token",
	}, func(word string) bool { return strings.Contains(plain, word) })
}

// isSecretHeader says whether a header's value is rather not shown: because of its name, or because it
// is credentials in the form of RFC 9110, section 11.4.
func isSecretHeader(name, value string) bool {
	scheme, _, _ := strings.Cut(strings.TrimSpace(value), " ")
	return IsSecretName(name) || strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "Basic") || strings.EqualFold(scheme, "Digest")
}

// MaskURL is a URL with Masked in place of a user and a password, of the parameters of its query and its
// fragment that look secret, and of those that hold a URL with such. All else keeps its spelling.
func MaskURL(raw string) string {
	return rewriteURL(raw, func(name, value string) string {
		if isSecretPart(name, value) {
			return Masked
		}
		return value
	})
}

// isSecretPart says so of a part that rewriteURL finds.
func isSecretPart(name, value string) bool {
	inner := unescape(value)
	return value != "" && (name == "" || IsSecretName(name) || strings.Contains(inner, "://") && MaskURL(inner) != inner)
}

// rewriteURL passes each part of a URL that may be secret through change, with the name of its
// parameter; the user and the password, as one, have none.
func rewriteURL(raw string, change func(name, value string) string) string {
	rest, fragment, hasFragment := strings.Cut(raw, "#")
	base, query, hasQuery := strings.Cut(rest, "?")
	if scheme, after, ok := strings.Cut(base, "://"); ok {
		authority, path, hasPath := strings.Cut(after, "/")
		if at := strings.LastIndexByte(authority, '@'); at >= 0 {
			authority = change("", authority[:at]) + authority[at:]
		} else if at := strings.LastIndexByte(after, '@'); at >= 0 && strings.Contains(authority, ":") && !isPort(authority) {
			// A password with a slash in it: no URL, and nothing to show all the same.
			authority, path, hasPath = change("", after[:at])+after[at:], "", false
		}
		base = scheme + "://" + authority
		if hasPath {
			base += "/" + path
		}
	}
	if hasQuery {
		base += "?" + rewriteParameters(query, change)
	}
	if hasFragment {
		base += "#" + rewriteParameters(fragment, change)
	}
	return base
}

// isPort says whether an authority ends in a port.
func isPort(authority string) bool {
	_, err := strconv.ParseUint(authority[strings.LastIndexByte(authority, ':')+1:], 10, 16)
	return err == nil
}

func rewriteParameters(s string, change func(name, value string) string) string {
	var b strings.Builder
	for s != "" {
		end := strings.IndexAny(s, "&;")
		if end < 0 {
			end = len(s)
		}
		if name, value, ok := strings.Cut(s[:end], "="); ok && name != "" {
			b.WriteString(name + "=" + change(unescape(name), value))
		} else {
			b.WriteString(s[:end])
		}
		if end < len(s) {
			b.WriteByte(s[end])
			end++
		}
		s = s[end:]
	}
	return b.String()
}

// unescape is a part of a query without its escapes, or as it is where they are wrong.
func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// unmaskURL puts the parts of stored in the place of those that are masked in raw.
func unmaskURL(raw, stored string) string {
	had := map[string][]string{}
	rewriteURL(stored, func(name, value string) string {
		had[name] = append(had[name], value)
		return value
	})
	seen := map[string]int{}
	return rewriteURL(raw, func(name, value string) string {
		nth := seen[name]
		seen[name]++
		if unescape(value) == Masked && nth < len(had[name]) && isSecretPart(name, had[name][nth]) {
			return had[name][nth]
		}
		return value
	})
}

// mayMove says whether what was meant for the origin of one URL may go to that of another: to the same
// host, and no less protected.
func mayMove(from, to string) bool {
	a, errA := url.Parse(to)
	b, errB := url.Parse(from)
	return errA == nil && errB == nil && strings.EqualFold(a.Host, b.Host) && (a.Scheme == b.Scheme || a.Scheme == "https")
}

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

// Mask is a configuration of the type of which of is a value as it is shown: with Masked in the place of
// each secret.
func Mask(config json.RawMessage, of any) json.RawMessage {
	t := reflect.TypeOf(of)
	return rewrite(config, func(m member) []byte {
		c := classOf(t, m.path)
		if m.secret(c) {
			return spell(Masked)
		}
		if s, ok := m.text(); ok && c == aURL {
			if masked := MaskURL(s); masked != s {
				return spell(masked)
			}
		}
		return m.raw
	})
}

// Unmask is a configuration as it is to be stored: with what stored has in the place of each Masked that
// stands for it. A secret was given for the addresses that the configuration named then, and for connections as
// protected as they were: it is not put back where one names another, or TLS is turned off, or whoever may change a
// topic could have it sent to himself. What stays masked
// is a mistake, for Read.
func Unmask(config, stored json.RawMessage, of any) json.RawMessage {
	t := reflect.TypeOf(of)
	had, went := map[string]member{}, map[string][]string{}
	rewrite(stored, func(m member) []byte {
		c := classOf(t, m.path)
		s, _ := m.text()
		if m.secret(c) || c == aURL {
			had[m.key(t)] = m.clone()
		}
		if c == aURL || c == anAddress {
			went[m.field(t)] = append(went[m.field(t)], s)
		}
		return m.raw
	})
	moved := false
	rewrite(config, func(m member) []byte {
		if c := classOf(t, m.path); c == aURL || c == anAddress {
			s, _ := m.text()
			moved = moved || !slices.ContainsFunc(went[m.field(t)], func(from string) bool {
				return s == from || c == aURL && (s == MaskURL(from) || mayMove(from, unmaskURL(s, from)))
			})
		}
		return m.raw
	})
	now := protections(config, t)
	for at, was := range protections(stored, t) {
		moved = moved || was && !now[at]
	}
	if moved {
		return config
	}
	return rewrite(config, func(m member) []byte {
		s, _ := m.text()
		before, ok := had[m.key(t)]
		if !ok {
			return m.raw
		}
		from, _ := before.text()
		switch isURL := classOf(t, m.path) == aURL; {
		case s == Masked && !isURL:
			return before.raw
		case isURL && s == MaskURL(from):
			return before.raw // with its own spelling
		case isURL:
			if whole := unmaskURL(s, from); whole != s {
				return spell(whole)
			}
		}
		return m.raw
	})
}

// clone is the member for longer than rewrite has it.
func (m member) clone() member { return member{slices.Clone(m.path), m.raw} }

// stillMasked finds what is masked and has nothing to stand for.
func stillMasked(config json.RawMessage, t reflect.Type) (pointers []string) {
	rewrite(config, func(m member) []byte {
		s, ok := m.text()
		c := classOf(t, m.path)
		masked := s == Masked && (c == aSecret || c == aHeader || m.secret(c))
		if c == aURL {
			rewriteURL(s, func(name, value string) string {
				masked = masked || unescape(value) == Masked && (name == "" || IsSecretName(name))
				return value
			})
		}
		if ok && masked {
			pointers = append(pointers, Pointer(m.path...))
		}
		return m.raw
	})
	return pointers
}
