package salesforce_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/salesforce"
	"freshet/internal/freshettest"
)

const marker = "MARKER1f"

var key = sync.OnceValue(func() *rsa.PrivateKey { //nolint:gochecknoglobals // made once
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func keyPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key())}))
}

// A fake is a login server and an organisation in one, with a channel of events of which each has a replay id.
type fake struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	tokens   int                 // given so far; the last is good
	asked    []string            // what messages came, in short
	events   []string            // data; the id of the first is 1
	oldest   int                 // id of the oldest event that is kept
	at       map[string]int      // of the clients, what they had
	answer   func(string) string // of a message in short, what is said instead; "": as usual
	status   int                 // of answers; 0: 200
	notToken bool                // no token is given
	audience string              // of assertions; "": the fake
	version  string              // of the API; "": 61.0
	cut      int                 // the answer with so many events is cut off
	changed  chan struct{}
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, at: map[string]int{}, oldest: 1, changed: make(chan struct{})}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

// set changes the fake, and wakes whoever waits for a change.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) publish(names ...string) {
	f.set(func() {
		for _, name := range names {
			f.events = append(f.events, fmt.Sprintf(`{"event":{"replayId":%d},"payload":{"name":"%s"}}`, len(f.events)+1, name))
		}
	})
}

func (f *fake) data(ids ...int) (all []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		all = append(all, f.events[id-1])
	}
	return all
}

func (f *fake) heard() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/services/oauth2/token" {
		f.token(w, r)
		return
	}
	if r.URL.Path != "/cometd/"+cmp.Or(f.version, "61.0") {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	var in []map[string]any
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || len(in) != 1 {
		f.t.Errorf("not one message: %v", err)
		return
	}
	m := in[0]
	channel := m["channel"].(string)
	short := strings.TrimPrefix(channel, "/meta/")
	if ext, ok := m["ext"].(map[string]any); ok && short == "subscribe" {
		short += fmt.Sprint(" ", m["subscription"], " ", ext["replay"].(map[string]any)[m["subscription"].(string)])
	}
	f.mu.Lock()
	if short != "connect" || len(f.asked) == 0 || f.asked[len(f.asked)-1] != "connect" {
		f.asked = append(f.asked, short)
	}
	status, instead := f.status, ""
	good := r.Header.Get("Authorization") == fmt.Sprint("Bearer "+marker, f.tokens)
	if f.answer != nil {
		instead = f.answer(short)
	}
	f.mu.Unlock()
	if cookie, _ := r.Cookie("node"); channel != "/meta/handshake" && (cookie == nil || cookie.Value != "7") {
		f.t.Errorf("%s without the cookie", short)
	}
	http.SetCookie(w, &http.Cookie{Name: "node", Value: "7"})
	client, _ := m["clientId"].(string)
	reply := fmt.Sprintf(`{"channel":"%s","id":"%v","clientId":"%s","successful":true`, channel, m["id"], client)
	switch {
	case status != 0:
		w.WriteHeader(status)
		fmt.Fprint(w, marker)
	case !good:
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]`)
	case instead != "":
		fmt.Fprint(w, instead)
	case short == "handshake":
		if fmt.Sprint(m["version"], m["supportedConnectionTypes"], m["ext"]) != "1.0[long-polling] map[replay:true]" {
			f.t.Errorf("handshake %v", m)
		}
		f.set(func() {
			client = fmt.Sprint("client", len(f.at)+1)
			f.at[client] = -1
		})
		fmt.Fprintf(w, `[{"channel":"/meta/handshake","clientId":"%s","successful":true,"version":"1.0","ext":{"replay":true},"advice":{"reconnect":"retry","interval":0,"timeout":20000}}]`, client)
	case strings.HasPrefix(short, "subscribe"):
		f.subscribe(w, client, short, reply)
	case short == "connect":
		f.connect(w, r, client, reply, m["advice"] != nil)
	default:
		fmt.Fprint(w, "["+reply+"}]")
	}
}

func (f *fake) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(r.PostForm.Get("assertion"), claims, func(*jwt.Token) (any, error) { return &key().PublicKey, nil }, jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired())
	if err != nil || claims["iss"] != "the-app" || claims["sub"] != "user@example.com" || claims["aud"] != cmp.Or(f.audience, f.URL) {
		f.t.Errorf("assertion %v: %v", claims, err)
	}
	if f.notToken {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant","error_description":"`+marker+`"}`)
		return
	}
	f.set(func() { f.tokens++ })
	fmt.Fprintf(w, `{"access_token":"%s%d","scope":"api","instance_url":"%s","token_type":"Bearer"}`, marker, f.tokens, f.URL)
}

func (f *fake) subscribe(w http.ResponseWriter, client, short, reply string) {
	var channel string
	var from int
	_, _ = fmt.Sscanf(short, "subscribe %s %d", &channel, &from)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case channel != "/event/News__e":
		fmt.Fprintf(w, `[{"channel":"/meta/subscribe","successful":false,"error":"404::Unknown channel %s"}]`, marker)
		return
	case from == -1:
		from = len(f.events)
	case from == -2:
		from = f.oldest - 1
	case from < f.oldest-1:
		fmt.Fprintf(w, `[{"channel":"/meta/subscribe","successful":false,"error":"400::The replayId {%d} you provided was invalid. %s"}]`, from, marker)
		return
	}
	f.at[client] = from
	fmt.Fprint(w, "["+reply+"}]")
}

// connect answers at once where there are events, or the client wants that, and else when there are some.
func (f *fake) connect(w http.ResponseWriter, r *http.Request, client, reply string, at1 bool) {
	for {
		f.mu.Lock()
		from, known := f.at[client]
		events, changed := f.events, f.changed
		if known && from >= 0 {
			f.at[client] = len(events)
		}
		cut := f.cut
		f.mu.Unlock()
		if !known {
			fmt.Fprint(w, `[{"channel":"/meta/connect","successful":false,"error":"402::Unknown client","advice":{"reconnect":"handshake","interval":0}}]`)
			return
		}
		if from >= 0 && len(events) > from || at1 {
			var out strings.Builder
			out.WriteString("[")
			for i, data := range events[max(from, 0):] {
				out.WriteString(fmt.Sprintf(`{"channel":"/event/News__e","id":%d,"data":%s},`, i, data))
			}
			if out.WriteString(reply + "}]"); cut > 0 && len(events)-from >= cut {
				f.set(func() { f.cut = 0 })
				w.Header().Set("Content-Length", fmt.Sprint(len(out.String())))
				fmt.Fprint(w, out.String()[:strings.Index(out.String(), `"name":`)+3])
				return
			}
			fmt.Fprint(w, out.String())
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func (f *fake) config(more string) string {
	k, _ := json.Marshal(keyPEM())
	return `{"loginUrl":"` + f.URL + `/","instanceUrl":"` + f.URL + `","clientId":"the-app","username":"user@example.com","channel":"/event/News__e","privateKey":` + string(k) +
		`,"retryBackOffInitialDuration":"PT0S","retryBackOffMaxDuration":"PT0.1S"` + more + `}`
}

func awaitFault(t *testing.T, to *freshettest.Sink) freshet.Fault {
	t.Helper()
	freshettest.WaitFor(t, 20*time.Second, "a fault", func() bool { return len(to.Faults()) > 0 })
	return to.Faults()[0]
}

// A topic begins with what comes, and goes on after its last event when it is started anew.
func TestReplay(t *testing.T) {
	f := newFake(t)
	f.publish("before")
	to := &freshettest.Sink{}
	env := freshettest.Env(t)
	stop := freshettest.Run(t, salesforce.Kind(), f.config(""), env, to)
	freshettest.WaitFor(t, 20*time.Second, "connected", func() bool { return to.Fine() > 0 })
	f.publish("a")
	to.Await(t, f.data(2)...)
	f.publish("b", "c")
	to.Await(t, f.data(2, 3, 4)...)
	begun := time.Now()
	stop()
	if took := time.Since(begun); took > time.Second {
		t.Errorf("it took %v to stop", took)
	}
	if mark, _ := to.Mark(t.Context()); mark != "4 /event/News__e" {
		t.Errorf("mark %q", mark)
	}
	f.publish("d")
	stop = freshettest.Run(t, salesforce.Kind(), f.config(""), env, to)
	to.Await(t, f.data(2, 3, 4, 5)...)
	stop()
	want := []string{"handshake", "subscribe /event/News__e -1", "connect", "disconnect", "handshake", "subscribe /event/News__e 4", "connect", "disconnect"}
	if got := f.heard(); !slices.Equal(got, want) {
		t.Errorf("asked %q\nwant  %q", got, want)
	}
	if faults := to.Faults(); len(faults) > 0 {
		t.Error(faults)
	}
}

func TestReplayFromEarliest(t *testing.T) {
	f := newFake(t)
	f.publish("a", "b", "c")
	f.oldest = 2
	to := &freshettest.Sink{}
	freshettest.Run(t, salesforce.Kind(), f.config(`,"replayFrom":"earliest"`), freshettest.Env(t), to)
	to.Await(t, f.data(2, 3)...)
}

// Where assertions are for somebody else, and the API has another version, and the pauses are long ones.
func TestOptions(t *testing.T) {
	f := newFake(t)
	f.audience, f.version, f.status = "https://login.example", "60.0", http.StatusServiceUnavailable
	to := &freshettest.Sink{}
	config := strings.Replace(f.config(`,"audience":"https://login.example","apiVersion":"60.0","retryBackOffFactor":10`), `"retryBackOffInitialDuration":"PT0S","retryBackOffMaxDuration":"PT0.1S"`, `"retryBackOffInitialDuration":"PT0.01S","retryBackOffMaxDuration":"PT10S"`, 1)
	env := freshettest.Env(t)
	freshettest.Run(t, salesforce.Kind(), config, env, to)
	freshettest.WaitFor(t, 20*time.Second, "it is tried again", func() bool { return len(f.heard()) > 1 })
	f.set(func() { f.status = 0 })
	freshettest.WaitFor(t, 20*time.Second, "connected", func() bool { return to.Fine() > 0 })
	f.publish("a")
	to.Await(t, f.data(1)...)
}

// The pauses between attempts grow as configured: at once, where the first is of no length and none is longer.
func TestPauses(t *testing.T) {
	for _, tt := range []struct {
		options string
		most    time.Duration // for eleven attempts
		least   time.Duration
	}{
		{`"retryBackOffInitialDuration":"PT0S","retryBackOffMaxDuration":"PT10S"`, time.Hour, 0},
		{`"retryBackOffMaxDuration":"PT0S"`, time.Hour, 0},
		{`"retryBackOffInitialDuration":"PT10S","retryBackOffMaxDuration":"PT10S"`, 100 * time.Second, 10 * time.Second},
		{`"retryBackOffInitialDuration":"PT1S","retryBackOffMaxDuration":"PT1M","retryBackOffFactor":10`, 600 * time.Second, 30 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			client := down{}
			env := source.Env{Client: client}
			config := `{"loginUrl":"https://a.example","instanceUrl":"https://b.example","clientId":"c","username":"u","channel":"/event/News__e","privateKey":` + quoted(keyPEM()) + `,"retryMaxAttempts":10,` + tt.options + `}`
			s, err := salesforce.Kind().New(json.RawMessage(config), env)
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			to := &freshettest.Sink{}
			begun := time.Now()
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx, to) }()
			for len(to.Faults()) == 0 {
				time.Sleep(time.Millisecond)
			}
			took := time.Since(begun)
			if none := tt.least == 0; none && took > 10*time.Millisecond || took < tt.least || took > tt.most {
				t.Errorf("%s: eleven attempts took %v", tt.options, took)
			}
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// down is a client to whom nobody answers.
type down struct{}

func (down) Do(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED }

// What a topic missed and Salesforce does not keep is told, and the rest is not lost.
func TestTooLongAway(t *testing.T) {
	f := newFake(t)
	f.publish("a", "b", "c", "d", "e")
	f.oldest = 4
	to := marked(t, "2 /event/News__e")
	freshettest.Run(t, salesforce.Kind(), f.config(""), freshettest.Env(t), to)
	to.Await(t, `0`, f.data(4)[0], f.data(5)[0])
	if fault := awaitFault(t, to); fault.Code != 70000 || !strings.Contains(fault.Message, "events may be missing") || strings.Contains(fault.Message, marker) || to.Fine() == 0 {
		t.Errorf("told %v, fine %d", fault, to.Fine())
	}
	to = marked(t, "2 /event/Other__e") // the id is one of another channel
	freshettest.Run(t, salesforce.Kind(), f.config(""), freshettest.Env(t), to)
	freshettest.WaitFor(t, 20*time.Second, "connected", func() bool { return to.Fine() > 0 })
	f.publish("f")
	to.Await(t, `0`, f.data(6)[0])
}

// An answer that is cut off in the midst of its events loses none of them.
func TestAnswerCutOff(t *testing.T) {
	f := newFake(t)
	to := &freshettest.Sink{}
	freshettest.Run(t, salesforce.Kind(), f.config(""), freshettest.Env(t), to)
	freshettest.WaitFor(t, 20*time.Second, "connected", func() bool { return to.Fine() > 0 })
	f.publish("a")
	to.Await(t, f.data(1)...)
	f.set(func() { f.cut = 3 })
	f.publish("b", "c", "d")
	to.Await(t, f.data(1, 2, 3, 4)...)
	if faults := to.Faults(); len(faults) > 0 {
		t.Errorf("told, though it was over at once: %v", faults)
	}
}

// A token that expires is replaced, and the session goes on where it was, without a fault.
func TestTokenExpires(t *testing.T) {
	for _, how := range []string{"http", "bayeux", "sfdc"} {
		t.Run(how, func(t *testing.T) {
			f := newFake(t)
			to := &freshettest.Sink{}
			freshettest.Run(t, salesforce.Kind(), f.config(""), freshettest.Env(t), to)
			freshettest.WaitFor(t, 20*time.Second, "connected", func() bool { return to.Fine() > 1 || len(f.heard()) > 2 })
			f.publish("a")
			to.Await(t, f.data(1)...)
			if how == "http" {
				f.set(func() { f.tokens++ })
			} else {
				f.set(func() {
					f.answer = func(short string) string {
						switch {
						case f.tokens > 1:
							return ""
						case how == "bayeux":
							return `[{"channel":"/meta/` + short + `","successful":false,"error":"401::Authentication invalid","advice":{"reconnect":"none"}}]`
						}
						return `[{"channel":"/meta/` + short + `","successful":false,"error":"403::Handshake denied","ext":{"sfdc":{"failureReason":"401::Authentication invalid"}},"advice":{"reconnect":"none"}}]`
					}
				})
			}
			f.publish("b") // the connect that is held ends
			f.publish("c")
			to.Await(t, f.data(1, 2, 3)...)
			if faults := to.Faults(); len(faults) > 0 {
				t.Error(faults)
			}
		})
	}
}

// A session that the server has forgotten begins anew; one that it ends without mercy is told.
func TestAdvice(t *testing.T) {
	f := newFake(t)
	to := &freshettest.Sink{}
	freshettest.Run(t, salesforce.Kind(), f.config(""), freshettest.Env(t), to)
	freshettest.WaitFor(t, 20*time.Second, "connected", func() bool { return to.Fine() > 0 })
	f.publish("a")
	to.Await(t, f.data(1)...)
	f.set(func() { clear(f.at); f.at["x"] = 0 })
	f.publish("b")
	to.Await(t, f.data(1, 2)...)
	if faults := to.Faults(); len(faults) > 0 {
		t.Error(faults)
	}
	f.set(func() {
		f.answer = func(short string) string {
			if short != "connect" {
				return ""
			}
			return `[{"channel":"/meta/connect","successful":true,"advice":{"reconnect":"none"}}]`
		}
	})
	f.publish("c")
	if fault := awaitFault(t, to); fault.Code != 70000 || !strings.Contains(fault.Message, "ended the session") {
		t.Error(fault)
	}
}

// counting is a sink that takes note of how many handshakes led to the first fault: the next may come at once.
type counting struct {
	freshettest.Sink
	fake   *fake
	first  sync.Once
	shakes int
}

func (c *counting) Fault(ctx context.Context, f freshet.Fault, took time.Duration) {
	c.first.Do(func() {
		for _, short := range c.fake.heard() {
			if short == "handshake" {
				c.shakes++
			}
		}
	})
	c.Sink.Fault(ctx, f, took)
}

// What is wrong is told by our own words, at once or when the retries are spent.
func TestFaults(t *testing.T) {
	reply := func(text string) func(string) string { return func(string) string { return text } }
	for _, tt := range []struct {
		name    string
		set     func(f *fake)
		config  string
		code    int
		message string
		shakes  int // attempts before it was told
	}{
		{"no token", func(f *fake) { f.notToken = true }, "", 70400, "answered 400 Bad Request and invalid_grant", 0},
		{"a channel that there is not", func(*fake) {}, `,"channel":"/topic/None"`, 70404, "refused the subscription to /topic/None with 404 Not Found", 1},
		{"down", func(f *fake) { f.status = 503 }, `,"retryMaxAttempts":2`, 70503, "Salesforce answered 503 Service Unavailable", 3},
		{"forbidden", func(f *fake) { f.status = 403 }, "", 70403, "Salesforce answered 403 Forbidden", 1},
		{"redirects", func(f *fake) { f.status = 302 }, "", 70300, "Salesforce answered 302 Found", 1},
		{"a web page", func(f *fake) { f.answer = reply("<html>" + marker) }, `,"retryMaxAttempts":0`, 70016, "is not one of Bayeux", 1},
		{"an object", func(f *fake) { f.answer = reply(`{"` + marker + `":1}`) }, `,"retryMaxAttempts":0`, 70016, "is not one of Bayeux", 1},
		{"other types", func(f *fake) { f.answer = reply(`[{"channel":7}]`) }, `,"retryMaxAttempts":0`, 70016, "is not one of Bayeux", 1},
		{"no reply", func(f *fake) { f.answer = reply(`[]`) }, `,"retryMaxAttempts":0`, 70016, "is not one of Bayeux", 1},
		{"denied", func(f *fake) {
			f.answer = reply(`[{"channel":"/meta/handshake","successful":false,"error":"403::` + marker + `"}]`)
		}, "", 70403, "refused the handshake with 403 Forbidden", 1},
		{"busy", func(f *fake) {
			f.answer = reply(`[{"channel":"/meta/handshake","successful":false,"error":"503::` + marker + `"}]`)
		}, `,"retryMaxAttempts":1`, 70503, "refused the handshake with 503", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			tt.set(f)
			to := &counting{fake: f}
			env := freshettest.Env(t)
			var logged freshettest.Buffer
			env.Log = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
			config := f.config("")
			if strings.Contains(tt.config, "channel") {
				config = strings.Replace(config, `,"channel":"/event/News__e"`, tt.config, 1)
			} else {
				config = f.config(tt.config)
			}
			freshettest.Run(t, salesforce.Kind(), config, env, to)
			fault := awaitFault(t, &to.Sink)
			n := to.shakes
			if fault.Code != tt.code || !strings.Contains(fault.Message, tt.message) || n != tt.shakes {
				t.Errorf("after %d attempts: %v", n, fault)
			}
			if all := fmt.Sprint(to.Faults(), logged.String()); strings.Contains(all, marker) || strings.Contains(all, "PRIVATE KEY") {
				t.Errorf("a secret, or words of upstream, in %s", all)
			}
		})
	}
}

// An event that is too large is left out, and told; others are not lost. One that is not JSON cannot come: the
// whole answer would not be.
func TestLargeEvent(t *testing.T) {
	f := newFake(t)
	to := &freshettest.Sink{}
	env := freshettest.Env(t)
	env.Limit = 1000
	freshettest.Run(t, salesforce.Kind(), f.config(""), env, to)
	freshettest.WaitFor(t, 20*time.Second, "connected", func() bool { return to.Fine() > 0 })
	f.publish("a", strings.Repeat("x", 1000), "c")
	to.Await(t, f.data(1, 3)...)
	if fault := awaitFault(t, to); fault.Code != freshet.FaultSize || !strings.Contains(fault.Message, "limits.payload, 1KB") {
		t.Error(fault)
	}
}

// Many events at once are handed over in pieces, and each once.
func TestManyEvents(t *testing.T) {
	f := newFake(t)
	to := marked(t, "1 /event/News__e")
	f.publish("first")
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprint(i))
	}
	f.publish(names...)
	freshettest.Run(t, salesforce.Kind(), f.config(""), freshettest.Env(t), to)
	f.mu.Lock()
	want := append([]string{`0`}, f.events[1:]...)
	f.mu.Unlock()
	to.Await(t, want...)
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct{ from, to, pointer string }{
		{`"loginUrl":"https://login.example"`, `"x":1`, "/loginUrl"},
		{`"loginUrl":"https://login.example"`, `"loginUrl":"login.example"`, "/loginUrl"},
		{`"instanceUrl":"https://my.example"`, `"x":1`, "/instanceUrl"},
		{`"instanceUrl":"https://my.example"`, `"instanceUrl":"https://my.example?a=b"`, "/instanceUrl"},
		{`"clientId":"c"`, `"x":1`, "/clientId"},
		{`"username":"u"`, `"x":1`, "/username"},
		{`"channel":"/topic/A"`, `"x":1`, "/channel"},
		{`"channel":"/topic/A"`, `"channel":"topic"`, "/channel"},
		{`"channel":"/topic/A"`, `"channel":"/topic/**"`, "/channel"},
		{`"privateKey":"file:/k"`, `"x":1`, "/privateKey"},
		{`"privateKey":"file:/k"`, `"privateKey":"` + marker + `"`, "/privateKey"},
		{`"replayFrom":"latest"`, `"replayFrom":"first"`, "/replayFrom"},
		{`"apiVersion":"60.0"`, `"apiVersion":"36.0"`, "/apiVersion"},
		{`"apiVersion":"60.0"`, `"apiVersion":"v60"`, "/apiVersion"},
		{`"retryMaxAttempts":3`, `"retryMaxAttempts":11`, "/retryMaxAttempts"},
		{`"retryBackOffInitialDuration":"PT1S"`, `"retryBackOffInitialDuration":"PT11S"`, "/retryBackOffInitialDuration"},
		{`"retryBackOffMaxDuration":"PT1S"`, `"retryBackOffMaxDuration":"PT61S"`, "/retryBackOffMaxDuration"},
		{`"retryBackOffFactor":1`, `"retryBackOffFactor":11`, "/retryBackOffFactor"},
		{`"tls":{}`, `"tls":{"cert":"file:/c"}`, "/tls/key"},
	} {
		const good = `{"loginUrl":"https://login.example","instanceUrl":"https://my.example","clientId":"c","username":"u","channel":"/topic/A","privateKey":"file:/k","replayFrom":"latest","apiVersion":"60.0","retryMaxAttempts":3,"retryBackOffInitialDuration":"PT1S","retryBackOffMaxDuration":"PT1S","retryBackOffFactor":1,"tls":{}}`
		k := salesforce.Kind()
		if wrong := k.Check(json.RawMessage(good)); wrong != nil {
			t.Fatal(wrong)
		}
		wrong := k.Check(json.RawMessage(strings.Replace(good, tt.from, tt.to, 1)))
		if !slices.ContainsFunc(wrong, func(e freshet.FieldError) bool {
			return e.Pointer == tt.pointer && !strings.Contains(e.Detail, marker)
		}) {
			t.Errorf("%s: %v", tt.to, wrong)
		}
	}
	shown := string(salesforce.Kind().Mask(json.RawMessage(`{"privateKey":"` + marker + `"}`)))
	if strings.Contains(shown, marker) {
		t.Errorf("shown: %s", shown)
	}
}
