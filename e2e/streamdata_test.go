package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
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
	var errors bytes.Buffer
	node.Stderr = &errors
	out, err := node.Output()
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var s sdkSight
		if err := d.Decode(&s); err != nil {
			t.Fatal(err)
		}
		seen = append(seen, s)
	}
	if err != nil {
		t.Fatalf("the client, after %d lines: %v: %.2000s", len(seen), err, errors.Bytes())
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

	proxy := func(pieces int) string {
		c := newCutter(t, strings.TrimPrefix(s.URL, "http://"), func(n int) int {
			if n > cuts {
				return -1
			}
			return 150 + rand.New(rand.NewPCG(uint64(n), uint64(pieces))).IntN(12_000)
		})
		c.pieces.Store(int64(pieces))
		return "http://" + c.addr
	}
	api := func(path string) string {
		return up.on(path, versions(changes, func(n int) string { return document(n, changes) }))
	}
	cut, pieces := proxy(0), proxy(5)
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
