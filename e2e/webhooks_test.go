package e2e_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// A hook is an endpoint of webhooks that does what a script says, and keeps what it got.
type hook struct {
	*httptest.Server
	script func(n int, w http.ResponseWriter, r *http.Request) // of request number n, from 0

	mu   sync.Mutex
	got  []call
	seen chan struct{}
}

// A call is a request that an endpoint got.
type call struct {
	at     time.Time
	path   string
	id     string
	event  string
	header http.Header
	body   string
	status int
}

func newHook(t *testing.T, script func(n int, w http.ResponseWriter, r *http.Request)) *hook {
	t.Helper()
	h := &hook{script: script, seen: make(chan struct{}, 1)}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

// accept answers every request with 200.
func accept(int, http.ResponseWriter, *http.Request) {}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	status := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	h.mu.Lock()
	n := len(h.got)
	h.got = append(h.got, call{at: time.Now(), path: r.URL.Path, id: r.Header.Get("Webhook-Id"), event: r.Header.Get("Freshet-Event-Id"), header: r.Header, body: string(body)})
	h.mu.Unlock()
	h.script(n, status, r)
	h.mu.Lock()
	h.got[n].status = status.status
	h.mu.Unlock()
	select {
	case h.seen <- struct{}{}:
	default:
	}
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (s *statusWriter) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (h *hook) calls() []call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.got)
}

// await waits until so many requests were answered.
func (h *hook) await(t *testing.T, n int) []call {
	t.Helper()
	timeout := time.After(time.Minute)
	for {
		calls := h.calls()
		if len(calls) >= n && calls[n-1].status != 0 {
			return calls
		}
		select {
		case <-h.seen:
		case <-timeout:
			t.Fatalf("%d requests came, want %d: %+v", len(calls), n, calls)
		}
	}
}

// do makes a request of /v1 and decodes the answer.
func (s *server) do(method, path, body string, want int, into any) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		s.t.Fatalf("%s %s: %s, want %d: %s %v", method, path, resp.Status, want, answer, err)
	}
	if into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			s.t.Fatalf("%s %s: %v: %s", method, path, err, answer)
		}
	}
}

// A subscription is what the tests read of one.
type subscription struct {
	ID       string
	Status   string
	Config   struct{ Secrets []string }
	Progress struct {
		Reason, EventID string
		Lag, Attempts   int
		LastError       *struct{ Message string }
	}
}

func (s *server) subscribe(topic, document string) (made subscription) {
	s.t.Helper()
	s.do("POST", "/v1/topics/"+topic+"/subscriptions", document, http.StatusCreated, &made)
	return made
}

// awaitSubscription waits until is holds of a subscription.
func (s *server) awaitSubscription(id string, is func(subscription) bool) (now subscription) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		now = subscription{}
		s.do("GET", "/v1/subscriptions/"+id, "", http.StatusOK, &now)
		if is(now) {
			return now
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("subscription %+v\n%s", now, s.log)
		}
	}
}

const eventTopic = "topics: [{name: log, kind: event, source: {type: http-post, alwaysOn: true}}, {name: doc, kind: snapshot, source: {type: http-post, alwaysOn: true}}]\n"

// An endpoint that fails in every way: the schedule is kept, ids are stable over attempts, order holds, and
// nothing is sent again after a success.
func TestWebhookScript(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	h := newHook(t, func(n int, w http.ResponseWriter, r *http.Request) {
		switch {
		case n < 5:
			w.WriteHeader(http.StatusInternalServerError)
		case n == 5:
			select {
			case <-r.Context().Done():
			case <-hang:
			}
		case n == 6:
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusTooManyRequests)
		case n == 7:
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.(*net.TCPConn).SetLinger(0) // a reset
				_ = conn.Close()
			}
		}
	})
	s := serve(t, eventTopic)
	s.subscribe("log", `{"id":"a","type":"webhook","config":{"url":"`+h.URL+`/","timeout":"PT1S","retries":["PT0.1S","PT0.2S","PT0.3S","PT0.2S","PT0.1S","PT0.1S","PT0.5S","PT0.3S"]}}`)
	for n := range 3 {
		if err := s.publish("log", fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
	}
	calls := h.await(t, 11)
	wants := []time.Duration{100, 200, 300, 200, 100, 100, 2000, 300} // ms, at least
	for i, c := range calls[:9] {
		if c.id != calls[0].id || c.body != "0" || !strings.HasPrefix(c.id, "a_") {
			t.Errorf("attempt %d has id %s and body %s, the first %s and %s", i+1, c.id, c.body, calls[0].id, calls[0].body)
		}
		if i > 0 && c.at.Sub(calls[i-1].at) < wants[i-1]*time.Millisecond {
			t.Errorf("attempt %d came %v after the one before, want %d ms or more", i+1, c.at.Sub(calls[i-1].at), wants[i-1])
		}
	}
	if len(calls) != 11 || calls[9].body != "1" || calls[10].body != "2" || calls[9].id == calls[10].id {
		t.Errorf("after that came %+v", calls[9:])
	}
	if now := s.awaitSubscription("a", func(s subscription) bool { return s.Progress.Lag == 0 }); now.Progress.EventID != calls[10].event || now.Progress.Attempts != 0 {
		t.Errorf("%+v", now)
	}
	var log struct {
		Total int
		Items []struct {
			Outcome, Error, EventID, NextAttempt string
			Attempt                              int
			Response                             *struct{ Status int }
			Request                              struct{ Headers, Body string }
		}
	}
	s.do("GET", "/v1/subscriptions/a/exchanges?outcome=failed&pageSize=3", "", http.StatusOK, &log)
	if log.Total != 8 || len(log.Items) != 3 || log.Items[0].Attempt != 8 || log.Items[0].NextAttempt == "" || log.Items[0].Response != nil || log.Items[1].Response.Status != 429 || !strings.Contains(log.Items[2].Error, "no answer within PT1S") {
		t.Errorf("the log of failed attempts is %+v", log)
	}
	s.do("GET", "/v1/subscriptions/a/exchanges?status=200&event="+calls[10].event, "", http.StatusOK, &log)
	if log.Total != 1 || log.Items[0].Request.Body != "2" || !strings.Contains(log.Items[0].Request.Headers, "webhook-signature: v1,") {
		t.Errorf("the exchange of the last event is %+v", log)
	}
}

// While an endpoint fails, only what is tried again goes to it: what other subscriptions have for it waits until
// something is accepted there.
func TestWebhookCircuit(t *testing.T) {
	t.Parallel()
	var works atomic.Bool
	h := newHook(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		if !works.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	s := serve(t, pushed)
	s.subscribe("log", `{"id":"a","type":"webhook","config":{"url":"`+h.URL+`/?a","retries":[`+strings.Repeat(`"PT0.1S",`, 50)+`"PT1S"]}}`)
	s.subscribe("doc", `{"id":"b","type":"webhook","config":{"url":"`+h.URL+`/?b","retries":["PT1H"]}}`)
	if err := s.publish("log", "1"); err != nil {
		t.Fatal(err)
	}
	failed := h.await(t, 6)
	if err := s.publish("doc", "2"); err != nil {
		t.Fatal(err)
	}
	for i, c := range h.await(t, len(failed)+5) {
		if c.body != "1" {
			t.Fatalf("request %d is %+v", i, c)
		}
	}
	if _, metrics := s.get("/metrics"); !strings.Contains(metrics, "freshet_delivery_circuits_open 1\n") {
		t.Error("no metric tells of it")
	}
	works.Store(true)
	s.awaitSubscription("b", func(s subscription) bool { return s.Progress.Lag == 0 && s.Progress.EventID != "" })
}

// 410 suspends, an exhausted schedule disables and is told, and an active status lets it go on where it was.
func TestWebhookGivenUp(t *testing.T) {
	t.Parallel()
	var status sync.Map
	h := newHook(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if code, ok := status.Load(r.URL.Path); ok {
			w.WriteHeader(code.(int))
		}
	})
	status.Store("/gone", http.StatusGone)
	status.Store("/bad", http.StatusBadGateway)
	s := serve(t, "subscriptions: {events: ops}\n"+strings.Replace(eventTopic, "topics: [", "topics: [{name: ops, kind: event, source: {type: http-post, alwaysOn: true}}, ", 1))
	for _, path := range []string{"gone", "bad"} {
		s.subscribe("log", `{"id":"`+path+`","type":"webhook","config":{"url":"`+h.URL+"/"+path+`","retries":["PT0.05S","PT0.05S"]}}`)
	}
	if err := s.publish("log", `"m"`); err != nil {
		t.Fatal(err)
	}
	gone := s.awaitSubscription("gone", func(s subscription) bool { return s.Status == "suspended" })
	bad := s.awaitSubscription("bad", func(s subscription) bool { return s.Status == "disabled" })
	if !strings.Contains(gone.Progress.Reason, "410") || !strings.Contains(bad.Progress.Reason, "3 attempts") || bad.Progress.Lag != 1 {
		t.Errorf("%+v\n%+v", gone, bad)
	}
	eventually(t, time.Minute, "both are told to the topic of events", func() bool {
		_, told := s.get("/live/ops", "Accept", "application/x-ndjson")
		return strings.Contains(told, `"type":"dev.freshet.subscription.suspended"`) && strings.Contains(told, `"type":"dev.freshet.subscription.disabled"`)
	})
	before := len(h.calls())
	if before != 4 {
		t.Errorf("%d requests, want 1 and 3: %+v", before, h.calls())
	}
	status.Clear()
	for _, id := range []string{"gone", "bad"} {
		s.do("PATCH", "/v1/subscriptions/"+id, `{"status":"active"}`, http.StatusOK, nil)
	}
	for _, c := range h.await(t, before+2)[before:] {
		if c.body != `"m"` {
			t.Errorf("%+v", c)
		}
	}
	s.do("PATCH", "/v1/subscriptions/bad", `{"status":"suspended"}`, http.StatusOK, nil)
	if err := s.publish("log", `"n"`); err != nil {
		t.Fatal(err)
	}
	h.await(t, before+3)
	s.do("POST", "/v1/subscriptions/bad:test", `{"just":"a test"}`, http.StatusAccepted, nil)
	if calls := h.calls(); calls[len(calls)-1].body != `{"just":"a test"}` || calls[len(calls)-1].path != "/bad" || len(calls) != before+4 {
		t.Errorf("%+v", calls[before:])
	}
	s.do("POST", "/v1/subscriptions/bad:redeliver", `{"eventId":"`+h.calls()[0].event+`"}`, http.StatusAccepted, nil)
	if calls := h.calls(); calls[len(calls)-1].body != `"m"` || calls[len(calls)-1].id != "bad_"+calls[0].event {
		t.Errorf("%+v", calls[len(calls)-1])
	}
	s.do("POST", "/v1/subscriptions/bad:recover", `{"since":"2020-01-01T00:00:00Z"}`, http.StatusAccepted, nil)
	again := h.await(t, before+7)[before+5:]
	if again[0].body != `"m"` || again[1].body != `"n"` {
		t.Errorf("after recovery %+v", again)
	}
}

// A server that is killed again and again delivers every event, repeats at most one of a subscription for each
// kill, and keeps their order.
func TestWebhookKilled(t *testing.T) {
	t.Parallel()
	const subscriptions = 20
	kills := 4
	if os.Getenv("FRESHET_TEST_ALL") != "" {
		kills = 20
	}
	h := newHook(t, accept)
	s := serve(t, eventTopic)
	for i := range subscriptions {
		s.subscribe("log", fmt.Sprintf(`{"id":"s%d","type":"webhook","config":{"url":"%s/s%d","retries":["PT0.1S","PT1S","PT1S","PT1S","PT1S"]}}`, i, h.URL, i))
	}
	var sent []string
	for kill := range kills {
		for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); {
			body := fmt.Sprint(len(sent))
			if _, err := s.publishOnce("log", "application/json", body, body); err != nil {
				t.Fatal(err)
			}
			sent = append(sent, body)
		}
		if kill < kills-1 {
			s.kill()
			s.start()
		}
	}
	for i := range subscriptions {
		s.awaitSubscription(fmt.Sprint("s", i), func(s subscription) bool { return s.Progress.Lag == 0 })
	}
	for i := range subscriptions {
		var got []string
		repeats := 0
		ids := map[string]bool{}
		for _, c := range h.calls() {
			switch {
			case c.path != fmt.Sprintf("/s%d", i):
			case ids[c.id]:
				repeats++
				if got[len(got)-1] != c.body {
					t.Errorf("subscription %d: %s came again after %s", i, c.body, got[len(got)-1])
				}
			default:
				ids[c.id] = true
				got = append(got, c.body)
			}
		}
		if !slices.Equal(got, sent) {
			t.Errorf("subscription %d got %d events, %d were sent: %v", i, len(got), len(sent), got)
		}
		if repeats > kills-1 {
			t.Errorf("subscription %d: %d repeats in %d kills", i, repeats, kills-1)
		}
	}
}

// What a subscription of a document is sent, by its mode and what it does when it is behind.
func TestWebhookDocuments(t *testing.T) {
	t.Parallel()
	var down sync.Map
	h := newHook(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if _, ok := down.Load("down"); ok {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	s := serve(t, eventTopic)
	post := func(n int) {
		t.Helper()
		if err := s.publish("doc", fmt.Sprintf(`{"n":%d,"long":"%s"}`, n, strings.Repeat("x", 200))); err != nil {
			t.Fatal(err)
		}
	}
	post(0)
	ids := map[string]string{
		"latest": `"mode":"snapshot-patch"`, "all": `"mode":"snapshot-patch","behind":"all"`,
		"documents": `"mode":"snapshot-only"`, "every": `"mode":"snapshot-only","behind":"all"`,
		"merges": `"mode":"merge-patch"`, "all-merges": `"mode":"merge-patch","behind":"all"`,
		"changes": `"mode":"changes"`, "all-changes": `"mode":"changes","behind":"all"`,
	}
	ends := map[string]string{ // by how each is told that the member n is 5 now
		"latest": `patch [{"op":"replace","path":"/n","value":5}]`, "documents": `snapshot {"n":5`, "merges": `merge-patch {"n":5}`,
		"changes": `changes {"created":[],"updated":[],"deleted":[],"patch":[{"op":"replace","path":"/n","value":5}]}`,
	}
	for all, one := range map[string]string{"all": "latest", "every": "documents", "all-merges": "merges", "all-changes": "changes"} {
		ends[all] = ends[one]
	}
	for id, options := range ids {
		s.subscribe("doc", `{"id":"`+id+`","type":"webhook",`+options+`,"config":{"url":"`+h.URL+"/"+id+`","retries":["PT0.3S","PT0.3S","PT0.3S","PT0.3S","PT1S","PT1S","PT1S","PT1S"]}}`)
	}
	h.await(t, len(ids))
	down.Store("down", true)
	for n := range 5 {
		post(n + 1)
	}
	h.await(t, 2*len(ids)) // each has met the failure
	down.Clear()
	for id := range ids {
		s.awaitSubscription(id, func(s subscription) bool { return s.Progress.Lag == 0 })
	}
	accepted := map[string][]string{}
	for _, c := range h.calls() {
		if c.status == http.StatusOK {
			accepted[c.path] = append(accepted[c.path], c.header.Get("Freshet-Event-Type")+" "+c.body)
		}
	}
	for id := range ids {
		got := accepted["/"+id]
		want := 6
		if !strings.Contains(ids[id], `"all"`) {
			want = 2 // what was superseded is skipped; three where the first change got through alone
		}
		if len(got) < want || len(got) > want+1 || !strings.HasPrefix(got[0], `snapshot {"n":0`) {
			t.Errorf("%s got %d events, want %d: %q", id, len(got), want, got)
			continue
		}
		last := got[len(got)-1]
		if !strings.HasPrefix(last, ends[id]) {
			t.Errorf("%s ends with %s", id, last)
		}
	}
}

// Batches, formats of CloudEvents, conflation to a rate, deliveries in parallel.
func TestWebhookForms(t *testing.T) {
	t.Parallel()
	h := newHook(t, accept)
	s := serve(t, eventTopic)
	for id, options := range map[string]string{
		"batch": `"batch":{"maxEvents":3,"maxWait":"PT0.3S"}`, "binary": `"format":"cloudevents-binary"`, "structured": `"format":"cloudevents-structured"`,
		"both": `"format":"cloudevents-structured","batch":{}`, "binaries": `"format":"cloudevents-binary","batch":{"maxWait":"PT0.3S"}`, "parallel": `"description":"p"`,
	} {
		parallel := ""
		if id == "parallel" {
			parallel = `,"parallel":8`
		}
		s.subscribe("log", `{"id":"`+id+`","type":"webhook",`+options+`,"config":{"url":"`+h.URL+"/"+id+`","secrets":[]`+parallel+`}}`)
	}
	if _, err := s.publishOnce("log", "application/x-ndjson", "1\n2\n3\n4\n", "k"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"batch", "binary", "structured", "both", "binaries", "parallel"} {
		s.awaitSubscription(id, func(s subscription) bool { return s.Progress.Lag == 0 })
	}
	by := map[string][]call{}
	for _, c := range h.calls() {
		if c.header.Get("Webhook-Signature") != "" {
			t.Errorf("%s is signed, though it has no secret", c.path)
		}
		by[c.path] = append(by[c.path], c)
	}
	var list []struct {
		ID, Type, Time string
		Data           json.RawMessage
	}
	if c := by["/batch"]; len(c) != 2 || json.Unmarshal([]byte(c[0].body), &list) != nil || len(list) != 3 || string(list[2].Data) != "3" || list[0].Type != "event" {
		t.Errorf("batches are %+v", c)
	}
	if c := by["/binary"]; len(c) != 4 || c[0].header.Get("Ce-Specversion") != "1.0" || c[0].header.Get("Ce-Type") != "dev.freshet.event" || c[0].header.Get("Ce-Source") != "/live/log" || c[0].header.Get("Ce-Id") != c[0].event || c[0].body != "1" {
		t.Errorf("binary CloudEvents are %+v", c)
	}
	var one struct {
		Specversion, ID, Type string
		Data                  int
	}
	if c := by["/structured"]; len(c) != 4 || c[3].header.Get("Content-Type") != "application/cloudevents+json" || json.Unmarshal([]byte(c[3].body), &one) != nil || one.Data != 4 || one.ID != c[3].event {
		t.Errorf("structured CloudEvents are %+v", c)
	}
	if c := by["/both"]; len(c) == 0 || c[0].header.Get("Content-Type") != "application/cloudevents-batch+json" || !bytes.HasPrefix([]byte(c[0].body), []byte(`[{"specversion":"1.0"`)) {
		t.Errorf("batches of CloudEvents are %+v", c)
	}
	if c := by["/binaries"]; len(c) != 1 || c[0].header.Get("Content-Type") != "application/cloudevents-batch+json" || c[0].header.Get("Ce-Id") != "" || json.Unmarshal([]byte(c[0].body), &list) != nil || len(list) != 4 {
		t.Errorf("batches of binary CloudEvents are %+v", c)
	} else if last := list[3]; c[0].event != last.ID || c[0].id != "binaries_"+last.ID || c[0].header.Get("Freshet-Event-Type") != "event" {
		t.Errorf("the headers of a batch are not those of its last event: %+v", c)
	}
	if c := by["/parallel"]; len(c) != 4 {
		t.Errorf("in parallel came %+v", c)
	}
}

// A stored stream goes on after what was written to its last connection, whatever happened to that.
func TestStoredStreams(t *testing.T) {
	t.Parallel()
	s := serve(t, eventTopic)
	s.subscribe("log", `{"id":"stream","type":"sse","start":"beginning"}`)
	s.subscribe("log", `{"id":"socket","type":"websocket","start":"beginning"}`)
	open := func() (next func() string, end func()) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/live/log?subscription=stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		lines := bufio.NewScanner(resp.Body)
		return func() string {
			for lines.Scan() {
				if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
					return data
				}
			}
			return "end"
		}, cancel
	}
	socket := func() (next func() string, end func()) {
		t.Helper()
		conn, resp, err := websocket.Dial(t.Context(), s.URL+"/live/log?subscription=socket", nil)
		if err != nil {
			t.Fatal(resp, err)
		}
		return func() string {
			_, message, err := conn.Read(t.Context())
			var m struct{ Data json.RawMessage }
			if err != nil || json.Unmarshal(message, &m) != nil {
				return "end"
			}
			return string(m.Data)
		}, func() { _ = conn.CloseNow() }
	}
	n := 0
	for round, connect := range []func() (func() string, func()){open, socket} {
		id := []string{"stream", "socket"}[round]
		m := 0 // the next that this one has to get
		for range 3 {
			if err := s.publish("log", fmt.Sprint(n)); err != nil {
				t.Fatal(err)
			}
			n++
			next, end := connect()
			for ; m < n; m++ {
				got := next()
				for known, err := strconv.Atoi(got); err == nil && known < m; known, err = strconv.Atoi(got) {
					got = next() // the server was killed before it had stored that this was sent
				}
				if got != fmt.Sprint(m) {
					t.Fatalf("%s: %s came, want %d", id, got, m)
				}
			}
			s.awaitSubscription(id, func(s subscription) bool { return s.Progress.Lag == 0 })
			end()
			s.kill()
			s.start()
		}
		next, end := connect()
		s.do("PATCH", "/v1/subscriptions/"+id, `{"status":"suspended"}`, http.StatusOK, nil)
		got := next()
		for known, err := strconv.Atoi(got); err == nil && known < m; known, err = strconv.Atoi(got) {
			got = next()
		}
		if id == "stream" && strings.Contains(got, `"code":40300`) { // over WebSocket the close code says it
			got = next()
		}
		if got != "end" {
			t.Errorf("%s: after it was suspended came %s", id, got)
		}
		end()
		if resp, body := s.get("/live/log?subscription="+id, "Accept", "text/event-stream"); id == "stream" && (resp.StatusCode != http.StatusConflict || !strings.Contains(body, "subscription-inactive")) {
			t.Errorf("%s: while it is suspended: %s %s", id, resp.Status, body)
		}
		s.do("PATCH", "/v1/subscriptions/"+id, `{"status":"active"}`, http.StatusOK, nil)
		if err := s.publish("log", fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
		n++
		if next, end = connect(); next() != fmt.Sprint(n-1) {
			t.Errorf("%s does not go on where it was", id)
		}
		end()
	}
}

// A page of another origin moves no cursor: it gets no stream of a stored subscription, over WebSocket, which
// browsers let any page open, as little as over HTTP, where it could not read what comes.
func TestStoredStreamsOfOtherOrigins(t *testing.T) {
	t.Parallel()
	s := serve(t, "cors: {origins: [\"https://app.example.com\"]}\n"+eventTopic)
	for id, kind := range map[string]string{"stream": "sse", "socket": "websocket"} {
		s.subscribe("log", `{"id":"`+id+`","type":"`+kind+`","start":"beginning"}`)
	}
	if err := s.publish("log", "1"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, value string
		want        int
	}{
		{"Origin", "https://evil.example.com", http.StatusForbidden},
		{"Origin", "null", http.StatusForbidden},
		{"Sec-Fetch-Site", "cross-site", http.StatusForbidden},
		{"Origin", "https://app.example.com", 0},
		{"Origin", s.URL, 0},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/live/log?subscription=stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(tt.name, tt.value)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if want := cmp.Or(tt.want, http.StatusOK); resp.StatusCode != want {
			t.Errorf("%s: %s: a stream gets %s, want %d", tt.name, tt.value, resp.Status, want)
		}
		cancel()
		_ = resp.Body.Close()
		conn, resp, err := websocket.Dial(t.Context(), s.URL+"/live/log?subscription=socket", &websocket.DialOptions{HTTPHeader: http.Header{tt.name: {tt.value}}})
		if (err == nil) != (tt.want == 0) || resp.StatusCode != cmp.Or(tt.want, http.StatusSwitchingProtocols) {
			t.Errorf("%s: %s: a WebSocket gets %v, %v", tt.name, tt.value, resp, err)
		}
		if err == nil {
			_ = conn.CloseNow()
		}
		if tt.want == 0 {
			continue
		}
		for _, id := range []string{"stream", "socket"} {
			if now := s.awaitSubscription(id, func(subscription) bool { return true }); now.Progress.EventID != "" {
				t.Errorf("%s: %s: the cursor of %s has moved to %s", tt.name, tt.value, id, now.Progress.EventID)
			}
		}
	}
}
