package app_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"freshet"
	"freshet/client"
	"freshet/internal/app"
)

// How fresh a topic is can be seen everywhere: in /v1, in the headers of the document and of streams, as
// events for those who ask, and as metrics. A poll can be asked for.
func TestFreshness(t *testing.T) {
	var polls atomic.Int32
	var broken atomic.Bool
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		polls.Add(1)
		if broken.Load() {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(`{"a":1}`))
	}))
	defer upstream.Close()
	polled := freshet.Topic{Name: "polled", Kind: freshet.KindSnapshot, Source: freshet.Source{
		Type: "http-poller", AlwaysOn: true, Config: json.RawMessage(`{"url":"` + upstream.URL + `","pollingPeriod":"PT1H"}`),
	}}
	posted := freshet.Topic{Name: "posted", Kind: freshet.KindSnapshot, Source: freshet.Source{Type: "http-post", AlwaysOn: true, StaleAfter: freshet.Duration(300 * time.Millisecond)}}
	idle := polled
	idle.Name, idle.Source.AlwaysOn = "idle", false
	onEveryPath(t, func(t *testing.T, on path) {
		broken.Store(false)
		base := on.serve(t, app.Config{Dev: true, Topics: []freshet.Topic{polled, posted, idle}})

		resp, body := do(t, "GET", base+"/live/polled", "")
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Age") == "" || resp.Header.Get("Freshet-Next-Poll") == "" || resp.Header.Get("Freshet-Last-Success") == "" || resp.Header.Get("Freshet-Stale") != "" {
			t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, body)
		}
		if s := status(t, base, "polled"); s.Stale || s.NextPoll.IsZero() || s.LastSuccess.IsZero() || time.Until(s.NextPoll) < 50*time.Minute {
			t.Errorf("%+v", s)
		}
		if s := status(t, base, "idle"); !s.Stale || !strings.Contains(s.StaleReason, "nobody follows") {
			t.Errorf("%+v", s)
		}

		// By the clock alone: what was posted gets old.
		events := statusesOf(t, base+"/live/posted?status=true")
		if is := next(t, events); is.Stale {
			t.Errorf("before anything: %+v", is)
		}
		do(t, "POST", base+"/live/posted", `{"n":1}`, "Content-Type: application/json")
		if is := next(t, events); !is.Stale || !strings.Contains(is.StaleReason, "staleAfter, PT0.3S") || is.Age == 0 {
			t.Errorf("after 300 ms: %+v", is)
		}
		do(t, "POST", base+"/live/posted", `{"n":2}`, "Content-Type: application/json")
		if is := next(t, events); is.Stale {
			t.Errorf("after news: %+v", is)
		}

		// By a fault, asked for; over a connection of several topics, and by the client.
		several := statusesOf(t, base+"/live?topic=polled&topic=posted&status=1")
		next(t, several)
		next(t, several)
		broken.Store(true)
		before := polls.Load()
		if resp, body := do(t, "POST", base+"/v1/topics/polled:poll", ""); resp.StatusCode != http.StatusAccepted || !strings.Contains(body, `"state"`) {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		for {
			if is := next(t, several); strings.Contains(is.StaleReason, "404") {
				break
			}
		}
		if polls.Load() == before {
			t.Error("no poll was made")
		}
		if s := status(t, base, "polled"); !s.Stale || s.Fault == nil || !strings.Contains(s.StaleReason, "404") {
			t.Errorf("%+v", s)
		}
		resp, _ = do(t, "GET", base+"/live/polled", "")
		if resp.Header.Get("Freshet-Stale") != "true" || resp.StatusCode != http.StatusOK {
			t.Errorf("the last document is served, and said to be stale: %d %v", resp.StatusCode, resp.Header)
		}
		_, metrics := do(t, "GET", base+"/metrics", "")
		if !strings.Contains(metrics, `freshet_source_stale{topic="polled"} 1`) || !strings.Contains(metrics, `freshet_source_staleness_seconds{topic="polled"}`) {
			t.Error("the metrics do not say that the topic is stale")
		}
	})
}

// A topic that is always on polls as soon as it is made, however long its period; outside of its windows it polls when
// it is asked to, and readers are not kept waiting for what does not come.
func TestFirstPoll(t *testing.T) {
	var polls atomic.Int32
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		polls.Add(1)
		_, _ = w.Write([]byte(`{"n":1}`))
	}))
	defer upstream.Close()
	base := serve(t, app.Config{Dev: true})
	topic := func(name, options string) string {
		return fmt.Sprintf(`{"name":%q,"kind":"snapshot","source":{"type":"http-poller","alwaysOn":true,"config":{"url":%q,"pollingPeriod":"PT1H"%s}}}`, name, upstream.URL, options)
	}
	await := func(n int32) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); polls.Load() < n; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d polls, want %d", polls.Load(), n)
			}
		}
	}
	if resp, body := do(t, "POST", base+"/v1/topics", topic("hourly", ""), "Content-Type: application/json"); resp.StatusCode != http.StatusCreated {
		t.Fatal(body)
	}
	await(1)
	// A window that opens half a year from now.
	window := time.Now().UTC().AddDate(0, 6, 0)
	cron := fmt.Sprintf(`,"windows":[{"cron":"* * * %d *"}]`, window.Month())
	if resp, body := do(t, "POST", base+"/v1/topics", topic("seasonal", cron), "Content-Type: application/json"); resp.StatusCode != http.StatusCreated {
		t.Fatal(body)
	}
	start := time.Now()
	resp, body := do(t, "GET", base+"/live/seasonal", "")
	if took := time.Since(start); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "asked again at "+window.Format("2006-01-")) || took > 5*time.Second {
		t.Errorf("%d %s after %v", resp.StatusCode, body, took)
	}
	if resp, body := do(t, "POST", base+"/v1/topics/seasonal:poll", ""); resp.StatusCode != http.StatusAccepted {
		t.Fatal(body)
	}
	await(2)
}

func TestPollNowIsRefused(t *testing.T) {
	idle := freshet.Topic{Name: "idle", Kind: freshet.KindSnapshot, Source: freshet.Source{Type: "http-poller", Config: json.RawMessage(`{"url":"http://127.0.0.1:1/"}`)}}
	posted := freshet.Topic{Name: "posted", Kind: freshet.KindSnapshot, Source: freshet.Source{Type: "http-post", AlwaysOn: true}}
	limited := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "100")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer limited.Close()
	busy := freshet.Topic{Name: "busy", Kind: freshet.KindSnapshot, Source: freshet.Source{Type: "http-poller", AlwaysOn: true, Config: json.RawMessage(`{"url":"` + limited.URL + `","pollingPeriod":"PT0.5S","retryMaxAttempts":0}`)}}
	base := serve(t, app.Config{Dev: true, Topics: []freshet.Topic{idle, posted, busy}})
	for deadline := time.Now().Add(20 * time.Second); status(t, base, "busy").Fault == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no fault")
		}
	}
	for topic, want := range map[string]int{
		"idle:poll": http.StatusGone, "posted:poll": http.StatusMethodNotAllowed, "none:poll": http.StatusNotFound, "idle": http.StatusMethodNotAllowed,
		"idle:pull": http.StatusMethodNotAllowed, "idle:poll?x=1": http.StatusBadRequest, "busy:poll": http.StatusServiceUnavailable,
	} {
		resp, body := do(t, "POST", base+"/v1/topics/"+topic, "")
		if resp.StatusCode != want || topic == "busy:poll" && len(resp.Header.Get("Retry-After")) < 2 { // some 100 s
			t.Errorf("%s: %d %v %s, want %d", topic, resp.StatusCode, resp.Header, body, want)
		}
	}
}

// The Go client yields what it is told of a topic's freshness, beside the document.
func TestFreshnessOfTheClient(t *testing.T) {
	posted := freshet.Topic{Name: "posted", Kind: freshet.KindSnapshot, Source: freshet.Source{Type: "http-post", AlwaysOn: true, StaleAfter: freshet.Duration(200 * time.Millisecond)}}
	base := serve(t, app.Config{Dev: true, Topics: []freshet.Topic{posted}})
	do(t, "POST", base+"/live/posted", `{"n":1}`, "Content-Type: application/json")
	cl, err := client.New(base, client.Config{})
	if err != nil {
		t.Fatal(err)
	}
	doc := ""
	for u, err := range cl.Follow(t.Context(), "posted", client.FollowOptions{Status: true}) {
		if err != nil {
			t.Fatal(err)
		}
		doc = string(u.Doc)
		if u.Type == freshet.TypeStatus && u.Freshness.Stale {
			break
		}
	}
	if doc != `{"n":1}` {
		t.Errorf("the document is %s", doc)
	}
}

func status(t *testing.T, base, topic string) *freshet.Status {
	t.Helper()
	_, body := do(t, "GET", base+"/v1/topics/"+topic, "")
	var is freshet.Topic
	if err := json.Unmarshal([]byte(body), &is); err != nil || is.Status == nil {
		t.Fatalf("%s: %v", body, err)
	}
	return is.Status
}

// statusesOf follows a stream and passes on its status events, of one topic or several.
func statusesOf(t *testing.T, url string) <-chan freshet.Freshness {
	t.Helper()
	r := request(t, "GET", url, "", "Accept: text/event-stream")
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	found := make(chan freshet.Freshness, 100)
	go func() {
		defer close(found)
		lines, isStatus := bufio.NewScanner(resp.Body), false
		for lines.Scan() {
			line := lines.Text()
			data, isData := strings.CutPrefix(line, "data: ")
			switch {
			case strings.HasPrefix(line, "event: "):
				isStatus = line == "event: status"
			case isStatus && strings.HasPrefix(line, "id:"):
				found <- freshet.Freshness{StaleReason: "a status has an id"}
			case isStatus && isData:
				var one struct {
					Topic string
					Data  *freshet.Freshness
				}
				is := freshet.Freshness{}
				if json.Unmarshal([]byte(data), &one) == nil && one.Topic != "" {
					is = *one.Data
				} else if json.Unmarshal([]byte(data), &is) != nil {
					is.StaleReason = "not JSON: " + data
				}
				found <- is
			}
		}
	}()
	return found
}

func next(t *testing.T, events <-chan freshet.Freshness) freshet.Freshness {
	t.Helper()
	select {
	case is, ok := <-events:
		if !ok {
			t.Fatal("the stream ended")
		}
		return is
	case <-time.After(20 * time.Second):
		t.Fatal("no status")
	}
	panic("unreachable")
}

// The upstream of a polled topic may say that it has news, with a signature; what it does not tell the timer
// finds, and that is counted.
func TestHook(t *testing.T) {
	var n atomic.Int32
	var polls atomic.Int32
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		polls.Add(1)
		_, _ = w.Write([]byte(strconv.Itoa(int(n.Load()))))
	}))
	defer upstream.Close()
	config := func(period, hook string) json.RawMessage {
		return json.RawMessage(`{"url":"` + upstream.URL + `","pollingPeriod":"` + period + `"` + hook + `}`)
	}
	const hook = `,"hook":{"scheme":"github","secrets":["s3cret"],"replays":"accept"}`
	topic := freshet.Topic{Name: "hooked", Kind: freshet.KindSnapshot, Source: freshet.Source{Type: "http-poller", AlwaysOn: true, Config: config("PT1H", hook)}}
	plain := freshet.Topic{Name: "plain", Kind: freshet.KindSnapshot, Source: freshet.Source{Type: "http-poller", AlwaysOn: true, Config: config("PT1H", "")}}
	lost := freshet.Topic{Name: "lost", Kind: freshet.KindSnapshot, Source: freshet.Source{Type: "http-poller", AlwaysOn: true, Config: config("PT0.5S", hook)}}
	base := serve(t, app.Config{Dev: true, Topics: []freshet.Topic{topic, plain, lost}})
	for _, topic := range []string{"hooked", "lost"} {
		if _, body := do(t, "GET", base+"/live/"+topic, ""); body != "0" {
			t.Fatal(body)
		}
	}
	send := func(topic, secret, body string) (*http.Response, string) {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(body))
		return do(t, "POST", base+"/live/"+topic, body, "X-Hub-Signature-256: sha256="+hex.EncodeToString(mac.Sum(nil)), "Content-Type: application/x-www-form-urlencoded")
	}
	n.Store(1)
	if resp, body := send("hooked", "wrong", "payload=1"); resp.StatusCode != http.StatusUnauthorized || strings.Contains(body, "s3cret") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, _ := send("plain", "s3cret", "payload=1"); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("without a hook: %d", resp.StatusCode)
	}
	if resp, body := send("hooked", "s3cret", "payload=1"); resp.StatusCode != http.StatusAccepted {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, body := do(t, "GET", base+"/live/hooked", ""); body == "1" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing was polled")
		}
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, metrics := do(t, "GET", base+"/metrics", "")
		if strings.Contains(metrics, `freshet_hooks_total{result="accepted",topic="hooked"} 1`) && strings.Contains(metrics, `freshet_hooks_total{result="refused",topic="hooked"} 1`) &&
			strings.Contains(metrics, `freshet_hook_missed_total{topic="lost"} 1`) && !strings.Contains(metrics, `freshet_hook_missed_total{topic="hooked"}`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the metrics do not count hooks: %v", regexp.MustCompile(`freshet_hook.*`).FindAllString(metrics, -1))
		}
	}
}
