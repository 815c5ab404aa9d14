package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"freshet"
	"freshet/internal/app"
	"freshet/jsonpatch"
)

// Whoever posts at the same time is stored together, yet each is answered for itself: with a revision of
// its own, or with what is wrong with its payload; and followers get all in order.
func TestManyPostersAtOnce(t *testing.T) { onEveryPath(t, manyPosters) }

func manyPosters(t *testing.T, on path) {
	const posters, each = 16, 20
	topics := []freshet.Topic{pushed("log", freshet.KindEvent), pushed("doc", freshet.KindSnapshot)}
	base := on.serve(t, app.Config{Topics: topics}) + "/live/"
	post(t, base+"doc", `{"poster":0,"n":-1,"text":"long enough for a patch to be worth its bytes, whoever may have posted last"}`)
	log, doc := open(t, base+"log"), open(t, base+"doc")
	var mu sync.Mutex
	revisions := map[string]bool{}
	var all sync.WaitGroup
	for p := range posters {
		all.Go(func() {
			for n := range each {
				for _, topic := range []string{"log", "doc"} {
					body := fmt.Sprintf(`{"poster":%d,"n":%d,"text":"long enough for a patch to be worth its bytes, whoever may have posted last"}`, p, n)
					want := http.StatusAccepted
					if n%5 == 4 {
						body, want = body[1:], http.StatusBadRequest
					}
					resp, text := do(t, "POST", base+topic, body, "Content-Type: application/json")
					if resp.StatusCode != want {
						t.Errorf("%s: %s %s", topic, resp.Status, text)
					}
					mu.Lock()
					if id := topic + resp.Header.Get("ETag"); want == http.StatusAccepted && revisions[id] {
						t.Errorf("two posts got %s", id)
					} else {
						revisions[id] = true
					}
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	next := map[int]int{}
	for n := range posters * each * 4 / 5 {
		var m struct{ Poster, N int }
		id, data := log.event(&m)
		if !strings.HasPrefix(id, fmt.Sprint(n+1, "-")) || m.N != next[m.Poster] {
			t.Fatalf("message %d has id %s: %s", n+1, id, data)
		}
		if next[m.Poster] = m.N + 1; m.N%5 == 3 {
			next[m.Poster]++ // the one that was refused
		}
	}
	// The document is followed by patches, or snapshots where a reader was behind, to the last of them.
	var text []byte
	_, current := do(t, "GET", base+"doc", "")
	for string(text) != strings.TrimSpace(current) {
		block := doc.next()
		_, data, _ := strings.Cut(block, "\ndata: ")
		data, _, _ = strings.Cut(data, "\n")
		if strings.Contains(block, "event: snapshot") {
			text = []byte(data)
			continue
		}
		var err error
		if text, err = jsonpatch.Apply(text, []byte(data)); err != nil {
			t.Fatalf("%v: %s", err, block)
		}
	}
}

// event reads the next event's data into v.
func (s *stream) event(v any) (id, data string) {
	s.t.Helper()
	for line := range strings.Lines(s.next()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch name {
		case "id":
			id = value
		case "data":
			data = value
		}
	}
	if err := json.Unmarshal([]byte(data), v); err != nil {
		s.t.Fatalf("%v: %s", err, data)
	}
	return id, data
}
