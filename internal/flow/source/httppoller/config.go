package httppoller

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"freshet"
	"freshet/internal/egress"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/credentials"
	"freshet/internal/flow/source/filter"
	"freshet/internal/flow/source/formats"
	"freshet/internal/flow/source/webhook"
	"freshet/internal/settings"
)

// config is the configuration of an http-poller. The names are those of the incumbent where it has the
// option.
type config struct {
	URL            settings.URL               `json:"url" required:"true" doc:"The address of the API to poll: absolute, http or https"`
	Method         string                     `json:"method" oneof:"GET,POST,PUT" doc:"The method of the requests: by default GET, and with graphql POST, which it has to be. POST and PUT are for APIs that are asked so, such as searches"`
	Headers        settings.Headers           `json:"headers" doc:"Sent with each request, to the origin of url only"`
	Authorization  *credentials.Authorization `json:"authorization" doc:"Credentials for the API, sent to the origin of url only"`
	TLS            *credentials.TLS           `json:"tls" doc:"Certificates for the connections to the origin of url, and to authorization.provider"`
	Body           json.RawMessage            `json:"body" references:"true" doc:"The JSON that POST and PUT send. A text in it may say where a secret is, such as secret:NAME"`
	GraphQL        *graphQL                   `json:"graphql" doc:"Asks a GraphQL API, by POST. The payload is what data holds, unless payloadPointer says otherwise; an answer with errors is refused, and the first of them is told"`
	PollingPeriod  freshet.Duration           `json:"pollingPeriod" default:"PT5S" range:"PT0.5S..PT1H" doc:"From the start of one poll to the start of the next"`
	Hook           *webhook.Config            `json:"hook" doc:"Takes webhooks of the upstream at POST /live/{topic}, if they are signed so, and polls at once for each; what they hold is not looked at. The timer finds what they miss, and counts it"`
	Adaptive       *adaptive                  `json:"adaptive" doc:"Lets the period follow how often the document changes, beginning with pollingPeriod: about eight polls to a change"`
	Windows        []window                   `json:"windows" range:"0..16" doc:"Times in which polls are made; without any all the time. What runs outside of them serves the last document"`
	IgnoreCache    bool                       `json:"ignoreCacheControl" doc:"Polls in each period although an answer says by Cache-Control or Expires (RFC 9111) that it stays as it is for longer"`
	Format         string                     `json:"format" default:"json" oneof:"json,ndjson,csv,xml,feed" doc:"What the answers are; all but json are turned into JSON first, of at most limits.payload too"`
	FormatOptions  formats.Options            `json:"formatOptions" doc:"What the format leaves open"`
	PayloadPointer string                     `json:"payloadPointer" doc:"The part of the answer that is the payload, as a JSON Pointer (RFC 6901). Without it the whole answer is"`
	Transform      string                     `json:"transform" doc:"A filter of jq that makes the payload of what payloadPointer finds: one value, within a second and 256 MB of memory, of at most limits.payload. Numbers that it passes on may change their spelling"`
	Computed       map[string]computed        `json:"computedQueryParameters" range:"0..16" doc:"Parameters of the query that are computed for each poll, by their names"`
	Pagination     *pagination                `json:"pagination" doc:"For documents that come in pages: the arrays that payloadPointer finds in them become one array, in their order; a page that has no array is one item"`
	Schema         json.RawMessage            `json:"schema" doc:"A JSON Schema (2020-12 where it does not say) for the payload. What does not fit is a fault, and the last document stays"`
	ShrinkGuard    bool                       `json:"shrinkGuard" doc:"A document that has lost more than 90 % of its size is taken only when two polls in a row say the same"`
	Timeout        freshet.Duration           `json:"timeout" default:"PT10S" range:"PT0.1S..PT5M" doc:"How long one attempt may take as a whole; with pagination, each page"`

	RetryOnHTTPCodes []int            `json:"retryOnHttpCodes" default:"[500,503,504]" doc:"Answers with these statuses are tried again, from 400 to 599. Connections that fail always are"`
	RetryMaxAttempts int              `json:"retryMaxAttempts" default:"3" range:"0..10" doc:"How often a poll is tried again after its first attempt"`
	RetryInitial     freshet.Duration `json:"retryBackOffInitialDuration" default:"PT1S" range:"PT0S..PT10S" doc:"The longest first pause before another attempt; pauses are random up to their length"`
	RetryMax         freshet.Duration `json:"retryBackOffMaxDuration" default:"PT10S" range:"PT0S..PT1M" doc:"The longest pause of all"`
	RetryFactor      float64          `json:"retryBackOffFactor" default:"0.5" range:"0..10" doc:"By how much of itself the pause grows each time: 0.5 is half as long again"`

	target *url.URL // URL, parsed
	schema *jsonschema.Schema
}

// Check is what the tags cannot say.
func (c *config) Check(v *settings.Verdict) {
	if u, err := egress.ParseURL(string(c.URL)); err == nil {
		c.target = u
		c.target.Fragment, c.target.RawFragment = "", "" // never sent
	}
	c.checkBody(v)
	c.Method = cmp.Or(c.Method, http.MethodGet)
	c.FormatOptions.CheckFor(v, "/formatOptions", c.Format)
	c.checkParameters(v)
	if c.Hook != nil && len(c.Hook.Headers) > 0 {
		v.Say("/hook/headers", "is of no use: what webhooks hold is not looked at")
	}
	c.TLS.CheckUse(v, "/tls", string(c.URL), c.Authorization)
	source.CheckBackOff(v, c.RetryInitial, c.RetryMax)
	var err error
	if c.Transform != "" {
		if err = filter.Check(c.Transform); err != nil {
			v.Say("/transform", "%v", err)
		}
	}
	if len(c.Schema) > 0 && string(c.Schema) != "null" {
		if c.schema, err = compileSchema(c.Schema); err != nil {
			v.Say("/schema", "%.300v", err)
		}
	}
	c.checkHeaders(v)
	if !isPointer(c.PayloadPointer) {
		v.Say("/payloadPointer", "%.80q is not a JSON Pointer: write /items or /data/0, with ~0 for '~' and ~1 for '/' inside a name", c.PayloadPointer)
	}
	for i, code := range c.RetryOnHTTPCodes {
		if code < 400 || code > 599 {
			v.Say(fmt.Sprintf("/retryOnHttpCodes/%d", i), "must be an HTTP status from 400 to 599, not %d", code)
		}
	}
}

func (c *config) checkBody(v *settings.Verdict) {
	if string(c.Body) == "null" {
		c.Body = nil
	}
	switch {
	case c.GraphQL != nil && c.Body != nil:
		v.Say("/body", "is made of graphql: leave one of them out")
	case c.GraphQL != nil:
		c.GraphQL.ask(c, v)
	case c.Body != nil && (c.Method == http.MethodGet || c.Method == ""):
		v.Say("/body", `only POST and PUT send a body: set "method" to one of them`)
	}
}

// checkHeaders lets nothing pass that would break a request in two, or that the poller has to
// decide by itself. It never shows a value, which may be a secret.
func (c *config) checkHeaders(v *settings.Verdict) {
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
			v.Say(at, "%.40q is not a header name", name)
		case reserved[canonical] != "":
			v.Say(at, "cannot be set: %s", reserved[canonical])
		case slices.ContainsFunc(c.Authorization.Headers(), func(h string) bool { return strings.EqualFold(h, name) }):
			v.Say(at, "is what authorization makes: leave one of them out")
		case seen[canonical] != "":
			v.Say(at, "is the same header as %q", seen[canonical])
		case !isFieldValue(c.Headers[name]):
			v.Say(at, "the value holds a line break or another control character")
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
