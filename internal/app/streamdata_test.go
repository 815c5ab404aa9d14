package app_test

import (
	"bufio"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"freshet"
	"freshet/internal/app"
	"freshet/internal/settings"
)

func TestStreamdataOnTheWire(t *testing.T) { onEveryPath(t, streamdataOnTheWire) }

// The words are those of Streamdata.io, every connection starts with the document, and nothing is beyond ASCII.
func streamdataOnTheWire(t *testing.T, on path) {
	var mu sync.Mutex
	text, uris := `{"ü":"€","n":1,"long enough that a patch is":"smaller"}`, []string{}
	set := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		text = s
	}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if uris = append(uris, r.RequestURI); text == "" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = fmt.Fprint(w, text)
	}))
	defer upstream.Close()
	base := on.serve(t, app.Config{Dev: true, AdHoc: app.AdHocConfig{PollingPeriod: freshet.Duration(500 * time.Millisecond)}})
	target := upstream.URL + "/a//b?x=%20y"
	at := base + "/live/" + target + "&X-Sd-Token=t%3D"

	s := open(t, at, "Last-Event-ID: 1-1-ab")
	if got := s.next(); got != "event: _\n" {
		t.Fatalf("the stream begins with %q", got)
	}
	block := s.next()
	retry, block, _ := strings.Cut(block, "\n")
	if !strings.HasPrefix(retry, "retry: ") || block != `event: data
data: {"\u00fc":"\u20ac","n":1,"long enough that a patch is":"smaller"}
` {
		t.Fatalf("the document comes as %q %q", retry, block)
	}
	whole := open(t, base+"/"+target+"&X-Sd-Header=Accept%3A%20application%2Fjson&X-Sd-Token=t") // at the root, as the client has it
	whole.expect("event: _\n")
	whole.expect("event: data\n", `"n":1,`)
	set(`{"ü":"€","n":"😀","long enough that a patch is":"smaller"}`)
	if got := s.next(); got != "event: patch\ndata: [{\"op\":\"replace\",\"path\":\"/n\",\"value\":\"\\ud83d\\ude00\"}]\n" {
		t.Fatalf("the change comes as %q", got)
	}
	whole.expect("event: data\n", `"n":"\ud83d\ude00",`)
	set("")
	if got := s.next(); got != `event: error
data: {"cause":"not found","message":"upstream answered 404 Not Found","status":70404}
` {
		t.Fatalf("the fault comes as %q", got)
	}
	set(`{"n":3}`)
	s.expect("event: data\n", `{"n":3}`)

	raw := request(t, "GET", at, "", "Accept: */*", "X-Sd-Compress: true", "Accept-Encoding: gzip")
	resp, err := http.DefaultTransport.RoundTrip(raw)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	z, err := gzip.NewReader(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	z2 := &stream{t, resp, bufio.NewReader(z)}
	z2.expect("event: _\n")
	z2.expect("event: data\n", `{"n":3}`)

	if resp, body := do(t, "GET", at, "", "Accept: application/json"); resp.StatusCode != http.StatusOK || body != `{"n":3}` {
		t.Errorf("the document: %s %s", resp.Status, body)
	}
	if resp, body := do(t, "GET", base+"/"+target, "", "Accept: text/event-stream"); resp.StatusCode < 300 {
		t.Errorf("at the root, without a token: %s %s", resp.Status, body)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, uri := range uris {
		if uri != "/a//b?x=%20y" {
			t.Errorf("upstream was asked for %s", uri)
		}
	}
}

// signedBy is a URL as streamdataio-js-sdk-auth signs it.
func signedBy(key, target string, at time.Time) string {
	millis := strconv.FormatInt(at.UnixMilli(), 10)
	mac := hmac.New(sha512.New, []byte(key[36:]))
	fmt.Fprintf(mac, "GET\n%s\n%s\n", millis, target)
	signature := base64.StdEncoding.EncodeToString([]byte(key[:36] + base64.StdEncoding.EncodeToString(mac.Sum(nil))))
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	return target + separator + "X-Auth-Sd-Ts=" + millis + "&X-Auth-Sd-S=" + url.QueryEscape(signature)
}

// Once there are keys, a topic of a URL is for signed requests only.
func TestStreamdataSigned(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"uri":%q}`, r.RequestURI)
	}))
	defer upstream.Close()
	key, other := strings.Repeat("k", 72), strings.Repeat("o", 72)
	t.Setenv("A_KEY_OF_STREAMDATA", base64.StdEncoding.EncodeToString([]byte(key)))
	base := serve(t, app.Config{Dev: true, Topics: []freshet.Topic{pushed("doc", freshet.KindSnapshot)}, Streamdata: app.StreamdataConfig{Keys: map[string]settings.Secret{
		"t": "env:A_KEY_OF_STREAMDATA", "u": settings.Secret(base64.StdEncoding.EncodeToString([]byte(other))),
	}}})
	target, now := upstream.URL+"/a?b=c", time.Now()
	for name, path := range map[string]string{
		"as it should be": "/live/" + signedBy(key, target, now) + "&X-Sd-Header=X-A%3A%201&X-Sd-Token=t",
		"at the root":     "/" + signedBy(key, target, now) + "&X-Sd-Token=t",
		"another token":   "/live/" + signedBy(other, target, now) + "&X-Sd-Token=u",
		"folded":          "/live/" + strings.Replace(signedBy(key, target, now), "://", ":/", 1) + "&X-Sd-Token=t",
		"as a parameter":  "/live?url=" + url.QueryEscape(target) + strings.TrimPrefix(signedBy(key, target, now), target) + "&X-Sd-Token=t",
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, base+path)
			opening := s.next()
			if !strings.HasPrefix(opening, "event: _\nid: ") {
				t.Fatalf("the stream begins with %q", opening)
			}
			s.expect("event: data\n", `{"uri":"/a?b=c"}`)
		})
	}
	for name, path := range map[string]string{
		"without a token":       "/live/" + target,
		"not signed":            "/live/" + target + "&X-Sd-Token=t",
		"the other's key":       "/live/" + signedBy(other, target, now) + "&X-Sd-Token=t",
		"an unknown token":      "/live/" + signedBy(key, target, now) + "&X-Sd-Token=x",
		"a parameter added":     "/live/" + signedBy(key, target, now) + "&d=e&X-Sd-Token=t",
		"another path":          "/live/" + strings.Replace(signedBy(key, target, now), "/a?", "/b?", 1) + "&X-Sd-Token=t",
		"an hour old":           "/live/" + signedBy(key, target, now.Add(-time.Hour)) + "&X-Sd-Token=t",
		"from the future":       "/live/" + signedBy(key, target, now.Add(time.Hour)) + "&X-Sd-Token=t",
		"for all, as parameter": "/live?url=" + url.QueryEscape(target),
	} {
		t.Run(name, func(t *testing.T) {
			for _, accept := range []string{"text/event-stream", "application/json"} {
				resp, body := do(t, "GET", base+path, "", "Accept: "+accept)
				if resp.StatusCode != http.StatusUnauthorized || !strings.Contains(body, "errors/signature-refused") || resp.Header.Get("WWW-Authenticate") == "" {
					t.Errorf("as %s: %s %s", accept, resp.Status, body)
				}
			}
		})
	}
	// Who was let in may come back with the same URL, however old: the client signs once only.
	old := signedBy(key, target, now.Add(-time.Hour)) + "&X-Sd-Token=t"
	s := open(t, base+"/live/"+signedBy(key, target, now)+"&X-Sd-Token=t")
	_, ticket, _ := strings.Cut(strings.TrimSpace(s.next()), "id: ")
	back := open(t, base+"/live/"+old, "Last-Event-ID: "+ticket)
	back.expect("event: _\nid: ")
	back.expect("event: data\n")
	if resp, _ := do(t, "GET", base+"/live/"+old, "", "Last-Event-ID: "+ticket+"x"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("with a ticket that is none: %s", resp.Status)
	}
	post(t, base+"/live/doc", `{"n":1}`)
	open(t, base+"/live/doc").expect(`{"n":1}`) // topics with a name need no signature
}

// A key that is none stops the start, without being told.
func TestStreamdataKeys(t *testing.T) {
	secret := "c2VjcmV0"
	_, err := app.Load(file(t, "streamdata:\n  keys:\n    t: "+secret+"\n    v: env:NOT_THERE_AT_ALL\n"), nil)
	if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "freshet.yaml:3:8: streamdata/keys/t: a private key is 72 bytes in base64") ||
		!strings.Contains(err.Error(), `streamdata/keys/v: the environment variable "NOT_THERE_AT_ALL" is not set`) {
		t.Errorf("got %v", err)
	}
}
