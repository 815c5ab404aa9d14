// Package demo is an API to try Freshet with: four JSON documents that change a little every second.
//
// A document is a function of the seed and the step that the clock is in. Nothing is simulated from
// one step to the next, so that nothing has to run, a clock may jump, and two servers with one seed
// agree.
package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"sync"
	"time"

	"freshet"
)

// step is how long a document stays as it is.
const step = time.Second

// A feed is one document of the API.
type feed struct {
	name, about string
	arrayKeys   map[string]string
	document    func(w world, now int64) any // at a step
}

func feeds() []feed {
	return []feed{
		{"quotes", "Finance: 40 shares; the price of a few changes every second.", map[string]string{"/quotes": "symbol"}, quotes},
		{"stock-levels", "Logistics: 60 articles in four warehouses, picked and restocked.", map[string]string{"/items": "sku"}, stockLevels},
		{"sensors", "Industry: 60 sensors of a plant, with limits and alarms.", map[string]string{"/sensors": "id"}, sensors},
		{"vitals", "Health care: the vital signs of 24 patients of a ward.", map[string]string{"/patients": "bed"}, vitals},
	}
}

// Handler serves the four documents and, at /, a list of them. Equal seeds and times give equal bytes.
func Handler(seed uint64, now func() time.Time) http.Handler {
	mux := http.NewServeMux()
	type entry struct {
		Path  string `json:"path"`
		About string `json:"about"`
	}
	var list []entry
	for i, f := range feeds() {
		mux.Handle("GET /"+f.name, &page{feed: f, world: world{mix(seed, uint64(i))}, now: now})
		list = append(list, entry{"/" + f.name, f.about})
	}
	index := encode(map[string]any{"documents": list, "period": freshet.Duration(step)})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { serve(w, r, index) })
	return mux
}

// Topics are the four documents as topics that poll them every second. base is where a Handler is
// served, such as http://127.0.0.1:4441.
func Topics(base string) []freshet.Topic {
	var all []freshet.Topic
	for _, f := range feeds() {
		config := encode(map[string]string{"url": base + "/" + f.name, "pollingPeriod": freshet.Duration(step).String()})
		all = append(all, freshet.Topic{
			Name:        freshet.TopicName(f.name),
			Kind:        freshet.KindSnapshot,
			Description: f.about,
			Source:      freshet.Source{Type: "http-poller", Config: bytes.TrimSpace(config)},
			Diff:        freshet.Diff{ArrayKeys: f.arrayKeys},
		})
	}
	return all
}

// A page serves one feed. It keeps the document of the step that was asked for last.
type page struct {
	feed  feed
	world world
	now   func() time.Time

	mu   sync.Mutex // guards the rest
	at   int64      // the step of body
	body []byte
}

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) { serve(w, r, p.current()) }

func (p *page) current() []byte {
	at := p.now().Unix()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.body == nil || p.at != at {
		p.at, p.body = at, encode(p.feed.document(p.world, at))
	}
	return p.body
}

// serve answers with a document, or with 304 to who has it.
func serve(w http.ResponseWriter, r *http.Request, body []byte) {
	sum := fnv.New64a()
	_, _ = sum.Write(body)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", fmt.Sprintf(`"%016x"`, sum.Sum64()))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("demo: " + err.Error()) // a value of our own that is no JSON
	}
	return b.Bytes()
}
