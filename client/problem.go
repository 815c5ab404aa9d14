package client

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"freshet"
)

// A Problem is an answer of the server that is an error, as RFC 9457 describes one. It wraps the
// freshet sentinel of the same meaning, if there is one, and Errors, if there are any.
type Problem struct {
	Type       string          `json:"type"`             // https://freshet.dev/errors/<slug>
	Title      string          `json:"title"`            // what kind of problem
	Status     int             `json:"status"`           // the HTTP status
	Detail     string          `json:"detail,omitempty"` // what went wrong this time
	Code       int             `json:"code,omitempty"`   // of the fault, where a source is at fault
	Errors     freshet.Invalid `json:"errors,omitempty"` // each mistake in the document that was sent
	RetryAfter time.Duration   `json:"-"`                // how long the server asks to wait; 0: it does not say
}

func (p *Problem) Error() string {
	text := p.Title
	switch {
	case len(p.Errors) > 0:
		text = p.Errors.Error()
	case p.Detail != "":
		text = p.Detail
	case text == "":
		text = http.StatusText(p.Status)
	}
	return fmt.Sprintf("%s (%d)", text, p.Status)
}

// typeBase is what the problem types of Freshet begin with.
const typeBase = "https://freshet.dev/errors/"

// Slug is the last part of the problem's type, such as topic-not-found; empty for what is not
// Freshet's, such as a proxy's answer.
func (p *Problem) Slug() string {
	slug, ok := strings.CutPrefix(p.Type, typeBase)
	if !ok {
		return ""
	}
	return slug
}

// Unwrap makes errors.Is and errors.As see the sentinel and the field errors.
func (p *Problem) Unwrap() []error {
	var errs []error
	if err := p.sentinel(); err != nil {
		errs = append(errs, err)
	}
	if len(p.Errors) > 0 {
		errs = append(errs, p.Errors)
	}
	return errs
}

func (p *Problem) sentinel() error {
	switch p.Slug() {
	case "topic-not-found":
		return freshet.ErrNotFound
	case "topic-exists", "subscription-exists":
		return freshet.ErrExists
	case "conflict", "precondition-failed":
		return freshet.ErrConflict
	case "managed-by-file":
		return freshet.ErrManaged
	case "history-gone":
		return freshet.ErrGone
	case "mode-not-allowed":
		return freshet.ErrMode
	case "too-large":
		return freshet.ErrTooLarge
	case "invalid-document":
		return freshet.ErrFormat
	case "not-allowed":
		return freshet.ErrNotAllowed
	case "topic-inactive":
		return freshet.ErrInactive
	case "unavailable":
		return freshet.ErrUnavailable
	case "":
		return byStatus(p.Status)
	}
	return nil
}

// byStatus is for answers without a type of ours: somebody between us and the server gave them.
func byStatus(status int) error {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return freshet.ErrNotAllowed
	case http.StatusNotFound:
		return freshet.ErrNotFound
	case http.StatusPreconditionFailed:
		return freshet.ErrConflict
	case http.StatusRequestEntityTooLarge:
		return freshet.ErrTooLarge
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return freshet.ErrUnavailable
	}
	return nil
}

// passes says whether the same request may well succeed later.
func (p *Problem) passes() bool {
	switch p.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return p.Status >= 500
}

// readProblem makes a Problem of any answer, be it ours or a proxy's page.
func readProblem(res *http.Response) *Problem {
	p := &Problem{}
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if media == "application/problem+json" || media == "application/json" {
		data, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		if err != nil || json.Unmarshal(data, p) != nil {
			p = &Problem{}
		}
	}
	if media == "" && res.StatusCode == http.StatusBadRequest {
		p.Detail = plainToTLS(res)
	}
	p.Status = res.StatusCode // the body's is only advisory
	if p.Title == "" {
		p.Title = http.StatusText(res.StatusCode)
	}
	p.RetryAfter = retryAfter(res.Header.Get("Retry-After"), time.Now())
	return p
}

// plainToTLS says what is wrong where plain HTTP was sent to a server that speaks HTTPS; empty where that is
// not so. Go's servers, of which Freshet is one, say so in these words, and without a media type.
func plainToTLS(res *http.Response) string {
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	if err != nil || !strings.Contains(string(body), "HTTP request to an HTTPS server") || res.Request == nil {
		return ""
	}
	return fmt.Sprintf("the server at http://%s speaks HTTPS: use https://%[1]s", res.Request.URL.Host)
}

// retryAfter reads the field of RFC 9110 section 10.2.3: seconds or a date.
func retryAfter(field string, now time.Time) time.Duration {
	const most = 24 * time.Hour // nobody means more, and more would overflow
	if s, err := strconv.ParseUint(field, 10, 32); err == nil {
		return min(time.Duration(s)*time.Second, most)
	}
	if at, err := http.ParseTime(field); err == nil {
		return min(max(at.Sub(now), 0), most)
	}
	return 0
}
