package sse

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"freshet"
	"freshet/internal/egress"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/credentials"
)

const (
	maxRedirects = 5
	// longestWait bounds how long upstream can make the source wait before it asks again.
	longestWait = time.Hour
)

// open asks for the stream, and follows redirects. The answer has a body, which the caller closes, and any
// status that is no redirect.
func (s *stream) open(ctx context.Context) (*http.Response, error) {
	visited := []string{s.target.String()}
	for from, foreign := s.target, false; ; {
		resp, err := s.send(ctx, from, foreign)
		if err != nil {
			return nil, s.unreachable(err, len(visited) > 1)
		}
		if !isRedirect(resp.StatusCode) {
			return resp, nil
		}
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be used again
		_ = resp.Body.Close()
		to, err := redirect(resp, from, visited)
		if err != nil {
			return nil, err
		}
		// Once a request left the origin that the configuration names, its headers stay dropped: who
		// redirects there and back chooses the path.
		foreign = foreign || !sameOrigin(to, s.target)
		from, visited = to, append(visited, to.String())
	}
}

// unreachable is a request that got no answer.
func (s *stream) unreachable(err error, redirected bool) error {
	if unsigned, ok := errors.AsType[*credentials.Error](err); ok {
		s.wait(unsigned.RetryAfter)
		return err
	}
	if f, _ := source.FaultOf(err); redirected && f.Code == freshet.FaultConfig {
		return source.Faultf(freshet.FaultRedirect, "upstream redirects to where Freshet may not go: %s", f.Message)
	}
	return err
}

// send makes one request, and another where the first was refused for a token that has run out.
func (s *stream) send(ctx context.Context, to *url.URL, foreign bool) (*http.Response, error) {
	resp, err := s.sendOnce(ctx, to, foreign)
	if err != nil || foreign || !s.signer.Refused(resp) {
		return resp, err
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	_ = resp.Body.Close()
	return s.sendOnce(ctx, to, foreign)
}

// sendOnce makes one request. A foreign one, to another origin than the configured URL's, has none of the
// credentials, nor of the configured headers: any of them may be one.
func (s *stream) sendOnce(ctx context.Context, to *url.URL, foreign bool) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), http.NoBody)
	if err != nil {
		return nil, source.Faultf(freshet.FaultConfig, "the request cannot be made")
	}
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Cache-Control", "no-store")
	if !foreign {
		headers, err := s.env.Secrets.RevealHeaders(s.Headers)
		if err != nil {
			return nil, source.Faultf(freshet.FaultConfig, "%v", err)
		}
		for name, value := range headers {
			r.Header.Set(name, value)
		}
	}
	if isFieldValue(s.lastID) {
		r.Header.Set("Last-Event-ID", s.lastID)
	}
	if foreign {
		return s.env.Client.Do(r) //nolint:wrapcheck // it says what it is about
	}
	if err := s.signer.Sign(ctx, r, nil); err != nil {
		return nil, err //nolint:wrapcheck // it says what it is about
	}
	return s.client.Do(r) //nolint:wrapcheck // it says what it is about
}

// isFieldValue says whether a text can be sent in a header (RFC 9110 section 5.5).
func isFieldValue(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// redirect is where an answer leads, if the source goes there.
func redirect(resp *http.Response, from *url.URL, visited []string) (*url.URL, error) {
	to, err := from.Parse(resp.Header.Get("Location"))
	if err == nil {
		to, err = egress.ParseURL(to.String())
	}
	if err != nil || resp.Header.Get("Location") == "" {
		return nil, source.Faultf(freshet.FaultRedirect, "upstream redirects to an address that cannot be used")
	}
	to.Fragment, to.RawFragment = "", ""
	switch {
	case slices.Contains(visited, to.String()):
		return nil, source.Faultf(freshet.FaultRedirect, "upstream redirects in a circle, by way of %s", egress.Show(to))
	case len(visited) > maxRedirects:
		return nil, source.Faultf(freshet.FaultRedirect, "upstream redirects more than %d times", maxRedirects)
	case from.Scheme == "https" && to.Scheme == "http":
		return nil, source.Faultf(freshet.FaultRedirect, "upstream redirects from https to http, which is not followed")
	}
	return to, nil
}

// sameOrigin compares as RFC 6454 section 5 does.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && egress.Port(a) == egress.Port(b)
}

// judge says what is wrong with an answer that should be a stream.
func (s *stream) judge(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		s.wait(source.RetryAfter(resp.Header, time.Hour))
		return source.FaultOfStatus(resp.StatusCode, "")
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "text/event-stream" {
		return source.Faultf(freshet.FaultFormat, "upstream's answer is no event stream: its Content-Type is not text/event-stream")
	}
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return source.Faultf(freshet.FaultFormat, "upstream's answer has a content encoding that was not asked for")
	}
	return nil
}

// wait lets the next request begin no earlier than after d.
func (s *stream) wait(d time.Duration) {
	if until := time.Now().Add(min(d, longestWait)); d > 0 && until.After(s.notBefore) {
		s.notBefore = until
	}
}

// An idle reader ends a request on which nothing comes for too long. What the source itself needs for what
// came does not count.
type idle struct {
	r     io.Reader
	timer *time.Timer
	after time.Duration
}

func (i *idle) Read(p []byte) (int, error) {
	i.timer.Reset(i.after)
	n, err := i.r.Read(p)
	i.timer.Stop()
	return n, err //nolint:wrapcheck // a reader hands on what it is told
}
