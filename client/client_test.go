package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/client"
	"freshet/jsonpatch"
)

func TestProblemsAreTheSentinelsOfTheirMeaning(t *testing.T) {
	for slug, want := range map[string]error{
		"topic-not-found": freshet.ErrNotFound, "topic-exists": freshet.ErrExists, "subscription-exists": freshet.ErrExists, "conflict": freshet.ErrConflict,
		"precondition-failed": freshet.ErrConflict, "managed-by-file": freshet.ErrManaged, "history-gone": freshet.ErrGone,
		"mode-not-allowed": freshet.ErrMode, "too-large": freshet.ErrTooLarge, "invalid-document": freshet.ErrFormat,
		"not-allowed": freshet.ErrNotAllowed, "unavailable": freshet.ErrUnavailable, "topic-inactive": freshet.ErrInactive,
	} {
		c := newClient(t, &fake{answers: []answer{problem(418, slug)}})
		_, err := c.Get(t.Context(), "rates", client.GetOptions{})
		p, ok := errors.AsType[*client.Problem](err)
		if !errors.Is(err, want) || !ok || p.Slug() != slug || p.Status != 418 || p.Detail != "about "+slug {
			t.Errorf("%s: %v; want %v", slug, err, want)
		}
	}
}

func TestAnswersOfOthersAreProblemsToo(t *testing.T) {
	for _, tt := range []struct {
		answer answer
		want   error
		text   string
	}{
		{status(404, "text/html", "<h1>nginx</h1>"), freshet.ErrNotFound, "Not Found (404)"},
		{status(502, "", ""), freshet.ErrUnavailable, "Bad Gateway (502)"},
		{status(403, "application/json", `{"error":"no"}`), freshet.ErrNotAllowed, "Forbidden (403)"},
		{status(413, "application/problem+json", `{"type":1}`), freshet.ErrTooLarge, "(413)"},
		{status(500, "application/problem+json", `{"type":"about:blank","title":"Internal Server Error"}`), nil, "Internal Server Error (500)"},
	} {
		c := newClient(t, &fake{answers: []answer{tt.answer}})
		_, err := c.Get(t.Context(), "rates", client.GetOptions{})
		if tt.want != nil && !errors.Is(err, tt.want) || err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%v; want %v and %q", err, tt.want, tt.text)
		}
	}
}

func TestProblemsListEveryMistake(t *testing.T) {
	body := `{"type":"https://freshet.dev/errors/invalid-document","status":400,"errors":[{"pointer":"/name","detail":"a"},{"pointer":"/kind","detail":"b"}]}`
	c := newClient(t, &fake{answers: []answer{status(400, "application/problem+json", body)}})
	_, err := c.CreateTopic(t.Context(), freshet.Topic{}, client.WriteOptions{})
	bad, ok := errors.AsType[freshet.Invalid](err)
	if want := (freshet.Invalid{{Pointer: "/name", Detail: "a"}, {Pointer: "/kind", Detail: "b"}}); !ok || !slices.Equal(bad, want) || !errors.Is(err, freshet.ErrFormat) {
		t.Errorf("%v; want %v", err, want)
	}
}

func TestNewRefusesWhatIsNoAddress(t *testing.T) {
	for _, base := range []string{"", "localhost:4440", "ftp://a", "http://", "http://a?b", "http://a#b", "http://a b", ":"} {
		if _, err := client.New(base, client.Config{}); err == nil {
			t.Errorf("%q was accepted", base)
		}
	}
}

func TestGet(t *testing.T) {
	changed := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f := &fake{answers: []answer{status(200, "application/json", `{"a":{"b":1.0}}`, "ETag", `"42-1k3-9f86d081"`,
		"Last-Modified", changed.Format(http.TimeFormat), "Freshet-Stale", "true")}}
	c := newClient(t, f)
	d, err := c.Get(t.Context(), "rates", client.GetOptions{At: "2026-01-02T03:04:05Z", Wait: 30 * time.Second, IfNoneMatch: `"1-1-a"`})
	if err != nil || string(d.Body) != `{"a":{"b":1.0}}` || d.ID() != "42-1k3-9f86d081" || d.Revision != 42 || !d.Stale || d.Unchanged || !d.Modified.Equal(changed) {
		t.Errorf("%+v, %v", d, err)
	}
	r := f.requests[0]
	if r.URL.String() != "http://freshet.test/live/rates?at=2026-01-02T03%3A04%3A05Z" || r.Header.Get("Prefer") != "wait=30" ||
		r.Header.Get("If-None-Match") != `"1-1-a"` || r.Header.Get("Accept") != "application/json" {
		t.Errorf("asked %s %v", r.URL, r.Header)
	}
	if d, err := c.Get(t.Context(), "rates", client.GetOptions{Pointer: "/a/b"}); err != nil || string(d.Body) != "1.0" {
		t.Errorf("at a pointer: %s, %v", d.Body, err)
	}
	if _, err := c.Get(t.Context(), "rates", client.GetOptions{Pointer: "/a/c"}); !errors.Is(err, jsonpatch.ErrPath) {
		t.Errorf("at no such pointer: %v", err)
	}
	c = newClient(t, &fake{answers: []answer{status(304, "", "", "ETag", `"1-1-a"`)}})
	if d, err := c.Get(t.Context(), "rates", client.GetOptions{IfNoneMatch: `"1-1-a"`}); err != nil || !d.Unchanged || d.Body != nil || d.Revision != 1 {
		t.Errorf("unchanged: %+v, %v", d, err)
	}
}

func TestGetKeepsToItsLimit(t *testing.T) {
	f := &fake{answers: []answer{status(200, "application/json", strings.Repeat("1", 101))}}
	c, err := client.New("http://freshet.test", client.Config{HTTPClient: &http.Client{Transport: f}, MaxBytes: 100})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), "rates", client.GetOptions{}); !errors.Is(err, freshet.ErrTooLarge) {
		t.Errorf("%v; want %v", err, freshet.ErrTooLarge)
	}
}

func TestHistory(t *testing.T) {
	long := `"` + strings.Repeat("x", 100_000) + `"`
	text := `{"id":"1-1-aa","type":"snapshot","revision":1,"time":"2026-01-02T03:04:05Z","data":{"n":1.0}}` + "\n\n" +
		`{"id":"2-2-bb","type":"patch","revision":2,"time":"2026-01-02T03:04:06Z","data":` + long + `}`
	f := &fake{answers: []answer{status(200, "application/x-ndjson", text)}}
	var got []string
	for e, err := range newClient(t, f).History(t.Context(), "rates", client.HistoryOptions{From: "1-1-aa", To: "2026-01-02T03:04:05Z"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %s %d %s", e.ID(), e.Type, e.Time.Second(), e.Data))
	}
	if want := []string{`1-1-aa snapshot 5 {"n":1.0}`, "2-2-bb patch 6 " + long}; !slices.Equal(got, want) {
		t.Errorf("%.200q; want %.200q", got, want)
	}
	if q := f.requests[0].URL.RawQuery; q != "from=1-1-aa&to=2026-01-02T03%3A04%3A05Z" {
		t.Errorf("asked %s", q)
	}
	for name, a := range map[string]answer{
		"a page": status(200, "text/html", "<h1>"), "no event": status(200, "application/x-ndjson", "{]\n"),
		"a foreign id": status(200, "application/x-ndjson", `{"id":"x"}`), "gone": problem(410, "history-gone"),
	} {
		n := 0
		for _, err := range newClient(t, &fake{answers: []answer{a}}).History(t.Context(), "rates", client.HistoryOptions{}) {
			if n++; err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d items", name, n)
		}
	}
}

func TestPublish(t *testing.T) {
	replayed := status(202, "application/json", `{"id":"5-5-ee","count":3,"changed":2}`, "Idempotent-Replayed", "true")
	f := &fake{answers: []answer{status(202, "application/json", `{"changed":true,"id":"3-3-cc"}`), status(202, "application/json", `{"changed":false}`), replayed}}
	c := newClient(t, f)
	p, err := c.Publish(t.Context(), "orders", []byte(`{"n":1.0}`), client.PublishOptions{})
	if want := (client.Published{ID: "3-3-cc", Count: 1, Changed: 1}); err != nil || p != want {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err = c.Publish(t.Context(), "orders", []byte(`1`), client.PublishOptions{}); err != nil || p != (client.Published{Count: 1}) {
		t.Errorf("%+v, %v", p, err)
	}
	p, err = c.PublishLines(t.Context(), "orders", []byte("1\n2\n3\n"), client.PublishOptions{IdempotencyKey: "k"})
	if want := (client.Published{ID: "5-5-ee", Count: 3, Changed: 2, Repeated: true}); err != nil || p != want {
		t.Errorf("%+v, %v", p, err)
	}
	for i, want := range []string{"application/json {\"n\":1.0} ", "application/json 1 ", "application/x-ndjson 1\n2\n3\n k"} {
		r := f.requests[i]
		if body, _ := io.ReadAll(r.Body); r.Method != http.MethodPost || r.Header.Get("Content-Type")+" "+string(body)+" "+r.Header.Get("Idempotency-Key") != want {
			t.Errorf("%s %q %v", r.Method, body, r.Header)
		}
	}
}

func TestTopicsPagesThrough(t *testing.T) {
	page := func(names ...string) answer {
		items := []freshet.Topic{}
		for _, n := range names {
			items = append(items, freshet.Topic{Name: freshet.TopicName(n)})
		}
		body, _ := json.Marshal(map[string]any{"items": items, "total": 5})
		return status(200, "application/json", string(body))
	}
	f := &fake{answers: []answer{page("a", "b"), page("c", "d"), page("e")}}
	c := newClient(t, f)
	var got []freshet.TopicName
	for topic, err := range c.Topics(t.Context(), client.ListOptions{Search: "name:x", Sort: []string{"name,DESC", "kind"}, PageSize: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, topic.Name)
	}
	if want := []freshet.TopicName{"a", "b", "c", "d", "e"}; !slices.Equal(got, want) || len(f.requests) != 3 {
		t.Errorf("%q after %d requests; want %q", got, len(f.requests), want)
	}
	if q := f.requests[1].URL.RawQuery; q != "page=2&pageSize=2&search=name%3Ax&sort=name%2CDESC&sort=kind" {
		t.Errorf("asked %s", q)
	}
	f = &fake{answers: []answer{page("a", "b")}}
	for range newClient(t, f).Topics(t.Context(), client.ListOptions{PageSize: 2}) {
		break
	}
	if len(f.requests) != 1 {
		t.Errorf("%d requests for one topic", len(f.requests))
	}
	for _, err := range newClient(t, &fake{answers: []answer{problem(400, "invalid-parameter")}}).Topics(t.Context(), client.ListOptions{}) {
		if p, ok := errors.AsType[*client.Problem](err); !ok || p.Slug() != "invalid-parameter" {
			t.Errorf("%v", err)
		}
	}
}

func TestManageTopics(t *testing.T) {
	topic := freshet.Topic{Name: "rates", Kind: freshet.KindSnapshot}
	stored := `{"name":"rates","kind":"snapshot","managedBy":"api"}`
	o := client.WriteOptions{IfMatch: `"7"`, DryRun: true}
	for _, tt := range []struct {
		want string // method, URL, If-Match, Content-Type, body
		call func(c *client.Client) (freshet.Topic, string, error)
	}{
		{`GET /v1/topics/rates   `, func(c *client.Client) (freshet.Topic, string, error) { return c.Topic(t.Context(), "rates") }},
		{`POST /v1/topics?dryRun=true  application/json {"name":"rates","kind":"snapshot","source":{"type":""}}`, func(c *client.Client) (freshet.Topic, string, error) {
			got, err := c.CreateTopic(t.Context(), topic, o)
			return got, `"8"`, err
		}},
		{`PUT /v1/topics/rates?dryRun=true "7" application/json {"name":"rates","kind":"snapshot","source":{"type":""}}`, func(c *client.Client) (freshet.Topic, string, error) {
			return c.PutTopic(t.Context(), topic, o)
		}},
		{`PATCH /v1/topics/rates?dryRun=true "7" application/merge-patch+json {"description":null}`, func(c *client.Client) (freshet.Topic, string, error) {
			return c.PatchTopic(t.Context(), "rates", []byte(`{"description":null}`), o)
		}},
	} {
		f := &fake{answers: []answer{status(200, "application/json", stored, "ETag", `"8"`)}}
		got, etag, err := tt.call(newClient(t, f))
		r := f.requests[0]
		body := ""
		if r.Body != nil {
			b, _ := io.ReadAll(r.Body)
			body = string(b)
		}
		asked := fmt.Sprintf("%s %s %s %s %s", r.Method, r.URL.RequestURI(), r.Header.Get("If-Match"), r.Header.Get("Content-Type"), body)
		if err != nil || got.ManagedBy != "api" || etag != `"8"` || asked != tt.want {
			t.Errorf("%s: %+v, %s, %v; want %s", asked, got, etag, err, tt.want)
		}
	}
	f := &fake{answers: []answer{status(204, "", "")}}
	if err := newClient(t, f).DeleteTopic(t.Context(), "rates", client.WriteOptions{}); err != nil || f.requests[0].Method != http.MethodDelete {
		t.Errorf("delete: %v", err)
	}
}

// What may be secret must not follow a redirect to somebody else.
func TestHeadersStayWithTheirOrigin(t *testing.T) {
	var seen []string
	note := func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("X-Api-Key"))
		_, _ = io.WriteString(w, "1")
	}
	other := httptest.NewServer(http.HandlerFunc(note))
	defer other.Close()
	mux := http.NewServeMux()
	mux.Handle("/live/here", http.RedirectHandler("/there", http.StatusFound))
	mux.Handle("/live/away", http.RedirectHandler(other.URL, http.StatusFound))
	mux.Handle("/live/loop", http.RedirectHandler("/live/loop", http.StatusFound))
	mux.HandleFunc("/there", note)
	server := httptest.NewServer(mux)
	defer server.Close()
	c, err := client.New(server.URL, client.Config{Header: http.Header{"X-Api-Key": {"secret"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"here", "away"} {
		if _, err := c.Get(t.Context(), topic, client.GetOptions{}); err != nil {
			t.Error(err)
		}
	}
	if want := []string{"secret", ""}; !slices.Equal(seen, want) {
		t.Errorf("X-Api-Key was %q; want %q", seen, want)
	}
	if _, err := c.Get(t.Context(), "loop", client.GetOptions{}); err == nil || !strings.Contains(err.Error(), "redirects") {
		t.Errorf("a loop: %v", err)
	}
}

func FuzzHistoryLine(f *testing.F) {
	f.Add(`{"id":"1-1-aa","type":"snapshot","time":"2026-01-02T03:04:05Z","data":{}}`)
	f.Add("{}\r\n{")
	f.Fuzz(func(t *testing.T, text string) {
		c := newClient(t, &fake{answers: []answer{status(200, "application/x-ndjson", text)}})
		for e, err := range c.History(t.Context(), "rates", client.HistoryOptions{}) {
			if err == nil && len(e.Data) > 0 && !json.Valid(e.Data) {
				t.Errorf("%q is not JSON", e.Data)
			}
		}
	})
}
