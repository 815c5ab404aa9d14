// Package httpfile reads a file that is had by HTTP, and the lines that it gains.
package httpfile

import (
	"context"
	"encoding/json"
	"maps"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"freshet"
	"freshet/internal/egress"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/credentials"
	"freshet/internal/flow/source/files"
	"freshet/internal/flow/source/files/web"
	"freshet/internal/settings"
)

type config struct {
	URL           settings.URL               `json:"url" required:"true" doc:"The address of the file: absolute, http or https"`
	Headers       settings.Headers           `json:"headers" doc:"Sent with each request"`
	Authorization *credentials.Authorization `json:"authorization" doc:"Credentials for the file"`
	TLS           *credentials.TLS           `json:"tls" doc:"Certificates for the connections"`
	Timeout       freshet.Duration           `json:"timeout" default:"PT10S" range:"PT0.1S..PT5M" doc:"How long upstream may take to answer, and be silent amid an answer"`
	files.Options

	target *url.URL
}

// Check is what the tags cannot say.
func (c *config) Check(v *settings.Verdict) {
	c.TLS.CheckUse(v, "/tls", string(c.URL), c.Authorization)
	c.Options.Check(v)
	c.Options.CheckOne(v)
	if u, err := egress.ParseURL(string(c.URL)); err == nil {
		c.target = u
		u.Fragment, u.RawFragment = "", "" // never sent
	}
	const allowed = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" // RFC 9110, 5.6.2
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		at := "/headers/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		switch textproto.CanonicalMIMEHeaderKey(name) {
		case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Te", "Trailer", "Upgrade", "Expect", "Accept-Encoding", "Range", "If-Range", "If-None-Match", "If-Modified-Since":
			v.Say(at, "cannot be set: the request needs it for itself")
		}
		switch {
		case name == "" || strings.Trim(name, allowed) != "":
			v.Say(at, "%.40q is not a header name", name)
		case slices.ContainsFunc(c.Authorization.Headers(), func(h string) bool { return strings.EqualFold(h, name) }):
			v.Say(at, "is what authorization makes: leave one of them out")
		case strings.ContainsFunc(c.Headers[name], func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			v.Say(at, "the value holds a line break or another control character")
		}
	}
}

// Kind is the type http-file.
func Kind() source.Kind {
	return source.Kind{
		Name:    "http-file",
		Summary: "Reads a file that is had by HTTP as it changes, and the lines that it gains.",
		Notes: "**What it asks.** One conditional request for each look, with `ETag` or `Last-Modified`, and, of lines, for what is behind those that were read (`Range`); a server that has no parts sends the whole file each time it has changed, and one without validators each time. " +
			"The file must not be compressed on its way. Redirects are not followed. `Retry-After` and the budgets of origins are obeyed. A document is better polled by an `http-poller`, which can do more with it.\n\n" + files.Notes,
		Feeds:  []freshet.Kind{freshet.KindSnapshot, freshet.KindEvent},
		Config: config{},
		Check:  source.Check[config],
		Period: func(conf json.RawMessage) time.Duration {
			var c config
			_ = settings.Read(conf, &c) // in which Check finds nothing
			return time.Duration(c.PollingPeriod)
		},
		New: func(conf json.RawMessage, env source.Env) (source.Source, error) {
			var c config
			if wrong := settings.Read(conf, &c); wrong != nil {
				return nil, wrong
			}
			client, err := web.New(web.Settings{Authorization: c.Authorization, TLS: c.TLS, Headers: c.Headers, Silence: time.Duration(c.Timeout)}, env)
			if err != nil {
				return nil, err //nolint:wrapcheck // it says all
			}
			return &files.Reader{
				Options: c.Options, Where: string(c.URL), Env: env,
				Connect: func(context.Context) (files.Store, error) { return &store{client, c.target}, nil },
			}, nil
		},
	}
}

// store is one file.
type store struct {
	client *web.Client
	url    *url.URL
}

func (s *store) Folder(context.Context) (bool, error) { return false, nil }

func (s *store) List(context.Context, string) ([]files.File, error) { return nil, nil }

func (s *store) Open(ctx context.Context, _ string, from int64, have string) (*files.Opened, error) {
	return s.client.Open(ctx, s.url, from, have) //nolint:wrapcheck // it is the same
}

// NotBefore is when the file may be asked for at the earliest.
func (s *store) NotBefore() time.Time { return s.client.NotBefore(s.url) }

func (s *store) Close() {}
