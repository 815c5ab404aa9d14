package httppoller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"freshet"
	"freshet/internal/egress"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/credentials"
	"freshet/internal/flow/source/origin"
)

// maxRedirects is how many redirects one poll follows.
const maxRedirects = 5

// An answer is what upstream says the data is now.
type answer struct {
	notModified bool
	body        []byte // complete and decompressed
	valid       validators
	header      http.Header
	whole       bool // the body is the value itself, of which all pages are part
}

// validators make the next request conditional (RFC 9110 section 13). They are sent only for the
// URL that they came from.
type validators struct {
	url, etag, modified string
}

// An asking is one request that a poll makes.
type asking struct {
	valid    validators // of the answer that there is already; none: the request has no condition
	limit    int64      // bytes of the answer, decompressed
	expected int        // a guess of its size
}

// fetch makes one attempt: a request, and one more for each redirect. Exactly one of its results is
// set.
func (p *poller) fetch(ctx context.Context, from *url.URL, q asking) (*answer, *failure) {
	leave, err := p.enter(ctx, from)
	if err != nil {
		return nil, p.held(err)
	}
	defer func() { leave() }()
	limited, cancel := context.WithTimeout(ctx, time.Duration(p.Timeout))
	defer cancel()
	var visited []string // where redirects led from
	for foreign := !sameOrigin(from, p.target); ; {
		resp, err := p.send(limited, from, q, foreign)
		if err != nil {
			fail := p.unreachable(limited, err, len(visited) > 0)
			if _, unsigned := errors.AsType[*credentials.Error](err); !unsigned && fail.fault.Code == freshet.FaultConnection && ctx.Err() == nil {
				p.origin(from).Failed(p, fail.fault)
			}
			return nil, fail
		}
		p.heed(resp, from)
		if !isRedirect(resp.StatusCode) {
			a, fail := p.read(limited, resp, from, q, foreign)
			_ = resp.Body.Close()
			return a, fail
		}
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be used again
		_ = resp.Body.Close()
		visited = append(visited, from.String())
		to, fail := p.redirect(resp, from, visited)
		if fail != nil {
			return nil, fail
		}
		// Once a request left the origin that the configuration names, its headers stay dropped: who
		// redirects there and back chooses the path.
		foreign = foreign || !sameOrigin(to, p.target)
		if !sameOrigin(to, from) {
			leave()
			if leave, err = p.enter(limited, to); err != nil {
				leave = func() {}
				return nil, p.held(err)
			}
		}
		from = to
	}
}

// send makes one request, and another where the first was refused for a token that has run out.
func (p *poller) send(ctx context.Context, to *url.URL, q asking, foreign bool) (*http.Response, error) {
	resp, err := p.sendOnce(ctx, to, q, foreign)
	if err != nil || foreign || !p.signer.Refused(resp) {
		return resp, err
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	_ = resp.Body.Close()
	return p.sendOnce(ctx, to, q, foreign)
}

// sendOnce makes one request. A foreign one, to another origin than the configured URL's, has none of the
// credentials, nor of the configured headers: any of them may be one.
func (p *poller) sendOnce(ctx context.Context, to *url.URL, q asking, foreign bool) (*http.Response, error) {
	whole, err := p.secrets.RevealJSON(p.Body)
	if err != nil {
		return nil, source.Faultf(freshet.FaultConfig, "body: %v", err)
	}
	var body io.Reader
	if whole != nil {
		body = bytes.NewReader(whole)
	}
	r, err := http.NewRequestWithContext(ctx, p.Method, "", body)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	r.URL, r.Host = to, to.Host // which need not be written out and read again
	r.Header["Accept"] = p.accept
	if whole != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if !foreign {
		headers, err := p.secrets.RevealHeaders(p.Headers)
		if err != nil {
			return nil, source.Faultf(freshet.FaultConfig, "%v", err)
		}
		for name, value := range headers {
			r.Header.Set(name, value)
		}
	}
	r.Header["Accept-Encoding"] = p.encodings
	if q.valid.url != "" && q.valid.url == p.text(to) {
		if q.valid.etag != "" {
			r.Header["If-None-Match"] = []string{q.valid.etag}
		}
		if q.valid.modified != "" {
			r.Header.Set("If-Modified-Since", q.valid.modified)
		}
	}
	client := p.foreign
	if !foreign {
		client = p.client
		if err := p.signer.Sign(ctx, r, whole); err != nil {
			return nil, fmt.Errorf("poll: %w", err)
		}
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("poll: %w", err)
	}
	return resp, nil
}

// acceptOf is the Accept field (RFC 9110 section 12.5.1) of a format.
func acceptOf(format string) string {
	switch format {
	case "ndjson":
		return "application/x-ndjson, application/jsonl;q=0.9, */*;q=0.1"
	case "csv":
		return "text/csv, */*;q=0.1"
	case "xml":
		return "application/xml, text/xml;q=0.9, application/*+xml;q=0.8, */*;q=0.1"
	case "feed":
		return "application/atom+xml, application/rss+xml, application/feed+json;q=0.9, application/xml;q=0.8, */*;q=0.1"
	}
	return "application/json, application/*+json;q=0.9, */*;q=0.1"
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// redirect is where an answer leads, if the poller goes there.
func (p *poller) redirect(resp *http.Response, from *url.URL, visited []string) (*url.URL, *failure) {
	location := resp.Header.Get("Location")
	if location == "" {
		return nil, faultf(freshet.FaultRedirect, "upstream answered %s without saying where to", status(resp.StatusCode))
	}
	to, err := from.Parse(location)
	if err == nil {
		to, err = egress.ParseURL(to.String())
	}
	if err != nil {
		return nil, faultf(freshet.FaultRedirect, "upstream redirects to an address that cannot be used")
	}
	to.Fragment, to.RawFragment = "", ""
	switch {
	case slices.Contains(visited, to.String()):
		return nil, faultf(freshet.FaultRedirect, "upstream redirects in a circle, by way of %s", egress.Show(to))
	case len(visited) > maxRedirects:
		return nil, faultf(freshet.FaultRedirect, "upstream redirects more than %d times", maxRedirects)
	case from.Scheme == "https" && to.Scheme == "http":
		return nil, faultf(freshet.FaultRedirect, "upstream redirects from https to http, which is not followed")
	case p.Method != http.MethodGet && (!sameOrigin(to, p.target) || resp.StatusCode < http.StatusTemporaryRedirect):
		return nil, faultf(freshet.FaultRedirect, "upstream redirects a POST to %s, which is not followed", egress.Show(to))
	}
	return to, nil
}

// sameOrigin compares as RFC 6454 section 5 does.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && equalHost(a.Hostname(), b.Hostname()) && egress.Port(a) == egress.Port(b)
}

// read turns an answer that is no redirect into a result.
func (p *poller) read(ctx context.Context, resp *http.Response, from *url.URL, q asking, foreign bool) (*answer, *failure) {
	sent := resp.Request.Header
	conditional := sent.Get("If-None-Match") != "" || sent.Get("If-Modified-Since") != ""
	switch {
	case resp.StatusCode == http.StatusNotModified && conditional:
		return &answer{notModified: true, header: resp.Header}, nil
	case resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNonAuthoritativeInfo:
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
		return nil, p.refused(resp, foreign)
	}
	if isWebPage(resp.Header) && p.Format != "xml" {
		return nil, faultf(freshet.FaultFormat, "upstream answered with a web page, not with JSON: is %s the API itself, and is no login page in front of it?", egress.Show(from))
	}
	body, err := readBody(resp, q.limit, q.expected)
	if err != nil {
		return nil, p.unreadable(ctx, err)
	}
	return &answer{body: body, valid: validatorsOf(resp.Header, from), header: resp.Header}, nil
}

// validatorsOf keeps what can tell this answer from the next. A Last-Modified that is not at least a
// second older than the answer cannot: there may be another change in that second (RFC 9110 section
// 8.8.2.2).
func validatorsOf(h http.Header, from *url.URL) validators {
	v := validators{url: from.String(), etag: h.Get("ETag"), modified: h.Get("Last-Modified")}
	modified, err1 := http.ParseTime(v.modified)
	date, err2 := http.ParseTime(h.Get("Date"))
	if err1 != nil || err2 != nil || date.Sub(modified) < time.Second {
		v.modified = ""
	}
	return v
}

// text is a URL as it is written: mostly the one that the configuration names, which need not be written each time.
func (p *poller) text(u *url.URL) string {
	if u == p.target {
		return p.written
	}
	return u.String()
}

// origin is that of a URL: mostly of the one that the configuration names, whose name need not be made each time.
func (p *poller) origin(of *url.URL) *origin.Origin {
	if of.Scheme == p.target.Scheme && of.Host == p.target.Host {
		return p.origins.Called(p.home)
	}
	return p.origins.Of(of)
}

// enter waits until a request to a URL may begin, and returns what has to be called when it is over.
func (p *poller) enter(ctx context.Context, to *url.URL) (leave func(), err error) {
	p.waited = false
	leave, err = p.origin(to).AcquireTelling(ctx, p.waits)
	if err == nil && p.waited {
		now := time.Now()
		p.planned(now.Add(p.period(now))) // as before the wait
	}
	return leave, err
}

// held is a request that could not even begin.
func (p *poller) held(err error) *failure {
	if closed, ok := errors.AsType[*origin.ClosedError](err); ok && closed.Because.Code != 0 {
		return &failure{fault: closed.Because, err: err}
	}
	return passing(err, freshet.FaultConnection, "upstream has no room for another request")
}

// heed takes note of what an answer says of its origin: that it works, what it can take, and for how long it
// wants no request.
func (p *poller) heed(resp *http.Response, from *url.URL) {
	o, now := p.origin(from), time.Now()
	if q, ok := quotaOf(resp.Header, now); ok {
		o.Remaining(q.remaining, now.Add(q.reset))
	}
	if resp.StatusCode < http.StatusBadRequest {
		o.Succeeded()
		return
	}
	refused := p.refused(resp, false)
	if resp.StatusCode >= http.StatusInternalServerError {
		o.Failed(p, refused.fault)
	} else {
		o.Succeeded()
	}
	if refused.retryAfter > 0 && (resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable) {
		o.Wait(now.Add(refused.retryAfter), refused.fault)
	}
}
