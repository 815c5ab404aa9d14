package api_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"freshet"
	"freshet/internal/api"
	"freshet/internal/catalog"
)

// A server is the management API over a catalog in memory; each exchange is held to the description.
type server struct {
	t       *testing.T
	catalog *catalog.Catalog
	handler http.Handler
}

type reply struct {
	code   int
	header http.Header
	body   string
}

// problem reads the answer as one.
func (r reply) problem(t *testing.T) (p struct {
	Type, Title, Detail string
	Status              int
	Errors              freshet.Invalid
},
) {
	t.Helper()
	if err := jsonDecode(r.body, &p); err != nil || r.header.Get("Content-Type") != "application/problem+json" || p.Status != r.code {
		t.Errorf("not a problem: %d %s %s: %v", r.code, r.header, r.body, err)
	}
	return p
}

func (r reply) topic(t *testing.T) (topic freshet.Topic) {
	t.Helper()
	if err := jsonDecode(r.body, &topic); err != nil || topic.Name == "" {
		t.Errorf("not a topic: %d %s: %v", r.code, r.body, err)
	}
	return topic
}

func jsonDecode(s string, v any) error { return json.Unmarshal([]byte(s), v) }

func newServer(t *testing.T) *server {
	t.Helper()
	sources := catalog.Sources{"http-poller": {Check: func(config json.RawMessage) freshet.Invalid {
		if !strings.Contains(string(config), `"url"`) {
			return freshet.Invalid{{Pointer: "/url", Detail: "required"}}
		}
		return nil
	}}}
	c, err := catalog.New(t.Context(), &catalog.Memory{}, sources)
	if err != nil {
		t.Fatal(err)
	}
	status := func(n freshet.TopicName) *freshet.Status {
		return &freshet.Status{State: "failing", Subscribers: len(n), Fault: &freshet.Fault{Code: freshet.FaultHost, Category: "publication", Message: "m"}}
	}
	return &server{t, c, described(t, api.Management(c, status, discard()))}
}

// do makes a request; pairs are header fields. A body is JSON unless they say otherwise.
func (s *server) do(method, target, body string, pairs ...string) reply {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(pairs); i += 2 {
		r.Header.Del(pairs[i])
		if pairs[i+1] != "" {
			r.Header.Set(pairs[i], pairs[i+1])
		}
	}
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, r)
	return reply{rec.Code, rec.Header(), rec.Body.String()}
}

func document(name string) string {
	return fmt.Sprintf(`{"name":%q,"kind":"snapshot","source":{"type":"http-poller","config":{"url":"https://example.com/?a=1&b=2"}}}`, name)
}

func TestTopicLife(t *testing.T) {
	s := newServer(t)
	made := s.do("POST", "/v1/topics", document("prices"))
	etag := made.header.Get("ETag")
	if made.code != http.StatusCreated || made.header.Get("Location") != "/v1/topics/prices" || etag == "" {
		t.Fatalf("created: %+v", made)
	}
	if !strings.Contains(made.body, "a=1&b=2") {
		t.Errorf("a URL is disfigured: %s", made.body)
	}
	got := s.do("GET", "/v1/topics/prices", "")
	topic := got.topic(t)
	if got.code != http.StatusOK || got.header.Get("ETag") != etag || topic.Status.Subscribers != 6 || topic.Limits.Payload != freshet.DefaultPayload {
		t.Errorf("read: %+v", got)
	}
	if put := s.do("PUT", "/v1/topics/prices", got.body, "If-Match", etag); put.code != http.StatusOK {
		t.Errorf("what was read cannot be put back: %+v", put)
	}
	patched := s.do("PATCH", "/v1/topics/prices", `{"description":"x"}`, "Content-Type", "application/merge-patch+json", "If-Match", "*")
	if patched.code != http.StatusOK || patched.topic(t).Description != "x" || patched.header.Get("ETag") == etag {
		t.Errorf("patched: %+v", patched)
	}
	if plain := s.do("PATCH", "/v1/topics/prices", `{"description":null}`, "Content-Type", "application/json; charset=UTF-8"); plain.code != http.StatusOK || plain.topic(t).Description != "" {
		t.Errorf("patched as application/json: %+v", plain)
	}
	if old := s.do("DELETE", "/v1/topics/prices", "", "If-Match", etag); old.code != http.StatusPreconditionFailed {
		t.Errorf("deleted by an old ETag: %+v", old)
	}
	if gone := s.do("DELETE", "/v1/topics/prices", ""); gone.code != http.StatusNoContent || gone.body != "" {
		t.Errorf("deleted: %+v", gone)
	}
	if again := s.do("GET", "/v1/topics/prices", ""); again.problem(t).Type != "https://freshet.dev/errors/topic-not-found" {
		t.Errorf("after that: %+v", again)
	}
	if put := s.do("PUT", "/v1/topics/prices", document("prices"), "If-None-Match", "*"); put.code != http.StatusCreated || put.header.Get("Location") == "" {
		t.Errorf("put anew: %+v", put)
	}
}

func TestDryRun(t *testing.T) {
	s := newServer(t)
	if got := s.do("POST", "/v1/topics?dryRun=true", document("a")); got.code != http.StatusOK || got.topic(t).Name != "a" || got.header.Get("Location") != "" {
		t.Errorf("POST: %+v", got)
	}
	if got := s.do("PUT", "/v1/topics/a?dryRun=1", document("a")); got.code != http.StatusOK {
		t.Errorf("PUT: %+v", got)
	}
	if s.catalog.Len() != 0 {
		t.Error("a dry run stored something")
	}
	s.do("POST", "/v1/topics?dryRun=false", document("a"))
	if got := s.do("DELETE", "/v1/topics/a?dryRun=true", ""); got.code != http.StatusNoContent || s.catalog.Len() != 1 {
		t.Errorf("DELETE: %+v, %d topics", got, s.catalog.Len())
	}
	if got := s.do("POST", "/v1/topics?dryRun=true", `{}`); got.code != http.StatusBadRequest {
		t.Errorf("an invalid document: %+v", got)
	}
}

func TestRefusals(t *testing.T) {
	s := newServer(t)
	s.do("POST", "/v1/topics", document("a"))
	file := freshet.Topic{Name: "mine", Kind: freshet.KindSnapshot, Source: freshet.Source{Type: "http-poller", Config: json.RawMessage(`{"url":"u"}`)}}
	if _, err := s.catalog.Sync(t.Context(), []freshet.Topic{file}, nil); err != nil {
		t.Fatal(err)
	}
	large := strings.Replace(document("big"), `"kind"`, `"description":"`+strings.Repeat("x", 1<<20)+`","kind"`, 1)
	for _, tt := range []struct {
		method, target, body string
		pairs                []string
		code                 int
		slug, detail         string
	}{
		{"POST", "/v1/topics", document("a"), nil, 409, "topic-exists", `topic "a" exists already`},
		{"POST", "/v1/topics", document("b"), []string{"Content-Type", "text/plain"}, 415, "unsupported-media-type", `is "text/plain": send application/json`},
		{"POST", "/v1/topics", document("b"), []string{"Content-Type", ""}, 415, "unsupported-media-type", "no Content-Type"},
		{"POST", "/v1/topics", document("b"), []string{"Content-Type", "application/json; charset=latin1"}, 415, "unsupported-media-type", "send application/json"},
		{"PATCH", "/v1/topics/a", `[]`, []string{"Content-Type", "application/json-patch+json"}, 415, "unsupported-media-type", "send application/merge-patch+json"},
		{"POST", "/v1/topics", large, nil, 413, "too-large", "1MiB"},
		{"POST", "/v1/topics?dryrun=true", document("b"), nil, 400, "invalid-parameter", `did you mean "dryRun"`},
		{"POST", "/v1/topics?dryRun=maybe", document("b"), nil, 400, "invalid-parameter", `neither true nor false`},
		{"POST", "/v1/topics?dryRun=%zz", document("b"), nil, 400, "invalid-parameter", `invalid URL escape`},
		{"PUT", "/v1/topics/a", document("a"), []string{"If-Match", "abc"}, 400, "invalid-parameter", "abc is not an entity tag"},
		{"PUT", "/v1/topics/a", document("a"), []string{"If-None-Match", `"x"`}, 400, "invalid-parameter", "only * is possible"},
		{"PUT", "/v1/topics/a", document("a"), []string{"If-None-Match", "*"}, 412, "precondition-failed", "exists already"},
		{"PUT", "/v1/topics/new", document("new"), []string{"If-Match", "*"}, 412, "precondition-failed", "does not exist"},
		{"PUT", "/v1/topics/a", document("a"), []string{"If-Match", `"x", W/"y"`}, 412, "precondition-failed", "another version"},
		{"DELETE", "/v1/topics/mine", "", nil, 409, "managed-by-file", "change it there"},
		{"PATCH", "/v1/topics/mine", `{}`, nil, 409, "managed-by-file", "configuration file"},
		{"PATCH", "/v1/topics/none", `{}`, nil, 404, "topic-not-found", `"none"`},
		{"DELETE", "/v1/topics/none", "", nil, 404, "topic-not-found", `there is no topic "none"`},
		{"POST", "/v1/topics", document("b"), []string{"Content-Encoding", "gzip"}, 415, "unsupported-media-type", `send it without`},
		{"POST", "/v1/topics", `[]`, nil, 400, "invalid-document", "must be an object, not an array"},
		{"GET", "/v1/topics/a?x=1", "", nil, 400, "invalid-parameter", `"x"`},
		{"GET", "/v1/topics?page=0", "", nil, 400, "invalid-parameter", "page"},
		{"GET", "/v1/topics?page=x", "", nil, 400, "invalid-parameter", `"x" is not a whole number`},
		{"GET", "/v1/topics?pageSize=1001", "", nil, 400, "invalid-parameter", "more than 1000"},
		{"GET", "/v1/topics?sort=size", "", nil, 400, "invalid-parameter", "cannot sort by"},
		{"GET", "/v1/topics?search=naem:x", "", nil, 400, "invalid-parameter", `search: at character 1: unknown property "naem": did you mean "name"?`},
		{"GET", "/v1/topics?pagesize=1", "", nil, 400, "invalid-parameter", `did you mean "pageSize"?`},
		{"DELETE", "/v1/topics", "", nil, 405, "method-not-allowed", "GET, HEAD, POST"},
		{"POST", "/v1/topics/a", "{}", nil, 405, "method-not-allowed", "DELETE, GET, HEAD, PATCH, PUT"},
		{"GET", "/v1/topic", "", nil, 404, "no-such-resource", "/openapi.json"},
	} {
		got := s.do(tt.method, tt.target, tt.body, tt.pairs...)
		p := got.problem(t)
		if got.code != tt.code || p.Type != "https://freshet.dev/errors/"+tt.slug || !strings.Contains(p.Detail, tt.detail) {
			t.Errorf("%s %.60s %v: %d %s; want %d %s %q", tt.method, tt.target, tt.pairs, got.code, got.body, tt.code, tt.slug, tt.detail)
		}
		if strings.Contains(p.Detail, "in between") || strings.HasPrefix(p.Detail, ":") {
			t.Errorf("%s %s: detail %q", tt.method, tt.target, p.Detail)
		}
		if allow := got.header.Get("Allow"); (got.code == 405) != (allow != "") || !strings.Contains(tt.detail, allow) {
			t.Errorf("%s %s: Allow is %q", tt.method, tt.target, allow)
		}
	}
	if s.catalog.Len() != 2 {
		t.Errorf("%d topics; want the 2 that were there", s.catalog.Len())
	}
}

func TestEveryMistakeAtOnce(t *testing.T) {
	s := newServer(t)
	got := s.do("POST", "/v1/topics", `{"name":"A","kind":"snapshot","source":{"type":"http-poller","evry":1},"history":{"maxAge":"5x"},"limits":{"payload":"1TB"}}`)
	p := got.problem(t)
	var pointers []string
	for _, e := range p.Errors {
		pointers = append(pointers, e.Pointer)
	}
	if want := "/name /source/config/url /source/evry /history/maxAge /limits/payload"; got.code != 400 || strings.Join(pointers, " ") != want || p.Title != "invalid document" {
		t.Errorf("got %d %s\nwant %s", got.code, got.body, want)
	}
	if p := s.do("POST", "/v1/topics", `{"name":`).problem(t); len(p.Errors) != 1 || !strings.Contains(p.Errors[0].Detail, "line 1, column 9") {
		t.Errorf("broken JSON: %+v", p)
	}
}

func TestList(t *testing.T) {
	s := newServer(t)
	for i := range 45 {
		s.do("POST", "/v1/topics", document(fmt.Sprintf("t%02d", i)))
	}
	var page struct {
		Items []freshet.Topic
		Total int
		Links map[string]string
	}
	read := func(target string) (names []string, link string) {
		t.Helper()
		got := s.do("GET", target, "")
		page.Items, page.Links = nil, nil
		if err := jsonDecode(got.body, &page); err != nil || got.code != 200 {
			t.Fatalf("%s: %+v", target, got)
		}
		for _, item := range page.Items {
			names = append(names, string(item.Name))
		}
		return names, got.header.Get("Link")
	}

	names, link := read("/v1/topics")
	if len(names) != 20 || names[0] != "t00" || page.Total != 45 || page.Items[0].Status == nil {
		t.Errorf("first page: %q of %d", names, page.Total)
	}
	if want := `</v1/topics?page=1&pageSize=20>; rel="self", </v1/topics?page=1&pageSize=20>; rel="first", </v1/topics?page=2&pageSize=20>; rel="next", </v1/topics?page=3&pageSize=20>; rel="last"`; link != want {
		t.Errorf("Link: %s\nwant  %s", link, want)
	}

	// Following next sees every topic once, with the search kept.
	seen := 0
	for next := "/v1/topics?pageSize=7&sort=name,DESC&search=" + "name:t*0%20OR%20name:t1*"; next != ""; next = page.Links["next"] {
		names, _ := read(next)
		seen += len(names)
	}
	if seen != 14 || page.Total != 14 || page.Links["prev"] == "" {
		t.Errorf("saw %d of %d; want 14; links %v", seen, page.Total, page.Links)
	}
	if names, _ := read("/v1/topics?page=99"); len(names) != 0 || page.Links["prev"] != "/v1/topics?page=3&pageSize=20" {
		t.Errorf("behind the end: %q, links %v", names, page.Links)
	}
	if names, _ := read("/v1/topics?sort=kind&sort=publisher.payload.type,ASC&sort=name,DESC&pageSize=1000"); len(names) != 45 || names[0] != "t44" {
		t.Errorf("sorted: %q", names)
	}
	if names, _ := read("/v1/topics?search=status.state:idle"); len(names) != 0 || page.Items == nil {
		t.Errorf("nothing found must be an empty list: %v", page.Items)
	}
}

func TestCompression(t *testing.T) {
	s := newServer(t)
	for i := range 20 {
		s.do("POST", "/v1/topics", document(fmt.Sprintf("t%02d", i)))
	}
	plain, packed := s.do("GET", "/v1/topics", ""), s.do("GET", "/v1/topics", "", "Accept-Encoding", "gzip")
	if packed.header.Get("Content-Encoding") != "gzip" || !strings.Contains(packed.header.Get("Vary"), "Accept-Encoding") {
		t.Fatalf("not compressed: %v", packed.header)
	}
	z, err := gzip.NewReader(bytes.NewReader([]byte(packed.body)))
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(z); err != nil || string(data) != plain.body {
		t.Errorf("unpacked to %.100s, %v", data, err)
	}
}
