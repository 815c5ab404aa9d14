package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"freshet"
	"freshet/internal/api"
)

// Each sentinel that crosses packages has an answer of its own, wherever it is wrapped.
func TestProblems(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code int
		slug string
	}{
		{freshet.ErrNotFound, 404, "topic-not-found"},
		{freshet.ErrExists, 409, "topic-exists"},
		{freshet.ErrConflict, 409, "conflict"},
		{freshet.ErrManaged, 409, "managed-by-file"},
		{freshet.ErrGone, 410, "history-gone"},
		{freshet.ErrInactive, 410, "topic-inactive"},
		{freshet.ErrMode, 406, "mode-not-allowed"},
		{freshet.ErrTooLarge, 413, "too-large"},
		{freshet.ErrFormat, 400, "invalid-document"},
		{freshet.ErrNotAllowed, 403, "not-allowed"},
		{freshet.ErrUnavailable, 503, "unavailable"},
		{freshet.Invalid{{Pointer: "/a", Detail: "b"}}, 400, "invalid-document"},
		{freshet.Fault{Code: freshet.FaultFormat, Message: "m"}, 400, "invalid-document"},
		{&freshet.Fault{Code: freshet.FaultSize, Message: "m"}, 413, "too-large"},
		{&freshet.Fault{Code: freshet.FaultHost, Message: "m"}, 503, "unavailable"},
	} {
		rec := httptest.NewRecorder()
		rec.Header().Set("ETag", `"x"`)
		api.Failing(fmt.Errorf("read prices: %w", tt.err), discard()).ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
		got := reply{rec.Code, rec.Header(), rec.Body.String()}
		if p := got.problem(t); got.code != tt.code || p.Type != "https://freshet.dev/errors/"+tt.slug || p.Detail == "" {
			t.Errorf("%v: %d %s; want %d %s", tt.err, got.code, got.body, tt.code, tt.slug)
		}
		if got.header.Get("ETag") != "" {
			t.Error("the problem bears the ETag of the answer that did not come about")
		}
		if (tt.code == 503) != (got.header.Get("Retry-After") != "") {
			t.Errorf("%v: Retry-After %q", tt.err, got.header.Get("Retry-After"))
		}
	}
}

// What nobody foresaw is logged with its cause and answered without.
func TestDefect(t *testing.T) {
	var log bytes.Buffer
	h := api.Failing(errors.New("secret cause"), slog.New(slog.NewTextHandler(&log, nil)))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
	if rec.Code != http.StatusInternalServerError || strings.Contains(rec.Body.String(), "secret") || !strings.Contains(rec.Body.String(), "about:blank") {
		t.Errorf("got %d %s", rec.Code, rec.Body)
	}
	if !strings.Contains(log.String(), "secret cause") {
		t.Errorf("the log does not have the cause: %s", &log)
	}

	log.Reset()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(gone, "GET", "/", nil))
	if log.Len() > 0 {
		t.Errorf("a client that went away is no defect: %s", &log)
	}
}
