package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestStyles reads one topic in each style: request-driven, event-driven and as a file.
func TestStyles(t *testing.T) {
	t.Parallel()
	const last = 40
	s := serve(t, pushed)
	ids := []string{""}
	for n := 1; n <= last; n++ {
		if err := s.publish("doc", document(n, last)); err != nil {
			t.Fatal(err)
		}
		resp, _ := s.get("/live/doc")
		ids = append(ids, eventID(resp))
	}

	resp, body := s.get("/live/doc")
	if resp.Header.Get("Content-Type") != "application/json" || body != document(last, last) {
		t.Errorf("GET gives %s\n%s\nwant\n%s", resp.Header.Get("Content-Type"), body, document(last, last))
	}
	if resp, _ := s.get("/live/doc", "If-None-Match", resp.Header.Get("ETag")); resp.StatusCode != http.StatusNotModified {
		t.Errorf("GET of what the client has: %s, want 304", resp.Status)
	}
	for _, n := range []int{1, 7, last - 1} {
		if _, body := s.get("/live/doc?at=" + ids[n]); canonical(body) != canonical(document(n, last)) {
			t.Errorf("at %s it was\n%s\nwant\n%s", ids[n], body, document(n, last))
		}
	}

	// A resume from each point of the history leads to now, by one event.
	for _, n := range []int{1, 2, last / 2, last - 1} {
		start, err := value([]byte(document(n, last)))
		if err != nil {
			t.Fatal(err)
		}
		r := replica{id: ids[n], doc: start, want: func(n int) string { return document(n, last) }}
		r.until(t, t.Context(), s.URL+"/live/doc", func() bool { return true })
		if version(r.text) != last || len(r.resets) > 0 {
			t.Errorf("resumed at %s: version %d, resets %v", ids[n], version(r.text), r.resets)
		}
	}
	for _, id := range []string{"nonsense", "99999-zzz-abcdef12", "1-1-00000000", strings.Repeat("9", 500)} {
		r := replica{id: id}
		r.until(t, t.Context(), s.URL+"/live/doc", func() bool { return true })
		if r.snapshots != 1 || len(r.resets) != 1 {
			t.Errorf("resumed at %q: %d snapshots, resets %v; want one snapshot that is marked", id, r.snapshots, r.resets)
		}
	}

	// The history, played from its first line, is every version once.
	resp, body = s.get("/live/doc", "Accept", "application/x-ndjson")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("history: %s: %s", resp.Status, body)
	}
	var doc any
	n := 0
	for scanner := bufio.NewScanner(strings.NewReader(body)); scanner.Scan(); n++ {
		var e struct {
			ID, Type string
			Revision int
			Time     time.Time
			Data     json.RawMessage
		}
		err := json.Unmarshal(scanner.Bytes(), &e)
		switch {
		case err == nil && e.Type == "snapshot":
			doc, err = value(e.Data)
		case err == nil && e.Type == "patch":
			doc, err = applyPatch(doc, e.Data)
		}
		if want := document(n+1, last); err != nil || encode(doc) != canonical(want) || e.ID != ids[n+1] || e.Time.IsZero() {
			t.Fatalf("line %d of the history: %v, id %s, want %s:\n%s\nwant\n%s", n+1, err, e.ID, ids[n+1], encode(doc), canonical(want))
		}
	}
	if n != last {
		t.Errorf("the history has %d lines, want %d", n, last)
	}
}

// eventID is the id of the revision that a GET was answered with. The tag is weak when the answer is
// compressed, as RFC 9110 section 8.8.3 wants it.
func eventID(resp *http.Response) string {
	return strings.Trim(strings.TrimPrefix(resp.Header.Get("ETag"), "W/"), `"`)
}

// TestLongPoll waits for a change with Prefer: wait, and gets it as soon as it comes.
func TestLongPoll(t *testing.T) {
	t.Parallel()
	s := serve(t, pushed)
	first(t, s, 9)
	resp, _ := s.get("/live/doc")
	etag := resp.Header.Get("ETag")
	type answer struct {
		resp *http.Response
		body string
		took time.Duration
	}
	got := make(chan answer, 1)
	go func() {
		start := time.Now()
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/live/doc", nil)
		req.Header.Set("If-None-Match", etag)
		req.Header.Set("Prefer", "wait=30")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			close(got)
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		got <- answer{resp, string(body), time.Since(start)}
	}()
	// Nothing tells from outside when the request has arrived; after this time it has in most runs,
	// and the answer must be the same in the others.
	select {
	case a := <-got:
		t.Fatalf("answered %s before there was a change", a.resp.Status)
	case <-time.After(300 * time.Millisecond):
	}
	if err := s.publish("doc", document(2, 9)); err != nil {
		t.Fatal(err)
	}
	a, ok := <-got
	if !ok {
		return
	}
	if a.resp.StatusCode != http.StatusOK || version(a.body) != 2 || a.resp.Header.Get("Preference-Applied") != "wait=30" || a.took > 20*time.Second {
		t.Errorf("long poll: %s, %v, Preference-Applied %q, after %v", a.resp.Status, a.body, a.resp.Header.Get("Preference-Applied"), a.took)
	}
	if resp, _ := s.get("/live/doc", "If-None-Match", a.resp.Header.Get("ETag"), "Prefer", "wait=1"); resp.StatusCode != http.StatusNotModified {
		t.Errorf("long poll without a change: %s, want 304", resp.Status)
	}
}

// TestBadRequests asks for what cannot be, and wants a problem document that names it.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	s := serve(t, pushed+`  - {name: polled, kind: snapshot, source: {type: http-poller, config: {url: "http://127.0.0.1:1/"}}}
  - {name: whole, kind: snapshot, source: {type: http-post, alwaysOn: true}, subscribers: [{type: sse, allowedModes: [snapshot-only]}]}
`)
	first(t, s, 9)
	for _, tt := range []struct {
		name, method, path, accept, contentType, body string
		status                                        int
		slug                                          string
	}{
		{"unknown topic", "GET", "/live/absent", "", "", "", 404, "topic-not-found"},
		{"unknown topic, live", "GET", "/live/absent", "text/event-stream", "", "", 404, "topic-not-found"},
		{"no such mode", "GET", "/live/doc?mode=event", "text/event-stream", "", "", 406, "mode-not-allowed"},
		{"mode not allowed", "GET", "/live/whole?mode=snapshot-patch", "text/event-stream", "", "", 406, "mode-not-allowed"},
		{"not JSON", "POST", "/live/doc", "", "application/json", "{", 400, "invalid-document"},
		{"no content", "POST", "/live/doc", "", "application/json", "", 400, "invalid-document"},
		{"too deep", "POST", "/live/doc", "", "application/json", deep(300), 400, "invalid-document"},
		{"wrong content type", "POST", "/live/doc", "", "text/plain", "{}", 415, "unsupported-media-type"},
		{"too large", "POST", "/live/doc", "", "application/json", `"` + strings.Repeat("x", 2<<20) + `"`, 413, "too-large"},
		{"not a source that is posted to", "POST", "/live/polled", "", "application/json", "{}", 405, "method-not-allowed"},
		{"posted to nobody", "POST", "/live/absent", "", "application/json", "{}", 404, "topic-not-found"},
		{"upstream is not there", "GET", "/live/polled", "", "", "", 503, "unavailable"},
		{"unknown method", "DELETE", "/live/doc", "", "", "", 405, "method-not-allowed"},
		{"ad-hoc topics are off", "GET", "/live/http://127.0.0.1:1/x", "", "", "", 403, "not-allowed"},
		{"bad topic", "POST", "/v1/topics", "", "application/json", `{"name":"X Y","kind":"snap","source":{"type":"http-poller","config":{"evry":1}}}`, 400, "invalid-document"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req, err := http.NewRequestWithContext(t.Context(), tt.method, s.URL+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if tt.accept != "" {
				req.Header.Set("Accept", tt.accept)
			}
			if tt.contentType != "" {
				req.Header.Set("Content-Type", tt.contentType)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			var p struct {
				Type, Title, Detail string
				Status              int
			}
			if err := json.Unmarshal(text, &p); err != nil {
				t.Fatalf("%s, %v: %s", resp.Status, err, text)
			}
			if want := fmt.Sprint("https://freshet.dev/errors/", tt.slug); resp.StatusCode != tt.status || p.Status != tt.status || p.Type != want ||
				resp.Header.Get("Content-Type") != "application/problem+json" || p.Title == "" || p.Detail == "" {
				t.Errorf("%s, %s: %s\nwant %d, %s", resp.Status, resp.Header.Get("Content-Type"), text, tt.status, want)
			}
		})
	}
}
