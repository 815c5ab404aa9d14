package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"freshet"
	"freshet/internal/app"
	"freshet/jsonpatch"
)

// onEverySocketPath runs a test of WebSockets that loops write, that goroutines do, and of those over TLS.
func onEverySocketPath(t *testing.T, test func(t *testing.T, on path)) {
	t.Helper()
	for name, on := range map[string]path{"loops": {}, "goroutines": {portable: true}, "TLS": {tls: true, http1: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, on)
		})
	}
}

// A ws is a WebSocket of a client that others wrote.
type ws struct {
	t    *testing.T
	conn *websocket.Conn
	resp *http.Response
}

func dial(t *testing.T, url string, options *websocket.DialOptions) *ws {
	t.Helper()
	w, err := tryDial(t, url, options)
	if err != nil {
		t.Fatalf("WebSocket of %s: %v", url, err)
	}
	return w
}

func tryDial(t *testing.T, url string, options *websocket.DialOptions) (*ws, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if options == nil {
		options = &websocket.DialOptions{}
	}
	options.HTTPClient = &http.Client{Transport: http.DefaultTransport}
	conn, resp, err := websocket.Dial(ctx, url, options)
	if err != nil {
		return &ws{t, nil, resp}, err
	}
	conn.SetReadLimit(1 << 26)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &ws{t, conn, resp}, nil
}

// A wsMessage is what the server sends.
type wsMessage struct {
	Topic, ID, Type, Mode string
	Data                  json.RawMessage
	Resumed, Changed      *bool
	Repeated              bool
	Request               json.RawMessage
	raw                   string
}

func (w *ws) read() (m wsMessage, err error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	kind, text, err := w.conn.Read(ctx)
	if err != nil {
		return m, err
	}
	if kind != websocket.MessageText {
		return m, fmt.Errorf("a binary message: %q", text)
	}
	m.raw = string(text)
	return m, json.Unmarshal(text, &m)
}

func (w *ws) next() wsMessage {
	w.t.Helper()
	m, err := w.read()
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// expect is the next message, which is of a type and has the parts in it.
func (w *ws) expect(kind string, parts ...string) wsMessage {
	w.t.Helper()
	m := w.next()
	if m.Type != kind {
		w.t.Fatalf("got %s; want a message of the type %s", m.raw, kind)
	}
	for _, p := range parts {
		if !strings.Contains(m.raw, p) {
			w.t.Fatalf("got %s; want %s in it", m.raw, p)
		}
	}
	return m
}

func (w *ws) send(text string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	if err := w.conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		w.t.Fatal(err)
	}
}

// closed reads on until the server closes the connection, and wants a code and a reason.
func (w *ws) closed(code websocket.StatusCode, reason string) {
	w.t.Helper()
	for {
		_, err := w.read()
		if err == nil {
			continue
		}
		c, ok := errors.AsType[websocket.CloseError](err)
		if !ok || c.Code != code || !strings.Contains(c.Reason, reason) {
			w.t.Fatalf("ended with %v; want close code %d and %q", err, code, reason)
		}
		return
	}
}

// create makes a topic that takes posts by the API, so that it can be deleted.
func create(t *testing.T, base, name, kind string) {
	t.Helper()
	if resp, text := do(t, "POST", base+"/v1/topics", `{"name":"`+name+`","kind":"`+kind+`","source":{"type":"http-post","alwaysOn":true}}`, "Content-Type: application/json"); resp.StatusCode != http.StatusCreated {
		t.Fatal(resp.Status, text)
	}
}

func TestSocket(t *testing.T) { onEverySocketPath(t, socketOfOne) }

func socketOfOne(t *testing.T, on path) {
	base := on.serve(t, app.Config{})
	create(t, base, "doc", "snapshot")
	url := base + "/live/doc"
	post(t, url, `{ "price": 1.0, "big": 12345678901234567890, "text": "a line\nand another that is long enough" }`)
	s := dial(t, url, nil)
	first := s.next()
	if want := `{"id":"` + first.ID + `","type":"snapshot","data":{"price":1.0,"big":12345678901234567890,"text":"a line\nand another that is long enough"}}`; first.raw != want || !strings.HasPrefix(first.ID, "1-") {
		t.Fatalf("got %s; want %s", first.raw, want)
	}
	post(t, url, `{ "price": 1.00, "big": 12345678901234567890, "text": "a line\nand another that is long enough" }`)
	id := s.expect("patch", `"data":[{"op":"replace","path":"/price","value":1.00}]}`).ID
	post(t, url, `{"text":"a line\nand another that is long enough","price":2,"big":12345678901234567890}`)
	s.expect("patch", `"value":2`, `"id":"3-`)
	for _, where := range []string{"?lastEventId=", "?last_event_id=", "?lastEventID="} {
		resumed := dial(t, url+where+id, nil)
		if got := resumed.resp.Header.Get("Freshet-Resumed"); got != "true" {
			t.Errorf("%s: Freshet-Resumed: %q", where, got)
		}
		resumed.expect("patch", `"value":2`)
	}
	odd := dial(t, url+"?lastEventId=nonsense", nil)
	odd.expect("reset", `{"reason":"id-unknown"}`)
	odd.expect("snapshot")
	only := dial(t, url+"?mode=snapshot-only", nil)
	only.expect("snapshot")
	post(t, url, `{"text":"a line\nand another that is long enough","price":3,"big":12345678901234567890}`)
	only.expect("snapshot", `"price":3`)
	merge := dial(t, url+"?mode=merge-patch", nil)
	merge.expect("snapshot")
	changes := dial(t, url+"?mode=changes", nil)
	changes.expect("snapshot")
	post(t, url, `{"text":"a line\nand another that is long enough","price":4,"big":12345678901234567890}`)
	merge.expect("merge-patch", `{"price":4}`)
	changes.expect("changes", `{"created":[],"updated":[],"deleted":[],"patch":[{"op":"replace","path":"/price","value":4}]}`)
	base64 := dial(t, url+"?dataFormat=binary", nil)
	base64.expect("snapshot", `"data":"eyJ`)
	status := dial(t, url+"?status=true", nil)
	status.expect("snapshot")
	status.expect("status", `"stale":false`)

	if err := s.conn.Close(websocket.StatusNormalClosure, "enough"); err != nil {
		t.Error("a close that the client begins:", err)
	}
	dial(t, url+"?mode=event", nil).closed(4406, "snapshot-only")
	dial(t, strings.Replace(url, "doc", "none", 1), nil).closed(4404, "none")

	text := dial(t, url, nil)
	text.send("hello")
	text.closed(websocket.StatusPolicyViolation, "/live")
	if resp, body := do(t, "DELETE", strings.Replace(url, "/live/", "/v1/topics/", 1), ""); resp.StatusCode != http.StatusNoContent {
		t.Fatal(resp.Status, body)
	}
	for _, w := range []*ws{only, odd, status} {
		w.closed(4410, "deleted")
	}
}

func TestSocketCompressed(t *testing.T) { onEverySocketPath(t, socketCompressed) }

func socketCompressed(t *testing.T, on path) {
	url := on.serve(t, app.Config{Topics: []freshet.Topic{pushed("doc", freshet.KindSnapshot)}}) + "/live/doc"
	post(t, url, `{"n":0,"text":"`+strings.Repeat("compress me ", 1000)+`"}`)
	for _, mode := range []websocket.CompressionMode{websocket.CompressionContextTakeover, websocket.CompressionNoContextTakeover} {
		s := dial(t, url, &websocket.DialOptions{CompressionMode: mode})
		if got := s.resp.Header.Get("Sec-WebSocket-Extensions"); !strings.HasPrefix(got, "permessage-deflate") {
			t.Fatalf("extensions %q", got)
		}
		doc := s.expect("snapshot").Data
		for n := 1; n < 20; n++ {
			post(t, url, fmt.Sprintf(`{"n":%d,"text":"%s","more":"%s"}`, n, strings.Repeat("compress me ", 1000), strings.Repeat("x y ", 100*(n%3))))
			m := s.next()
			var err error
			if doc, err = jsonpatch.Apply(doc, m.Data); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(doc), fmt.Sprintf(`{"n":%d,`, n)) {
				t.Fatalf("after %s: %.50s", m.raw, doc)
			}
		}
	}
}

func TestSocketOfMany(t *testing.T) { onEverySocketPath(t, socketOfMany) }

func socketOfMany(t *testing.T, on path) {
	base := on.serve(t, app.Config{Topics: []freshet.Topic{pushed("b", freshet.KindEvent)}, WebSocket: app.WebSocketConfig{Publish: true}, CORS: app.CORSConfig{Origins: []string{"https://app.example.com"}}})
	create(t, base, "a", "snapshot")
	post(t, base+"/live/a", `{"n":1,"text":"long enough to make a patch worth while, it seems"}`)
	s := dial(t, base+"/live", nil)
	s.send(`{"type":"subscribe","topic":"a","request":1}`)
	s.expect("subscribed", `{"type":"subscribed","topic":"a","request":1,"mode":"snapshot-patch"}`)
	id := s.expect("snapshot", `{"topic":"a","id":"1-`).ID
	s.send(`{"type":"subscribe","topic":"b","request":"two"}`)
	s.expect("subscribed", `"topic":"b","request":"two","mode":"event"`)
	s.send(`{"type":"publish","topic":"b","data":{"hello":"world"},"request":3,"idempotencyKey":"k-1"}`)
	var seen [2]wsMessage // either may be first
	seen[0], seen[1] = s.next(), s.next()
	if seen[0].Type == "event" {
		seen[0], seen[1] = seen[1], seen[0]
	}
	if seen[0].Type != "published" || seen[0].ID == "" || !*seen[0].Changed || seen[1].ID != seen[0].ID || string(seen[1].Data) != `{"hello":"world"}` {
		t.Fatalf("%s then %s", seen[0].raw, seen[1].raw)
	}
	s.send(`{"type":"publish","topic":"b","data":{"hello":"world"},"request":4,"idempotencyKey":"k-1"}`)
	s.expect("published", `"repeated":true`, seen[0].ID)
	s.send(`{"type":"unsubscribe","topic":"a","request":5}`)
	s.expect("unsubscribed", `"request":5`)
	post(t, base+"/live/a", `{"n":2,"text":"long enough to make a patch worth while, it seems"}`)
	s.send(`{"type":"subscribe","topic":"a","lastEventId":"` + id + `"}`)
	s.expect("subscribed", `"resumed":true`)
	s.expect("patch", `"topic":"a"`, `"value":2`)
	for _, tt := range []struct{ send, want string }{
		{`{"type":"subscribe","topic":"a","request":6}`, `"topic":"a","request":6,"data":{"datetime":`},
		{`{"type":"subscribe","topic":"none"}`, `"code":40404,"category":"subscription"`},
		{`{"type":"unsubscribe","topic":"none"}`, `"code":40405`},
		{`{"type":"subscribe","topic":"c","mode":"nonsense"}`, `"code":40404`},
		{`{"type":"nonsense","topic":"a","request":7}`, `"request":7,"data":{"datetime":`},
		{`{"type":"subscribe","topic":"a","lastEventID":"x","nonsense":1}`, `"code":40400`},
		{`{"type":"subscribe"}`, `"code":40400`},
		{`{"type":"subscribe","topic":"a","nonsense":1}`, `"code":40400,"category":"subscription","message":"the message is not understood: there is no member \"nonsense\""`},
		{`[]`, `"code":40400,"category":"subscription","message":"the message is not understood: it has to be an object, not an array"`},
		{`{"type":"subscribe","topic":1}`, `"code":40400,"category":"subscription","message":"the message is not understood: topic has to be a string, not a number"`},
		{`{"type":"subscribe","topic":"a","status":"x"}`, `"code":40400,"category":"subscription","message":"the message is not understood: status has to be true or false, not a string"`},
		{`nonsense`, `"code":40400,"category":"subscription","message":"the message is not understood: it is not one complete JSON value"`},
		{` `, `"code":40400,"category":"subscription","message":"the message is not understood: it is not one complete JSON value"`},
		{`{} {}`, `"code":40400`},
		{`{"type":"publish","topic":"b","data":`, `"code":40400,"category":"subscription","message":"the message is not understood: it is not one complete JSON value"`},
		{`{"type":"publish","topic":"none","data":1}`, `"code":40404`},
		{`{"type":"publish","topic":"b","data":1,"idempotencyKey":"k 2"}`, `"code":40400`},
		{`{"type":"publish","topic":"b","data":1,"idempotencyKey":"k-1"}`, `"code":70422`},
		{`{"type":"subscribe","topic":"b","request":{}}`, `"code":40400`},
		{`{"topicIdOrName":"b"}`, `"code":40000`},
	} {
		s.send(tt.send)
		s.expect("error", tt.want)
	}
	s.send(`{"type":"subscribe","topic":"b","mode":"nonsense"}`)
	s.expect("error", "already")
	if resp, _ := do(t, "DELETE", base+"/v1/topics/a", ""); resp.StatusCode != http.StatusNoContent {
		t.Fatal(resp.Status)
	}
	s.expect("error", `"topic":"a"`, `"code":60000`)
	post(t, base+"/live/b", `"still there"`)
	s.expect("event", `"still there"`)

	page := dial(t, base+"/live", &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"https://app.example.com"}}})
	page.send(`{"type":"publish","topic":"b","data":1}`)
	page.expect("error", `"code":70403`, "other origins")

	both := dial(t, base+"/live?topic=b&from=beginning", nil)
	both.expect("subscribed", `"topic":"b"`)
	both.expect("event", `"hello"`)

	incumbents := dial(t, base+"/live", nil)
	incumbents.send(`{"topicIdOrName":"b","subscriptionMode":"event","dataFormat":"text","lastEventId":"` + seen[0].ID + `"}`)
	if m := incumbents.expect("event", `"still there"`); m.Topic != "" {
		t.Errorf("%s names its topic", m.raw)
	}
	plain := dial(t, base+"/live", nil)
	plain.send(`{"topicIdOrName":"b","lastEventId":"` + seen[0].ID + `"}`)
	plain.expect("event", `"data":"InN0aWxsIHRoZXJlIg=="`)
}
