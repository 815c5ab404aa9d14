package app_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freshet"
	"freshet/internal/app"
	"freshet/internal/flow"
)

// serve runs a whole Freshet until the test ends and returns its URL.
func serve(t testing.TB, c app.Config) string {
	t.Helper()
	return serveLogged(t, c, slog.New(slog.DiscardHandler))
}

func serveLogged(t testing.TB, c app.Config, log *slog.Logger) string {
	t.Helper()
	c.Listen = "127.0.0.1:0"
	if c.Data == "" {
		c.Data = t.TempDir()
	}
	ctx, stop := context.WithCancel(t.Context())
	ready, done := make(chan app.Server, 1), make(chan error, 1)
	go func() {
		done <- app.Run(ctx, c, log, func(s app.Server) { ready <- s })
	}()
	select {
	case s := <-ready:
		t.Cleanup(func() {
			stop()
			if err := <-done; err != nil {
				t.Error("stopped with:", err)
			}
		})
		return s.URL
	case err := <-done:
		stop()
		t.Fatal("did not start:", err)
		return ""
	}
}

func pushed(name string, kind freshet.Kind) freshet.Topic {
	return freshet.Topic{Name: freshet.TopicName(name), Kind: kind, Source: freshet.Source{Type: "http-post", AlwaysOn: true}}
}

func polled(name, url string) freshet.Topic {
	config, _ := json.Marshal(map[string]string{"url": url, "pollingPeriod": "500ms"})
	return freshet.Topic{Name: freshet.TopicName(name), Kind: freshet.KindSnapshot, Source: freshet.Source{Type: "http-poller", Config: config}}
}

// do sends a request with headers "Name: value" and returns the answer with its body read.
func do(t *testing.T, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r := request(t, method, url, body, headers...)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(data)
}

func request(t *testing.T, method, url, body string, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Set(name, value)
	}
	return r
}

func post(t *testing.T, url, body string) {
	t.Helper()
	if resp, text := do(t, "POST", url, body, "Content-Type: application/json"); resp.StatusCode != http.StatusAccepted {
		t.Fatalf("POST %s: %s %s", body, resp.Status, text)
	}
}

// A stream is a live connection, read block by block.
type stream struct {
	t    *testing.T
	resp *http.Response
	in   *bufio.Reader
}

func open(t *testing.T, url string, headers ...string) *stream {
	t.Helper()
	r := request(t, "GET", url, "", append([]string{"Accept: text/event-stream"}, headers...)...)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("stream of %s: %s %s", url, resp.Status, body)
	}
	return &stream{t, resp, bufio.NewReader(resp.Body)}
}

// next is the next block, heartbeats left out, as one string with its lines.
func (s *stream) next() string {
	s.t.Helper()
	timeout := time.AfterFunc(20*time.Second, func() { _ = s.resp.Body.Close() })
	defer timeout.Stop()
	var block strings.Builder
	for {
		line, err := s.in.ReadString('\n')
		switch {
		case err != nil:
			s.t.Fatalf("stream ended after %q: %v", block.String(), err)
		case line == ":\n":
		case line == "\n":
			return block.String()
		default:
			block.WriteString(line)
		}
	}
}

func (s *stream) expect(parts ...string) (id string) {
	s.t.Helper()
	block := s.next()
	for _, p := range parts {
		if !strings.Contains(block, p) {
			s.t.Fatalf("got %q; want %q in it", block, p)
		}
	}
	_, id, _ = strings.Cut(block, "\nid: ")
	return strings.TrimSpace(id)
}

func TestStreamOnTheWire(t *testing.T) { onEveryPath(t, streamOnTheWire) }

func streamOnTheWire(t *testing.T, on path) {
	url := on.serve(t, app.Config{Topics: []freshet.Topic{pushed("doc", freshet.KindSnapshot)}}) + "/live/doc"
	post(t, url, `{ "price": 1.0, "big": 12345678901234567890, "text": "a line\nand another that is long enough" }`)
	s := open(t, url)
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "X-Accel-Buffering": "no", "Freshet-Resumed": "", "Cache-Control": "no-cache, no-store, no-transform"} {
		if got := s.resp.Header.Get(name); got != want {
			t.Errorf("%s: %q; want %q", name, got, want)
		}
	}
	first := s.next()
	lines := strings.Split(first, "\n")
	if len(lines) != 5 || !strings.HasPrefix(lines[0], "retry: ") || lines[1] != "event: snapshot" ||
		lines[2] != `data: {"price":1.0,"big":12345678901234567890,"text":"a line\nand another that is long enough"}` || !strings.HasPrefix(lines[3], "id: 1-") {
		t.Fatalf("first block %q", first)
	}
	post(t, url, `{ "price": 1.00, "big": 12345678901234567890, "text": "a line\nand another that is long enough" }`)
	id := s.expect("event: patch\ndata: [{\"op\":\"replace\",\"path\":\"/price\",\"value\":1.00}]\nid: 2-")

	post(t, url, `{"text":"a line\nand another that is long enough","price":1.00,"big":12345678901234567890}`) // no change
	post(t, url, `{"text":"a line\nand another that is long enough","price":2,"big":12345678901234567890}`)
	s.expect(`"value":2`, "id: 3-")

	for _, where := range []string{"?lastEventId=", "?last_event_id=", "?lastEventID=", "?evs_last_event_id="} {
		resumed := open(t, url+where+id)
		if got := resumed.resp.Header.Get("Freshet-Resumed"); got != "true" {
			t.Errorf("%s: Freshet-Resumed: %q", where, got)
		}
		resumed.expect("event: patch", `"value":2`)
	}
	newer := open(t, url+"?lastEventId="+id, "Last-Event-ID: nonsense")
	if got := newer.resp.Header.Get("Freshet-Resumed"); got != "false" {
		t.Errorf("with a header that is not ours beside a good parameter: Freshet-Resumed %q; the header wins", got)
	}
	newer.expect(": reset id-unknown\n", "event: snapshot", `"price":2`)
}

func TestStreamModes(t *testing.T) { onEveryPath(t, streamModes) }

func streamModes(t *testing.T, on path) {
	only := pushed("only", freshet.KindSnapshot)
	only.Subscribers = []freshet.Subscriber{{Type: "sse", AllowedModes: []freshet.Mode{freshet.ModeSnapshotOnly}}}
	base := on.serve(t, app.Config{Topics: []freshet.Topic{pushed("doc", freshet.KindSnapshot), only}})
	for _, topic := range []string{"doc", "only"} {
		post(t, base+"/live/"+topic, `{"n":1,"text":"long enough to make a patch worth while, it seems"}`)
	}
	for _, tt := range []struct{ path, accept, second string }{
		{"/live/doc", "text/event-stream", "event: patch"},
		{"/live/doc?mode=snapshot-only", "text/event-stream", "event: snapshot"},
		{"/live/doc", "text/event-stream; mode=snapshot-only", "event: snapshot"},
		{"/live/doc", "application/vnd.axway.streams+snapshot-only", "event: snapshot"},
		{"/live/doc", "application/vnd.axway.streams+snapshot-patch", "event: patch"},
		{"/live/only", "text/event-stream", "event: snapshot"},
		{"/live/doc?mode=merge-patch", "*/*", "event: merge-patch"},
		{"/live/doc", "text/event-stream; mode=changes", "event: changes"},
	} {
		s := open(t, base+tt.path, "Accept: "+tt.accept)
		s.expect("event: snapshot")
		topic, _, _ := strings.Cut(strings.TrimPrefix(tt.path, "/live/"), "?")
		post(t, base+"/live/"+topic, fmt.Sprintf(`{"n":%d,"text":"long enough to make a patch worth while, it seems"}`, time.Now().UnixNano()))
		s.expect(tt.second)
	}
	for _, path := range []string{"/live/only?mode=snapshot-patch", "/live/doc?mode=event", "/live/doc?mode=nonsense"} {
		resp, body := do(t, "GET", base+path, "", "Accept: text/event-stream")
		if resp.StatusCode != http.StatusNotAcceptable || !strings.Contains(body, "mode-not-allowed") || !strings.Contains(body, "snapshot-only") {
			t.Errorf("%s: %s %s; want 406 that names what is allowed", path, resp.Status, body)
		}
	}
}

func TestCompressedStream(t *testing.T) { onEveryPath(t, compressedStream) }

func compressedStream(t *testing.T, on path) {
	url := on.serve(t, app.Config{Topics: []freshet.Topic{pushed("doc", freshet.KindSnapshot)}}) + "/live/doc"
	post(t, url, `{"n":1,"text":"`+strings.Repeat("compress me ", 100)+`"}`)
	plain := open(t, url, "Accept-Encoding: gzip, deflate, br")
	if plain.resp.Header.Get("Content-Encoding") != "" {
		t.Error("a browser's header alone makes a compressed stream, which proxies and tools hold back")
	}
	s := open(t, url+"?compress=gzip", "Accept-Encoding: gzip")
	if s.resp.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("Content-Encoding: %q", s.resp.Header.Get("Content-Encoding"))
	}
	z, err := gzip.NewReader(s.resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	s.in = bufio.NewReader(z)
	s.expect("retry: ", "event: snapshot", "compress me compress me")
	for n := 2; n < 20; n++ {
		post(t, url, fmt.Sprintf(`{"n":%d,"text":"%s"}`, n, strings.Repeat("compress me ", 100)))
		s.expect("event: patch", fmt.Sprintf(`"value":%d}`, n))
	}
}

func TestEventTopic(t *testing.T) { onEveryPath(t, eventTopic) }

func eventTopic(t *testing.T, on path) {
	url := on.serve(t, app.Config{Topics: []freshet.Topic{pushed("log", freshet.KindEvent)}}) + "/live/log"
	post(t, url, `{"n":1}`)
	live := open(t, url)
	beginning := open(t, url+"?from=beginning")
	first := beginning.expect("event: event\ndata: {\"n\":1}\nid: 1-")
	for n := 2; n <= 500; n++ {
		post(t, url, fmt.Sprintf(`{"n":%d}`, n))
	}
	resumed := open(t, url, "Last-Event-ID: "+first)
	for n := 2; n <= 500; n++ {
		want := fmt.Sprintf("event: event\ndata: {\"n\":%d}\n", n)
		live.expect(want)
		beginning.expect(want)
		resumed.expect(want)
	}
	post(t, url, `{"n":500}`) // the same message again is a message
	live.expect(`{"n":500}`, "id: 501-")
	gap := open(t, url, "Last-Event-ID: 7-sg-ffffffff")
	gap.expect(": reset id-unknown", "event: error", "40404")
	gap.expect(`{"n":1}`)
}

// A reader of messages that takes nothing is cut with a reason; it does not hold up the others.
func TestSlowReaderOfMessages(t *testing.T) { onEveryPath(t, slowReaderOfMessages) }

func slowReaderOfMessages(t *testing.T, on path) {
	url := on.serve(t, app.Config{Topics: []freshet.Topic{pushed("log", freshet.KindEvent)}}) + "/live/log"
	slow, fast := open(t, url), open(t, url)
	pad := strings.Repeat("x", 100<<10)
	for n := range 300 { // 30 MB: more than sockets and memory hold
		post(t, url, fmt.Sprintf(`{"n":%d,"pad":"%s"}`, n, pad))
		fast.expect(fmt.Sprintf(`{"n":%d,`, n))
	}
	var last string
	for {
		line, err := slow.in.ReadString('\n')
		if err != nil {
			break
		}
		if strings.HasPrefix(line, "data: ") {
			last = line
		}
	}
	if !strings.Contains(last, `"code":50503`) {
		t.Errorf("the slow reader's last event is %.100q; want an error that says why", last)
	}
}

// The same of a connection with several topics: it is told which, and that it may resume where it was in each.
func TestSlowReaderOfManyTopics(t *testing.T) {
	base := serve(t, app.Config{Topics: []freshet.Topic{pushed("log", freshet.KindEvent), pushed("other", freshet.KindEvent)}})
	slow := open(t, base+"/live?topic=log&topic=other")
	pad := strings.Repeat("x", 500<<10)
	for n := range 60 { // 30 MB: more than sockets and memory hold
		post(t, base+"/live/log", fmt.Sprintf(`{"n":%d,"pad":"%s"}`, n, pad))
	}
	var data, id string
	got := 0
	for {
		line, err := slow.in.ReadString('\n')
		if err != nil {
			break
		}
		switch {
		case strings.HasPrefix(line, `data: {"topic":"log","data":{"n":`):
			got++
			fallthrough
		case strings.HasPrefix(line, "data: "):
			data = line
		case strings.HasPrefix(line, "id: "):
			id = strings.TrimSpace(line[4:])
		}
	}
	if !strings.HasPrefix(data, `data: {"topic":"log","data":{`) || !strings.Contains(data, `"code":50503`) {
		t.Errorf("the slow reader's last event is %.100q; want an error that names its topic", data)
	}
	open(t, base+"/live?topic=log&topic=other", "Last-Event-ID: "+id).expect(fmt.Sprintf(`{"topic":"log","data":{"n":%d,`, got))
}

func TestDeletedTopic(t *testing.T) { onEveryPath(t, deletedTopic) }

func deletedTopic(t *testing.T, on path) {
	base := on.serve(t, app.Config{})
	if resp, body := do(t, "POST", base+"/v1/topics", `{"name":"doc","kind":"snapshot","source":{"type":"http-post","alwaysOn":true}}`, "Content-Type: application/json"); resp.StatusCode != http.StatusCreated {
		t.Fatal(resp.Status, body)
	}
	post(t, base+"/live/doc", `{"n":1}`)
	s := open(t, base+"/live/doc")
	id := s.expect("event: snapshot")
	if resp, body := do(t, "DELETE", base+"/v1/topics/doc", ""); resp.StatusCode != http.StatusNoContent {
		t.Fatal(resp.Status, body)
	}
	http2 := s.resp.ProtoMajor == 2 // has no end between a clean one and an error of the server's
	if rest, err := io.ReadAll(s.in); (err == nil) != http2 {
		t.Errorf("the stream of a deleted topic ended with %q, %v; over HTTP/1.1 some clients never come back after a clean end", rest, err)
	}
	if resp, _ := do(t, "GET", base+"/live/doc", "", "Accept: text/event-stream", "Last-Event-ID: "+id); resp.StatusCode != http.StatusNoContent {
		t.Errorf("reconnect: %s; want 204, which tells an EventSource to stop", resp.Status)
	}
	if resp, _ := do(t, "GET", base+"/live/doc", "", "Accept: text/event-stream"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a new client: %s; want 404", resp.Status)
	}
	do(t, "POST", base+"/v1/topics", `{"name":"doc","kind":"snapshot","source":{"type":"http-post","alwaysOn":true}}`, "Content-Type: application/json")
	post(t, base+"/live/doc", `{"other":"history"}`)
	again := open(t, base+"/live/doc", "Last-Event-ID: "+id)
	if again.resp.Header.Get("Freshet-Resumed") != "false" {
		t.Error("an id of the deleted topic was resumed in the one made again")
	}
	again.expect(": reset ", "event: snapshot", `{"other":"history"}`)
}

func TestPublish(t *testing.T) {
	idle := pushed("idle", freshet.KindSnapshot)
	idle.Source.AlwaysOn = false
	small := pushed("small", freshet.KindSnapshot)
	small.Limits.Payload = 100
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`) }))
	defer upstream.Close()
	base := serve(t, app.Config{Dev: true, Topics: []freshet.Topic{idle, small, polled("polled", upstream.URL)}})
	for _, tt := range []struct {
		name, topic, mediaType, body string
		status                       int
		says                         string
	}{
		{"no such topic", "none", "application/json", `1`, 404, "topic-not-found"},
		{"a poller's topic", "polled", "application/json", `1`, 405, "http-poller"},
		{"nobody follows", "idle", "application/json", `1`, 410, "topic-inactive"},
		{"too large", "small", "application/json", `"` + strings.Repeat("x", 100) + `"`, 413, "100B"},
		{"not JSON by name", "small", "text/plain", `1`, 415, "application/json"},
		{"not JSON", "small", "application/json", `{"a":}`, 400, "70016"},
		{"too deep", "small", "application/json", strings.Repeat("[", 99), 400, "70016"},
		{"right", "small", "application/json; charset=utf-8", `{"a":1}`, 202, `"id":"1-`},
		{"no change", "small", "application/json", ` {"a" : 1}`, 202, `"changed":false`},
	} {
		resp, body := do(t, "POST", base+"/live/"+tt.topic, tt.body, "Content-Type: "+tt.mediaType)
		if resp.StatusCode != tt.status || !strings.Contains(body, tt.says) {
			t.Errorf("%s: %s %s; want %d and %q", tt.name, resp.Status, body, tt.status, tt.says)
		}
	}
	open(t, base+"/live/idle")
	post(t, base+"/live/idle", `{"now":"followed"}`)
}

// One API, followed by its URL: everything after /live/ is upstream's, and only who sends the same
// headers shares a topic.
func TestAdHoc(t *testing.T) {
	var mu sync.Mutex
	var uris []string
	var n atomic.Int64
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		uris = append(uris, r.RequestURI)
		mu.Unlock()
		fmt.Fprintf(w, `{"n":%d,"who":%q,"x":%q}`, n.Add(1), r.Header.Get("Authorization"), r.Header.Get("X-Key"))
	}))
	defer upstream.Close()
	base := serve(t, app.Config{Dev: true, AdHoc: app.AdHocConfig{PollingPeriod: freshet.Duration(time.Minute)}})
	target := upstream.URL + "/a//b/%2F?mode=x&q=%20&from=1"
	a := open(t, base+"/live/"+target+"&X-Sd-Compress=true&lastEventId=1-sg-ab")
	a.expect(": reset id-unknown", `{"n":1,"who":"","x":""}`)
	open(t, base+"/live/"+target).expect(`{"n":1,`)
	folded := strings.Replace(target, "http://", "http:/", 1)
	open(t, base+"/live/"+folded).expect(`{"n":1,`)
	open(t, base+"/live/"+target, "Authorization: Bearer one").expect(`"who":"Bearer one"`)
	open(t, base+"/live/"+target, "Authorization: Bearer two").expect(`"who":"Bearer two"`)
	open(t, base+"/live/"+target, "Authorization: Bearer one").expect(`{"n":2,"who":"Bearer one"`)
	legacy := open(t, base+"/live/"+target+"&X-Sd-Header=X-Key%3A%20k")
	legacy.expect("event: _\n")
	legacy.expect("event: data\n", `"x":"k"`)
	if resp, body := do(t, "GET", base+"/live/"+target, ""); resp.StatusCode != 200 || !strings.Contains(body, `{"n":1,`) {
		t.Errorf("the document of a URL: %s %s", resp.Status, body)
	}
	s := open(t, base+"/live?url="+strings.NewReplacer("%", "%25", "&", "%26", "?", "%3F").Replace(target)+"&mode=snapshot-only")
	s.expect(`{"n":1,`)
	mu.Lock()
	defer mu.Unlock()
	for _, uri := range uris {
		if uri != "/a//b/%2F?mode=x&q=%20&from=1" {
			t.Errorf("upstream was asked for %s", uri)
		}
	}
	if len(uris) != 4 {
		t.Errorf("upstream got %d requests; want one for each of 4 topics", len(uris))
	}
}

func TestAdHocNeedsLeave(t *testing.T) {
	base := serve(t, app.Config{AdHoc: app.AdHocConfig{Allow: []string{"https://api.example.com/v1"}}})
	for _, tt := range []struct {
		url    string
		status int
	}{
		{"https://api.example.com/v10/x", 403},
		{"http://api.example.com/v1/x", 403},
		{"https://api.example.com.evil.example/v1/", 403},
		{"https://api.example.com/v1/../admin", 403},
		{"https://user:pw@api.example.com/v1/x", 400},
		{"https:///x", 403},
	} {
		r := request(t, "GET", base, "")
		r.URL.Opaque = "/live/" + tt.url // as it is, not cleaned
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.status {
			t.Errorf("%s: %s; want %d", tt.url, resp.Status, tt.status)
		}
	}
	off := serve(t, app.Config{})
	if resp, body := do(t, "GET", off+"/live/https://example.com/", ""); resp.StatusCode != 403 || !strings.Contains(body, "adhoc.allow") {
		t.Errorf("with no leave at all: %s %s", resp.Status, body)
	}
}

func TestForeignPagesAndHosts(t *testing.T) {
	topic := []freshet.Topic{pushed("doc", freshet.KindSnapshot)}
	off := serve(t, app.Config{Topics: topic})
	if resp, body := do(t, "GET", off+"/v1/topics", "", "Host: evil.example:4440"); resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("by the name of another host: %s %s", resp.Status, body)
	}
	if resp, _ := do(t, "GET", off+"/livez", "", "Host: localhost:1"); resp.StatusCode != 200 {
		t.Errorf("by the name localhost: %s", resp.Status)
	}
	if resp, _ := do(t, "GET", off+"/livez", "", "Origin: https://app.example.com"); resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("CORS is on, though nobody asked for it")
	}
	if resp, body := do(t, "POST", off+"/live/doc", `1`, "Content-Type: application/json", "Origin: https://evil.example", "Sec-Fetch-Site: cross-site"); resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "not-allowed") {
		t.Errorf("a POST by a foreign page: %s %s", resp.Status, body)
	}
	on := serve(t, app.Config{Topics: topic, CORS: app.CORSConfig{Origins: []string{"https://app.example.com"}}})
	resp, _ := do(t, "OPTIONS", on+"/live/doc", "", "Origin: https://app.example.com", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: cache-control,last-event-id,x-requested-with")
	if resp.StatusCode != 204 || resp.Header.Get("Access-Control-Allow-Origin") != "https://app.example.com" || resp.Header.Get("Access-Control-Allow-Headers") == "" {
		t.Errorf("preflight: %s %v", resp.Status, resp.Header)
	}
	if resp, _ := do(t, "GET", on+"/livez", "", "Origin: https://other.example"); resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("an origin that is not named is let in")
	}
}

// What a topic holds is there after a restart, with its history and its ids.
func TestRestart(t *testing.T) {
	data := t.TempDir()
	var ids []string
	t.Run("before", func(t *testing.T) {
		url := serve(t, app.Config{Data: data, Topics: []freshet.Topic{pushed("doc", freshet.KindSnapshot)}}) + "/live/doc"
		for n := range 300 {
			post(t, url, fmt.Sprintf(`{"n":%d,"text":"%s"}`, n, strings.Repeat("long ", 20)))
			resp, _ := do(t, "HEAD", url, "")
			ids = append(ids, strings.Trim(resp.Header.Get("ETag"), `"`))
		}
	})
	url := serve(t, app.Config{Data: data, Topics: []freshet.Topic{pushed("doc", freshet.KindSnapshot)}}) + "/live/doc"
	resp, body := do(t, "GET", url, "")
	if !strings.Contains(body, `"n":299`) || resp.Header.Get("ETag") != `"`+ids[299]+`"` {
		t.Fatalf("after the restart: %s %s", resp.Header.Get("ETag"), body)
	}
	for _, n := range []int{0, 100, 298} {
		s := open(t, url, "Last-Event-ID: "+ids[n])
		if s.resp.Header.Get("Freshet-Resumed") != "true" {
			t.Errorf("revision %d was not resumed after the restart", n+1)
		}
		s.expect("event: patch", `"value":299`)
		if _, body := do(t, "GET", url+"?at="+ids[n], ""); !strings.Contains(body, fmt.Sprintf(`"n":%d,`, n)) {
			t.Errorf("the document at revision %d: %s", n+1, body)
		}
	}
	_, history := do(t, "GET", url+"?from="+ids[290], "", "Accept: application/x-ndjson")
	if lines := bytes.Count([]byte(history), []byte("\n")); lines != 10 {
		t.Errorf("history after revision 291 has %d lines; want the snapshot of 291 and nine patches", lines)
	}
}

// What is kept is bounded, and all of it can be used: to resume, to look back, as a file.
func TestHistoryIsBounded(t *testing.T) {
	doc, events := pushed("doc", freshet.KindSnapshot), pushed("log", freshet.KindEvent)
	doc.History.MaxEvents, events.History.MaxEvents = 40, 40
	data := t.TempDir()
	ids := map[string][]string{}
	t.Run("before", func(t *testing.T) {
		base := serve(t, app.Config{Data: data, Topics: []freshet.Topic{doc, events}})
		for n := range 400 {
			for _, topic := range []string{"doc", "log"} {
				resp, _ := do(t, "POST", base+"/live/"+topic, fmt.Sprintf(`{"n":%d,"text":"%s"}`, n, strings.Repeat("long ", 20)), "Content-Type: application/json")
				ids[topic] = append(ids[topic], strings.Trim(resp.Header.Get("ETag"), `"`))
			}
		}
	})
	base := serve(t, app.Config{Data: data, Topics: []freshet.Topic{doc, events}})
	for _, topic := range []string{"doc", "log"} {
		url := base + "/live/" + topic
		_, history := do(t, "GET", url, "", "Accept: application/x-ndjson")
		lines := strings.Split(strings.TrimSpace(history), "\n")
		if len(lines) < 30 || len(lines) > 60 {
			t.Errorf("%s: %d events are kept; want about 40", topic, len(lines))
		}
		var first struct {
			Type     string
			Revision int
		}
		if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || topic == "doc" && first.Type != "snapshot" {
			t.Errorf("%s: history starts with %.100q, %v", topic, lines[0], err)
		}
		for rev := first.Revision; rev <= 400; rev += 7 {
			if _, body := do(t, "GET", url+"?at="+ids[topic][rev-1], ""); topic == "doc" && !strings.Contains(body, fmt.Sprintf(`"n":%d,`, rev-1)) {
				t.Errorf("revision %d of %s, which is kept: %s", rev, topic, body)
			}
		}
		kept := ids[topic][first.Revision]
		if s := open(t, url, "Last-Event-ID: "+kept); s.resp.Header.Get("Freshet-Resumed") != "true" {
			t.Errorf("%s: an id that is kept is not resumed", topic)
		}
		gone := ids[topic][first.Revision-3]
		s := open(t, url, "Last-Event-ID: "+gone)
		if s.resp.Header.Get("Freshet-Resumed") != "false" {
			t.Errorf("%s: an id that is not kept is resumed", topic)
		}
		s.expect(": reset history-expired\n", map[string]string{"doc": "event: snapshot", "log": "event: error"}[topic])
		if resp, body := do(t, "GET", url+"?at="+gone, ""); resp.StatusCode != http.StatusGone || !strings.Contains(body, "history-gone") {
			t.Errorf("%s: at an event that is not kept: %s %s", topic, resp.Status, body)
		}
		all := open(t, url+"?from=beginning")
		if topic == "log" {
			all.expect("event: event", fmt.Sprintf("id: %d-", first.Revision))
		}
	}
}

// Several topics come over one connection, each event with its topic, and the connection resumes in each.
func TestManyTopics(t *testing.T) {
	base := serve(t, app.Config{Topics: []freshet.Topic{pushed("a", freshet.KindSnapshot), pushed("b", freshet.KindSnapshot), pushed("log", freshet.KindEvent)}})
	long := strings.Repeat("long enough for a patch ", 3)
	doc := func(n int) string { return fmt.Sprintf(`{"n":%d,"text":"%s"}`, n, long) }
	post(t, base+"/live/a", doc(1))
	post(t, base+"/live/b", doc(1))
	s := open(t, base+"/live?topic=b&topic=a&topic=log&topic=a")
	s.expect("retry: ", "event: snapshot\ndata: {\"topic\":\"a\",\"data\":{\"n\":1,", "id: a=1-")
	s.expect("event: snapshot\ndata: {\"topic\":\"b\",\"data\":{\"n\":1,", "id: a=1-", ",b=1-")
	post(t, base+"/live/log", `{"m":1}`)
	s.expect("event: event\ndata: {\"topic\":\"log\",\"data\":{\"m\":1}}", ",log=1-")
	post(t, base+"/live/b", doc(2))
	id := s.expect("event: patch\ndata: {\"topic\":\"b\",\"data\":[{", "id: a=1-", ",b=2-", ",log=1-")
	for n := 3; n < 6; n++ {
		post(t, base+"/live/a", doc(n))
		post(t, base+"/live/log", fmt.Sprintf(`{"m":%d}`, n))
	}
	again := open(t, base+"/live?topic=a&topic=b&topic=log", "Last-Event-ID: "+id)
	if again.resp.Header.Get("Freshet-Resumed") != "true" {
		t.Error("not resumed")
	}
	again.expect("event: patch\ndata: {\"topic\":\"a\"", `"value":5`, ",b=2-", "log=1-")
	for n := 3; n < 6; n++ {
		id = again.expect("event: event\ndata: {\"topic\":\"log\",", fmt.Sprintf(`{"m":%d}`, n))
	}
	// Messages are not missed either that come while a client is away which has had none of that topic.
	other := open(t, base+"/live?topic=a&topic=log")
	without := other.expect("event: snapshot", "id: a=4-", ",log=4-")
	post(t, base+"/live/log", `{"m":6}`)
	open(t, base+"/live?topic=a&topic=log", "Last-Event-ID: "+without).expect("event: event\ndata: {\"topic\":\"log\",\"data\":{\"m\":6}}")
	wrong := open(t, base+"/live?topic=a&topic=b", "Last-Event-ID: "+strings.Replace(id, ",b=2-", ",b=9-", 1))
	if wrong.resp.Header.Get("Freshet-Resumed") != "false" {
		t.Error("a position that is not ours was resumed")
	}
	wrong.expect(": reset b id-unknown\n", "event: snapshot\ndata: {\"topic\":\"b\"")
	for path, want := range map[string]int{"?topic=a&topic=none": 404, "?topic=a&mode=event": 406, "": 400} {
		if resp, body := do(t, "GET", base+"/live"+path, "", "Accept: text/event-stream"); resp.StatusCode != want {
			t.Errorf("/live%s: %s %s; want %d", path, resp.Status, body, want)
		}
	}
	if resp, _ := do(t, "GET", base+"/live?topic=a", "", "Accept: application/json"); resp.StatusCode != 406 {
		t.Errorf("several topics as JSON: %s", resp.Status)
	}
}

// The end of a topic of a connection is not the end of the others, nor of those who come back.
func TestManyTopicsAndOneDeleted(t *testing.T) { onEveryPath(t, manyTopicsAndOneDeleted) }

func manyTopicsAndOneDeleted(t *testing.T, on path) {
	base := on.serve(t, app.Config{})
	for _, name := range []string{"a", "b", "empty"} {
		topic := fmt.Sprintf(`{"name":"%s","kind":"snapshot","source":{"type":"http-post","alwaysOn":true}}`, name)
		if resp, body := do(t, "POST", base+"/v1/topics", topic, "Content-Type: application/json"); resp.StatusCode != http.StatusCreated {
			t.Fatal(resp.Status, body)
		}
	}
	remove := func(name string) {
		if resp, body := do(t, "DELETE", base+"/v1/topics/"+name, ""); resp.StatusCode != http.StatusNoContent {
			t.Fatal(resp.Status, body)
		}
	}
	post(t, base+"/live/a", `{"n":1}`)
	post(t, base+"/live/b", `{"n":1}`)
	url := base + "/live?topic=a&topic=b&topic=empty"
	s := open(t, url)
	s.expect(`"topic":"a"`)
	s.expect(`"topic":"b"`)
	remove("a")
	s.expect("event: error\ndata: {\"topic\":\"a\",\"data\":{", `"code":60000`, "id: a=1-", ",b=1-")
	post(t, base+"/live/b", `{"n":2}`)
	id := s.expect(`"topic":"b","data":`, "id: a=1-", ",b=2-")
	post(t, base+"/live/b", `{"n":3}`)
	again := open(t, url, "Last-Event-ID: "+id)
	if got := again.resp.Header.Get("Freshet-Resumed"); got != "true" {
		t.Errorf("Freshet-Resumed: %q", got)
	}
	again.expect("retry: ", "event: error\ndata: {\"topic\":\"a\"", `"code":60000`)
	again.expect(`"topic":"b"`, "b=3-")
	remove("b")
	again.expect(`"topic":"b"`, `"code":60000`)
	remove("empty")
	id = again.expect(`"topic":"empty"`, `"code":60000`, "empty=")
	if rest, err := io.ReadAll(again.in); strings.Contains(string(rest), "event:") || (err == nil) != (again.resp.ProtoMajor == 2) {
		t.Errorf("the end is %q, %v", rest, err)
	}
	if resp, _ := do(t, "GET", url, "", "Accept: text/event-stream", "Last-Event-ID: "+id); resp.StatusCode != http.StatusNoContent {
		t.Errorf("without any topic left: %s", resp.Status)
	}
	if resp, _ := do(t, "GET", url, "", "Accept: text/event-stream"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("who is new and names what is not there: %s", resp.Status)
	}
}

// What is not an id of several topics is told for each, as that of one is.
func TestManyTopicsAndAnIDThatIsNone(t *testing.T) {
	base := serve(t, app.Config{Topics: []freshet.Topic{pushed("a", freshet.KindSnapshot), pushed("log", freshet.KindEvent)}})
	post(t, base+"/live/a", `{"n":1}`)
	post(t, base+"/live/log", `{"m":1}`)
	for _, id := range []string{"nonsense", "1-sg-00000000", "a=x,log=y", "=,=", "A=1-sg-00000000"} {
		s := open(t, base+"/live?topic=a&topic=log", "Last-Event-ID: "+id)
		if got := s.resp.Header.Get("Freshet-Resumed"); got != "false" {
			t.Errorf("%s: Freshet-Resumed: %q", id, got)
		}
		s.expect(": reset a id-unknown\n", "event: snapshot")
		s.expect(": reset log id-unknown\n", "event: error", "40404")
		s.expect("event: event", `{"m":1}`)
	}
}

// What is asked of one topic's stream is asked of several in the same way.
func TestManyTopicsFromTheBeginningCompressed(t *testing.T) { onEveryPath(t, manyTopicsCompressed) }

func manyTopicsCompressed(t *testing.T, on path) {
	base := on.serve(t, app.Config{Topics: []freshet.Topic{pushed("doc", freshet.KindSnapshot), pushed("l1", freshet.KindEvent), pushed("l2", freshet.KindEvent)}})
	for n := range 3 {
		post(t, base+"/live/l1", fmt.Sprintf(`{"m":%d}`, n))
		post(t, base+"/live/l2", fmt.Sprintf(`{"m":%d}`, n))
	}
	post(t, base+"/live/doc", `{"n":1}`)
	s := open(t, base+"/live?topic=doc&topic=l1&topic=l2&from=beginning&compress=gzip", "Accept-Encoding: gzip")
	if got := s.resp.Header.Get("Content-Encoding"); got != "gzip" {
		t.Fatalf("Content-Encoding: %q", got)
	}
	z, err := gzip.NewReader(s.resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	s.in = bufio.NewReader(z)
	s.expect("retry: ", "event: snapshot", `"topic":"doc"`)
	for _, topic := range []string{"l1", "l2"} {
		for n := range 3 {
			s.expect(fmt.Sprintf(`{"topic":"%s","data":{"m":%d}}`, topic, n))
		}
	}
	post(t, base+"/live/l1", `{"m":3}`)
	id := s.expect(`{"topic":"l1","data":{"m":3}}`)
	post(t, base+"/live/l1", `{"m":4}`)
	open(t, base+"/live?topic=doc&topic=l1&topic=l2&from=beginning", "Last-Event-ID: "+id).expect(`{"topic":"l1","data":{"m":4}}`)
}

// As many topics with names as long as they may be still come back over one connection.
func TestAsManyTopicsAsCanBe(t *testing.T) {
	c, query := app.Config{}, ""
	for n := range 100 {
		name := fmt.Sprintf("%0128d", n)
		c.Topics = append(c.Topics, pushed(name, freshet.KindEvent))
		query += "&topic=" + name
	}
	base := serve(t, c)
	s := open(t, base+"/live?"+query[1:])
	post(t, base+"/live/"+string(c.Topics[0].Name), `{"m":1}`)
	id := s.expect(`{"m":1}`)
	post(t, base+"/live/"+string(c.Topics[99].Name), `{"m":2}`)
	open(t, base+"/live?"+query[1:], "Last-Event-ID: "+id).expect(`{"m":2}`)
	if resp, body := do(t, "GET", base+"/live?topic=one-more"+query, "", "Accept: text/event-stream"); resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "100") {
		t.Errorf("one topic more: %s %s", resp.Status, body)
	}
}

// Topics of URLs are followed by their URLs only, over a connection with several too.
func TestManyTopicsHideTopicsOfURLs(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"n":1}`) }))
	defer upstream.Close()
	base := serve(t, app.Config{Dev: true})
	open(t, base+"/live?url="+upstream.URL).expect("event: snapshot")
	name := flow.AdHocName(strings.TrimPrefix(upstream.URL, "http://"), `["`+upstream.URL+`",{}]`)
	resp, err := http.DefaultTransport.RoundTrip(request(t, "GET", base+"/live?topic="+url.QueryEscape(string(name)), "", "Accept: text/event-stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("%s by its name: %s", name, resp.Status)
	}
}

// Who is refused for a limit is seen in the metrics and, the first at once and no more for a while, in the log.
func TestRefusalsAreSeen(t *testing.T) {
	for name, tt := range map[string]struct {
		limits app.LimitsConfig
		log    string
	}{
		"connections": {app.LimitsConfig{Connections: 1}, "limit=connections refused=1 most=1\n"},
		"per_topic":   {app.LimitsConfig{PerTopic: 1}, "limit=per_topic refused=1 most=1 topic=doc\n"},
		"per_address": {app.LimitsConfig{PerAddress: 1}, "limit=per_address refused=1 most=1 address=127.0.0.1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var log locked
			base := serveLogged(t, app.Config{Limits: tt.limits, Topics: []freshet.Topic{pushed("doc", freshet.KindSnapshot), pushed("other", freshet.KindSnapshot)}}, slog.New(slog.NewTextHandler(&log, nil)))
			post(t, base+"/live/doc", `{"n":1}`)
			counted := func(n int) {
				t.Helper()
				if _, text := do(t, "GET", base+"/metrics", ""); !strings.Contains(text, fmt.Sprintf("freshet_connections_refused_total{limit=%q} %d\n", name, n)) {
					t.Errorf("want %d in\n%s", n, text)
				}
			}
			counted(0)
			open(t, base+"/live/doc").expect("event: snapshot")
			for _, path := range []string{"/live/doc", "/live?topic=doc", "/live?topic=other&topic=doc"} {
				if rest, err := io.ReadAll(open(t, base+path).in); err == nil || !strings.HasPrefix(string(rest), "retry: ") {
					t.Errorf("%s is not refused: %q, %v", path, rest, err)
				}
			}
			resp, err := http.DefaultTransport.RoundTrip(request(t, "GET", base+"/live?topic=doc", "", "Accept: */*"))
			if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Freshet-Over-Limit") != name {
				t.Fatal(resp, err)
			}
			_ = resp.Body.Close()
			counted(4)
			if got := log.String(); strings.Count(got, "over a limit") != 1 || !strings.Contains(got, "level=WARN") || !strings.Contains(got, tt.log) {
				t.Errorf("the log is %s", got)
			}
		})
	}
}

// Over a limit a client is told to come back, by an answer that no EventSource takes as final.
func TestLimits(t *testing.T) {
	for name, limits := range map[string]app.LimitsConfig{"connections": {Connections: 3}, "perTopic": {PerTopic: 3}, "perAddress": {PerAddress: 3}} {
		t.Run(name, func(t *testing.T) {
			base := serve(t, app.Config{Limits: limits, Topics: []freshet.Topic{pushed("doc", freshet.KindSnapshot), pushed("other", freshet.KindSnapshot)}})
			post(t, base+"/live/doc", `{"n":1}`)
			var last *stream
			for range 3 {
				last = open(t, base+"/live/doc")
				last.expect("event: snapshot")
			}
			over := open(t, base+"/live/doc")
			if rest, err := io.ReadAll(over.in); err == nil || !strings.HasPrefix(string(rest), "retry: ") || strings.Contains(string(rest), "event:") {
				t.Errorf("over the limit: %q, %v; want a retry time and an end that is none", rest, err)
			}
			if name == "perTopic" {
				if r, err := http.DefaultTransport.RoundTrip(request(t, "GET", base+"/live/other", "", "Accept: text/event-stream")); err != nil {
					t.Error("another topic:", err)
				} else {
					_ = r.Body.Close()
				}
			}
			_ = last.resp.Body.Close()
			for deadline := time.Now().Add(10 * time.Second); ; { // the server notices the hang-up at once, but not before it happens
				s := open(t, base+"/live/doc")
				if line, err := s.in.ReadString('\n'); err == nil && strings.HasPrefix(line, "retry: ") {
					if line, err = s.in.ReadString('\n'); err == nil && line == "event: snapshot\n" {
						break
					}
				}
				if time.Now().After(deadline) {
					t.Fatal("no room after a client went")
				}
			}
		})
	}
}
