package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tmaxmax/go-sse"

	"freshet"
)

// changes is how often the document of TestRealClients changes. The poller's shortest period makes
// two changes a second the most that a polled topic can have.
const changes = 220

// changingDocument serves a polled topic of so many changes, for as long as they may take: live is where it is
// followed, and site has the pages that may do so.
func changingDocument(t *testing.T) (ctx context.Context, live string, pages *http.ServeMux, site string) {
	t.Helper()
	_, _ = installed() // or clients that are being installed would miss the first changes; who needs them says what is wrong
	pages = http.NewServeMux()
	server := httptest.NewServer(pages)
	t.Cleanup(server.Close)
	up := newUpstream(t)
	api := up.on("/doc", versions(changes, func(n int) string { return document(n, changes) }))
	s := serve(t, fmt.Sprintf(`
cors: {origins: [%q]}
topics:
  - {name: doc, kind: snapshot, source: {type: http-poller, config: {url: %q, pollingPeriod: PT0.5S}}}
`, server.URL, api))
	ctx, cancel := context.WithTimeout(t.Context(), changes*time.Second)
	t.Cleanup(cancel)
	return ctx, s.URL + "/live/doc", pages, server.URL
}

// TestRealClients lets clients that others wrote follow one polled topic over hundreds of changes.
// Each has to see every revision once, in order, with exactly the document that upstream had.
func TestRealClients(t *testing.T) {
	t.Parallel()
	ctx, live, pages, site := changingDocument(t)
	for _, library := range []string{"es2", "es3", "es5"} {
		t.Run(library, func(t *testing.T) {
			t.Parallel()
			judge(t, runNode(t, ctx, nodeClients(t), library, "doc="+live), canonicalJS)
		})
	}
	t.Run("chromium", func(t *testing.T) {
		t.Parallel()
		judge(t, runChromium(t, ctx, nodeClients(t), pages, site, "page.html", live), canonicalJS)
	})
	t.Run("go-sse", func(t *testing.T) {
		t.Parallel()
		judge(t, runGoSSE(t, ctx, live), canonical)
	})
	t.Run("curl", func(t *testing.T) {
		t.Parallel()
		judge(t, runCurl(t, ctx, program(t, "curl"), live), canonical)
	})
}

// A sight is what a client saw: an event, and the document once it was applied.
type sight struct {
	Name, Type, ID string
	Doc            json.RawMessage
}

// judge compares each document that a client had with the one that upstream had.
func judge(t *testing.T, seen []sight, canon func(string) string) {
	t.Helper()
	var before freshet.Revision
	for _, s := range seen {
		n := version(string(s.Doc))
		pos, err := freshet.ParsePosition(s.ID)
		switch {
		case err != nil:
			t.Fatal(err)
		case before != 0 && pos.Revision != before+1:
			t.Fatalf("revision %d follows %d", pos.Revision, before)
		case canon(string(s.Doc)) != canon(document(n, changes)):
			t.Fatalf("version %d by a %s with id %s is\n%s\nwant\n%s", n, s.Type, s.ID, canon(string(s.Doc)), canon(document(n, changes)))
		}
		before = pos.Revision
	}
	if len(seen) < changes*9/10 || version(string(seen[len(seen)-1].Doc)) != changes {
		t.Fatalf("saw %d of %d changes, at last revision %d", len(seen), changes, before)
	}
	patches := 0
	for _, s := range seen {
		if s.Type == "patch" {
			patches++
		}
	}
	t.Logf("%d events, %d of them patches", len(seen), patches)
}

// runNode runs clients/follow.mjs to its end.
func runNode(t *testing.T, ctx context.Context, dir, library string, topics ...string) []sight {
	t.Helper()
	node := exec.CommandContext(ctx, "node", append([]string{"follow.mjs", library}, topics...)...)
	node.Dir = dir
	var errors bytes.Buffer
	node.Stderr = &errors
	out, err := node.Output()
	if err != nil {
		t.Fatalf("node with %s: %v: %s", library, err, errors.Bytes())
	}
	return sights(t, out)
}

func sights(t *testing.T, ndjson []byte) (seen []sight) {
	t.Helper()
	for d := json.NewDecoder(bytes.NewReader(ndjson)); ; {
		var s sight
		if err := d.Decode(&s); err == io.EOF {
			return seen
		} else if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, s)
	}
}

// runChromium lets one of the pages in clients follow the topic in a headless browser.
func runChromium(t *testing.T, ctx context.Context, dir string, pages *http.ServeMux, site, page, topic string) []sight {
	t.Helper()
	names := []string{"chromium", "chromium-browser", "google-chrome"}
	if name := os.Getenv("FRESHET_CHROMIUM"); name != "" {
		names = []string{name}
	}
	path := program(t, names...)
	result := make(chan []byte, 1)
	file := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, dir+"/"+name) }
	}
	pages.HandleFunc("GET /"+page, file(page))
	pages.HandleFunc("GET /fast-json-patch.js", file("node_modules/fast-json-patch/dist/fast-json-patch.min.js"))
	pages.HandleFunc("POST /result", func(_ http.ResponseWriter, r *http.Request) {
		if text, err := io.ReadAll(r.Body); err == nil {
			result <- text
		}
	})

	ctx, stop := context.WithCancel(ctx)
	chromium := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
		"--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--user-data-dir="+t.TempDir(), site+"/"+page+"?url="+url.QueryEscape(topic))
	newGroup(chromium)
	chromium.WaitDelay = 5 * time.Second
	log := newLines()
	chromium.Stdout, chromium.Stderr = log, log
	if err := chromium.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // before the profile's folder is removed
		stop()
		_ = chromium.Wait()
	})
	select {
	case text := <-result:
		var r struct {
			Error string
			Lines []sight
		}
		if err := json.Unmarshal(text, &r); err != nil || r.Error != "" {
			t.Fatalf("the page says %q, %v", r.Error, err)
		}
		return r.Lines
	case <-ctx.Done():
		t.Fatalf("no result of the page; chromium says:\n%s", log)
		return nil
	}
}

// runGoSSE follows the topic with tmaxmax/go-sse until the last version.
func runGoSSE(t *testing.T, ctx context.Context, topic string) (seen []sight) {
	t.Helper()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, topic, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := sse.Client{Backoff: sse.Backoff{Multiplier: 1}}
	conn := client.NewConnection(req)
	conn.Buffer(nil, 1<<20) // its default is 64 KiB an event
	var doc any
	var bad error
	conn.SubscribeToAll(func(e sse.Event) {
		switch e.Type {
		case "snapshot":
			doc, bad = value([]byte(e.Data))
		case "patch":
			doc, bad = applyPatch(doc, []byte(e.Data))
		default:
			bad = fmt.Errorf("an event of type %q", e.Type)
		}
		if bad != nil {
			stop()
			return
		}
		seen = append(seen, sight{"go-sse", e.Type, e.LastEventID, json.RawMessage(encode(doc))})
		if isLast(doc) {
			stop()
		}
	})
	if err := conn.Connect(); bad != nil || !isLast(doc) {
		t.Fatalf("go-sse after %d events: %v, %v", len(seen), bad, err)
	}
	return seen
}

func isLast(doc any) bool {
	d, ok := doc.(map[string]any)
	return ok && d["last"] == true
}

// runCurl follows the topic with curl -N, whose output is the wire itself, until the last version.
func runCurl(t *testing.T, ctx context.Context, path, topic string) (seen []sight) {
	t.Helper()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	curl := exec.CommandContext(ctx, path, "-sSN", "-H", "Accept: text/event-stream", topic)
	out, err := curl.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errors strings.Builder
	curl.Stderr = &errors
	if err := curl.Start(); err != nil {
		t.Fatal(err)
	}
	var r replica
	if err := r.connected(""); err != nil {
		t.Fatal(err)
	}
	var mistake error
	err = readFrames(out, func(f frame) bool {
		if mistake = r.apply(f); mistake != nil {
			return false
		}
		seen = append(seen, sight{"curl", f.event, f.id, json.RawMessage(r.text)})
		return !isLast(r.doc)
	})
	stop()
	_ = curl.Wait()
	if err != nil || mistake != nil {
		t.Fatalf("curl after %d events: %v, %v: %s", len(seen), err, mistake, errors.String())
	}
	return seen
}
