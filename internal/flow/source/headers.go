package source

import (
	"cmp"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"freshet"
	"freshet/internal/settings"
)

// CheckHeaders says what is wrong with the member headers of a configuration: it lets nothing pass that
// would break a request in two, that belongs to the connection, or that the source decides by itself, which
// reserved names canonically, each with the reason. It never shows a value, which may be a secret.
func CheckHeaders(v *settings.Verdict, headers settings.Headers, reserved map[string]string) {
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		at := settings.Pointer("headers", name)
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

// RetryAfter is for how long an answer wants no other request, by the server's clock where it gives a time
// (RFC 9110 section 10.2.3), but for no longer than longest; 0: it does not say.
func RetryAfter(h http.Header, longest time.Duration) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(longest, time.Duration(seconds)*time.Second)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now := time.Now()
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(longest, max(0, at.Sub(now)))
}

// FaultOfStatus is what subscribers are told of an answer with a status that is none of success. instead says
// in place of what it came, such as " in place of a stream".
func FaultOfStatus(status int, instead string) freshet.Fault {
	// The name is of our own list: the phrase that upstream sends is upstream's.
	return Faultf(freshet.FaultOfStatus(status), "upstream answered %s%s", strings.TrimSpace(strconv.Itoa(status)+" "+http.StatusText(status)), instead)
}
