package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// verify has clients/verify.mjs look at requests.
func verify(t *testing.T, secret string, calls []call) []string {
	t.Helper()
	var in bytes.Buffer
	for _, c := range calls {
		headers := map[string]string{}
		for name, values := range c.header {
			headers[strings.ToLower(name)] = values[0]
		}
		line, err := json.Marshal(map[string]any{"headers": headers, "body": c.body})
		if err != nil {
			t.Fatal(err)
		}
		in.Write(append(line, '\n'))
	}
	node := exec.CommandContext(t.Context(), "node", "verify.mjs", secret)
	node.Dir, node.Stdin = nodeClients(t), &in
	out, err := node.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// What is signed verifies with the libraries of Standard Webhooks, in every attempt, and with either secret while
// one replaces the other; nothing else does.
func TestSignatures(t *testing.T) {
	t.Parallel()
	h := newHook(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	s := serve(t, eventTopic)
	made := s.subscribe("log", `{"id":"a","type":"webhook","config":{"url":"`+h.URL+`/","retries":["PT0.1S"]}}`)
	if len(made.Config.Secrets) != 1 || !strings.HasPrefix(made.Config.Secrets[0], "whsec_") {
		t.Fatalf("the secret that was made is not shown: %+v", made)
	}
	if shown := s.awaitSubscription("a", func(subscription) bool { return true }); shown.Config.Secrets[0] == made.Config.Secrets[0] {
		t.Errorf("the secret is shown again: %+v", shown)
	}
	secret, other := made.Config.Secrets[0], "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	if err := s.publish("log", `{"text":"äöü \u2028 \"quoted\""}`); err != nil {
		t.Fatal(err)
	}
	h.await(t, 2)
	s.do("PATCH", "/v1/subscriptions/a", `{"config":{"secrets":["`+other+`","`+secret+`"]}}`, http.StatusOK, nil)
	if err := s.publish("log", `2`); err != nil {
		t.Fatal(err)
	}
	calls := h.await(t, 3)
	for _, key := range []string{secret, other} {
		wh, err := standard.NewWebhook(key)
		if err != nil {
			t.Fatal(err)
		}
		node := verify(t, key, calls)
		for i, c := range calls {
			right := key == secret || i == 2
			if err := wh.Verify([]byte(c.body), c.header); (err == nil) != right {
				t.Errorf("request %d with %s: %v", i, key, err)
			}
			if (node[i] == "right") != right {
				t.Errorf("request %d with %s in Node.js: %s", i, key, node[i])
			}
			if wh.Verify([]byte(c.body+" "), c.header) == nil {
				t.Errorf("request %d with another body is right", i)
			}
		}
	}
}

// CloudEvents in each of their forms are read by the libraries of others.
func TestCloudEvents(t *testing.T) {
	t.Parallel()
	h := newHook(t, accept)
	s := serve(t, eventTopic)
	for id, options := range map[string]string{"binary": `"format":"cloudevents-binary"`, "structured": `"format":"cloudevents-structured"`, "batch": `"format":"cloudevents-structured","batch":{}`} {
		s.subscribe("doc", `{"id":"`+id+`","type":"webhook",`+options+`,"config":{"url":"`+h.URL+"/"+id+`"}}`)
	}
	const document = `{"price":1.50,"name":"Ä"}`
	if err := s.publish("doc", document); err != nil {
		t.Fatal(err)
	}
	calls := h.await(t, 3)
	for i, said := range verify(t, "-", calls) {
		var e struct {
			ID, Type, Source string
			Data             json.RawMessage
		}
		if json.Unmarshal([]byte(said), &e) != nil || e.ID != calls[i].event || e.Type != "dev.freshet.snapshot" || e.Source != "/live/doc" || string(e.Data) != `{"price":1.5,"name":"Ä"}` {
			t.Errorf("%s in Node.js: %s", calls[i].path, said)
		}
	}
	for _, c := range calls {
		r, err := http.NewRequestWithContext(t.Context(), "POST", h.URL, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = c.header
		message := cehttp.NewMessageFromHttpRequest(r)
		var events []event.Event
		if message.ReadEncoding() == binding.EncodingBatch {
			events, err = binding.ToEvents(t.Context(), message, message.BodyReader)
		} else {
			var one *event.Event
			if one, err = binding.ToEvent(t.Context(), message); err == nil {
				events = []event.Event{*one}
			}
		}
		if err != nil || len(events) != 1 {
			t.Errorf("%s: %v, %v", c.path, events, err)
			continue
		}
		e := events[0]
		if e.Validate() != nil || e.ID() != c.event || string(e.Data()) != document || e.Subject() != "doc" || e.Time().IsZero() || fmt.Sprint(e.Extensions()["revision"]) != "1" {
			t.Errorf("%s: %s", c.path, e)
		}
	}
}
