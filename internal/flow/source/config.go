package source

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"freshet"
	"freshet/internal/egress"
	"freshet/internal/strict"
)

// pollerConfig is the configuration of an http-poller. The names are those of the incumbent where
// it has the option.
type pollerConfig struct {
	URL            string            `json:"url"`            // absolute, http or https
	Method         string            `json:"method"`         // GET; or POST for APIs that are asked so
	Headers        map[string]string `json:"headers"`        // sent with each request, to the origin of url only
	Body           json.RawMessage   `json:"body"`           // JSON sent with POST
	PollingPeriod  freshet.Duration  `json:"pollingPeriod"`  // PT5S; PT0.5S to PT1H, from start to start
	PayloadPointer string            `json:"payloadPointer"` // RFC 6901: the part of the answer that is the payload
	Timeout        freshet.Duration  `json:"timeout"`        // PT10S; PT0.1S to PT5M, of one attempt as a whole

	RetryOnHTTPCodes []int            `json:"retryOnHttpCodes"`            // 500, 503, 504; connection faults are always retried
	RetryMaxAttempts int              `json:"retryMaxAttempts"`            // 3; 0 to 10, after the first attempt
	RetryInitial     freshet.Duration `json:"retryBackOffInitialDuration"` // PT1S; PT0S to PT10S, the longest first pause
	RetryMax         freshet.Duration `json:"retryBackOffMaxDuration"`     // PT10S; PT0S to PT1M, the longest pause of all
	RetryFactor      float64          `json:"retryBackOffFactor"`          // 0.5; 0 to 10, growth: 0.5 is half as long again each time

	target *url.URL // URL, parsed
}

// decode reads a configuration, for which nothing at all stands for {}.
func decode(config json.RawMessage, into any) freshet.Invalid {
	if len(bytes.TrimSpace(config)) == 0 || string(config) == "null" {
		config = json.RawMessage("{}")
	}
	return strict.Decode(config, into)
}

func parsePollerConfig(config json.RawMessage) (*pollerConfig, freshet.Invalid) {
	c := &pollerConfig{
		Method:           http.MethodGet,
		PollingPeriod:    freshet.Duration(5 * time.Second),
		Timeout:          freshet.Duration(10 * time.Second),
		RetryOnHTTPCodes: []int{http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusGatewayTimeout},
		RetryMaxAttempts: 3,
		RetryInitial:     freshet.Duration(time.Second),
		RetryMax:         freshet.Duration(10 * time.Second),
		RetryFactor:      0.5,
	}
	v := &verdict{found: decode(config, c)}
	for _, pointer := range stillMasked(config) {
		v.say(pointer, "%s stands for a secret that is stored, and none is stored for it here, or one for another host: write the secret itself", Masked)
	}
	c.check(v)
	return c, v.found
}

func (c *pollerConfig) check(v *verdict) {
	if c.URL == "" {
		v.say("/url", "is required: the address of the API to poll")
	} else if u, err := egress.ParseURL(c.URL); err != nil && strings.Contains(c.URL, "@") {
		// What was taken for a port or an escape may be a piece of a password, and is not shown.
		v.say("/url", "a user or password in the URL is not sent: use an Authorization header; without one, this is no address of an API")
	} else if err != nil {
		v.say("/url", "%v", err)
	} else {
		c.target = u
		c.target.Fragment, c.target.RawFragment = "", "" // never sent
	}
	if c.Method != http.MethodGet && c.Method != http.MethodPost {
		v.say("/method", "must be GET or POST, not %.20q", c.Method)
	}
	if string(c.Body) == "null" {
		c.Body = nil
	}
	if c.Body != nil && c.Method == http.MethodGet {
		v.say("/body", `only POST sends a body: set "method" to POST`)
	}
	c.checkHeaders(v)
	v.between("/pollingPeriod", c.PollingPeriod, 500*time.Millisecond, time.Hour)
	if !isPointer(c.PayloadPointer) {
		v.say("/payloadPointer", "%.80q is not a JSON Pointer: write /items or /data/0, with ~0 for '~' and ~1 for '/' inside a name", c.PayloadPointer)
	}
	v.between("/timeout", c.Timeout, 100*time.Millisecond, 5*time.Minute)
	for i, code := range c.RetryOnHTTPCodes {
		if code < 400 || code > 599 {
			v.say(fmt.Sprintf("/retryOnHttpCodes/%d", i), "must be an HTTP status from 400 to 599, not %d", code)
		}
	}
	if c.RetryMaxAttempts < 0 || c.RetryMaxAttempts > 10 {
		v.say("/retryMaxAttempts", "must be from 0 to 10, not %d", c.RetryMaxAttempts)
	}
	v.between("/retryBackOffInitialDuration", c.RetryInitial, 0, 10*time.Second)
	v.between("/retryBackOffMaxDuration", c.RetryMax, 0, time.Minute)
	if c.RetryFactor < 0 || c.RetryFactor > 10 {
		v.say("/retryBackOffFactor", "must be from 0 to 10, not %v", c.RetryFactor)
	}
}

// checkHeaders lets nothing pass that would break a request in two, or that the poller has to
// decide by itself. It never shows a value, which may be a secret.
func (c *pollerConfig) checkHeaders(v *verdict) {
	reserved := map[string]string{
		"Host":              "it follows from the URL",
		"Content-Length":    "it follows from the body",
		"Transfer-Encoding": "it belongs to the connection",
		"Connection":        "it belongs to the connection",
		"Keep-Alive":        "it belongs to the connection",
		"Proxy-Connection":  "it belongs to the connection",
		"Te":                "it belongs to the connection",
		"Trailer":           "it belongs to the connection",
		"Upgrade":           "it belongs to the connection",
		"Expect":            "it belongs to the connection",
		"Accept-Encoding":   "the poller decodes gzip and deflate and asks for them",
		"Range":             "the poller needs the whole document",
		"If-Range":          "the poller needs the whole document",
		"If-None-Match":     "the poller makes its requests conditional by itself",
		"If-Modified-Since": "the poller makes its requests conditional by itself",
	}
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		at := "/headers/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case !isToken(name):
			v.say(at, "%.40q is not a header name", name)
		case reserved[canonical] != "":
			v.say(at, "cannot be set: %s", reserved[canonical])
		case seen[canonical] != "":
			v.say(at, "is the same header as %q", seen[canonical])
		case !isFieldValue(c.Headers[name]):
			v.say(at, "the value holds a line break or another control character")
		}
		seen[canonical] = cmp.Or(seen[canonical], name)
	}
}

// isToken is RFC 9110 section 5.6.2.
func isToken(s string) bool {
	return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// isFieldValue is RFC 9110 section 5.5.
func isFieldValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// isPointer is RFC 6901 section 3.
func isPointer(s string) bool {
	unescaped := strings.NewReplacer("~0", "", "~1", "").Replace(s)
	return s == "" || s[0] == '/' && !strings.Contains(unescaped, "~")
}

// A verdict collects what is wrong, one complaint for each member.
type verdict struct{ found freshet.Invalid }

func (v *verdict) say(pointer, format string, args ...any) {
	if slices.ContainsFunc(v.found, func(f freshet.FieldError) bool { return f.Pointer == pointer || f.Pointer == "" }) {
		return // it could not even be read
	}
	v.found = append(v.found, freshet.FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

func (v *verdict) between(pointer string, d freshet.Duration, least, most time.Duration) {
	if time.Duration(d) < least || time.Duration(d) > most {
		v.say(pointer, "must be from %v to %v, not %v", freshet.Duration(least), freshet.Duration(most), d)
	}
}
