package source

import (
	"cmp"
	"maps"
	"net/textproto"
	"slices"
	"strings"

	"freshet/internal/settings"
)

// CheckHeaders says what is wrong with the member headers of a configuration: it lets nothing pass that
// would break a request in two, that belongs to the connection, or that the source decides by itself, which
// reserved names canonically, each with the reason. It never shows a value, which may be a secret.
func CheckHeaders(v *settings.Verdict, headers settings.Headers, reserved map[string]string) {
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		at := "/headers/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		switch why := cmp.Or(reserved[canonical], connectionHeader(canonical)); {
		case !isToken(name):
			v.Say(at, "%.40q is not a header name", name)
		case why != "":
			v.Say(at, "cannot be set: %s", why)
		case seen[canonical] != "":
			v.Say(at, "is the same header as %q", seen[canonical])
		case strings.ContainsFunc(headers[name], func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }): // RFC 9110 section 5.5
			v.Say(at, "the value holds a line break or another control character")
		}
		seen[canonical] = cmp.Or(seen[canonical], name)
	}
}

func connectionHeader(name string) string {
	switch name {
	case "Host":
		return "it follows from the URL"
	case "Connection", "Content-Length", "Expect", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return "it belongs to the connection"
	}
	return ""
}

// isToken is RFC 9110 section 5.6.2.
func isToken(s string) bool {
	return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}
