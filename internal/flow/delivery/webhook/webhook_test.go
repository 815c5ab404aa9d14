package webhook_test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"freshet"
	"freshet/internal/egress"
	"freshet/internal/flow/delivery"
	"freshet/internal/flow/delivery/webhook"
	"freshet/internal/flow/source"
	"freshet/internal/freshettest"
	"freshet/internal/settings"
	"freshet/webhooks"
)

// An endpoint answers as handle says and keeps the requests.
type endpoint struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
}

func listen(t *testing.T, handle http.HandlerFunc, start func(*httptest.Server)) *endpoint {
	t.Helper()
	e := &endpoint{}
	e.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		e.mu.Lock()
		e.requests, e.bodies = append(e.requests, r), append(e.bodies, string(body))
		e.mu.Unlock()
		if handle != nil {
			handle(w, r)
		}
	}))
	start(e.Server)
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) last() *http.Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.requests[len(e.requests)-1]
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.requests)
}

func plain(s *httptest.Server) { s.Start() }

func env(t *testing.T) delivery.Env {
	t.Helper()
	client := egress.New(egress.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	t.Cleanup(client.Close)
	return delivery.Env{
		Client: client, Secure: func(c *tls.Config) source.Client { return client.Secure(c) }, Dial: client.Dial,
		UserAgent: "Freshet/test", Log: slog.New(slog.DiscardHandler),
	}
}

func target(t *testing.T, config string, env delivery.Env) delivery.Target {
	t.Helper()
	if wrong := webhook.Kind().Check(json.RawMessage(config)); wrong != nil {
		t.Fatalf("%s: %v", config, wrong)
	}
	made, err := webhook.Kind().New(&freshet.Subscription{ID: "sub", Topic: "topic", Format: delivery.FormatRaw, Config: json.RawMessage(config)}, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(made.Close)
	return made
}

func message() *delivery.Delivery {
	at := freshet.Position{Revision: 7, Sequence: 99, Tag: "ab"}
	return &delivery.Delivery{
		ID: "sub_" + at.String(), Subscription: "sub", Topic: "topic", Attempt: 1,
		Messages: []delivery.Message{{Event: freshet.Event{Position: at, Type: freshet.TypeEvent, Time: time.Now(), Data: []byte(`{"a":1}`)}}},
	}
}

// Each option does something, and no secret is in what is written down.
func TestOptions(t *testing.T) {
	e := listen(t, nil, plain)
	t.Setenv("FRESHET_TEST_HOOK", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	secrets := settings.Vault{Env: []string{"FRESHET_TEST_*"}, Named: map[string]settings.Secret{"token": "t0ken"}}
	for name, tt := range map[string]struct {
		options string
		right   func(*http.Request) bool
	}{
		"as it is":  {``, func(r *http.Request) bool { return r.Header.Get("Webhook-Signature") == "" && r.Method == "POST" }},
		"headers":   {`,"headers":{"X-Key":"s3cret"}`, func(r *http.Request) bool { return r.Header.Get("X-Key") == "s3cret" }},
		"reference": {`,"headers":{"X-Key":"secret:token"}`, func(r *http.Request) bool { return r.Header.Get("X-Key") == "t0ken" }},
		"secret": {`,"secrets":["env:FRESHET_TEST_HOOK"]`, func(r *http.Request) bool {
			key, _ := webhooks.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
			return key.Verify(r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), r.Header.Get("Webhook-Signature"), []byte(`{"a":1}`), time.Now(), time.Minute) == nil
		}},
		"secret lacking": {`,"secrets":["env:FRESHET_TEST_NONE","env:FRESHET_TEST_HOOK"]`, func(r *http.Request) bool {
			key, _ := webhooks.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
			return key.Verify(r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), r.Header.Get("Webhook-Signature"), []byte(`{"a":1}`), time.Now(), time.Minute) == nil
		}},
		"basic":  {`,"authorization":{"type":"basic","user":"u","password":"s3cret"}`, func(r *http.Request) bool { u, p, _ := r.BasicAuth(); return u == "u" && p == "s3cret" }},
		"bearer": {`,"authorization":{"type":"bearer","token":"secret:token"}`, func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer t0ken" }},
		"api-key": {`,"authorization":{"type":"api-key","key":"s3cret","in":"query","name":"key"}`, func(r *http.Request) bool {
			return r.URL.Query().Get("key") == "s3cret" && r.URL.Query().Get("q") == "1"
		}},
		"hmac": {`,"authorization":{"type":"hmac","secret":"s3cret"}`, func(r *http.Request) bool { return len(r.Header.Get("X-Signature")) == 64 }},
	} {
		to := target(t, `{"url":"`+e.URL+`/path?q=1"`+tt.options+`}`, withSecrets(env(t), secrets))
		d := message()
		if err := to.Deliver(t.Context(), d); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r := e.last()
		if !tt.right(r) || r.URL.Path != "/path" || r.Header.Get("User-Agent") != "Freshet/test" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Freshet-Event-Id") != "7-2r-ab" || r.Host != strings.TrimPrefix(e.URL, "http://") {
			t.Errorf("%s: %s %s %v", name, r.Method, r.URL, r.Header)
		}
		text, _ := json.Marshal(d.Exchange)
		if strings.Contains(string(text), "s3cret") || strings.Contains(string(text), "t0ken") || strings.Contains(string(text), "czNjcmV0") {
			t.Errorf("%s: a secret is in %s", name, text)
		}
	}
}

// Without any of its secrets nothing is sent.
func TestNoSecret(t *testing.T) {
	e := listen(t, nil, plain)
	to := target(t, `{"url":"`+e.URL+`","secrets":["env:FRESHET_TEST_NONE","env:FRESHET_TEST_NONE2"]}`, withSecrets(env(t), settings.Vault{Env: []string{"FRESHET_TEST_*"}}))
	if err := to.Deliver(t.Context(), message()); err == nil || !strings.Contains(err.Error(), "FRESHET_TEST_NONE") || e.count() != 0 {
		t.Errorf("%d requests: %v", e.count(), err)
	}
}

func withSecrets(e delivery.Env, v settings.Vault) delivery.Env {
	e.Secrets = v
	return e
}

// What an endpoint repeats of its credentials is not written down.
func TestEcho(t *testing.T) {
	t.Parallel()
	e := listen(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		w.Header().Set("X-Echo", r.Header.Get("Authorization")+r.URL.RawQuery)
		fmt.Fprintf(w, "%s %s %v %v", user, password, r.Header, r.URL.Query())
	}, plain)
	for _, options := range []string{
		`,"headers":{"X-Key":"s3cret-1"}`, `,"authorization":{"type":"bearer","token":"s3cret-1"}`, `,"authorization":{"type":"basic","user":"u","password":"s3cret-1"}`,
		`,"authorization":{"type":"api-key","key":"s3cret-1 &","in":"query","name":"key"}`,
	} {
		d := message()
		if err := target(t, `{"url":"`+e.URL+`/?token=s3cret-2"`+options+`}`, env(t)).Deliver(t.Context(), d); err != nil {
			t.Error(err)
		}
		text, _ := json.Marshal(d.Exchange)
		if strings.Contains(string(text), "s3cret") || strings.Contains(string(text), "czNjcmV0") || !strings.Contains(d.Exchange.Response.Body, "***") {
			t.Errorf("%s: %s", options, text)
		}
	}
}

// What an endpoint answers, and that it does not.
func TestAnswers(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	e := listen(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hang":
			<-release
		case "/close":
			conn, _, _ := http.NewResponseController(w).Hijack()
			_ = conn.Close()
		case "/redirect":
			http.Redirect(w, r, "/200", http.StatusTemporaryRedirect)
		case "/429":
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(429)
		case "/large":
			_, _ = w.Write(make([]byte, 1<<20))
		case "/long":
			w.Header().Set("Content-Security-Policy", strings.Repeat("x", 50_000))
		case "/broken":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "cut")
		case "/foreign", "/header":
			conn, _, _ := http.NewResponseController(w).Hijack()
			text := "HTTP/9 s3cret\r\n\r\n"
			if r.URL.Path == "/header" {
				text = "HTTP/1.1 200 OK\r\nSet-Cookie: " + strings.Repeat("s3cret", 20_000)
			}
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		default:
			var status int
			_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
			w.Header().Set("Set-Cookie", "s3cret")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "said")
		}
	}, plain)
	t.Cleanup(func() { close(release) })
	for path, want := range map[string]struct {
		text   string
		status int
		gone   bool
		wait   time.Duration
	}{
		"/200": {}, "/202": {}, "/204": {}, "/large": {}, "/long": {}, "/broken": {},
		"/foreign": {"is no HTTP/1.1", 0, false, 0}, "/header": {"a header of more than 65536 bytes", 0, false, 0},
		"/410": {"answered 410", 410, true, 0}, "/500": {"answered 500", 500, false, 0}, "/400": {"answered 400", 400, false, 0},
		"/429": {"answered 429", 429, false, 7 * time.Second}, "/redirect": {"answered 307", 307, false, 0},
		"/hang": {"no answer within PT0.3S", 0, false, 0}, "/close": {"closed the connection", 0, false, 0},
	} {
		d := message()
		err := target(t, `{"url":"`+e.URL+path+`","timeout":"PT0.3S"}`, env(t)).Deliver(t.Context(), d)
		if want.text == "" {
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
			continue
		}
		refusal, _ := errors.AsType[*delivery.Refusal](err)
		if refusal == nil || !strings.Contains(err.Error(), want.text) || refusal.Status != want.status || refusal.Gone != want.gone || refusal.RetryAfter != want.wait {
			t.Errorf("%s: %+v, want %+v", path, refusal, want)
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", path, err)
		}
		if strings.HasPrefix(path, "/5") && (d.Exchange.Response.Body != "said" || strings.Contains(d.Exchange.Response.Headers, "s3cret")) {
			t.Errorf("%s: the exchange is %+v", path, d.Exchange)
		}
	}
	for url, want := range map[string]string{"http://10.1.2.3/": "egress.allow", "http://127.0.0.1:1/": "refused", "http://nowhere.invalid/": "not known", strings.Replace(e.URL, "http", "https", 1): "does not speak TLS"} {
		if err := target(t, `{"url":"`+url+`"}`, env(t)).Deliver(t.Context(), message()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
	}
}

// A kept connection that the endpoint has closed meanwhile is no failed attempt.
func TestStaleConnection(t *testing.T) {
	t.Parallel()
	e := listen(t, nil, plain)
	to := target(t, `{"url":"`+e.URL+`"}`, env(t))
	for range 5 {
		if err := to.Deliver(t.Context(), message()); err != nil {
			t.Fatal(err)
		}
		e.CloseClientConnections()
	}
	if e.count() != 5 {
		t.Errorf("%d requests, want 5", e.count())
	}
}

// Subscriptions to one host share its connections; one that ends leaves them to the others.
func TestSharedConnections(t *testing.T) {
	t.Parallel()
	connections := 0
	var mu sync.Mutex
	e := listen(t, nil, func(s *httptest.Server) {
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			mu.Lock()
			defer mu.Unlock()
			switch state {
			case http.StateNew:
				connections++
			case http.StateClosed:
				connections--
			}
		}
		s.Start()
	})
	open := func() int {
		mu.Lock()
		defer mu.Unlock()
		return connections
	}
	kind := webhook.Kind()
	var all []delivery.Target
	for i := range 3 {
		to, err := kind.New(&freshet.Subscription{ID: "sub", Topic: "topic", Config: json.RawMessage(fmt.Sprintf(`{"url":"%s/%d"}`, e.URL, i))}, env(t))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, to)
	}
	for range 3 {
		for _, to := range all {
			if err := to.Deliver(t.Context(), message()); err != nil {
				t.Fatal(err)
			}
		}
	}
	all[0].Close()
	all[0].Close()
	if err := all[1].Deliver(t.Context(), message()); err != nil || open() != 1 {
		t.Errorf("%d connections, %v, want 1", open(), err)
	}
	if err := all[0].Deliver(t.Context(), message()); err == nil {
		t.Error("a target that is closed delivers")
	}
	all[1].Close()
	all[2].Close()
	freshettest.WaitFor(t, 5*time.Second, "the end of all connections", func() bool { return open() == 0 })
}

// A token that the endpoint refuses after a while is fetched anew, within the same attempt.
func TestOAuth(t *testing.T) {
	t.Parallel()
	tokens, served := 0, 0
	provider := listen(t, func(w http.ResponseWriter, _ *http.Request) {
		tokens++
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":3600}`, tokens)
	}, plain)
	e := listen(t, func(w http.ResponseWriter, r *http.Request) {
		if accepted := []string{"token-1", "token-2"}[served/2]; r.Header.Get("Authorization") != "Bearer "+accepted {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		served++
	}, plain)
	to := target(t, `{"url":"`+e.URL+`","authorization":{"clientId":"c","clientSecret":"s3cret","provider":"`+provider.URL+`"}}`, env(t))
	for n := range 3 {
		if err := to.Deliver(t.Context(), message()); err != nil {
			t.Errorf("delivery %d: %v", n, err)
		}
	}
	if tokens != 2 {
		t.Errorf("%d tokens were fetched, want 2", tokens)
	}
}

// The authority of the endpoint's certificate, and a certificate for an endpoint that asks for one.
func TestTLS(t *testing.T) {
	t.Parallel()
	folder, cert, key, pair := freshettest.Certificate(t)
	certificate, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	e := listen(t, nil, func(s *httptest.Server) {
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // refusals are meant
		s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, ClientCAs: pair.Roots, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
		s.StartTLS()
	})
	with := env(t)
	with.Secrets.Files = []string{folder}
	_, port, _ := net.SplitHostPort(e.Listener.Addr().String())
	config := func(options string) string {
		return fmt.Sprintf(`{"url":"https://127.0.0.1:%s/"%s}`, port, options)
	}
	ca := fmt.Sprintf(`"ca":"file:%s/cert.pem","serverName":"localhost"`, folder)
	for options, right := range map[string]bool{
		``: false, `,"tls":{` + ca + `}`: false,
		fmt.Sprintf(`,"tls":{%s,"cert":"file:%s/cert.pem","key":"file:%s/key.pem"}`, ca, folder, folder): true,
	} {
		to := target(t, config(options), with)
		for range 2 { // the second over the kept connection
			if err := to.Deliver(t.Context(), message()); (err == nil) != right {
				t.Errorf("%q: %v", options, err)
			}
		}
	}
}

// An endpoint is asked once whether it wants events, and gets none before it says so.
func TestValidate(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	allowed := ""
	e := listen(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodOptions && allowed != "" {
			w.Header().Set("WebHook-Allowed-Origin", allowed)
		}
	}, plain)
	to := target(t, `{"url":"`+e.URL+`","validate":true,"rate":1000}`, env(t))
	d := message()
	if err := to.Deliver(t.Context(), d); err == nil || !strings.Contains(err.Error(), "does not say that it wants events") {
		t.Errorf("before it allows: %v", err)
	}
	if asked := d.Exchange; asked.Request.Method != http.MethodOptions || !strings.Contains(asked.Request.Headers, "WebHook-Request-Origin: freshet") || asked.Response == nil || asked.Response.Status != 200 {
		t.Errorf("the question is written down as %+v", d.Exchange)
	}
	mu.Lock()
	allowed = "*"
	mu.Unlock()
	for range 2 {
		if err := to.Deliver(t.Context(), message()); err != nil {
			t.Error(err)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var methods []string
	for _, r := range e.requests {
		methods = append(methods, r.Method)
	}
	if want := []string{"OPTIONS", "OPTIONS", "POST", "POST"}; !slices.Equal(methods, want) || e.requests[0].Header.Get("WebHook-Request-Origin") != "freshet" || e.requests[0].Header.Get("WebHook-Request-Rate") != "60000" {
		t.Errorf("%v, %v", methods, e.requests[0].Header)
	}
}

// No more requests a second than rate.
func TestRate(t *testing.T) {
	t.Parallel()
	e := listen(t, nil, plain)
	to := target(t, `{"url":"`+e.URL+`","rate":20}`, env(t))
	start := time.Now()
	for range 5 {
		if err := to.Deliver(t.Context(), message()); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took < 4*50*time.Millisecond {
		t.Errorf("five requests in %v", took)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	const good = `"url":"https://a.example/x"`
	for options, want := range map[string]string{
		good: "", `"secrets":[]`: "/url: is required", `"url":"ftp://a"`: "/url: the scheme", `"url":"https://u:p@a"`: "/url: a user or password",
		good + `,"headers":{"Host":"x"}`: "/headers/Host: cannot be set", good + `,"headers":{"webhook-id":"x"}`: "/headers/webhook-id: cannot be set",
		good + `,"headers":{"Authorization":"x"},"authorization":{"type":"bearer","token":"t"}`: "/headers/Authorization: cannot be set",
		good + `,"secrets":["x"]`: "/secrets/0: is not a secret", good + `,"secrets":["env:A","env:B","env:C"]`: "/secrets: must be from 0 to 2",
		good + `,"timeout":"PT2M"`: "/timeout: must be from", good + `,"retries":["P8D"]`: "/retries/0: must be from PT0S to P7D", good + `,"parallel":0`: "/parallel: must be from 1",
		good + `,"rate":-1`: "/rate: must be from", good + `,"tls":{"enabled":true}`: "/tls/enabled: https in url says that", `"url":"https://a","tls":{"cert":"x"}`: "/tls/key: a certificate and its key",
		`"url":"http://a","tls":{"serverName":"x"}`: "/tls: is of no use",
		good + `,"authorization":{"type":"basic"}`:  "/authorization/user: is required", good + `,"retry":1`: `/retry: unknown member`,
	} {
		got := webhook.Kind().Check(json.RawMessage(`{` + options + `}`))
		if (want == "") != (got == nil) || want != "" && !strings.HasPrefix(got[0].Pointer+": "+got[0].Detail, want) {
			t.Errorf("%s: %v, want %s", options, got, want)
		}
	}
	masked := string(webhook.Kind().Mask(json.RawMessage(`{"url":"https://a/?token=s3cret","secrets":["whsec_s3cret","env:A"],"headers":{"X-Key":"s3cret"},"authorization":{"type":"bearer","token":"s3cret"}}`)))
	if strings.Contains(masked, "s3cret") {
		t.Errorf("masked: %s", masked)
	}
}
