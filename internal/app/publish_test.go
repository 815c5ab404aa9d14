package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"freshet"
	"freshet/internal/app"
)

const ndjson = "Content-Type: application/x-ndjson"

// A batch is as many events as it has lines, in their order, for readers on every path; also a large one for
// those who read it as it is stored.
func TestBatch(t *testing.T) { onEveryPath(t, batch) }

func batch(t *testing.T, on path) {
	base := on.serve(t, app.Config{Topics: []freshet.Topic{pushed("log", freshet.KindEvent), pushed("doc", freshet.KindSnapshot)}}) + "/live/"
	log, doc := open(t, base+"log"), open(t, base+"doc")
	resp, body := do(t, "POST", base+"log", "{\"n\":0}\r\n\n  \n[ 1 , 2 ]\n3", ndjson)
	var got struct {
		Count, Changed int
		ID             string
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != 202 || got.Count != 3 || got.Changed != 3 || resp.Header.Get("ETag") != `"`+got.ID+`"` {
		t.Fatalf("%s %s", resp.Status, body)
	}
	log.expect("event: event", `data: {"n":0}`, "id: 1-")
	log.expect("event: event", `data: [1,2]`, "id: 2-")
	if id := log.expect("event: event", `data: 3`, "id: 3-"); id != got.ID {
		t.Errorf("the last event is %s, the answer says %s", id, got.ID)
	}

	if resp, body := do(t, "POST", base+"doc", "{\"n\":1}\n{\"n\": 1}\n{\"n\":2}\n{\"n\":1}\n{\"n\":1}\n", ndjson); resp.StatusCode != 202 || !strings.HasPrefix(body, `{"count":5,"changed":3,"id":"3-`) {
		t.Errorf("a document in five steps: %s %s", resp.Status, body)
	}
	doc.expect(`data: {"n":1}`) // the first, or already the last
	if resp, body := do(t, "POST", base+"doc", "{\"n\":1}\n{\"n\":1}", ndjson); body != "{\"count\":2,\"changed\":0}\n" || resp.Header.Get("ETag") != "" {
		t.Errorf("nothing new: %v %s", resp.Header, body)
	}

	const most = 10_000
	var lines strings.Builder
	for n := range most {
		fmt.Fprintf(&lines, `{"n":%d,"text":"%s"}`+"\n", n, strings.Repeat("x", 100))
	}
	sent := make(chan string, 1)
	go func() {
		resp, body := do(t, "POST", base+"log", lines.String(), ndjson)
		sent <- resp.Status + " " + body
	}()
	var m struct{ N int }
	for n := range most {
		if id, data := log.event(&m); m.N != n || !strings.HasPrefix(id, fmt.Sprint(n+4, "-")) {
			t.Fatalf("event %d is %s %.40s", n, id, data)
		}
	}
	if s := <-sent; !strings.HasPrefix(s, fmt.Sprintf(`202 Accepted {"count":%d,"changed":%d,"id":"%d-`, most, most, most+3)) {
		t.Errorf("the answer: %s", s)
	}
}

// A batch with a mistake, or too much of anything, is refused as a whole, and the answer says where it is wrong.
func TestBatchIsRefused(t *testing.T) {
	small := pushed("log", freshet.KindEvent)
	small.Limits.Payload = 100
	url := serve(t, app.Config{Topics: []freshet.Topic{small}}) + "/live/log"
	long := `"` + strings.Repeat("x", 99) + `"`
	for name, tt := range map[string]struct {
		body, mediaType string
		status          int
		says            []string
	}{
		"a bad line":        {"1\n\n{\"a\":}\n4\n[", "application/x-ndjson", 400, []string{"invalid-document", `"detail":"line 3: `, `"detail":"line 5: `, `"code":70016`, "nothing was stored"}},
		"a long line":       {"1\n" + long + "\n", "application/x-ndjson", 413, []string{"too-large", `"detail":"line 2: `, "100B", `"code":70015`}},
		"both":              {"1\n[\n" + long, "application/x-ndjson", 413, []string{`"line 2: `, `"line 3: `, "2 mistakes"}},
		"as many as can be": {strings.Repeat("[\n", 150), "application/x-ndjson", 400, []string{"100 mistakes"}},
		"too many lines":    {strings.Repeat("1\n", 10_001), "application/x-ndjson", 413, []string{"10000 lines"}},
		"too many bytes":    {strings.Repeat(" ", 16<<20+1), "application/x-ndjson", 413, []string{"16MiB"}},
		"no line":           {"\n \n", "application/x-ndjson", 400, []string{"no payload"}},
		"nothing":           {"", "application/x-ndjson", 400, []string{"no payload"}},
		"two values":        {"1 2\n", "application/x-ndjson", 400, []string{"line 1"}},
		"lines as JSON":     {"1\n2\n", "application/json", 400, []string{"70016"}},
		"another charset":   {"1\n", "application/x-ndjson; charset=utf-16", 415, []string{"charset"}},
	} {
		resp, body := do(t, "POST", url, tt.body, "Content-Type: "+tt.mediaType)
		for _, says := range tt.says {
			if resp.StatusCode != tt.status || !strings.Contains(body, says) {
				t.Errorf("%s: %s %.300s; want %d and %s", name, resp.Status, body, tt.status, says)
			}
		}
	}
	if resp, body := do(t, "POST", url, " 1\t\n", "Content-Type: Application/X-NDJSON; charset=UTF-8"); resp.StatusCode != 202 || !strings.Contains(body, `"id":"1-`) {
		t.Errorf("after all these nothing should have been stored: %s %s", resp.Status, body)
	}
}

// Who repeats a post with its key gets the first answer again, at once and after a restart, and nothing is
// stored twice.
func TestRepeatedPost(t *testing.T) {
	c := app.Config{Data: t.TempDir(), Topics: []freshet.Topic{pushed("log", freshet.KindEvent), pushed("doc", freshet.KindSnapshot)}}
	var many strings.Builder
	for n := range 1000 {
		fmt.Fprintln(&many, n)
	}
	posts := []struct{ topic, key, mediaType, body string }{
		{"log", "a", "application/json", `{"n":1}`},
		{"log", `"b"`, "application/json", `{"n":1}`},
		{"log", `"b c\"\\"`, "application/json", `{"n":1}`},
		{"log", "lines", "application/x-ndjson", "1\n2\n3\n"},
		{"log", "many", "application/x-ndjson", many.String()},
		{"doc", "a", "application/json", `{"n":1}`},
		{"doc", "lines", "application/x-ndjson", "1\n1\n2\n"},
	}
	answers := make([]string, len(posts))
	ask := func(t *testing.T, base string, i int) (answer, repeated string) {
		t.Helper()
		p := posts[i]
		resp, body := do(t, "POST", base+p.topic, p.body, "Content-Type: "+p.mediaType, "Idempotency-Key: "+p.key)
		return fmt.Sprint(resp.StatusCode, resp.Header.Get("ETag"), body), resp.Header.Get("Idempotent-Replayed")
	}
	revision := func(t *testing.T, base, topic string) string {
		t.Helper()
		resp, _ := do(t, "GET", base+topic, "")
		return resp.Header.Get("Freshet-Revision")
	}
	t.Run("before", func(t *testing.T) {
		base := serve(t, c) + "/live/"
		for i := range posts {
			var repeated string
			if answers[i], repeated = ask(t, base, i); !strings.HasPrefix(answers[i], "202") || repeated != "" {
				t.Errorf("post %d: %s %s", i, answers[i], repeated)
			}
		}
		for i := range posts {
			if answer, repeated := ask(t, base, i); answer != answers[i] || repeated != "true" {
				t.Errorf("post %d again: %s, repeated %q; want %s", i, answer, repeated, answers[i])
			}
		}
	})
	t.Run("after", func(t *testing.T) {
		base := serve(t, c) + "/live/"
		post(t, base+"log", `"another"`)
		for i := range posts {
			if answer, repeated := ask(t, base, i); answer != answers[i] || repeated != "true" {
				t.Errorf("post %d after a restart: %s, repeated %q; want %s", i, answer, repeated, answers[i])
			}
		}
		if log, doc := revision(t, base, "log"), revision(t, base, "doc"); log != "1007" || doc != "3" {
			t.Errorf("the log is at %s, the document at %s; want 1007 and 3", log, doc)
		}
	})
}

func TestIdempotencyKey(t *testing.T) {
	url := serve(t, app.Config{Topics: []freshet.Topic{pushed("doc", freshet.KindSnapshot)}}) + "/live/doc"
	const isJSON = "Content-Type: application/json"
	ask := func(key, body string, want int, says string) {
		t.Helper()
		if resp, text := do(t, "POST", url, body, isJSON, "Idempotency-Key: "+key); resp.StatusCode != want || !strings.Contains(text, says) {
			t.Errorf("%s with key %s: %s %s; want %d %s", body, key, resp.Status, text, want, says)
		}
	}
	for _, bad := range []string{`"a`, `a"`, `"a"b`, `"a\n"`, "é", "a b", "a, b", `""`, `"a";x=1`, strings.Repeat("x", 256)} {
		ask(bad, `1`, 400, "Idempotency-Key")
	}
	ask("k", `{`, 400, "70016") // a refused post uses up no key
	ask("k", `1`, 202, `"changed":true,"id":"1-`)
	ask(`"k"`, `2`, 422, "idempotency-key-reused")
	if resp, _ := do(t, "POST", url, `1`, ndjson, "Idempotency-Key: k"); resp.StatusCode != 422 {
		t.Errorf("the same body as a batch: %s", resp.Status)
	}
	ask("same", `1`, 202, `"changed":false`)
	post(t, url, `2`)
	ask("same", `1`, 202, `"changed":false`) // a repetition does not undo what came since
	ask("k", `1`, 202, `"id":"1-`)
	if _, body := do(t, "GET", url, ""); body != "2" {
		t.Errorf("the document is %s", body)
	}

	// All at once: one of them is stored, and all are told so.
	const posters = 32
	answers := make([]string, posters)
	repeated := make([]string, posters)
	var all sync.WaitGroup
	for p := range posters {
		all.Go(func() {
			resp, body := do(t, "POST", url, "3\n4\n5\n", ndjson, "Idempotency-Key: at-once")
			answers[p], repeated[p] = fmt.Sprint(resp.StatusCode, body), resp.Header.Get("Idempotent-Replayed")
		})
	}
	all.Wait()
	first := 0
	for p := range posters {
		if repeated[p] == "" {
			first++
		}
		if !strings.HasPrefix(answers[p], `202{"count":3,"changed":3,"id":"5-`) || answers[p] != answers[0] {
			t.Errorf("%s; another got %s", answers[p], answers[0])
		}
	}
	if first != 1 {
		t.Errorf("%d of the posts were stored", first)
	}
}

// Who goes away while a batch is stored does not leave half of it behind.
func TestBatchOutlivesItsClient(t *testing.T) {
	url := serve(t, app.Config{Topics: []freshet.Topic{pushed("log", freshet.KindEvent)}}) + "/live/log"
	log := open(t, url)
	r := request(t, "POST", url, strings.Repeat("1\n", 5000), ndjson)
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if resp, err := http.DefaultTransport.RoundTrip(r.WithContext(ctx)); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	}()
	log.expect("event: event", "id: 1-")
	hangUp()
	<-gone
	for n := 2; n <= 5000; n++ {
		log.expect("event: event", fmt.Sprint("id: ", n, "-"))
	}
}

// A reader of messages has no id before the first of them. What it misses until then it gets by the id in its
// URL, which counts on every connection as long as no header has a later one.
func TestResumeBeforeTheFirstMessage(t *testing.T) { onEveryPath(t, resumeBeforeTheFirstMessage) }

func resumeBeforeTheFirstMessage(t *testing.T, on path) {
	base := on.serve(t, app.Config{Topics: []freshet.Topic{pushed("log", freshet.KindEvent), pushed("empty", freshet.KindEvent)}}) + "/live/"
	post(t, base+"log", `{"n":1}`)
	resp, _ := do(t, "GET", base+"log", "")
	at := strings.Trim(resp.Header.Get("ETag"), `"`)
	if resp, _ := do(t, "GET", base+"empty", ""); resp.StatusCode != http.StatusNotFound {
		t.Fatalf("a topic without a message: %s", resp.Status)
	}
	for topic, url := range map[string]string{"log": base + "log?lastEventId=" + at, "empty": base + "empty?from=beginning"} {
		_ = open(t, url).resp.Body.Close()
		post(t, base+topic, `{"n":2}`)
		post(t, base+topic, `{"n":3}`)
		again := open(t, url)
		id := again.expect("event: event", `data: {"n":2}`)
		again.expect("event: event", `data: {"n":3}`)
		open(t, url, "Last-Event-ID: "+id).expect("event: event", `data: {"n":3}`)
	}
}
