package app_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/internal/app"
	"freshet/internal/freshettest"
)

// storedSubscription makes a subscription of the topic log.
func storedSubscription(t *testing.T, base, id, kind string) {
	t.Helper()
	if resp, text := do(t, "POST", base+"/v1/topics/log/subscriptions", `{"id":"`+id+`","type":"`+kind+`"}`, "Content-Type: application/json"); resp.StatusCode != http.StatusCreated {
		t.Fatal(resp.Status, text)
	}
}

func setStatus(t *testing.T, base, id, status string) {
	t.Helper()
	if resp, text := do(t, "PATCH", base+"/v1/subscriptions/"+id, `{"status":"`+status+`"}`, "Content-Type: application/merge-patch+json"); resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, text)
	}
}

// A WebSocket of a stored subscription is told by the close code why it ends, and so is who cannot have one.
func TestStoredSocketEnds(t *testing.T) { onEverySocketPath(t, storedSocketEnds) }

func storedSocketEnds(t *testing.T, on path) {
	base := on.serve(t, app.Config{Topics: []freshet.Topic{pushed("log", freshet.KindEvent)}})
	storedSubscription(t, base, "one", "websocket")
	url := base + "/live/log?subscription=one"
	first := dial(t, url, nil)
	second := dial(t, url, nil)
	first.closed(4409, "another connection of subscription one has taken the place of this one")
	post(t, base+"/live/log", `1`)
	second.expect("event")
	setStatus(t, base, "one", "suspended")
	second.closed(4403, "subscription one is suspended")
	dial(t, url, nil).closed(4403, "one is suspended")
	setStatus(t, base, "one", "active")
	third := dial(t, url+"&status=true", nil)
	third.expect("status")
	if resp, text := do(t, "DELETE", base+"/v1/subscriptions/one", ""); resp.StatusCode != http.StatusNoContent {
		t.Fatal(resp.Status, text)
	}
	third.closed(4410, "subscription one was deleted")
	dial(t, url, nil).closed(4404, "subscription not found")
}

// A client that takes nothing any more loses its connection as well.
func TestStoredSocketThatIsStuck(t *testing.T) {
	t.Parallel()
	base := serve(t, app.Config{Limits: app.LimitsConfig{PerTopic: 2}, Topics: []freshet.Topic{pushed("log", freshet.KindEvent)}})
	storedSubscription(t, base, "one", "websocket")
	rawOpen(t, base+"/live/log?subscription=one", "")
	for range 20 { // more than the kernel holds for it
		post(t, base+"/live/log", `"`+strings.Repeat("x", 1_000_000)+`"`)
	}
	second := dial(t, base+"/live/log?subscription=one", nil)
	second.expect("event")
	freshettest.WaitFor(t, 20*time.Second, "the end of the first connection", func() bool {
		_, err := tryDial(t, base+"/live/log", nil)
		return err == nil
	})
}

// A stream of a stored subscription is told by an event why it ends.
func TestStoredStreamEnds(t *testing.T) { onEveryPath(t, storedStreamEnds) }

func storedStreamEnds(t *testing.T, on path) {
	base := on.serve(t, app.Config{Topics: []freshet.Topic{pushed("log", freshet.KindEvent)}})
	storedSubscription(t, base, "one", "sse")
	url := base + "/live/log?subscription=one"
	ends := func(s *stream, code, message string) (rest string) {
		t.Helper()
		s.expect("event: error\n", `"subscriptionId":"one","code":`+code+`,"category":"subscription","message":"`+message)
		text, err := io.ReadAll(s.in)
		if !s.resp.Uncompressed && (err == nil) != (s.resp.ProtoMajor == 2) {
			t.Errorf("ends with %v over %s", err, s.resp.Proto)
		}
		return string(text)
	}
	first := open(t, url)
	second := open(t, url)
	if rest := ends(first, "40900", "another connection of subscription one has taken the place of this one"); rest != "retry: 600000\n:\n" {
		t.Errorf("a client that lost its place is told %q", rest)
	}
	post(t, base+"/live/log", `1`)
	second.expect("event: event")
	setStatus(t, base, "one", "suspended")
	if rest := ends(second, "40300", "subscription one is suspended"); !strings.HasPrefix(rest, "retry: 1") || len(rest) != len("retry: 1234\n:\n") {
		t.Errorf("a client of a suspended subscription is told %q", rest)
	}
	setStatus(t, base, "one", "active")
	third := open(t, url+"&status=true&compress=gzip")
	third.expect("event: status")
	if resp, text := do(t, "DELETE", base+"/v1/subscriptions/one", ""); resp.StatusCode != http.StatusNoContent {
		t.Fatal(resp.Status, text)
	}
	ends(third, "40405", "subscription one was deleted")
}
