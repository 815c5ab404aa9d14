package httppoller

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/credentials"
	"freshet/jsonpatch"
)

// A failure is an attempt that gave no payload.
type failure struct {
	fault      freshet.Fault
	err        error         // for the log
	passing    bool          // worth another attempt soon
	retryAfter time.Duration // for which upstream wants no request; 0: it did not say
}

func faultf(code int, format string, args ...any) *failure {
	f := source.Faultf(code, format, args...)
	return &failure{fault: f, err: f}
}

func passing(err error, code int, format string, args ...any) *failure {
	f := faultf(code, format, args...)
	f.err, f.passing = err, true
	return f
}

// status is a code and its name, by our own list: the phrase that upstream sends is upstream's.
func status(code int) string {
	return strings.TrimSpace(strconv.Itoa(code) + " " + http.StatusText(code))
}

// refused is an answer with a status that carries no document.
func (p *poller) refused(resp *http.Response, foreign bool) *failure {
	f := faultf(freshet.FaultOfStatus(resp.StatusCode), "upstream answered %s", status(resp.StatusCode))
	switch {
	case foreign && (resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden) && p.Authorization != nil:
		f.fault.Message += " after a redirect to another origin, to which the credentials are not sent"
	case foreign && (resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden) && len(p.Headers) > 0:
		f.fault.Message += " after a redirect to another origin, to which the configured headers are not sent"
	case resp.StatusCode == http.StatusNotModified:
		f.fault.Message += " to a request that had no condition"
	}
	f.passing = p.retries(resp.StatusCode)
	if resp.StatusCode >= 400 {
		f.retryAfter = retryAfter(resp.Header, time.Now())
	}
	return f
}

// unreachable is a request that got no answer.
func (p *poller) unreachable(ctx context.Context, err error, redirected bool) *failure {
	if unsigned, ok := errors.AsType[*credentials.Error](err); ok {
		return &failure{fault: unsigned.Fault, err: err, passing: unsigned.Passing, retryAfter: unsigned.RetryAfter}
	}
	told, passing := source.FaultOf(err)
	if redirected && told.Code == freshet.FaultConfig {
		told.Code, told.Message = freshet.FaultRedirect, "upstream redirects to where Freshet may not go: "+told.Message
	}
	if told.Code == freshet.FaultConnection && passing {
		return p.disconnected(ctx, err)
	}
	return &failure{fault: told, err: err, passing: passing}
}

// disconnected is a connection that did not last until the answer was complete.
func (p *poller) disconnected(ctx context.Context, err error) *failure {
	if ctx.Err() != nil {
		f := passing(err, freshet.FaultConnection, "upstream gave no complete answer within %v", p.Timeout)
		f.passing = false // it took long enough to be worth telling; the next poll is the next attempt
		return f
	}
	told, _ := source.FaultOf(err)
	return &failure{fault: told, err: err, passing: true}
}

// unreadable is an answer whose body cannot be had.
func (p *poller) unreadable(ctx context.Context, err error) *failure {
	limit := freshet.Bytes(p.limit)
	switch {
	case errors.Is(err, errLarge):
		return faultf(freshet.FaultSize, "upstream's answer is larger than limits.payload, %v", limit)
	case errors.Is(err, errBomb):
		return faultf(freshet.FaultSize, "upstream's answer is compressed more than %d to 1, which no real document is", bombRatio)
	case errors.Is(err, errEncoding):
		return faultf(freshet.FaultFormat, "upstream's answer has a content encoding that was not asked for: only gzip and deflate are understood")
	case errors.Is(err, errDamaged):
		return passing(err, freshet.FaultFormat, "upstream's compressed answer is damaged")
	}
	return p.disconnected(ctx, err)
}

// noPart is an answer without a value at payloadPointer.
func (p *poller) noPart(err error) *failure {
	if errors.Is(err, jsonpatch.ErrPath) {
		return faultf(freshet.FaultFormat, "upstream's answer has nothing at payloadPointer %s", p.PayloadPointer)
	}
	return faultf(freshet.FaultFormat, "upstream's answer is not one complete JSON value, or nested too deep")
}

func equalHost(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}
