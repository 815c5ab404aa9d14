package api_test

import (
	"bytes"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"freshet"
	"freshet/internal/api"
	"freshet/internal/flow/delivery"
)

// description is the OpenAPI document, read and validated once.
var description = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(openapi3.NewLoader().Context)
})

// described serves h and holds every answer, and every request that h does not refuse, to the OpenAPI
// document.
func described(t *testing.T, h http.Handler) http.Handler {
	t.Helper()
	doc, err := description()
	if err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)

		again := r.Clone(r.Context())
		again.Body = io.NopCloser(bytes.NewReader(body))
		check(t, router, again, rec)
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	})
}

func check(t *testing.T, router routers.Router, r *http.Request, rec *httptest.ResponseRecorder) {
	t.Helper()
	if r.Method == http.MethodHead {
		return
	}
	options := &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}
	route, params, err := router.FindRoute(r)
	if err != nil {
		if rec.Code != http.StatusNotFound && rec.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s %s: %d, and the document does not have it: %v", r.Method, r.URL, rec.Code, err)
		}
		return
	}
	request := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: options}
	if err := openapi3filter.ValidateRequest(r.Context(), request); err != nil && rec.Code < 300 {
		t.Errorf("%s %s: %d for a request that the document does not allow: %v", r.Method, r.URL, rec.Code, err)
	}
	if rec.Header().Get("Content-Encoding") != "" {
		return // the validator reads no gzip; the same answers are checked without
	}
	response := &openapi3filter.ResponseValidationInput{RequestValidationInput: request, Status: rec.Code, Header: rec.Header(), Options: options}
	response.SetBodyBytes(rec.Body.Bytes())
	if err := openapi3filter.ValidateResponse(r.Context(), response); err != nil {
		t.Errorf("%s %s: the document does not describe this answer: %v\n%d %s", r.Method, r.URL, err, rec.Code, rec.Body)
	}
}

func TestDescription(t *testing.T) {
	doc, err := description()
	if err != nil {
		t.Fatal(err)
	}
	if !doc.IsOpenAPI31OrLater() {
		t.Errorf("version %s", doc.OpenAPI)
	}
	for _, example := range []struct{ schema, json string }{ // the validator itself must be able to fail
		{"Topic", `{}`}, {"Problem", `{"type":"x","title":"y","status":200}`}, {"Source", `{"type":"x","more":1}`},
	} {
		var v any
		if err := jsonDecode(example.json, &v); err != nil {
			t.Fatal(err)
		}
		if doc.Components.Schemas[example.schema].Value.VisitJSON(v, openapi3.EnableJSONSchema2020()) == nil {
			t.Errorf("%s is a valid %s", example.json, example.schema)
		}
	}
}

// What webhooks are sent is described.
func TestDeliveriesAreDescribed(t *testing.T) {
	doc, err := description()
	if err != nil {
		t.Fatal(err)
	}
	post := doc.Webhooks["event"].Post
	now := time.Now()
	messages := []delivery.Message{
		{Event: freshet.Event{Position: freshet.Position{Revision: 1, Sequence: 1}, Type: freshet.TypeSnapshot, Time: now, Data: []byte(`{"a":1}`)}, Reset: "history-expired"},
		{Event: freshet.Event{Type: freshet.TypeRecovered, Time: now, Data: []byte(`{}`)}},
		{Event: freshet.Event{Type: delivery.TypeTest, Time: now, Data: []byte(`1`)}},
	}
	structured := func(m delivery.Message) []byte { return delivery.Structured("doc", m) }
	for _, tt := range []struct {
		schema *openapi3.SchemaRef
		body   []byte
	}{
		{doc.Components.Schemas["DeliveredBatch"], delivery.List(messages, delivery.Wrapped)},
		{post.RequestBody.Value.Content["application/cloudevents+json"].Schema, structured(messages[0])},
		{post.RequestBody.Value.Content["application/cloudevents-batch+json"].Schema, delivery.List(messages, structured)},
	} {
		var v any
		if err := jsonDecode(string(tt.body), &v); err != nil {
			t.Fatal(err)
		}
		if err := tt.schema.Value.VisitJSON(v, openapi3.EnableJSONSchema2020()); err != nil {
			t.Errorf("%s: %v", tt.body, err)
		}
		if tt.schema.Value.VisitJSON([]any{map[string]any{"id": "1"}}, openapi3.EnableJSONSchema2020()) == nil {
			t.Error("the schema allows anything")
		}
	}
}

// Each route is described, and each that is described is there.
func TestEveryRouteIsDescribed(t *testing.T) {
	doc, err := description()
	if err != nil {
		t.Fatal(err)
	}
	var described []string
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			described = append(described, method+" "+path)
		}
	}
	slices.Sort(described)
	// A ServeMux does not tell its patterns, so those of the data plane are read where they are written.
	source, err := os.ReadFile("server.go")
	if err != nil {
		t.Fatal(err)
	}
	served := api.ManagementRoutes()
	for _, m := range regexp.MustCompile(`mux\.Handle\("([^"]+)"`).FindAllSubmatch(source, -1) {
		served = append(served, strings.TrimSuffix(string(m[1]), "{$}")) // which ServeMux takes for "this path alone"
	}
	for i, route := range served {
		if route == "POST /v1/topics/{topic}" { // its only method stands behind a colon, which ServeMux cannot match
			served[i] += ":poll"
		}
		if route == "POST /v1/subscriptions/{id}" {
			served[i] += ":redeliver"
			served = append(served, route+":test", route+":recover", route+":skip")
		}
	}
	slices.Sort(served)
	if !slices.Equal(served, described) {
		t.Errorf("served    %q\ndescribed %q", served, described)
	}
}

func TestDescriptionIsServed(t *testing.T) {
	s := newServer(t)
	asJSON := s.do("GET", "/openapi.json", "")
	if asJSON.code != http.StatusOK || asJSON.header.Get("Content-Type") != "application/json" {
		t.Errorf("got %d %s", asJSON.code, asJSON.header)
	}
	doc, err := openapi3.NewLoader().LoadFromData([]byte(asJSON.body))
	if err != nil || doc.Validate(t.Context()) != nil || doc.Paths.Len() < 5 {
		t.Errorf("the JSON form is not the document: %v", err)
	}
	file, err := os.ReadFile("openapi.yaml")
	if asYAML := s.do("GET", "/openapi.yaml", ""); err != nil || asYAML.body != string(file) {
		t.Errorf("the YAML form is not the file: %v", err)
	}
}

// errors.md explains each type of problem, and no other, and a server has each section.
func TestEveryProblemIsExplained(t *testing.T) {
	file, err := os.ReadFile("errors.md")
	if err != nil {
		t.Fatal(err)
	}
	var headings []string
	for _, m := range regexp.MustCompile(`(?m)^## (.*)$`).FindAllSubmatch(file, -1) {
		headings = append(headings, string(m[1]))
	}
	slices.Sort(headings)
	slugs := api.Slugs()
	slices.Sort(slugs)
	if !slices.Equal(headings, slugs) {
		t.Errorf("explained %q\nused      %q", headings, slugs)
	}
	s := newServer(t)
	for _, slug := range slugs {
		if got := s.do("GET", "/errors/"+slug, ""); got.code != http.StatusOK || !strings.HasPrefix(got.body, "## "+slug+"\n") || strings.Count(got.body, "##") != 1 {
			t.Errorf("%s: %d %q", slug, got.code, got.body)
		}
	}
	if got := s.do("GET", "/errors/other", ""); got.code != http.StatusNotFound {
		t.Errorf("an unknown one: %d", got.code)
	}
}

// Everything that can go wrong is listed, and found by what a client was told.
func TestErrorsAreListed(t *testing.T) {
	s := newServer(t)
	got := s.do("GET", "/v1/errors", "")
	var list struct {
		Items    []freshet.FaultKind
		Problems []api.ProblemType
	}
	if err := jsonDecode(got.body, &list); err != nil || got.code != http.StatusOK {
		t.Fatal(got.code, got.body, err)
	}
	if !slices.Equal(list.Items, freshet.FaultKinds()) {
		t.Errorf("the codes are %v", list.Items)
	}
	var slugs []string
	for _, p := range list.Problems {
		slugs = append(slugs, p.Slug)
		one := s.do("GET", "/v1/errors/"+p.Slug, "")
		var again api.ProblemType
		if err := jsonDecode(one.body, &again); err != nil || again != p || p.Meaning == "" || p.Status < 400 || !strings.HasSuffix(p.Type, "/"+p.Slug) {
			t.Errorf("%+v is by itself %s", p, one.body)
		}
	}
	slices.Sort(slugs)
	if want := slices.Sorted(slices.Values(api.Slugs())); !slices.Equal(slugs, want) {
		t.Errorf("the problems are %q; want %q", slugs, want)
	}
	var one freshet.FaultKind
	if got := s.do("GET", "/v1/errors/70404", ""); jsonDecode(got.body, &one) != nil || one.Code != 70404 || one.Category != "publication" {
		t.Errorf("one code: %d %s", got.code, got.body)
	}
	for _, none := range []string{"70418", "other", "0", "-1"} {
		if got := s.do("GET", "/v1/errors/"+none, ""); got.code != http.StatusNotFound {
			t.Errorf("%s: %d %s", none, got.code, got.body)
		}
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
