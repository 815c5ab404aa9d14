package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strings"

	"freshet"
	"freshet/internal/catalog"
	"freshet/internal/flow"
	"freshet/internal/flow/delivery"
	"freshet/internal/flow/transport/websocket"
	"freshet/internal/streamdata"
	"freshet/internal/subscriptions"
)

// Mistakes in a request that no package below knows of.
var (
	errParameter = errors.New("invalid parameter")
	errMedia     = errors.New("media type not supported")
	errAccept    = errors.New("not acceptable")
	errMethod    = errors.New("method not allowed")
	errResource  = errors.New("no such resource")
	errBodyCut   = errors.New("the request's body was cut off")

	errNoContentYet = errors.New("nothing to show yet")
	errMisdirected  = errors.New("not a name of this server")
)

// A knownError is one that a caller may see.
type knownError struct {
	err    error
	status int
	slug   string // the last part of the problem's type, and a heading of errors.md
}

// problems are the errors that a caller may see, with their RFC 9457 types. Any other is ours:
// logged, then a bare 500. The first that matches counts, so the narrower stand before the wider.
var problems = []knownError{ //nolint:gochecknoglobals // a constant table
	{subscriptions.ErrNotFound, http.StatusNotFound, "subscription-not-found"},
	{delivery.ErrInactive, http.StatusConflict, "subscription-inactive"},
	{delivery.ErrNothingToSkip, http.StatusConflict, "nothing-to-skip"},
	{freshet.ErrNotFound, http.StatusNotFound, "topic-not-found"},
	{subscriptions.ErrExists, http.StatusConflict, "subscription-exists"},
	{freshet.ErrExists, http.StatusConflict, "topic-exists"},
	{catalog.ErrPrecondition, http.StatusPreconditionFailed, "precondition-failed"},
	{subscriptions.ErrPrecondition, http.StatusPreconditionFailed, "precondition-failed"},
	{freshet.ErrConflict, http.StatusConflict, "conflict"},
	{freshet.ErrManaged, http.StatusConflict, "managed-by-file"},
	{freshet.ErrGone, http.StatusGone, "history-gone"},
	{freshet.ErrInactive, http.StatusGone, "topic-inactive"},
	{freshet.ErrMode, http.StatusNotAcceptable, "mode-not-allowed"},
	{freshet.ErrTooLarge, http.StatusRequestEntityTooLarge, "too-large"},
	{freshet.ErrFormat, http.StatusBadRequest, "invalid-document"},
	{freshet.ErrNotAllowed, http.StatusForbidden, "not-allowed"},
	{freshet.ErrUnavailable, http.StatusServiceUnavailable, "unavailable"},
	{errParameter, http.StatusBadRequest, "invalid-parameter"},
	{errMedia, http.StatusUnsupportedMediaType, "unsupported-media-type"},
	{errAccept, http.StatusNotAcceptable, "not-acceptable"},
	{errMethod, http.StatusMethodNotAllowed, "method-not-allowed"},
	{errResource, http.StatusNotFound, "no-such-resource"},
	{errBodyCut, http.StatusBadRequest, "body-cut"},
	{errNoContentYet, http.StatusNotFound, "nothing-yet"},
	{flow.ErrKeyReused, http.StatusUnprocessableEntity, "idempotency-key-reused"},
	{flow.ErrUnproven, http.StatusUnauthorized, "unproven"},
	{flow.ErrReplayed, http.StatusConflict, "replayed"},
	{streamdata.ErrRefused, http.StatusUnauthorized, "signature-refused"},
	{websocket.ErrHandshake, http.StatusBadRequest, "websocket-handshake"},
	{websocket.ErrVersion, http.StatusUpgradeRequired, "websocket-version"},
	{errMisdirected, http.StatusMisdirectedRequest, "misdirected"},
}

// typeBase is where the types of problems are explained.
const typeBase = "https://freshet.dev/errors/"

// retryAfter is how many seconds a client is asked to wait for what is not available now.
const retryAfter = "5"

// A problem is an answer that is an error (RFC 9457). A handler may return one itself.
type problem struct {
	Type   string          `json:"type"`
	Title  string          `json:"title"`
	Status int             `json:"status"`
	Detail string          `json:"detail,omitempty"`
	Code   int             `json:"code,omitempty"`   // of the fault, where a source or a payload is at fault
	Errors freshet.Invalid `json:"errors,omitempty"` // every mistake in a document
	Stored *int            `json:"stored,omitempty"` // payloads of a batch that was stored in part

	header map[string]string // what the answer says besides
}

func (p *problem) Error() string { return p.Title + ": " + p.Detail }

// problemOf finds how an error is answered; ok is false for one that is nobody's business but ours.
func problemOf(err error) (p *problem, ok bool) {
	if p, ok := errors.AsType[*problem](err); ok {
		return p, true
	}
	if bad, ok := errors.AsType[freshet.Invalid](err); ok {
		p := known(freshet.ErrFormat, "", nil)
		p.Title, p.Errors, p.Detail = "invalid document", bad, firstOf(bad)
		return p, true
	}
	if f, ok := faultOf(err); ok {
		p := known(meaning(f), f.Message, nil)
		p.Code = f.Code
		return p, true
	}
	p = known(err, err.Error(), nil)
	return p, p != nil
}

// firstOf is the first mistake in a document, and how many there are where it is not the only one.
func firstOf(bad freshet.Invalid) string {
	if len(bad) == 0 {
		return ""
	}
	first := bad[0].Detail
	if bad[0].Pointer != "" {
		first = bad[0].Pointer + ": " + first
	}
	if len(bad) > 1 {
		return fmt.Sprintf("%d mistakes, the first at %s", len(bad), first)
	}
	return first
}

// told is an error that says to a caller what another one means, without that one's own words.
type told struct {
	meaning error
	text    string
}

func (t *told) Error() string { return t.text }
func (t *told) Unwrap() error { return t.meaning }

// faultOf finds a fault, which is returned by value and by pointer.
func faultOf(err error) (freshet.Fault, bool) {
	if f, ok := errors.AsType[*freshet.Fault](err); ok {
		return *f, true
	}
	return errors.AsType[freshet.Fault](err)
}

// meaning is what a fault says about the request that met it.
func meaning(f freshet.Fault) error {
	switch f.Code {
	case freshet.FaultSize:
		return freshet.ErrTooLarge
	case freshet.FaultFormat:
		return freshet.ErrFormat
	}
	return freshet.ErrUnavailable
}

// known makes the problem of an error in the table, or nil.
func known(err error, detail string, header map[string]string) *problem {
	i := slices.IndexFunc(problems, func(k knownError) bool { return errors.Is(err, k.err) })
	if i < 0 {
		return nil
	}
	k := problems[i]
	if k.status == http.StatusServiceUnavailable && header == nil {
		header = map[string]string{"Retry-After": retryAfter}
	}
	return &problem{Type: typeBase + k.slug, Title: k.err.Error(), Status: k.status, Detail: detail, header: header}
}

// write sends the problem as the answer.
func (p *problem) write(w http.ResponseWriter) {
	h := w.Header()
	for _, name := range []string{"Etag", "Last-Modified", "Content-Encoding", "Content-Length", "Location"} {
		h.Del(name) // was meant for the answer that did not come about
	}
	for name, value := range p.header {
		h.Set(name, value)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	body, err := encodeJSON(p)
	if err != nil { // cannot be: it holds texts and numbers only
		http.Error(w, p.Title, p.Status)
		return
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // a client that has gone does not want it
}

// edge is what every handler of the API needs.
type edge struct {
	log *slog.Logger
}

// handle serves h, which returns an error only while it has written nothing.
func (e edge) handle(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			e.fail(w, r, err)
		}
	})
}

func (e edge) fail(w http.ResponseWriter, r *http.Request, err error) {
	p, ok := problemOf(err)
	switch {
	case ok:
	case r.Context().Err() != nil:
		return // the client has gone, and whatever failed did so for that reason
	default:
		e.log.ErrorContext(r.Context(), "request failed", "route", r.Pattern, "err", err)
		p = &problem{Type: "about:blank", Title: "Internal Server Error", Status: http.StatusInternalServerError}
	}
	p.write(w)
}

// routed serves mux, whose own answers to paths and methods that it does not have become problems too.
func (e edge) routed(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		own := &header{fields: http.Header{}}
		h.ServeHTTP(own, r)
		allowed := own.fields.Get("Allow")
		switch own.status {
		case http.StatusMethodNotAllowed:
			e.fail(w, r, known(errMethod, fmt.Sprintf("%.20s is not possible at %s: use %s", r.Method, r.URL.Path, allowed), map[string]string{"Allow": allowed}))
		case http.StatusNotFound:
			e.fail(w, r, fmt.Errorf("%w at %s: see /openapi.json for what there is", errResource, r.URL.Path))
		default: // a redirect to the clean path
			h.ServeHTTP(w, r)
		}
	})
}

// header is a ResponseWriter that keeps all but the body.
type header struct {
	fields http.Header
	status int
}

func (h *header) Header() http.Header         { return h.fields }
func (h *header) WriteHeader(status int)      { h.status = status }
func (h *header) Write(b []byte) (int, error) { return len(b), nil }

// badParameter says what is wrong with a parameter of the query, or with a header of this name.
func badParameter(name, format string, args ...any) error {
	return fmt.Errorf("%w %s: %s", errParameter, name, fmt.Sprintf(format, args...))
}

// requireJSON checks that a request's body is of one of the media types, the usual one first, and that it is not
// encoded (RFC 9110, 15.5.16): a small body is not worth it, and may be a bomb.
func requireJSON(r *http.Request, types ...string) error {
	if coding := strings.TrimSpace(strings.Join(r.Header.Values("Content-Encoding"), ", ")); coding != "" && !strings.EqualFold(coding, "identity") {
		return known(errMedia, fmt.Sprintf("the body's Content-Encoding is %.100q: send it without", coding), map[string]string{"Accept-Encoding": "identity"})
	}
	field := r.Header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(field)
	charset := params["charset"]
	if err == nil && slices.Contains(types, media) && (charset == "" || strings.EqualFold(charset, "utf-8")) {
		return nil
	}
	what := "the body has no Content-Type"
	if field != "" {
		what = fmt.Sprintf("the body's Content-Type is %.100q", field)
	}
	header := map[string]string{"Accept-Post": strings.Join(types, ", ")} // W3C LDP 1.0, 7.1
	if r.Method == http.MethodPatch {
		header = map[string]string{"Accept-Patch": strings.Join(types, ", ")} // RFC 5789, 2.2
	}
	return known(errMedia, what+": send "+strings.Join(types, " or "), header)
}

// encodeJSON writes compact JSON in which URLs keep their ampersands, and a newline for terminals.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}
