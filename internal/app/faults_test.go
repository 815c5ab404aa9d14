package app_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"freshet"
	"freshet/internal/app"
)

// A fault names the stored subscription that is told of it, over whatever it comes, and nobody else's.
func TestFaultsNameTheSubscription(t *testing.T) {
	var broken atomic.Bool
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, `{"n":1}`)
	}))
	defer upstream.Close()
	hooked := make(chan string, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		hooked <- string(body)
	}))
	defer hook.Close()
	topic := polled("doc", upstream.URL)
	topic.Source.Config = []byte(strings.Replace(string(topic.Source.Config), "{", `{"retryMaxAttempts":0,`, 1))
	base := serve(t, app.Config{Dev: true, Topics: []freshet.Topic{topic}})
	for _, sub := range []string{
		`{"id":"stream","type":"sse"}`, `{"id":"socket","type":"websocket"}`,
		`{"id":"hook","type":"webhook","config":{"url":"` + hook.URL + `"}}`, `{"id":"each","type":"webhook","behind":"all","config":{"url":"` + hook.URL + `"}}`,
	} {
		if resp, body := do(t, "POST", base+"/v1/topics/doc/subscriptions", sub, "Content-Type: application/json"); resp.StatusCode != http.StatusCreated {
			t.Fatal(resp.Status, body)
		}
	}
	plain := open(t, base+"/live/doc")
	plain.expect("event: snapshot")
	stream := open(t, base+"/live/doc?subscription=stream")
	stream.expect("event: snapshot")
	conn, resp, err := websocket.Dial(t.Context(), base+"/live/doc?subscription=socket", nil)
	if err != nil {
		t.Fatal(err, resp)
	}
	defer conn.CloseNow()
	broken.Store(true)

	of := func(id string) *regexp.Regexp {
		return regexp.MustCompile(`\{"datetime":"[^"]+",` + id + `"code":70503,"category":"publication","message":"upstream answered 503 Service Unavailable"\}`)
	}
	if got := plain.next(); !of("").MatchString(got) {
		t.Errorf("a stream that is not stored gets %q", got)
	}
	if got := stream.next(); !strings.HasPrefix(got, "event: error\n") || !of(`"subscriptionId":"stream",`).MatchString(got) {
		t.Errorf("a stored stream gets %q", got)
	}
	for {
		_, got, err := conn.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(got), `"error"`) {
			if !of(`"subscriptionId":"socket",`).Match(got) {
				t.Errorf("a stored WebSocket gets %s", got)
			}
			break
		}
	}
	want := map[string]*regexp.Regexp{"hook": of(`"subscriptionId":"hook",`), "each": of(`"subscriptionId":"each",`)}
	for len(want) > 0 {
		got := <-hooked
		for id, fault := range want {
			if fault.MatchString(got) {
				delete(want, id)
			}
		}
		if of("").MatchString(got) {
			t.Fatalf("a webhook gets %s", got)
		}
	}
}
