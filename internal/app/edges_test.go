package app_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"freshet"
	"freshet/internal/app"
)

// Messages as large as the limit allows are delivered like small ones.
func TestLargeMessages(t *testing.T) {
	url := serve(t, app.Config{Topics: []freshet.Topic{pushed("log", freshet.KindEvent)}}) + "/live/log"
	live := open(t, url)
	for n := range 6 {
		post(t, url, fmt.Sprintf(`{"n":%d,"pad":"%s"}`, n, strings.Repeat("x", 1000_000)))
	}
	for n := range 6 {
		live.expect(fmt.Sprintf(`event: event%sdata: {"n":%d,`, "\n", n))
	}
}

// An id that is none of the topic's is told as an error with the code for a gap, also while all of the
// short history is in memory.
func TestUnknownIDOfMessages(t *testing.T) {
	url := serve(t, app.Config{Topics: []freshet.Topic{pushed("log", freshet.KindEvent)}}) + "/live/log"
	open(t, url)
	post(t, url, `{"n":1}`)
	s := open(t, url, "Last-Event-ID: 1-sg-00000000")
	s.expect(": reset id-unknown\n", "event: error\n", "40404")
	s.expect("event: event\n", `{"n":1}`)
}

// An id that cannot ever have been is unknown, and not one that has expired.
func TestInventedIDs(t *testing.T) {
	base := serve(t, app.Config{Topics: []freshet.Topic{pushed("doc", freshet.KindSnapshot), pushed("log", freshet.KindEvent)}})
	for n := range 3 {
		post(t, base+"/live/doc", fmt.Sprintf(`{"n":%d}`, n))
		post(t, base+"/live/log", fmt.Sprintf(`{"n":%d}`, n))
	}
	for _, id := range []string{"1-1-00000000", "2-rr-00000000", "3-5-12345678", "1-sf-c971a52b"} {
		for _, topic := range []string{"doc", "log"} {
			open(t, base+"/live/"+topic, "Last-Event-ID: "+id).expect(": reset id-unknown\n")
		}
	}
}

// Who posts nonsense is told so; subscribers, and the next reader, are not troubled.
func TestBadPostIsThePostersOwn(t *testing.T) {
	url := serve(t, app.Config{Topics: []freshet.Topic{pushed("doc", freshet.KindSnapshot)}}) + "/live/doc"
	post(t, url, `{"n":1,"text":"long enough for a patch to be worth its bytes"}`)
	s := open(t, url)
	s.expect("event: snapshot")
	if resp, body := do(t, "POST", url, `{bad`, "Content-Type: application/json"); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("nonsense: %s %s", resp.Status, body)
	}
	if resp, _ := do(t, "GET", url, ""); resp.Header.Get("Freshet-Stale") != "" {
		t.Error("the document is called stale")
	}
	post(t, url, `{"n":2,"text":"long enough for a patch to be worth its bytes"}`)
	s.expect("event: patch")
}

// Subscribers learn that a fault is over, also where nothing changed meanwhile.
func TestRecovery(t *testing.T) {
	var broken atomic.Bool
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, `{"n":1}`)
	}))
	defer upstream.Close()
	url := serve(t, app.Config{Dev: true, Topics: []freshet.Topic{polled("doc", upstream.URL)}}) + "/live/doc"
	s := open(t, url)
	s.expect("event: snapshot")
	broken.Store(true)
	id := s.expect("event: error\n", `"code":70403`, "id: 1-")
	broken.Store(false)
	s.expect("event: recovered\ndata: {\"datetime\":", "id: 1-")
	open(t, url, "Last-Event-ID: "+id).expect("event: recovered\n")
}

// What a topic holds is shown after a restart, before anybody follows it.
func TestStatusAfterRestart(t *testing.T) {
	c := app.Config{Data: t.TempDir(), Topics: []freshet.Topic{pushed("doc", freshet.KindSnapshot)}}
	t.Run("before", func(t *testing.T) {
		base := serve(t, c)
		for n := range 3 {
			post(t, base+"/live/doc", fmt.Sprint(n))
		}
	})
	if _, body := do(t, "GET", serve(t, c)+"/v1/topics/doc", ""); !strings.Contains(body, `"revision":3,`) || !strings.Contains(body, `"lastChange"`) {
		t.Errorf("after a restart: %s", body)
	}
}

// Nothing below /live is ever redirected: streams do not survive that.
func TestLivePathsAreNeverRedirected(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"up":true}`) }))
	defer upstream.Close()
	base := serve(t, app.Config{Dev: true})
	for path, want := range map[string]int{
		"/live/ftp://x/y":                   400,
		"/live//quotes":                     404,
		"/live/../v1/topics":                404,
		"/live/a/../b":                      404,
		"/live/adhoc:x%2Fy~0":               404,
		"/live/" + upstream.URL:             200,
		"/live/HTTP" + upstream.URL[4:]:     200,
		"/live/https://10.0.0.1/x":          403,
		"/live/http://169.254.169.254/meta": 403,
	} {
		r := request(t, "GET", base, "")
		r.URL.Opaque = path // as it is, not cleaned
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s %s; want %d", path, resp.Status, body, want)
		}
	}
}

func TestAllowedPrefixes(t *testing.T) {
	base := serve(t, app.Config{AdHoc: app.AdHocConfig{Allow: []string{"http://127.0.0.1:1/public/"}}})
	for path, want := range map[string]int{`/public/..\secret`: 403, "/public/..%5Csecret": 403, "/public/%2e%2e/secret": 403, "/public": 403, "/public/../x": 403} {
		r := request(t, "GET", base, "")
		r.URL.Opaque = "/live/http://127.0.0.1:1" + path
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s; want %d", path, resp.Status, want)
		}
	}
}

// A page that is being developed may read freshet dev; any other may not.
func TestDevelopmentPages(t *testing.T) {
	base := serve(t, app.Config{Dev: true})
	for origin, want := range map[string]bool{"http://localhost:5173": true, "http://127.0.0.1:8080": true, "http://localhost": true, "https://evil.example": false, "http://localhost.evil.example": false, "null": false} {
		resp, _ := do(t, "GET", base+"/livez", "", "Origin: "+origin)
		if got := resp.Header.Get("Access-Control-Allow-Origin") == origin; got != want {
			t.Errorf("page of %s may read: %v; want %v", origin, got, want)
		}
	}
}

// What a topic calls noise sends nothing; a real change brings all of it.
func TestNoise(t *testing.T) {
	topic := pushed("doc", freshet.KindSnapshot)
	topic.Diff = freshet.Diff{Ignore: []string{"/at"}, Sets: []string{"/tags"}, Tolerance: 0.1, NumericEqual: true}
	url := serve(t, app.Config{Topics: []freshet.Topic{topic}}) + "/live/doc"
	doc := func(at, tags, price, size string) string {
		return fmt.Sprintf(`{"at":%s,"tags":%s,"price":%s,"size":%s,"text":"%s"}`, at, tags, price, size, strings.Repeat("long ", 100))
	}
	post(t, url, doc("1", `["a","b"]`, "10", "1.0"))
	s := open(t, url)
	s.expect("event: snapshot", "id: 1-")
	for _, noise := range []string{
		doc("2", `["a","b"]`, "10", "1.0"), doc("1", `["b","a"]`, "10", "1.0"), doc("1", `["a","b"]`, "10.05", "1.0"), doc("1", `["a","b"]`, "10", "1.00"),
	} {
		if _, body := do(t, "POST", url, noise, "Content-Type: application/json"); !strings.Contains(body, `"changed":false`) {
			t.Errorf("%s: %s", noise, body)
		}
	}
	post(t, url, doc("3", `["b","a"]`, "10.05", "2"))
	s.expect("event: patch", `"/at","value":3`, `"/price","value":10.05`, `"/size","value":2`, "id: 2-")
}
