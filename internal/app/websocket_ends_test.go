package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"freshet"
	"freshet/internal/app"
)

// A server that stops tells each client when to come back, also those that follow nothing.
func TestSocketStop(t *testing.T) { onEverySocketPath(t, socketStop) }

func socketStop(t *testing.T, on path) {
	c := app.Config{Listen: "127.0.0.1:0", Data: t.TempDir(), Portable: on.portable, Topics: []freshet.Topic{pushed("log", freshet.KindEvent)}}
	if on.tls {
		c.TLS = filesOf(t, testKeys)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ready, done := make(chan app.Server, 1), make(chan error, 1)
	go func() {
		done <- app.Run(ctx, c, slog.New(slog.DiscardHandler), func(s app.Server) { ready <- s })
	}()
	url := (<-ready).URL
	if on.http1 {
		url = strings.Replace(url, "127.0.0.1", "localhost", 1)
	}
	one, several, none := dial(t, url+"/live/log", nil), dial(t, url+"/live?topic=log", nil), dial(t, url+"/live", nil)
	several.expect("subscribed")
	rude := rawOpen(t, url+"/live/log", "") // does not answer the close
	began := time.Now()
	stop()
	for _, w := range []*ws{one, several, none} {
		w.closed(websocket.StatusGoingAway, "reconnect in ")
	}
	if first, payload, err := rude.frame(); first != 0x88 || err != nil {
		t.Errorf("got %x %q, %v; want a close", first, payload, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the stop took %v", took)
	}
}

// Over a limit there is an answer of HTTP, and over an open connection a message.
func TestSocketLimits(t *testing.T) {
	base := serve(t, app.Config{Limits: app.LimitsConfig{Connections: 3, PerTopic: 1}, Topics: []freshet.Topic{pushed("a", freshet.KindEvent), pushed("b", freshet.KindEvent)}})
	first := dial(t, base+"/live/a", nil)
	refused := func(path string) {
		t.Helper()
		w, err := tryDial(t, base+path, nil)
		if err == nil || w.resp == nil || w.resp.StatusCode != http.StatusServiceUnavailable || w.resp.Header.Get("Retry-After") == "" {
			t.Fatalf("%s over a limit: %v", path, err)
		}
	}
	refused("/live/a")
	many := dial(t, base+"/live", nil)
	many.send(`{"type":"subscribe","topic":"a"}`)
	many.expect("error", `"code":50503`)
	many.send(`{"type":"subscribe","topic":"b"}`)
	many.expect("subscribed")
	dial(t, base+"/live", nil)
	refused("/live")
	if err := first.conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for { // it is counted out a moment after it has gone
		if w, err := tryDial(t, base+"/live/a", nil); err == nil {
			_ = w.conn.CloseNow()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("a connection that was closed still counts")
		}
	}
}

// One connection follows at most 100 topics.
func TestSocketOfTooMany(t *testing.T) {
	var topics []freshet.Topic
	for n := range 101 {
		topics = append(topics, pushed(fmt.Sprintf("t%d", n), freshet.KindEvent))
	}
	base := serve(t, app.Config{Topics: topics})
	s := dial(t, base+"/live", nil)
	for n := range 100 {
		s.send(fmt.Sprintf(`{"type":"subscribe","topic":"t%d"}`, n))
		s.expect("subscribed")
	}
	s.send(`{"type":"subscribe","topic":"t100"}`)
	s.expect("error", `"code":40000`, "100 topics")
	post(t, base+"/live/t99", `1`)
	s.expect("event", `"topic":"t99"`)
	s.send(`{"type":"publish","topic":"t1","data":1}`)
	s.expect("error", `"code":70403`, "websocket.publish")
	s.send(`{"type":"unsubscribe","topic":"t0"}`)
	s.expect("unsubscribed")
	s.send(`{"type":"subscribe","topic":"t100"}`)
	s.expect("subscribed")
}

// Who does not take messages as fast as they come is told, goes on where it was, and gets each of them.
func TestSocketSlow(t *testing.T) { onEverySocketPath(t, socketSlow) }

func socketSlow(t *testing.T, on path) {
	base := on.serve(t, app.Config{Topics: []freshet.Topic{pushed("log", freshet.KindEvent), pushed("doc", freshet.KindSnapshot)}})
	const batches, lines = 9, 256
	for _, path := range []string{"/live/log?", "/live?topic=log&"} {
		slow := rawOpen(t, base+path, "")
		first := 0
		for n := range batches {
			var body strings.Builder
			for i := range lines {
				fmt.Fprintf(&body, `{"n":%d,"text":"%s"}`+"\n", n*lines+i, strings.Repeat("x", 4000))
			}
			if resp, text := do(t, "POST", base+"/live/log", body.String(), "Content-Type: application/x-ndjson"); resp.StatusCode != http.StatusAccepted {
				t.Fatal(resp.Status, text)
			}
		}
		id, got := "", 0
		for {
			op, payload, err := slow.frame()
			if err != nil {
				t.Fatalf("%s ended with %v; want a close", path, err)
			}
			if op == 0x88 {
				if code := int(payload[0])<<8 | int(payload[1]); code != 1013 {
					t.Fatalf("closed with %d %s", code, payload[2:])
				}
				break
			}
			var m wsMessage
			if err := json.Unmarshal(payload, &m); err != nil {
				t.Fatal(err)
			}
			switch m.Type {
			case "event":
				id = m.ID
				if got == 0 {
					first = number(t, m)
				}
				if n := number(t, m); n != first+got {
					t.Fatalf("message %d follows %d others", n, got)
				}
				got++
			case "error":
				if !strings.Contains(m.raw+string(m.Data), "50503") || m.ID != id && id != "" {
					t.Fatalf("got %s after %s", payload, id)
				}
				id = m.ID
			}
		}
		if got == batches*lines {
			t.Fatal("the connection took everything: it was not slow")
		}
		again := dial(t, base+path+"lastEventId="+idOn(path, id), nil)
		for n := got; n < batches*lines; n++ {
			m := again.next()
			if m.Type == "subscribed" {
				m = again.next()
			}
			if m.Type != "event" || number(t, m) != first+n {
				t.Fatalf("got %.80s; want message %d", m.raw, n)
			}
		}
	}
}

func idOn(path, id string) string {
	if strings.HasPrefix(path, "/live?") {
		return "log=" + id
	}
	return id
}

func number(t *testing.T, m wsMessage) int {
	t.Helper()
	var d struct{ N int }
	if err := json.Unmarshal(m.Data, &d); err != nil {
		t.Fatal(err)
	}
	return d.N
}

// Who comes back with an id that is older than what is in memory gets what it missed from the journal.
func TestSocketBacklog(t *testing.T) { onEverySocketPath(t, socketBacklog) }

func socketBacklog(t *testing.T, on path) {
	base := on.serve(t, app.Config{Topics: []freshet.Topic{pushed("log", freshet.KindEvent)}})
	var body strings.Builder
	const count = 5000
	for n := range count {
		fmt.Fprintf(&body, `{"n":%d}`+"\n", n)
	}
	if resp, text := do(t, "POST", base+"/live/log", body.String(), "Content-Type: application/x-ndjson"); resp.StatusCode != http.StatusAccepted {
		t.Fatal(resp.Status, text)
	}
	s := dial(t, base+"/live/log?from=beginning", nil)
	middle := ""
	for n := range count {
		m := s.expect("event")
		if number(t, m) != n {
			t.Fatalf("got %s; want %d", m.raw, n)
		}
		if n == 100 {
			middle = m.ID
		}
	}
	post(t, base+"/live/log", `{"n":5000}`)
	s.expect("event", "5000")
	again := dial(t, base+"/live", nil)
	again.send(`{"type":"subscribe","topic":"log","lastEventId":"` + middle + `"}`)
	again.expect("subscribed", `"resumed":true`)
	for n := 101; n <= count; n++ {
		if m := again.expect("event"); number(t, m) != n {
			t.Fatalf("got %s; want %d", m.raw, n)
		}
	}
}

// A client that sends more than is read at once is heard to the end, and the others meanwhile.
func TestSocketFlood(t *testing.T) { onEverySocketPath(t, socketFlood) }

func socketFlood(t *testing.T, on path) {
	base := on.serve(t, app.Config{Topics: []freshet.Topic{pushed("log", freshet.KindEvent)}})
	for _, path := range []string{"/live/log", "/live"} {
		other := dial(t, base+"/live/log", nil)
		flood := rawOpen(t, base+path, "")
		pings := append(bytes.Repeat(masked(0x89, bytes.Repeat([]byte("p"), 125)), 5000), masked(0x89, []byte("the last"))...)
		go func() { _, _ = flood.c.Write(pings) }() // what is not taken is missed below
		post(t, base+"/live/log", `"amid"`)
		other.expect("event", `"amid"`)
		for {
			op, payload, err := flood.frame()
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if op == 0x8A && string(payload) == "the last" {
				break
			}
		}
	}
}
