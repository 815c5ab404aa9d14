// Package web opens files that are had by HTTP.
package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/credentials"
	"freshet/internal/flow/source/files"
	"freshet/internal/flow/source/origin"
	"freshet/internal/settings"
)

const (
	firstPause   = time.Second // after a request that failed …
	longestPause = time.Minute // … doubling up to this
	longestAfter = 24 * time.Hour
	maxError     = 4 << 10 // bytes of an answer that is not read
)

// A Client gets files. It is used by one goroutine at a time.
type Client struct {
	http    source.Client
	signer  credentials.Signer
	origins *origin.Origins
	headers settings.Headers
	secrets settings.Vault
	silence time.Duration
	failed  int // requests in a row
}

// Settings are what a Client needs to know.
type Settings struct {
	Authorization *credentials.Authorization
	TLS           *credentials.TLS
	Headers       settings.Headers
	Silence       time.Duration // how long an answer may be silent
}

// New returns a client.
func New(s Settings, env source.Env) (*Client, error) {
	env.Client = s.TLS.Client(env)
	signer, err := s.Authorization.New(env)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says all
	}
	return &Client{
		http: env.Client, signer: signer, origins: cmp.Or(env.Origins, &origin.Origins{}),
		headers: s.Headers, secrets: env.Secrets, silence: s.Silence,
	}, nil
}

// NotBefore is when a URL may be asked for at the earliest, by the budget of its origin.
func (c *Client) NotBefore(u *url.URL) time.Time { return c.origins.Of(u).Next() }

// Get asks for a URL. The answer has status 200, or 206 where the header asks for a part, or 304 where it has a
// condition, or 416. An error is a freshet.Fault, about what was asked for, or a *files.LaterError.
func (c *Client) Get(ctx context.Context, u *url.URL, header http.Header) (*http.Response, error) {
	o := c.origins.Of(u)
	leave, err := o.Acquire(ctx)
	if err != nil {
		if closed, ok := errors.AsType[*origin.ClosedError](err); ok {
			return nil, &files.LaterError{Fault: closed.Because, Until: closed.Until}
		}
		return nil, err //nolint:wrapcheck // ctx has ended
	}
	ctx, cancel := context.WithCancel(ctx)
	watch := time.AfterFunc(c.silence, cancel)
	end := sync.OnceFunc(func() { watch.Stop(); cancel(); leave() })
	resp, err := c.send(ctx, u, header)
	watch.Stop()
	if err != nil {
		silent := ctx.Err() != nil
		end()
		return nil, c.unreachable(o, err, silent)
	}
	resp.Body = &body{ReadCloser: resp.Body, watch: watch, silence: c.silence, end: end}
	if err := c.heed(o, resp, header); err != nil {
		_, _ = io.CopyN(io.Discard, resp.Body, maxError) // so that the connection can be used again
		_ = resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// send makes one request, and another where the first was refused for a token that has run out.
func (c *Client) send(ctx context.Context, u *url.URL, header http.Header) (*http.Response, error) {
	for again := false; ; again = true {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://host", http.NoBody)
		if err != nil {
			return nil, fmt.Errorf("make the request: %w", err)
		}
		r.URL, r.Host = u, u.Host // which is spelled as it is to be signed
		shown, err := c.secrets.RevealHeaders(c.headers)
		if err != nil {
			return nil, source.Faultf(freshet.FaultConfig, "%v", err)
		}
		for name, value := range shown {
			r.Header.Set(name, value)
		}
		maps.Copy(r.Header, header)
		r.Header.Set("Accept-Encoding", "identity") // offsets are those of the file
		if err := c.signer.Sign(ctx, r, nil); err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		resp, err := c.http.Do(r)
		if err != nil {
			return nil, fmt.Errorf("ask: %w", err)
		}
		if again || !c.signer.Refused(resp) {
			return resp, nil
		}
		_, _ = io.CopyN(io.Discard, resp.Body, maxError)
		_ = resp.Body.Close()
	}
}

// unreachable is a request that got no answer.
func (c *Client) unreachable(o *origin.Origin, err error, silent bool) error {
	if unsigned, ok := errors.AsType[*credentials.Error](err); ok {
		return c.later(unsigned.Fault, unsigned.RetryAfter)
	}
	f, _ := source.FaultOf(err)
	if silent {
		f = source.Faultf(freshet.FaultConnection, "upstream gave no answer within %v", c.silence)
	}
	if f.Code == freshet.FaultConnection {
		o.Failed(c, f)
	}
	return c.later(f, 0)
}

// later is a fault that may be over after a while.
func (c *Client) later(f freshet.Fault, after time.Duration) error {
	pause := source.BackOff(c.failed, firstPause, longestPause, 1)
	c.failed++
	return &files.LaterError{Fault: f, Until: time.Now().Add(max(after, pause))}
}

// heed takes note of an answer, and returns why it is none to read.
func (c *Client) heed(o *origin.Origin, resp *http.Response, asked http.Header) error {
	code := resp.StatusCode
	if code < http.StatusInternalServerError {
		o.Succeeded()
	}
	switch {
	case code == http.StatusOK,
		code == http.StatusPartialContent && asked.Get("Range") != "",
		code == http.StatusRequestedRangeNotSatisfiable && asked.Get("Range") != "",
		code == http.StatusNotModified && (asked.Get("If-None-Match") != "" || asked.Get("If-Modified-Since") != ""):
		c.failed = 0
		return nil
	case code >= 300 && code < 400:
		return source.Faultf(freshet.FaultRedirect, "upstream answered %s, which is not followed: use the address that it leads to", status(code))
	}
	f := source.Faultf(freshet.FaultOfStatus(code), "upstream answered %s", status(code))
	if code >= http.StatusInternalServerError {
		o.Failed(c, f)
	}
	switch {
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		after := retryAfter(resp.Header, time.Now())
		if after > 0 {
			o.Wait(time.Now().Add(after), f)
		}
		return c.later(f, after)
	case code >= http.StatusInternalServerError, code == http.StatusRequestTimeout:
		return c.later(f, 0)
	}
	return f
}

// status is a code and its name, by our own list: the phrase that upstream sends is upstream's.
func status(code int) string {
	return strings.TrimSpace(strconv.Itoa(code) + " " + http.StatusText(code))
}

// retryAfter is RFC 9110, 10.2.3: seconds, or a time, by the clock of who sent it.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, longestAfter)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(0, at.Sub(now)), longestAfter)
}

// A body must not be silent for too long.
type body struct {
	io.ReadCloser
	watch   *time.Timer
	silence time.Duration
	end     func()
}

func (b *body) Read(p []byte) (int, error) {
	b.watch.Reset(b.silence)
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("read the answer: %w", err)
	}
	b.watch.Stop() // what is done with it may take its time
	return n, err  //nolint:wrapcheck // the end is the end
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err //nolint:wrapcheck // nobody looks at it
}
