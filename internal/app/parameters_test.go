package app_test

import (
	"net/http"
	"strings"
	"testing"

	"freshet"
	"freshet/internal/app"
)

// A parameter of a stream with a value that makes no sense is refused by its name, however the stream is asked for.
func TestParametersOfStreams(t *testing.T) {
	base := serve(t, app.Config{Dev: true, AdHoc: app.AdHocConfig{Allow: []string{"*"}}, Topics: []freshet.Topic{pushed("doc", freshet.KindSnapshot), pushed("log", freshet.KindEvent)}})
	storedSubscription(t, base, "one", "sse")
	storedSubscription(t, base, "two", "websocket")
	handshake := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="}
	stream := []string{"Accept: text/event-stream"}
	for _, tt := range []struct {
		path    string
		headers []string
		status  int
		want    string
	}{
		{"/live/log?from=bogus", stream, 400, "invalid parameter from: "},
		{"/live/log?from=bogus", handshake, 400, "invalid parameter from: "},
		{"/live/log?subscription=one&from=bogus", stream, 400, "invalid parameter from: "},
		{"/live/log?subscription=two&dataFormat=foo", handshake, 400, "invalid parameter dataFormat: "},
		{"/live/doc?dataFormat=foo", handshake, 400, "invalid parameter dataFormat: it is text or binary, not \\\"foo\\\""},
		{"/live/doc?status=maybe", stream, 400, "invalid parameter status: "},
		{"/live?topic=doc&from=bogus", stream, 400, "invalid parameter from: "},
		{"/live?topic=doc&dataFormat=foo", handshake, 400, "invalid parameter dataFormat: "},
		{"/live?topic=doc&status=maybe", handshake, 400, "invalid parameter status: "},
		{"/live?topic=doc&url=http%3A%2F%2F127.0.0.1%2Fx", stream, 400, "invalid parameter url: "},
		{"/live?topic=doc&url=http%3A%2F%2F127.0.0.1%2Fx", handshake, 400, "invalid parameter url: "},
		{"/live?topic=doc&topic=log&mode=event", stream, 406, "topic doc: subscription mode not allowed"},
		{"/live?topic=doc&topic=log&mode=snapshot-only", stream, 406, "topic log: subscription mode not allowed"},
	} {
		resp, text := do(t, "GET", base+tt.path, "", tt.headers...)
		if resp.StatusCode != tt.status || !strings.Contains(text, tt.want) {
			t.Errorf("%s: %s %s; want %d %s", tt.path, resp.Status, text, tt.status, tt.want)
		}
	}
	post(t, base+"/live/log", `1`)
	for _, path := range []string{"/live/log?from=beginning&status=1", "/live?topic=log&from=beginning&status=1"} {
		open(t, base+path).expect("event: ")
		if resp, text := do(t, "GET", base+strings.Replace(path, "from=beginning&", "from=&", 1), "", "Accept: application/json"); path[:6] == "/live/" && resp.StatusCode != http.StatusOK {
			t.Error(resp.Status, text)
		}
	}
	many := dial(t, base+"/live?topic=log&status=1&dataFormat=text", nil)
	many.expect("subscribed")
	many.expect("status")
}
