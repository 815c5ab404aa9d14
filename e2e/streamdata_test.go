package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// A sdkFollower is what clients/streamdata.mjs follows.
type sdkFollower struct {
	Name    string   `json:"name"`
	Server  string   `json:"server"` // what stands before the URL
	URL     string   `json:"url"`
	Token   string   `json:"token"`
	Key     string   `json:"key,omitempty"` // none: requests are not signed
	Headers []string `json:"headers,omitempty"`
	Until   int      `json:"until,omitempty"` // so many lines; 0: the last document
}

// An sdkSight is what the client of Streamdata.io told its application.
type sdkSight struct {
	Name, Type string
	Doc        json.RawMessage
	Error      json.RawMessage
}

// runSDK lets the client of Streamdata.io follow, as it is published.
func runSDK(t *testing.T, ctx context.Context, followers ...sdkFollower) (seen []sdkSight) {
	t.Helper()
	args := []string{"streamdata.mjs"}
	for _, f := range followers {
		text, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, string(text))
	}
	node := exec.CommandContext(ctx, "node", args...)
	node.Dir = nodeClients(t)
	var said bytes.Buffer
	node.Stderr = &said
	out, err := node.Output()
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var s sdkSight
		if err := d.Decode(&s); err != nil {
			t.Fatal(err)
		}
		seen = append(seen, s)
	}
	if err != nil {
		t.Fatalf("the client, after %d lines: %v: %.2000s", len(seen), err, said.Bytes())
	}
	return seen
}

// sdkKey is a private key as clients of Streamdata.io are given them.
func sdkKey(c string) string { return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(c, 72))) }

// TestStreamdata lets the client of Streamdata.io, as it is published, follow APIs over hundreds of changes, while its
// connections are cut again and again, and what it is sent comes in pieces. It has to have the source's document after
// each event, and to end with the last one.
func TestStreamdata(t *testing.T) {
	t.Parallel()
	nodeClients(t)
	const changes, cuts = 500, 60
	up := newUpstream(t)
	s := serve(t, fmt.Sprintf(`
adhoc: {allow: [%q], pollingPeriod: PT0.5S}
streamdata: {keys: {"one=": %q, two: %q}}
`, up.URL+"/", sdkKey("1"), sdkKey("2")))
	ctx, cancel := context.WithTimeout(t.Context(), changes*time.Second)
	defer cancel()

	// Every other connection is cut at any byte, the others before the line that ends an event.
	proxy := func(seed uint64, through func(io.Writer) io.Writer) string {
		length := func(n int) int { return 150 + rand.New(rand.NewPCG(uint64(n), seed)).IntN(12_000) }
		c := newCutterThrough(t, strings.TrimPrefix(s.URL, "http://"), func(n int) int {
			if n > cuts || n%2 == 0 {
				return -1
			}
			return length(n)
		}, func(n int, down io.Writer) io.Writer {
			if n <= cuts && n%2 == 0 {
				return &unfinished{to: through(down), from: length(n)}
			}
			return through(down)
		})
		return "http://" + c.addr
	}
	api := func(path string) string {
		return up.on(path, versions(changes, func(n int) string { return document(n, changes) }))
	}
	cut := proxy(1, func(down io.Writer) io.Writer { return down })
	pieces := proxy(2, func(down io.Writer) io.Writer { return &piecewise{down} })
	seen := runSDK(t, ctx,
		sdkFollower{Name: "cut", Server: cut + "/live/", URL: api("/a") + "?x=%20y&lang=de", Token: "one=", Key: sdkKey("1")},
		sdkFollower{Name: "pieces", Server: pieces + "/", URL: api("/b"), Token: "two", Key: sdkKey("2"), Headers: []string{"X-Who: ü b"}},
		sdkFollower{Name: "whole", Server: s.URL + "/live/", URL: api("/c"), Token: "two", Key: sdkKey("2"), Headers: []string{"Accept: application/json"}},
	)
	type tally struct{ opened, data, patches, last int }
	tallies := map[string]*tally{"cut": {}, "pieces": {}, "whole": {}}
	for _, v := range seen {
		of := tallies[v.Name]
		switch v.Type {
		case "open":
			of.opened++
			continue
		case "data":
			of.data++
		case "patch":
			of.patches++
		default:
			t.Fatalf("%s: %s %s", v.Name, v.Type, v.Error)
		}
		n := version(string(v.Doc))
		if got, want := canonicalJS(string(v.Doc)), canonicalJS(document(n, changes)); got != want || n < of.last {
			t.Fatalf("%s: version %d, after %d, by a %s is\n%s\nwant\n%s", v.Name, n, of.last, v.Type, got, want)
		}
		of.last = n
	}
	for name, of := range tallies {
		t.Logf("%s: %+v", name, *of)
		whole := name == "whole"
		switch {
		case of.last != changes:
			t.Errorf("%s ends with version %d", name, of.last)
		case !whole && (of.opened < cuts/2 || of.patches < changes/4):
			t.Errorf("%s was not put to the test: %+v", name, *of)
		case whole && (of.patches > 0 || of.data < changes*9/10):
			t.Errorf("%s asked for whole documents: %+v", name, *of)
		}
	}
}

// unfinished lets an event stream through, but for the end of an event after so many bytes.
type unfinished struct {
	to   io.Writer
	from int
}

func (u *unfinished) Write(b []byte) (int, error) {
	at := -1
	for _, end := range []string{"}\n\n", "]\n\n"} { // of a document, of a patch
		if i := bytes.LastIndex(b, []byte(end)); i >= 0 && u.from <= i+len(end) {
			at = max(at, i+len(end)-1)
		}
	}
	if at < 0 {
		u.from -= len(b)
		return u.to.Write(b)
	}
	n, err := u.to.Write(b[:at])
	return n, cmp.Or(err, errUnfinished)
}

var errUnfinished = errors.New("the connection is cut here")

// piecewise writes a few bytes at a time, and half of a character by itself.
type piecewise struct{ to io.Writer }

func (p *piecewise) Write(b []byte) (written int, err error) {
	for len(b) > 0 {
		n := min(len(b), 5)
		if i := bytes.IndexFunc(b[:n], func(r rune) bool { return r >= utf8.RuneSelf }); i >= 0 {
			n = i + 1
		}
		n, err := p.to.Write(b[:n])
		if written += n; err != nil {
			return written, err
		}
		if b[n-1] >= utf8.RuneSelf {
			<-time.After(3 * time.Millisecond) // for the reader to take it before the rest comes
		}
		b = b[n:]
	}
	return written, nil
}

// TestStreamdataRefused lets the client sign wrongly: it has to give up, and those who sign rightly not to notice.
func TestStreamdataRefused(t *testing.T) {
	t.Parallel()
	nodeClients(t)
	up := newUpstream(t)
	s := serve(t, fmt.Sprintf(`
adhoc: {allow: [%q]}
streamdata: {keys: {one: %q}}
`, up.URL+"/", sdkKey("1")))
	api := up.on("/doc", func(_ int, w http.ResponseWriter, r *http.Request) { good(w, r, `{"last":true,"ü":"€"}`) })
	for _, f := range []sdkFollower{
		{Name: "another key", Token: "one", Key: sdkKey("2")},
		{Name: "another token", Token: "two", Key: sdkKey("1")},
		{Name: "not signed", Token: "one"},
	} {
		f.Server, f.URL = s.URL+"/live/", api
		// The client tells nobody of it, closes, and so has nothing more to do: node ends.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if seen := runSDK(t, ctx, f); len(seen) != 0 {
			t.Errorf("%s: the client saw %+v", f.Name, seen)
		}
		cancel()
	}
	if n := len(up.times("/doc")); n != 0 {
		t.Errorf("upstream was asked %d times for who may not", n)
	}
	seen := runSDK(t, t.Context(), sdkFollower{Name: "right", Server: s.URL + "/live/", URL: api, Token: "one", Key: sdkKey("1")})
	if len(seen) != 2 || seen[1].Type != "data" || canonical(string(seen[1].Doc)) != canonical(`{"last":true,"ü":"€"}`) {
		t.Errorf("who signs rightly saw %+v", seen)
	}
}

// TestStreamdataErrors has the client's application told of what is wrong with the API.
func TestStreamdataErrors(t *testing.T) {
	t.Parallel()
	nodeClients(t)
	up := newUpstream(t)
	s := serve(t, fmt.Sprintf("adhoc: {allow: [%q], pollingPeriod: PT0.5S}\n", up.URL+"/"))
	api := up.on("/doc", between(`{"n":1}`, 2, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }, `{"n":2,"last":true}`))
	seen := runSDK(t, t.Context(), sdkFollower{Name: "a", Server: s.URL + "/live/", URL: api, Token: "any"})
	var told struct {
		Type, Message, Source string
		Status                int
	}
	if len(seen) != 4 || seen[1].Type != "data" || seen[2].Type != "error" || version(string(seen[3].Doc)) != 2 {
		t.Fatalf("the client saw %+v", seen)
	}
	if err := json.Unmarshal(seen[2].Error, &told); err != nil || told.Status != 70000 || told.Message != "upstream answered 418 I'm a teapot" || told.Type != "publication failed" || told.Source != "server" {
		t.Errorf("the client was told %s", seen[2].Error)
	}
}

// TestStreamdataInBrowser lets the client of Streamdata.io, as it is published for browsers, follow in one.
func TestStreamdataInBrowser(t *testing.T) {
	t.Parallel()
	const changes = 20
	dir := nodeClients(t)
	pages := http.NewServeMux()
	for path, file := range map[string]string{
		"/streamdataio.js":      "streamdataio-js-sdk/dist/bundles/streamdataio.min.js",
		"/streamdataio-auth.js": "streamdataio-js-sdk-auth/dist/bundles/streamdataio-auth.min.js",
	} {
		pages.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, dir+"/node_modules/"+file) })
	}
	site := httptest.NewServer(pages)
	defer site.Close()
	up := newUpstream(t)
	api := up.on("/doc", versions(changes, func(n int) string { return document(n, changes) }))
	s := serve(t, fmt.Sprintf(`
cors: {origins: [%q]}
adhoc: {allow: [%q], pollingPeriod: PT0.5S}
streamdata: {keys: {one: %q}}
`, site.URL, up.URL+"/", sdkKey("1")))
	follow, err := json.Marshal(sdkFollower{Server: s.URL + "/live/", URL: api, Token: "one", Key: sdkKey("1"), Headers: []string{"X-Who: me"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	last := 0
	for _, v := range runChromium(t, ctx, dir, pages, site.URL, "streamdata.html", string(follow)) {
		n := version(string(v.Doc))
		if got, want := canonicalJS(string(v.Doc)), canonicalJS(document(n, changes)); got != want || n < last {
			t.Fatalf("version %d, after %d, by a %s is\n%s\nwant\n%s", n, last, v.Type, got, want)
		}
		last = n
	}
	if last != changes {
		t.Errorf("the last is version %d", last)
	}
}
