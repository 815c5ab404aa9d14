package demo_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/internal/demo"
	"freshet/internal/flow/source/all"
	"freshet/jsonpatch"
)

var paths = []string{"/quotes", "/stock-levels", "/sensors", "/vitals"}

// An api is a demo API whose clock the test sets.
type api struct {
	http.Handler
	now time.Time
}

func start(seed uint64) *api {
	a := &api{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	a.Handler = demo.Handler(seed, func() time.Time { return a.now })
	return a
}

func (a *api) get(t *testing.T, path, match string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
	if match != "" {
		r.Header.Set("If-None-Match", match)
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w
}

func (a *api) doc(t *testing.T, path string) []byte {
	t.Helper()
	w := a.get(t, path, "")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" || !json.Valid(w.Body.Bytes()) {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.Bytes()
}

func TestDeterministic(t *testing.T) {
	for _, path := range paths {
		a, b, other := start(1), start(1), start(2)
		first := a.doc(t, path)
		if bytes.Equal(first, other.doc(t, path)) {
			t.Errorf("%s is the same for another seed", path)
		}
		for range 50 { // one is asked all the time, the other only once
			a.now = a.now.Add(time.Second)
			a.doc(t, path)
		}
		b.now = a.now
		if !bytes.Equal(a.doc(t, path), b.doc(t, path)) {
			t.Errorf("%s depends on when it was asked for before", path)
		}
	}
}

// Within a second a document stays the same, and whoever has it is told so.
func TestNotModified(t *testing.T) {
	for _, path := range append(paths, "/") {
		a := start(1)
		w := a.get(t, path, "")
		tag := w.Header().Get("ETag")
		if !strings.HasPrefix(tag, `"`) || w.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %v", path, w.Header())
		}
		a.now = a.now.Add(999 * time.Millisecond)
		if again := a.get(t, path, tag); again.Code != http.StatusNotModified || again.Body.Len() != 0 || again.Header().Get("ETag") != tag {
			t.Errorf("%s in the same second: %d", path, again.Code)
		}
		if again := a.get(t, path, `"other"`); again.Code != http.StatusOK || again.Header().Get("ETag") != tag {
			t.Errorf("%s for another tag: %d", path, again.Code)
		}
		a.now = a.now.Add(time.Millisecond)
		if again := a.get(t, path, tag); path != "/" && (again.Code != http.StatusOK || again.Header().Get("ETag") == tag) {
			t.Errorf("%s a second later: %d", path, again.Code)
		}
	}
}

// Each step changes something, and little of the whole.
func TestSteps(t *testing.T) {
	lists := map[string]string{"/quotes": "quotes", "/stock-levels": "items", "/sensors": "sensors", "/vitals": "patients"}
	for _, path := range paths {
		a := start(7)
		before, sum := items(t, a.doc(t, path), lists[path]), 0
		const steps = 100
		for range steps {
			a.now = a.now.Add(time.Second)
			after, changed := items(t, a.doc(t, path), lists[path]), 0
			for i := range after {
				if !bytes.Equal(before[i], after[i]) {
					changed++
				}
			}
			if changed == 0 || changed > len(after)*2/3 {
				t.Fatalf("%s: %d of %d items changed at %v", path, changed, len(after), a.now)
			}
			before, sum = after, sum+changed
		}
		t.Logf("%s: %d bytes, %d items, %.1f of them change in a second", path, len(a.doc(t, path)), len(before), float64(sum)/steps)
		if len(before) < 20 || len(before) > 100 || sum < steps*3/2 || sum > steps*len(before)/4 {
			t.Errorf("%s: %d changes of %d items in %d steps", path, sum, len(before), steps)
		}
	}
}

func items(t *testing.T, doc []byte, list string) []json.RawMessage {
	t.Helper()
	var whole map[string]json.RawMessage
	var all []json.RawMessage
	if err := json.Unmarshal(doc, &whole); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(whole[list], &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// The documents hold what tells a careful gateway from a careless one.
func TestSharpEdges(t *testing.T) {
	a := start(1)
	for path, want := range map[string][]string{
		"/quotes":       {`"factor":1.0`, `"id":1`},
		"/stock-levels": {`"fillRate":1.0`},
		"/sensors":      {`"good/all":`, `"°C"`, `"firmware":4.0`, `"alarm":null`},
		"/vitals":       {`"protocol":1.0`, `"patientId":11`},
	} {
		for _, part := range want {
			if doc := a.doc(t, path); !bytes.Contains(doc, []byte(part)) {
				t.Errorf("%s has no %s", path, part)
			}
		}
	}
}

// A day of it stays plausible.
func TestPlausible(t *testing.T) {
	a := start(3)
	for range 96 {
		a.now = a.now.Add(15 * time.Minute)
		var quotes struct {
			Quotes []struct {
				Symbol   string
				Bid, Ask struct{ Price float64 }
				Day      struct{ ChangePercent, Volume float64 }
			}
		}
		var stock struct {
			Items []struct {
				SKU, Status string
				Locations   map[string]struct{ OnHand, Reserved, Available int }
				Movement    struct{ Quantity int } `json:"lastMovement"`
			}
		}
		var vitals struct {
			Patients []struct {
				HeartRate, RespiratoryRate int
				SpO2, Temperature          float64
				BloodPressure              struct{ Systolic, Diastolic int }
			}
		}
		for path, into := range map[string]any{"/quotes": &quotes, "/stock-levels": &stock, "/vitals": &vitals} {
			if err := json.Unmarshal(a.doc(t, path), into); err != nil {
				t.Fatal(err)
			}
		}
		for _, q := range quotes.Quotes {
			if q.Bid.Price <= 0 || q.Ask.Price <= q.Bid.Price || q.Day.Volume < 0 || q.Day.ChangePercent < -30 || q.Day.ChangePercent > 30 {
				t.Errorf("%v: %+v", a.now, q)
			}
		}
		for _, item := range stock.Items {
			for _, l := range item.Locations {
				if l.OnHand < 0 || l.Available < 0 || l.Available != l.OnHand-l.Reserved || item.Movement.Quantity <= 0 {
					t.Errorf("%v: %+v", a.now, item)
				}
			}
		}
		for _, p := range vitals.Patients {
			if p.HeartRate < 25 || p.HeartRate > 160 || p.SpO2 < 85 || p.SpO2 > 100 || p.RespiratoryRate < 5 || p.RespiratoryRate > 30 ||
				p.Temperature < 35 || p.Temperature > 40 || p.BloodPressure.Systolic <= p.BloodPressure.Diastolic {
				t.Errorf("%v: %+v", a.now, p)
			}
		}
	}
}

func TestRoutes(t *testing.T) {
	a := start(1)
	index := a.doc(t, "/")
	for _, path := range paths {
		if !bytes.Contains(index, []byte(`"path":"`+path+`"`)) {
			t.Errorf("/ does not list %s: %s", path, index)
		}
	}
	if w := a.get(t, "/nothing", ""); w.Code != http.StatusNotFound {
		t.Errorf("/nothing: %d", w.Code)
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", "/quotes", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

// The topics are ones that the poller accepts, with array keys that do identify the items.
func TestTopics(t *testing.T) {
	a := start(1)
	for i, topic := range demo.Topics("http://127.0.0.1:1") {
		if "/"+string(topic.Name) != paths[i] || topic.Name.Validate() != nil || topic.Kind != freshet.KindSnapshot || topic.Description == "" {
			t.Errorf("%+v", topic)
		}
		kind, ok := all.Kinds().Lookup(topic.Source.Type)
		if !ok || kind.Check(topic.Source.Config) != nil {
			t.Errorf("%s: %s %v", topic.Name, topic.Source.Config, kind.Check(topic.Source.Config))
		}
		if want := fmt.Sprintf(`{"pollingPeriod":"PT1S","url":"http://127.0.0.1:1%s"}`, paths[i]); string(topic.Source.Config) != want {
			t.Errorf("%s: %s", topic.Name, topic.Source.Config)
		}
		for array, key := range topic.Diff.ArrayKeys {
			list, err := jsonpatch.Lookup(a.doc(t, paths[i]), array)
			var all []map[string]any
			if err != nil || json.Unmarshal(list, &all) != nil {
				t.Fatalf("%s has no array at %s: %v", topic.Name, array, err)
			}
			seen := map[any]bool{}
			for _, item := range all {
				if id := item[key]; id == nil || seen[id] {
					t.Errorf("%s: %s %v is not unique", topic.Name, key, item[key])
				}
				seen[item[key]] = true
			}
		}
	}
}
