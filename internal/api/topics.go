package api

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzhttp"

	"freshet"
	"freshet/internal/catalog"
)

// maxDocument bounds a topic document, in bytes.
const maxDocument = 1 << 20

// management is /v1: the topics as configured.
type management struct {
	edge
	catalog *catalog.Catalog
	status  func(freshet.TopicName) *freshet.Status // nil where nobody knows
}

func newManagement(topics *catalog.Catalog, status func(freshet.TopicName) *freshet.Status, log *slog.Logger) *management {
	return &management{edge{log}, topics, status}
}

// table is what management serves, by the patterns of ServeMux.
func (m *management) table() map[string]http.Handler {
	return map[string]http.Handler{
		"GET /v1/topics":            m.handle(m.list),
		"POST /v1/topics":           m.handle(m.create),
		"GET /v1/topics/{topic}":    m.handle(m.get),
		"PUT /v1/topics/{topic}":    m.handle(m.put),
		"PATCH /v1/topics/{topic}":  m.handle(m.patch),
		"DELETE /v1/topics/{topic}": m.handle(m.remove),
		"GET /openapi.json":         m.handle(openAPI{"application/json", openAPIJSON}.serve),
		"GET /openapi.yaml":         m.handle(openAPI{"application/yaml", openAPIYAML}.serve),
		"GET /errors/{slug}":        m.handle(explain),
		"GET /v1/errors":            m.handle(listErrors),
		"GET /v1/errors/{code}":     m.handle(getError),
	}
}

func (m *management) routes(mux *http.ServeMux, table map[string]http.Handler) {
	compress, err := gzhttp.NewWrapper(gzhttp.EnableZstd(false))
	if err != nil {
		panic(fmt.Sprintf("api: the options of gzhttp are wrong: %v", err)) // they are constant
	}
	for pattern, h := range table {
		mux.Handle(pattern, compress(h))
	}
}

func nameOf(r *http.Request) freshet.TopicName { return freshet.TopicName(r.PathValue("topic")) }

func (m *management) get(w http.ResponseWriter, r *http.Request) error {
	if err := onlyParameters(r); err != nil {
		return err
	}
	e, err := m.catalog.Get(nameOf(r))
	if err != nil {
		return err
	}
	return m.show(w, http.StatusOK, e)
}

func (m *management) create(w http.ResponseWriter, r *http.Request) error {
	document, write, err := m.read(w, r, "application/json")
	if err != nil {
		return err
	}
	e, err := m.catalog.Create(r.Context(), document, write)
	if err != nil {
		return err
	}
	return m.stored(w, e, !write.DryRun)
}

func (m *management) put(w http.ResponseWriter, r *http.Request) error {
	document, write, err := m.read(w, r, "application/json")
	if err != nil {
		return err
	}
	e, created, err := m.catalog.Put(r.Context(), nameOf(r), document, write)
	if err != nil {
		return err
	}
	return m.stored(w, e, created && !write.DryRun)
}

func (m *management) patch(w http.ResponseWriter, r *http.Request) error {
	document, write, err := m.read(w, r, "application/merge-patch+json", "application/json")
	if err != nil {
		return err
	}
	e, err := m.catalog.Patch(r.Context(), nameOf(r), document, write)
	if err != nil {
		return err
	}
	return m.stored(w, e, false)
}

func (m *management) remove(w http.ResponseWriter, r *http.Request) error {
	write, err := preconditions(r)
	if err != nil {
		return err
	}
	if err := m.catalog.Delete(r.Context(), nameOf(r), write); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// stored answers a write.
func (m *management) stored(w http.ResponseWriter, e catalog.Entry, created bool) error {
	if !created {
		return m.show(w, http.StatusOK, e)
	}
	w.Header().Set("Location", "/v1/topics/"+string(e.Topic.Name))
	return m.show(w, http.StatusCreated, e)
}

// show answers with a topic. Its ETag is that of the topic as configured, for If-Match; what it is
// doing may be another at the next request, so no answer is served from a cache by it.
func (m *management) show(w http.ResponseWriter, status int, e catalog.Entry) error {
	t := e.Topic
	if m.status != nil {
		t.Status = m.status(t.Name)
	}
	if e.Version != "" {
		w.Header().Set("ETag", `"`+e.Version+`"`)
	}
	return answer(w, status, t)
}

// answer sends v as JSON.
func answer(w http.ResponseWriter, status int, v any) error {
	body, err := encodeJSON(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone does not want it
	return nil
}

// read takes what a writing request holds.
func (m *management) read(w http.ResponseWriter, r *http.Request, types ...string) ([]byte, catalog.Write, error) {
	write, err := preconditions(r)
	if err != nil {
		return nil, write, err
	}
	if err := requireJSON(r, types...); err != nil {
		return nil, write, err
	}
	document, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDocument))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, write, fmt.Errorf("a topic document may have %s: %w", freshet.Bytes(maxDocument), freshet.ErrTooLarge)
	}
	if err != nil {
		return nil, write, fmt.Errorf("%w: %w", errBodyCut, err)
	}
	return document, write, nil
}

// preconditions reads ?dryRun, If-Match and If-None-Match (RFC 9110, 13.1).
func preconditions(r *http.Request) (write catalog.Write, err error) {
	if err := onlyParameters(r, "dryRun"); err != nil {
		return write, err
	}
	if s := r.URL.Query().Get("dryRun"); s != "" {
		if write.DryRun, err = strconv.ParseBool(s); err != nil {
			return write, badParameter("dryRun", "%.40q is neither true nor false", s)
		}
	}
	if write.Match, err = entityTags(r.Header.Values("If-Match")); err != nil {
		return write, err
	}
	switch none := strings.Join(r.Header.Values("If-None-Match"), ","); none {
	case "":
	case "*":
		write.Absent = true
	default:
		return write, badParameter("If-None-Match", "only * is possible for a change: it must not exist yet")
	}
	return write, nil
}

// entityTags reads the list of an If-Match. A weak tag counts as the strong one: proxies weaken tags
// when they compress, and here a tag only ever names a version.
func entityTags(fields []string) (tags []string, err error) {
	for item := range strings.SplitSeq(strings.Join(fields, ","), ",") {
		item = strings.TrimSpace(item)
		switch tag := strings.TrimPrefix(item, "W/"); {
		case item == "":
		case item == "*":
			tags = append(tags, "*")
		case len(tag) >= 2 && tag[0] == '"' && strings.IndexByte(tag[1:], '"') == len(tag)-2:
			tags = append(tags, tag[1:len(tag)-1])
		default:
			return nil, badParameter("If-Match", `%.100s is not an entity tag: write it as the ETag has it, in quotes, such as "5-1c291ca3"`, item)
		}
	}
	return tags, nil
}
