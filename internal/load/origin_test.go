package load_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"freshet/internal/load"
)

type document struct {
	At    string
	Items []json.RawMessage
}

func get(t *testing.T, url, etag string) (status int, newTag string, body []byte) {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	req.Header.Set("If-None-Match", etag)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("ETag"), body
}

func TestOrigin(t *testing.T) {
	o, err := load.StartOrigin(t.Context(), 2, 50_000, 0.2)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	begun := time.Now().UnixNano()
	_, tag, first := get(t, o.URL(1), "")
	status, tag2, second := get(t, o.URL(1), tag)
	if status != 200 || tag == tag2 {
		t.Fatalf("the second answer is %d with ETag %s after %s; want another document", status, tag2, tag)
	}
	var a, b document
	if json.Unmarshal(first, &a) != nil || json.Unmarshal(second, &b) != nil {
		t.Fatalf("not JSON: %.100s", first)
	}
	renewed := 0
	for i := range a.Items {
		if !bytes.Equal(a.Items[i], b.Items[i]) {
			renewed++
		}
	}
	if len(first) < 49_000 || len(first) > 51_000 || renewed != len(a.Items)/5 {
		t.Errorf("%d bytes, of %d records %d are renewed; want 50000 and a fifth", len(first), len(a.Items), renewed)
	}
	if at, number, ok := load.FindStamp(second); !ok || number != 2 || at < begun || at > time.Now().UnixNano() {
		t.Errorf("stamp %s of the second document of now", b.At)
	}
	if right, known := o.Holds(1, second); !right || !known {
		t.Error("the document is not the one that was handed over")
	}
	wrong := bytes.Replace(second, []byte(`"id":7,`), []byte(`"id":8,`), 1)
	if right, _ := o.Holds(1, wrong); right {
		t.Error("a document that differs is taken for the one that was handed over")
	}
	if status, _, _ := get(t, o.URL(2), ""); status != 404 || o.Polls() != 2 {
		t.Errorf("a document that is not there: %d; %d polls", status, o.Polls())
	}
}

func TestOriginAtRest(t *testing.T) {
	o, err := load.StartOrigin(t.Context(), 1, 1000, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	_, tag, _ := get(t, o.URL(0), "")
	if status, _, body := get(t, o.URL(0), tag); status != http.StatusNotModified || len(body) > 0 {
		t.Errorf("nothing is renewed, and the answer is %d; want 304", status)
	}
}
