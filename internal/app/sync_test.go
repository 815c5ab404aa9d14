package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"freshet"
	"freshet/internal/app"
)

// once runs a Freshet, lets use talk to it, stops it and returns what it logged.
func once(t *testing.T, data string, topics []freshet.Topic, use func(base string)) (logged string) {
	t.Helper()
	var out locked
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	log := slog.New(slog.NewTextHandler(&out, nil))
	err := app.Run(ctx, app.Config{Listen: "127.0.0.1:0", Data: data, Topics: topics, Version: "v1.2.3"}, log, func(s app.Server) { use(s.URL); stop() })
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// locked is a log that may be read while it is written.
type locked struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}

func history(t *testing.T, url string) string {
	t.Helper()
	_, body := do(t, "GET", url, "", "Accept: application/x-ndjson")
	return body
}

// A topic that leaves the file takes its history with it, and the log says so. So does one that the file
// gives another kind; it begins anew.
func TestTopicsThatLeaveTheFile(t *testing.T) {
	data := t.TempDir()
	events, doc := pushed("t", freshet.KindEvent), pushed("t", freshet.KindSnapshot)
	stays := pushed("stays", freshet.KindEvent)
	secret := pushed("polled", freshet.KindSnapshot)
	secret.Source = freshet.Source{Type: "http-poller", Config: json.RawMessage(`{"url":"https://api.example.com/?key=` + marker + `"}`)}
	says := func(when, logged string, lines ...string) {
		t.Helper()
		for _, want := range lines {
			level, rest, _ := strings.Cut(want, " ")
			if !strings.Contains(logged, "level="+level+` msg="topic `+rest) {
				t.Errorf("%s, the log does not say %q:\n%s", when, want, logged)
			}
		}
		if n := strings.Count(logged, `msg="topic `); n != len(lines) || strings.Contains(logged, marker) {
			t.Errorf("%s, the log has %d lines about topics; want %d:\n%s", when, n, len(lines), logged)
		}
	}
	three := func(base string) {
		for _, body := range []string{`1`, `2`, `3`} {
			post(t, base+"/live/t", body)
		}
	}

	var id string
	logged := once(t, data, []freshet.Topic{events, stays, secret}, func(base string) {
		three(base)
		post(t, base+"/live/stays", `"here"`)
		resp, _ := do(t, "HEAD", base+"/live/t", "")
		id = strings.Trim(resp.Header.Get("ETag"), `"`)
		do(t, "POST", base+"/v1/topics", `{"name":"mine","kind":"event","source":{"type":"http-post","alwaysOn":true}}`, "Content-Type: application/json")
		post(t, base+"/live/mine", `"mine"`)
	})
	says("at first", logged, `INFO added by the configuration file" topic=t`, `INFO added by the configuration file" topic=stays`, `INFO added by the configuration file" topic=polled`)
	for _, want := range []string{"msg=listening", "version=v1.2.3", "topics=3", "data=" + data, "msg=stopped"} {
		if !strings.Contains(logged, want) {
			t.Errorf("the log does not say %s:\n%s", want, logged)
		}
	}
	says("with the same file", once(t, data, []freshet.Topic{events, stays, secret}, func(string) {}))

	logged = once(t, data, []freshet.Topic{stays}, func(base string) {
		if resp, _ := do(t, "GET", base+"/live/t", ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("a topic that left the file: %s", resp.Status)
		}
	})
	says("without them", logged, `WARN removed with its history: it left the configuration file" topic=t`, `WARN removed with its history: it left the configuration file" topic=polled`)

	logged = once(t, data, []freshet.Topic{events, stays}, func(base string) {
		if body := history(t, base+"/live/t"); body != "" {
			t.Errorf("a topic that came back has its old history: %s", body)
		}
		if s := open(t, base+"/live/t", "Last-Event-ID: "+id); s.resp.Header.Get("Freshet-Resumed") != "false" {
			t.Error("an id of the old history is resumed")
		}
		three(base)
	})
	says("back again", logged, `INFO added by the configuration file" topic=t`)

	mine := pushed("mine", freshet.KindSnapshot)
	changed := stays
	changed.Description = "changed"
	logged = once(t, data, []freshet.Topic{doc, changed, mine}, func(base string) {
		for _, name := range []string{"t", "mine"} {
			if body := history(t, base+"/live/"+name); body != "" {
				t.Errorf("%s, of another kind now, has its old history: %s", name, body)
			}
		}
		post(t, base+"/live/t", `{"n":1}`)
		if body := history(t, base+"/live/t"); !strings.Contains(body, `"type":"snapshot","revision":1,`) || strings.Contains(body, `"event"`) {
			t.Errorf("made anew: %s", body)
		}
		if body := history(t, base+"/live/stays"); !strings.Contains(body, "here") {
			t.Errorf("a changed topic has lost its history: %q", body)
		}
	})
	says("of another kind", logged, `WARN made anew and its history dropped: the configuration file gives it another kind" topic=t kind=snapshot was=event`,
		`WARN made anew and its history dropped: the configuration file gives it another kind" topic=mine`, `INFO changed by the configuration file" topic=stays`)

	logged = once(t, data, nil, func(base string) {
		if _, body := do(t, "GET", base+"/v1/topics", ""); !strings.Contains(body, `"total":0`) {
			t.Errorf("without a file: %s", body)
		}
	})
	says("without a file", logged, `WARN removed with its history: it left the configuration file" topic=t`, `WARN removed with its history: it left the configuration file" topic=stays`,
		`WARN removed with its history: it left the configuration file" topic=mine`)
}
