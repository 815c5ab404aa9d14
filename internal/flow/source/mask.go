package source

import (
	"bytes"
	"encoding/json"
	"net/url"
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

// text is the member's value where it is a text.
func (m member) text() (s string, ok bool) {
	if m.raw[0] != '"' {
		return "", false
	}
	err := json.Unmarshal(m.raw, &s)
	return s, err == nil
}

// key names the member among others; the names of headers are the same in any case.
func (m member) key() string {
	parts := slices.Clone(m.path)
	if len(parts) == 2 && parts[0] == "headers" {
		parts[1] = strings.ToLower(parts[1])
	}
	return strings.Join(parts, "\x00")
}

// secret says whether the member is nothing to show as a whole.
func (m member) secret() bool {
	switch m.path[0] {
	case "headers":
		value, _ := m.text()
		return len(m.path) == 2 && isSecretHeader(m.path[1], value)
	case "body":
		return slices.ContainsFunc(m.path[1:], IsSecretName)
	}
	return false
}

func (m member) isURL() bool { return len(m.path) == 1 && m.path[0] == "url" }

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

// maskPoller hides the secrets of an http-poller's configuration.
func maskPoller(config json.RawMessage) json.RawMessage {
	return rewrite(config, func(m member) []byte {
		if m.secret() {
			return spell(Masked)
		}
		if s, ok := m.text(); ok && m.isURL() {
			if masked := MaskURL(s); masked != s {
				return spell(masked)
			}
		}
		return m.raw
	})
}

// unmaskPoller puts secrets of stored back where config has Masked in their place. A secret was given
// for one origin: it is not put back where config names another, or whoever may change a topic could
// have it sent to himself. What stays masked is a mistake, for Check.
func unmaskPoller(config, stored json.RawMessage) json.RawMessage {
	had, from, to := map[string][]byte{}, "", ""
	rewrite(stored, func(m member) []byte {
		if m.isURL() {
			from, _ = m.text()
		}
		if m.secret() || m.isURL() {
			had[m.key()] = m.raw
		}
		return m.raw
	})
	rewrite(config, func(m member) []byte {
		if m.isURL() {
			to, _ = m.text()
		}
		return m.raw
	})
	if to != MaskURL(from) && !mayMove(from, unmaskURL(to, from)) {
		return config
	}
	return rewrite(config, func(m member) []byte {
		s, _ := m.text()
		switch raw, ok := had[m.key()]; {
		case !ok:
		case s == Masked && !m.isURL():
			return raw
		case m.isURL() && s == MaskURL(from):
			return raw // with its own spelling
		case m.isURL():
			if whole := unmaskURL(s, from); whole != s {
				return spell(whole)
			}
		}
		return m.raw
	})
}

// stillMasked finds what is masked and has nothing to stand for.
func stillMasked(config json.RawMessage) (pointers []string) {
	rewrite(config, func(m member) []byte {
		s, ok := m.text()
		whole := s == Masked && (m.secret() || len(m.path) == 2 && m.path[0] == "headers")
		part := false
		if m.isURL() {
			rewriteURL(s, func(name, value string) string {
				part = part || unescape(value) == Masked && (name == "" || IsSecretName(name))
				return value
			})
		}
		if ok && (whole || part) {
			escaped := make([]string, len(m.path))
			for i, name := range m.path {
				escaped[i] = strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
			}
			pointers = append(pointers, "/"+strings.Join(escaped, "/"))
		}
		return m.raw
	})
	return pointers
}
