package sse

import (
	"net/textproto"
	"net/url"
	"strconv"

	"freshet"
	"freshet/internal/egress"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/credentials"
	"freshet/internal/settings"
)

// config is the configuration of an sse source.
type config struct {
	URL      settings.URL     `json:"url" required:"true" doc:"The address of the stream: absolute, http or https"`
	Headers  settings.Headers `json:"headers" doc:"Sent with each request, to the origin of url only"`
	Events   []string         `json:"events" range:"0..100" doc:"The names of the events that are taken, and message for those without one; all others are passed over. Without any, all are taken"`
	Freshet  bool             `json:"freshet" doc:"Upstream is a topic of Freshet, or speaks its protocol: patches are applied to the document before them, so that each payload is the whole document, and its errors are told as such. events then counts for nothing"`
	TextData string           `json:"textData" default:"json" oneof:"json,string" doc:"What the data of an event is: JSON, or any text, which becomes a JSON string"`
	Idle     freshet.Duration `json:"idleTimeout" default:"PT5M" range:"PT1S..P1D" doc:"A connection on which nothing comes for so long, not even a comment, is made anew; longer than upstream is ever silent"`

	Authorization *credentials.Authorization `json:"authorization" doc:"Credentials for upstream, sent to the origin of url only"`
	TLS           *credentials.TLS           `json:"tls" doc:"Certificates for the connections to the origin of url, and to authorization.provider"`

	target *url.URL // URL, parsed
}

// Check is what the tags cannot say.
func (c *config) Check(v *settings.Verdict) {
	c.TLS.CheckUse(v, "/tls", string(c.URL), c.Authorization)
	if u, err := egress.ParseURL(string(c.URL)); err == nil {
		c.target = u
		c.target.Fragment, c.target.RawFragment = "", "" // never sent
	}
	reserved := map[string]string{
		"Last-Event-Id":   "the source says by itself where it is",
		"Accept-Encoding": "the stream is read as it is",
		"Range":           "the source needs the whole stream",
	}
	for _, name := range c.Authorization.Headers() {
		reserved[textproto.CanonicalMIMEHeaderKey(name)] = "authorization sets it"
	}
	source.CheckHeaders(v, c.Headers, reserved)
	for i, name := range c.Events {
		if name == "" {
			v.Say("/events/"+strconv.Itoa(i), "must not be empty: events without a name are called message")
		}
	}
	if c.Freshet && len(c.Events) > 0 {
		v.Say("/events", "what comes of a topic of Freshet is known: leave it out")
	}
	if c.Freshet && c.TextData != "json" {
		v.Say("/textData", "the data of Freshet is JSON: leave it out")
	}
}
