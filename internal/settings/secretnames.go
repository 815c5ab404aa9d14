package settings

import (
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
