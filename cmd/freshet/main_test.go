package main

import (
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"freshet": main})
}

// The scripts are transcripts of the commands, most of them against a server that says what the
// protocol says, one against ours.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			server := httptest.NewServer(http.HandlerFunc(answer))
			env.Defer(server.Close)
			env.Defer(server.CloseClientConnections) // streams are open
			secure := httptest.NewTLSServer(http.HandlerFunc(answer))
			env.Defer(secure.Close)
			ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
			if err := os.WriteFile(filepath.Join(env.WorkDir, "ca.pem"), ca, 0o600); err != nil {
				return err
			}
			env.Setenv("TLS_SERVER", secure.URL)
			env.Setenv("TLS_ADDRESS", strings.TrimPrefix(secure.URL, "https://"))
			port, err := freePort()
			env.Setenv("FRESHET_SERVER", server.URL)
			env.Setenv("PORT", port)
			env.Setenv("TZ", "UTC")
			env.Setenv("GORACE", "atexit_sleep_ms=0") // otherwise each command takes a second to end
			env.Setenv("TMPDIR", env.WorkDir)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"answers": answers, "holds": holds},
	})
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// answers waits until a URL is answered with 200.
func answers(ts *testscript.TestScript, _ bool, args []string) {
	within(ts, func() error {
		res, err := http.Get(args[0])
		if err != nil {
			return err
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers with status %d", args[0], res.StatusCode)
		}
		return nil
	})
}

// holds waits until a file holds a text.
func holds(ts *testscript.TestScript, _ bool, args []string) {
	within(ts, func() error {
		data, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && !strings.Contains(string(data), args[1]) {
			err = fmt.Errorf("%s holds no %q but %q", args[0], args[1], data)
		}
		return err
	})
}

// within tries until it works, or fails the script. Other processes have no fake clock.
func within(ts *testscript.TestScript, try func() error) {
	err := try()
	for deadline := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(deadline); err = try() {
		time.Sleep(10 * time.Millisecond)
	}
	ts.Check(err)
}

const (
	snapshot = "retry: 1\nevent: snapshot\ndata: [{\"id\":\"a\",\"price\":101.20},{\"id\":\"b\",\"price\":7.0}]\nid: 1-1-aa\n\n"
	patch2   = "event: patch\ndata: [{\"op\":\"replace\",\"path\":\"/0/price\",\"value\":101.35},{\"op\":\"add\",\"path\":\"/2\",\"value\":{\"id\":\"<new>\"}}]\nid: 2-2-bb\n\n"
	fault    = "event: error\ndata: {\"datetime\":\"2026-01-02T03:04:05Z\",\"code\":70503,\"category\":\"publication\",\"message\":\"upstream answered 503\"}\nid: 2-3-bb\n\n"
	patch3   = "event: patch\ndata: [{\"op\":\"remove\",\"path\":\"/2\"},{\"op\":\"move\",\"from\":\"/0\",\"path\":\"/1\"},{\"op\":\"replace\",\"path\":\"/1\",\"value\":{\"id\":\"a\",\"price\":99,\"x\":true}}]\nid: 3-4-cc\n\n"
	hostile  = "event: snapshot\ndata: {}\nid: 1-1-aa\n\nevent: patch\ndata: [{\"op\":\"add\",\"path\":\"/\\u001b[2J\\u202e\",\"value\":\"" + "\u009b" + "31m\"}]\nid: 2-2-bb\n\n"
	small    = "event: snapshot\ndata: {\"a\":{\"x\":1,\"y\":2}}\nid: 1-1-aa\n\nevent: snapshot\ndata: {\"a\":{\"x\":3,\"y\":4}}\nid: 2-2-bb\n\n"
	wide     = "event: snapshot\ndata: {\"a\":{\"x\":1,\"y\":2}}\nid: 1-1-aa\n\nevent: patch\ndata: [{\"op\":\"replace\",\"path\":\"/a\",\"value\":{\"x\":3,\"y\":4}}]\nid: 2-2-bb\n\n"
	recovery = "event: recovered\ndata: {\"datetime\":\"2026-01-02T03:04:06Z\"}\nid: 2-4-bb\n\n"
	orders   = "event: event\ndata: {\"n\":1}\nid: 1-1-aa\n\nevent: event\ndata: {\"n\":2}\nid: 2-2-bb\n\n"
	document = "{ \"a/b\": {\"c\": 1.0},\n\"big\": 12345678901234567890 }"
)

// answer is the server.
func answer(w http.ResponseWriter, r *http.Request) {
	stream := strings.HasPrefix(r.Header.Get("Accept"), "text/event-stream")
	switch at := r.Method + " " + r.RequestURI; {
	case stream && at == "GET /live/prices" && r.Header.Get("Last-Event-ID") != "":
		events(w, r, ": reset history-expired\n"+snapshot)
	case stream && (at == "GET /live/prices" || at == "GET /live/https://api.example.com/v1//prices?a=b"):
		events(w, r, snapshot+patch2+fault+patch3)
	case stream && at == "GET /live/small":
		events(w, r, small+fault+recovery)
	case stream && at == "GET /live/wide":
		events(w, r, wide)
	case stream && at == "GET /live/doomed" && r.Header.Get("Last-Event-ID") != "":
		w.WriteHeader(http.StatusNoContent)
	case stream && at == "GET /live/doomed":
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, snapshot)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case at == "GET /api/hanging":
		<-r.Context().Done()
	case at == "GET /api/clock":
		write(w, 200, fmt.Sprintf(`{"now":%d}`, time.Now().UnixNano()))
	case strings.HasPrefix(at, "GET /live/clock?at=20"): // a time
		write(w, 200, `{}`)
	case stream && at == "GET /live/flaky" && r.Header.Get("Last-Event-ID") == "":
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, snapshot+patch2[:30])
	case stream && at == "GET /live/flaky":
		events(w, r, patch2)
	case stream && at == "GET /live/hostile":
		events(w, r, hostile)
	case stream && at == "GET /live/orders?from=beginning":
		events(w, r, orders)
	case stream && at == "GET /live/deleted":
		w.WriteHeader(http.StatusNoContent)
	case at == "GET /live/doc", at == "GET /live/doc?at=1-1-aa":
		w.Header().Set("ETag", `"1-1-aa"`)
		w.Header().Set("Freshet-Stale", "true")
		write(w, 200, document)
	case at == "GET /live/prices?at=1-1-aa":
		w.Header().Set("ETag", `"1-1-aa"`)
		write(w, 200, `[1]`)
	case at == "GET /live/prices?at=0-0-":
		problem(w, 410, "history-gone", "the history begins later")
	default:
		manage(w, r, at)
	}
}

const topics = `{"items":[
	{"name":"orders","kind":"event","description":"Orders","source":{"type":"http-post"},"status":{"state":"idle","subscribers":0,"revision":0}},
	{"name":"prices","kind":"snapshot","source":{"type":"http-poller"},"status":{"state":"running","subscribers":3,"revision":42,"bytes":48200,"lastChange":"2026-01-02T03:04:05Z"}}],"total":2}`

const failing = `{"items":[
	{"name":"orders","kind":"event","source":{"type":"http-post"},"status":{"state":"idle","subscribers":0,"revision":0}},
	{"name":"stuck","kind":"snapshot","source":{"type":"http-poller"},"status":{"state":"failing","subscribers":0,"revision":0,
		"fault":{"datetime":"2026-01-02T03:04:05Z","code":70503,"category":"publication","message":"upstream answered 503"}}}],"total":2}`

func manage(w http.ResponseWriter, r *http.Request, at string) {
	switch {
	case r.URL.Path == "/v1/topics" && r.Method == http.MethodGet && r.URL.Query().Get("search") == "x(":
		problem(w, 400, "invalid-parameter", "search: at 2: ( is not closed")
	case r.URL.Path == "/v1/topics" && r.Method == http.MethodGet && r.URL.Query().Get("search") == "failing":
		write(w, 200, failing)
	case r.URL.Path == "/v1/topics" && r.Method == http.MethodGet:
		write(w, 200, topics)
	case r.URL.Path == "/v1/topics" && r.Method == http.MethodPost:
		doc, _ := io.ReadAll(r.Body)
		if strings.Contains(string(doc), `"1ms"`) {
			w.Header().Set("Content-Type", "application/problem+json")
			write(w, 400, `{"type":"https://freshet.dev/errors/invalid-document","title":"invalid","errors":[
				{"pointer":"/source/config/pollingPeriod","detail":"is too short"},{"pointer":"/source/config/headers/X","detail":"is too long"}]}`)
			return
		}
		if !strings.Contains(string(doc), `"url"`) && !strings.Contains(string(doc), "http-post") {
			w.Header().Set("Content-Type", "application/problem+json")
			write(w, 400, `{"type":"https://freshet.dev/errors/invalid-document","title":"invalid","errors":[
				{"pointer":"/source/type","detail":"is required"},{"pointer":"/evry","detail":"unknown member: did you mean \"every\"?"}]}`)
			return
		}
		write(w, 201, string(doc))
	case at == "DELETE /v1/topics/prices":
		w.WriteHeader(http.StatusNoContent)
	case at == "DELETE /v1/topics/file":
		problem(w, 409, "managed-by-file", "topic file is managed by the configuration file")
	case at == "GET /v1/topics/prices":
		write(w, 200, `{"name":"prices","kind":"snapshot","source":{"type":"http-poller"}}`)
	default:
		problem(w, 404, "topic-not-found", "there is no such topic")
	}
}

// events sends a stream and keeps it open.
func events(w http.ResponseWriter, r *http.Request, text string) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, text)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func problem(w http.ResponseWriter, status int, slug, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	write(w, status, fmt.Sprintf(`{"type":"https://freshet.dev/errors/%s","title":"T","status":%d,"detail":%q}`, slug, status, detail))
}

func write(w http.ResponseWriter, status int, body string) {
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}
