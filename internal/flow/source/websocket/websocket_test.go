package websocket_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ws "github.com/coder/websocket"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/websocket"
	"freshet/internal/freshettest"
	"freshet/internal/settings"
)

// An upstream lets script speak on connection number n, and remembers the requests.
type upstream struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
}

func serve(t *testing.T, script func(n int, c *ws.Conn)) *upstream {
	t.Helper()
	u := &upstream{}
	u.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		u.seen = append(u.seen, r)
		n := len(u.seen)
		u.mu.Unlock()
		c, err := ws.Accept(w, r, &ws.AcceptOptions{Subprotocols: []string{"v2", "v1"}})
		if err != nil {
			return
		}
		defer c.CloseNow()
		script(n, c)
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) requests() []*http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seen
}

func (u *upstream) config(more string) string {
	if u.URL == "" {
		u.Start()
	}
	if more != "" {
		more = "," + more
	}
	return fmt.Sprintf(`{"url":"ws%s/feed?a=b"%s}`, strings.TrimPrefix(u.URL, "http"), more)
}

func say(c *ws.Conn, messages ...string) {
	for _, m := range messages {
		_ = c.Write(context.Background(), ws.MessageText, []byte(m))
	}
}

// hang reads until the source goes, as one has to for pings to be answered.
func hang(c *ws.Conn) { <-c.CloseRead(context.Background()).Done() }

func await(t *testing.T, to *freshettest.Sink, code int) (f freshet.Fault) {
	t.Helper()
	freshettest.WaitFor(t, 20*time.Second, fmt.Sprintf("a fault with the code %d", code), func() bool {
		for _, f = range to.Faults() {
			if f.Code == code {
				return true
			}
		}
		return false
	})
	return f
}

func TestOptions(t *testing.T) {
	all := []string{`{"channel":"a", "data":{"x":1}}`, `{"channel":"b","data":2}`, `{"ack":1}`, `{"channel":{"of":[1,2]},"data":3}`, `{"data":null,"channel":null}`}
	for _, tt := range []struct {
		name, options string
		want          []string
	}{
		{"nothing", "", all},
		{"pointer", `"payloadPointer":"/data"`, []string{`{"x":1}`, "2", "3", "null"}},
		{"filter", `"filter":{"pointer":"/channel","value":"a"}`, all[:1]},
		{"filter by an object", `"filter":{"pointer":"/channel","value":{"of": [1, 2]}},"payloadPointer":"/data"`, []string{"3"}},
		{"filter by null", `"filter":{"pointer":"/channel","value":null},"payloadPointer":"/data"`, []string{"null"}},
		{"filter by presence", `"filter":{"pointer":"/ack"}`, all[2:3]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := serve(t, func(_ int, c *ws.Conn) { say(c, all...); hang(c) })
			to := &freshettest.Sink{}
			freshettest.Run(t, websocket.Kind(), u.config(tt.options), freshettest.Env(t), to)
			to.Await(t, tt.want...)
			if to.Fine() != 1 || len(to.Faults()) > 0 {
				t.Errorf("fine %d times, %v", to.Fine(), to.Faults())
			}
		})
	}
}

func TestRequestAndSubscription(t *testing.T) {
	t.Parallel()
	u := serve(t, func(_ int, c *ws.Conn) {
		for range 3 {
			_, data, err := c.Read(context.Background())
			if err != nil {
				return
			}
			text, _ := json.Marshal(string(data))
			say(c, string(text))
		}
		text, _ := json.Marshal(c.Subprotocol())
		_ = c.Write(context.Background(), ws.MessageBinary, text)
		hang(c)
	})
	to := &freshettest.Sink{}
	env := freshettest.Env(t)
	env.Secrets = settings.Vault{Named: map[string]settings.Secret{"key": `s3"cret`}}
	freshettest.Run(t, websocket.Kind(), u.config(`"headers":{"X-Api-Key":"secret:key"},"authorization":{"type":"basic","user":"u","password":"p"},"subprotocols":["v1","v3"],
		"subscribe":[{"op":"auth", "key":"secret:key","n":1.0,"secret:key":"x","e":"\u00e9\"secret:key"},"hello secret:key",["plain:secret:key"]]`), env, to)
	to.Await(t, `"{\"op\":\"auth\", \"key\":\"s3\\\"cret\",\"n\":1.0,\"secret:key\":\"x\",\"e\":\"\\u00e9\\\"secret:key\"}"`, `"hello secret:key"`, `"[\"secret:key\"]"`, `"v1"`)
	r := u.requests()[0]
	if user, password, _ := r.BasicAuth(); r.Header.Get("X-Api-Key") != `s3"cret` || user+password != "up" || r.URL.String() != "/feed?a=b" {
		t.Errorf("%s %v", r.URL, r.Header)
	}
}

// What cannot be taken stops nothing.
func TestPoison(t *testing.T) {
	t.Parallel()
	u := serve(t, func(_ int, c *ws.Conn) {
		say(c, `{"a":1}`, "no JSON", `"`+strings.Repeat("x", 100_000)+`"`, `{"a":1}`)
		hang(c)
	})
	for _, options := range []string{"", `"payloadPointer":"/a"`} {
		to := &freshettest.Sink{}
		env := freshettest.Env(t)
		env.Limit = 100_000
		stop := freshettest.Run(t, websocket.Kind(), u.config(options), env, to)
		freshettest.WaitFor(t, 20*time.Second, "two payloads", func() bool { return len(to.Payloads()) == 2 })
		if f := to.Faults(); len(f) != 2 || f[0].Code != freshet.FaultFormat || f[1].Code != freshet.FaultSize {
			t.Error(f)
		}
		stop()
	}
}

// What was received before the connection ended is handed over, even where the journal is slow; and the
// next connection goes on.
func TestReconnect(t *testing.T) {
	t.Parallel()
	u := serve(t, func(n int, c *ws.Conn) {
		say(c, strconv.Itoa(n), strconv.Itoa(n*10))
		if n == 2 {
			_ = c.Close(4001, "s3cret")
			return
		}
		if n > 2 {
			hang(c)
		}
	})
	refused := 0
	to := &freshettest.Sink{Refuse: func(source.Payload) error {
		if refused++; refused < 4 {
			return freshet.ErrUnavailable
		}
		return nil
	}}
	stop := freshettest.Run(t, websocket.Kind(), u.config(""), freshettest.Env(t), to)
	to.Await(t, "1", "10", "2", "20", "3", "30")
	f := to.Faults()
	if len(f) != 2 || f[0].Code != freshet.FaultConnection || !strings.Contains(f[1].Message, "4001") || strings.Contains(f[1].Message, "s3cret") {
		t.Error(f)
	}
	began := time.Now()
	if stop(); time.Since(began) > time.Second {
		t.Errorf("stopped after %v", time.Since(began))
	}
}

// A connection that answers no ping is made anew. One whose messages the journal does not take in time is not.
func TestPing(t *testing.T) {
	t.Parallel()
	u := serve(t, func(n int, c *ws.Conn) {
		say(c, strconv.Itoa(n))
		if n == 1 {
			time.Sleep(4 * time.Second) // reads nothing, so pings are not answered
			return
		}
		hang(c)
	})
	to := &freshettest.Sink{}
	freshettest.Run(t, websocket.Kind(), u.config(`"pingInterval":"PT1S"`), freshettest.Env(t), to)
	to.Await(t, "1", "2")
	if f := to.Faults(); len(f) != 1 || !strings.Contains(f[0].Message, "ping") {
		t.Error(f)
	}

	slow := serve(t, func(n int, c *ws.Conn) {
		go func() {
			for i := range 2000 {
				say(c, strconv.Itoa(n*10000+i))
			}
		}()
		hang(c)
	})
	count := 0
	to = &freshettest.Sink{Refuse: func(source.Payload) error {
		if count++; count == 1 || count == 500 {
			time.Sleep(3 * time.Second)
		}
		return nil
	}}
	freshettest.Run(t, websocket.Kind(), slow.config(`"pingInterval":"PT1S"`), freshettest.Env(t), to)
	var want []string
	for i := range 2000 {
		want = append(want, strconv.Itoa(10000+i))
	}
	to.Await(t, want...)
	if len(to.Faults()) > 0 {
		t.Error(to.Faults())
	}
}

func TestRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		code   int
	}{
		"401":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, 70401},
		"teapot":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }, freshet.FaultPublication},
		"a page":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }, freshet.FaultPublication},
		"redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, freshet.FaultRedirect},
		"half": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "websocket")
			w.WriteHeader(http.StatusSwitchingProtocols)
		}, freshet.FaultPublication},
		"cut": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, freshet.FaultConnection},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tt.answer)
			t.Cleanup(server.Close)
			to := &freshettest.Sink{}
			freshettest.Run(t, websocket.Kind(), fmt.Sprintf(`{"url":"ws%s/?token=s3cret"}`, strings.TrimPrefix(server.URL, "http")), freshettest.Env(t), to)
			if f := await(t, to, tt.code); strings.Contains(f.Message, "s3cret") {
				t.Error(f)
			}
		})
	}
	to := &freshettest.Sink{}
	freshettest.Run(t, websocket.Kind(), `{"url":"ws://10.0.0.1/"}`, freshettest.Env(t), to)
	await(t, to, freshet.FaultConfig)
}

func TestTLS(t *testing.T) {
	t.Parallel()
	u := serve(t, func(_ int, c *ws.Conn) { say(c, "1"); hang(c) })
	u.EnableHTTP2 = true
	u.StartTLS()
	ca, _ := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: u.Certificate().Raw})))
	to := &freshettest.Sink{}
	stop := freshettest.Run(t, websocket.Kind(), u.config(fmt.Sprintf(`"tls":{"ca":%s}`, ca)), freshettest.Env(t), to)
	to.Await(t, "1")
	stop()
	freshettest.Run(t, websocket.Kind(), u.config(""), freshettest.Env(t), to)
	await(t, to, freshet.FaultConnection)
}

func TestMistakes(t *testing.T) {
	for config, pointer := range map[string]string{
		`{}`:                                "/url",
		`{"url":"http://example.com"}`:      "/url",
		`{"url":"ws://user:p@example.com"}`: "/url",
		`{"url":"ws://example.com","headers":{"Sec-WebSocket-Protocol":"x"}}`:                                 "/headers/Sec-WebSocket-Protocol",
		`{"url":"ws://example.com","headers":{"X-Api-Key":"x"},"authorization":{"type":"api-key","key":"y"}}`: "/headers/X-Api-Key",
		`{"url":"ws://example.com","subprotocols":["a","b c"]}`:                                               "/subprotocols/1",
		`{"url":"ws://example.com","pingInterval":"PT0S"}`:                                                    "/pingInterval",
		`{"url":"ws://example.com","payloadPointer":"data"}`:                                                  "/payloadPointer",
		`{"url":"ws://example.com","filter":{"pointer":"data"}}`:                                              "/filter/pointer",
		`{"url":"ws://example.com","subscribe":{}}`:                                                           "/subscribe",
		`{"url":"wss://example.com","tls":{"key":"x"}}`:                                                       "/tls/key",
		`{"url":"ws://example.com","tls":{"serverName":"x"}}`:                                                 "/tls",
		`{"url":"wss://example.com","resume":{}}`:                                                             "/resume",
	} {
		if wrong := websocket.Kind().Check(json.RawMessage(config)); len(wrong) != 1 || wrong[0].Pointer != pointer {
			t.Errorf("%s: %v, want one at %s", config, wrong, pointer)
		}
	}
	shown := string(websocket.Kind().Mask(json.RawMessage(`{"url":"wss://example.com/?token=s3cret","subscribe":[{"auth":{"token":"s3cret"}}],"authorization":{"token":"s3cret"}}`)))
	if strings.Contains(shown, "s3cret") {
		t.Error(shown)
	}
}

// server is a program of Python's websockets, which numbers its messages where the one before it stopped.
const server = `
import asyncio, json, os, sys, websockets
async def feed(ws, path=None):
    subscription = json.loads(await ws.recv())
    while True:
        with open("count", "r+") as f:
            n = int(f.read() or 0)
            f.seek(0); f.write(str(n + 1))
        await ws.send(json.dumps({"channel": subscription["channel"], "data": n}))
        await ws.send(json.dumps({"channel": "other", "data": n}))
        await asyncio.sleep(0.01)
async def main():
    async with websockets.serve(feed, "127.0.0.1", int(sys.argv[1]), ping_interval=1):
        await asyncio.Future()
asyncio.run(main())
`

// The real thing: a server that others wrote, killed amid the stream. What it sends is taken from where it is
// back, each message once.
func TestServerThatIsKilled(t *testing.T) {
	t.Parallel()
	python := freshettest.Program(t, "apt-get install python3-websockets", "/usr/bin/python3", "python3")
	if exec.CommandContext(t.Context(), python, "-c", "import websockets").Run() != nil {
		freshettest.Skip(t, "Python's websockets is not installed (apt-get install python3-websockets)")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"server.py": server, "count": "0"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	port := strconv.Itoa(freshettest.Port(t))
	process := freshettest.Start(t, "127.0.0.1:"+port, func() *exec.Cmd {
		cmd := exec.Command(python, "server.py", port)
		cmd.Dir = dir
		return cmd
	})
	to := &freshettest.Sink{}
	stop := freshettest.Run(t, websocket.Kind(), `{"url":"ws://127.0.0.1:`+port+`","subscribe":[{"channel":"mine"}],"filter":{"pointer":"/channel","value":"mine"},"payloadPointer":"/data","pingInterval":"PT1S"}`, freshettest.Env(t), to)
	reach := func(n int) {
		freshettest.WaitFor(t, time.Minute, fmt.Sprint(n, " messages"), func() bool { return len(to.Payloads()) >= n })
	}
	reach(50)
	process.Kill()
	down := 5 * time.Second
	if os.Getenv("FRESHET_TEST_ALL") != "" {
		down = 30 * time.Second
	}
	time.Sleep(down)
	await(t, to, freshet.FaultConnection)
	process.Restart()
	reach(100)
	stop()
	last := -1
	for _, text := range to.Payloads() {
		n, err := strconv.Atoi(text)
		if err != nil || n <= last || n > last+20 { // what was on its way when it was killed is lost
			t.Fatalf("%q after %d", text, last)
		}
		last = n
	}
}

// counted counts the writes that the journal would make.
type counted struct {
	*freshettest.Sink
	writes, most atomic.Int64
}

func (c *counted) Payload(ctx context.Context, ps ...source.Payload) error {
	time.Sleep(time.Millisecond)
	c.writes.Add(1)
	c.most.Store(max(c.most.Load(), int64(len(ps))))
	return c.Sink.Payload(ctx, ps...)
}

// What is there together is written together.
func TestBatches(t *testing.T) {
	t.Parallel()
	u := serve(t, func(_ int, c *ws.Conn) {
		for i := range 2000 {
			say(c, strconv.Itoa(i))
		}
		hang(c)
	})
	to := &counted{Sink: &freshettest.Sink{}}
	freshettest.Run(t, websocket.Kind(), u.config(""), freshettest.Env(t), to)
	var want []string
	for i := range 2000 {
		want = append(want, strconv.Itoa(i))
	}
	to.Await(t, want...)
	if writes, most := to.writes.Load(), to.most.Load(); writes > 200 || most < 50 || most > source.BatchPayloads {
		t.Errorf("%d writes, the largest of %d payloads", writes, most)
	}
}

// A source that ends leaves nothing behind.
func TestNothingIsLeft(t *testing.T) {
	u := serve(t, func(_ int, c *ws.Conn) {
		for i := range 2000 {
			say(c, strconv.Itoa(i))
		}
		hang(c)
	})
	run := func() {
		to := &freshettest.Sink{}
		stop := freshettest.Run(t, websocket.Kind(), u.config(""), freshettest.Env(t), to)
		freshettest.WaitFor(t, 10*time.Second, "a payload", func() bool { return len(to.Payloads()) > 0 })
		began := time.Now()
		if stop(); time.Since(began) > time.Second {
			t.Errorf("stopped after %v", time.Since(began))
		}
	}
	run()
	before := runtime.NumGoroutine()
	for range 20 {
		run()
	}
	freshettest.WaitFor(t, 10*time.Second, "no goroutine more than before", func() bool {
		u.CloseClientConnections()
		return runtime.NumGoroutine() <= before+5
	})
}
