package httppoller_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"freshet"
	"freshet/internal/egress"
	"freshet/internal/flow/source"
)

// secret is what must not appear in anything that subscribers or a log get to see: it is in the URL's
// query, in a header, and in what upstream answers.
const secret = "s3cret"

func guarded(t *testing.T, allow ...string) *egress.Client {
	var all []netip.Prefix
	for _, p := range allow {
		all = append(all, netip.MustParsePrefix(p))
	}
	c := egress.New(egress.Config{Allow: all})
	t.Cleanup(c.Close)
	return c
}

// once runs a poller until its sink has heard something, and returns that and what was logged.
func once(t *testing.T, client source.Client, url, options string) (heard, logged string) {
	t.Helper()
	var log bytes.Buffer
	src := build(t, "http-poller",
		`{"url":"`+url+`?key=`+secret+`","headers":{"X-Api-Key":"`+secret+`"},"retryMaxAttempts":0`+options+`}`,
		source.Env{Client: client, Limit: 2000, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	sink := &recorder{start: time.Now(), each: func(string) { cancel() }}
	if err := src.Run(ctx, sink); err != nil {
		t.Errorf("Run: %v", err)
	}
	return strings.Join(sink.lines, "\n"), log.String()
}

func compressed(encoding, text string) []byte {
	var b bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zlib":
		w = zlib.NewWriter(&b)
	default:
		w, _ = flate.NewWriter(&b, 9)
	}
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.Bytes()
}

// raw answers bytes as they are and ends the connection, politely or not.
func raw(answer string, reset bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, answer)
		if reset {
			time.Sleep(20 * time.Millisecond) // a reset overtakes what was not read yet
			_ = conn.(*net.TCPConn).SetLinger(0)
		}
		_ = conn.Close()
	}
}

func answers(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func encoded(encoding string, body []byte) http.HandlerFunc {
	return answers(200, string(body), "Content-Encoding", encoding, "Content-Type", "application/json")
}

func TestAnswers(t *testing.T) {
	doc := `{"list":[{"a/b":1.0}],"note":"` + secret + `"}`
	zipped := compressed("gzip", doc)
	for _, tt := range []struct {
		name, options string
		upstream      http.HandlerFunc
		want          string // what the sink hears begins so
	}{
		{"JSON", "", answers(200, doc, "Content-Type", "application/json"), "payload " + doc},
		{"JSON that claims to be text", "", answers(200, doc, "Content-Type", "text/plain"), "payload " + doc},
		{"no content type at all", "", answers(200, doc, "Content-Type", ""), "payload " + doc},
		{"a byte order mark", "", answers(200, "\xef\xbb\xbf"+doc), "payload " + doc},
		{"203", "", answers(203, doc), "payload " + doc},
		{"gzip", "", encoded("gzip", zipped), "payload " + doc},
		{"x-gzip", "", encoded("x-gzip", zipped), "payload " + doc},
		{"deflate", "", encoded("deflate", compressed("zlib", doc)), "payload " + doc},
		{"bare deflate", "", encoded("deflate", compressed("flate", doc)), "payload " + doc},
		{"no encoding by name", "", encoded("identity", []byte(doc)), "payload " + doc},
		{"exactly the limit", "", answers(200, strings.Repeat("1", 2000)), "payload 111"},
		{"a part", `,"payloadPointer":"/list/0"`, answers(200, doc), `payload {"a/b":1.0}`},
		{"no such part", `,"payloadPointer":"/items"`, answers(200, doc), "fault 70016 upstream's answer has nothing at payloadPointer /items"},
		{"a part of what is no JSON", `,"payloadPointer":"/items"`, answers(200, secret), "fault 70016 upstream's answer is not one complete JSON value"},

		{"a web page", "", answers(200, "<html>"+secret, "Content-Type", "text/html; charset=utf-8"), "fault 70016 upstream answered with a web page"},
		{"a broken content type of a page", "", answers(200, secret, "Content-Type", "text/html; charset"), "fault 70016 upstream answered with a web page"},
		{"no content", "", answers(204, ""), "fault 70000 upstream answered 204 No Content"},
		{"part of the content", "", answers(206, doc), "fault 70000 upstream answered 206 Partial Content"},
		{"304 though nothing was asked", "", answers(304, ""), "fault 70000 upstream answered 304 Not Modified to a request that had no condition"},
		{"a status nobody knows", "", answers(599, secret), "fault 70000 upstream answered 599"},
		{"teapot", "", answers(418, secret), "fault 70000 upstream answered 418 I'm a teapot"},

		{"larger than the limit", "", answers(200, strings.Repeat("1", 2001)), "fault 70015 upstream's answer is larger than limits.payload, 2KB"},
		{"larger, in chunks", "", func(w http.ResponseWriter, _ *http.Request) {
			for range 3 {
				_, _ = io.WriteString(w, strings.Repeat("1", 1000))
				_ = http.NewResponseController(w).Flush()
			}
		}, "fault 70015 "},
		{"larger once decompressed", "", encoded("gzip", compressed("gzip", strings.Repeat("12345", 401))), "fault 70015 "},
		{"larger once inflated", "", encoded("deflate", compressed("zlib", strings.Repeat("12345", 401))), "fault 70015 "},
		{"brotli, which nobody asked for", "", encoded("br", []byte(secret)), "fault 70016 upstream's answer has a content encoding"},
		{"not gzip at all", "", encoded("gzip", []byte(`{"not":"compressed"}`)), "fault 70016 upstream's compressed answer is damaged"},
		{"damaged gzip", "", encoded("gzip", append(bytes.Clone(zipped[:len(zipped)-8]), "00000000"...)), "fault 70016 upstream's compressed answer is damaged"},

		{"truncated gzip", "", encoded("gzip", zipped[:len(zipped)-9]), "fault 70013 upstream closed the connection before"},
		{"gzip without its end", "", encoded("gzip", zipped[:len(zipped)-1]), "fault 70013 "},
		{"empty gzip", "", encoded("gzip", nil), "fault 70013 "},
		{"truncated deflate", "", encoded("deflate", compressed("zlib", doc)[:9]), "fault 70013 "},
		{"shorter than its length", "", raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1]", false), "fault 70013 upstream closed the connection before"},
		{"gzip shorter than its length", "", raw("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 900\r\n\r\n"+string(zipped), false), "fault 70013 "},
		{"deflate shorter than its length", "", raw("HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: 900\r\n\r\n"+string(compressed("zlib", doc)), false), "fault 70013 "},
		{"a chunk cut", "", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n[1]", false), "fault 70013 upstream closed the connection before"},
		{"the last chunk missing", "", raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1]\r\n", false), "fault 70013 upstream closed the connection before"},
		{"a reset in the body", "", raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1]", true), "fault 70013 upstream "},
		{"no answer", "", raw("", false), "fault 70013 upstream closed the connection before"},
		{"not HTTP", "", raw(secret+"\r\n\r\n", false), "fault 70013 the connection to upstream failed"},
		{"an endless header", "", raw("HTTP/1.1 200 OK\r\nA: "+strings.Repeat("s3cret", 20000)+"\r\n\r\n", false), "fault 70013 "},
		{"a hang", `,"timeout":"100ms"`, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "fault 70013 upstream gave no complete answer within PT0.1S"},

		{"a redirect to nowhere", "", answers(302, secret), "fault 70300 upstream answered 302 Found without saying where to"},
		{"a redirect to itself", "", answers(301, "", "Location", ""), "fault 70300"},
		{"a redirect to a file", "", answers(302, "", "Location", "file:///etc/"+secret), "fault 70300 upstream redirects to an address that cannot be used"},
		{"a redirect with a password", "", answers(302, "", "Location", "http://u:s3cret@127.0.0.1/"), "fault 70300 "},
		{"a redirect to the metadata", "", answers(302, "", "Location", "http://169.254.169.254/latest?"+secret), "fault 70300 upstream redirects to where Freshet may not go: 169.254.169.254 is the address of a cloud"},
		{"a redirect in disguise", "", answers(302, "", "Location", "http://0x7f.1/"), "fault 70300 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(tt.upstream)
			defer srv.Close()
			heard, logged := once(t, guarded(t, "127.0.0.0/8"), srv.URL+"/doc", tt.options)
			if !strings.HasPrefix(heard, tt.want) {
				t.Errorf("heard %q, want %q", heard, tt.want)
			}
			if !strings.HasPrefix(tt.want, "payload") && strings.Contains(heard, secret) || strings.Contains(logged, secret) && tt.name != "not HTTP" {
				t.Errorf("a secret shows: %q, logged %q", heard, logged)
			}
		})
	}
}

func TestStatusCodes(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Path[1:])
		http.Error(w, secret, n)
	}))
	defer srv.Close()
	client := guarded(t, "127.0.0.0/8")
	for _, code := range []int{400, 401, 403, 404, 405, 406, 408, 410, 429, 500, 502, 503, 504} {
		heard, _ := once(t, client, fmt.Sprintf("%s/%d", srv.URL, code), "")
		if want := fmt.Sprintf("fault %d upstream answered %d %s", 70000+code, code, http.StatusText(code)); heard != want {
			t.Errorf("heard %q, want %q", heard, want)
		}
	}
}

// A bomb is cut long before the limit, which a topic may set to 64 MiB.
func TestBomb(t *testing.T) {
	t.Parallel()
	bomb := compressed("gzip", strings.Repeat("0", 48<<20))
	srv := httptest.NewServer(encoded("gzip", bomb))
	defer srv.Close()
	src := build(t, "http-poller", `{"url":"`+srv.URL+`"}`, source.Env{Client: guarded(t, "127.0.0.0/8"), Limit: freshet.MaxPayload})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	sink := &recorder{start: time.Now(), each: func(string) { cancel() }}
	_ = src.Run(ctx, sink)
	if got := sink.heard(); !slices.Equal(got, []string{"fault 70015"}) {
		t.Errorf("heard %q", got)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close() // nothing listens there now
	tlsServer := httptest.NewTLSServer(answers(200, "1"))
	defer tlsServer.Close()
	tlsServer.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	for _, tt := range []struct {
		name, url, want string
		allow           []string
	}{
		{"refused by upstream", "http://" + l.Addr().String(), "fault 70013 upstream refused the connection", []string{"127.0.0.0/8"}},
		{"refused by the guard", "http://" + l.Addr().String(), "fault 70001 127.0.0.1 is a loopback address; allow it with egress.allow", nil},
		{"a name that leads inside", "http://localhost:1/", "fault 70001 localhost resolves to a loopback address, which egress.allow does not name", nil},
		{"a certificate of nobody", tlsServer.URL, "fault 70013 upstream's TLS certificate is not trusted", []string{"127.0.0.0/8"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			heard, logged := once(t, guarded(t, tt.allow...), tt.url, "")
			if !strings.HasPrefix(heard, tt.want) {
				t.Errorf("heard %q, want %q", heard, tt.want)
			}
			if strings.Contains(heard+logged, secret) {
				t.Errorf("a secret shows: %q, logged %q", heard, logged)
			}
		})
	}
}

func TestUnknownHost(t *testing.T) {
	t.Parallel()
	nowhere := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, net.ErrClosed
	}}
	client := egress.New(egress.Config{Resolver: nowhere})
	defer client.Close()
	heard, _ := once(t, client, "http://api.example/", "")
	if heard != "fault 70014 the host name api.example does not resolve" {
		t.Errorf("heard %q", heard)
	}
}

// A visit is a request that one of the servers of a redirect test got.
type visit struct{ path, key, accept, match string }

// visitors is a server that writes down its visits.
func visitors(t *testing.T, h http.HandlerFunc) (url string, visits func() []visit) {
	var mu sync.Mutex
	var all []visit
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		all = append(all, visit{r.URL.Path, r.Header.Get("X-Api-Key"), r.Header.Get("Accept"), r.Header.Get("If-None-Match")})
		mu.Unlock()
		h(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() []visit {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

func TestRedirectOnTheSameOrigin(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		url, visits := visitors(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/doc" {
				http.Redirect(w, r, "/moved#part", status)
				return
			}
			_, _ = io.WriteString(w, "1")
		})
		heard, _ := once(t, guarded(t, "127.0.0.0/8"), url+"/doc", "")
		v := visits()
		if heard != "payload 1" || len(v) != 2 || v[1].path != "/moved" || v[1].key != secret {
			t.Errorf("%d: heard %q, visits %+v", status, heard, v)
		}
	}
}

// Configured headers go to the configured origin alone, and once a chain of redirects left it they
// do not come back.
func TestRedirectToAnotherOrigin(t *testing.T) {
	var home string
	abroad, abroadVisits := visitors(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/back":
			http.Redirect(w, r, home+"/end", http.StatusFound)
		case "/denied":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			_, _ = io.WriteString(w, "1")
		}
	})
	home, homeVisits := visitors(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/end" {
			_, _ = io.WriteString(w, "2")
			return
		}
		http.Redirect(w, r, abroad+r.URL.Path, http.StatusTemporaryRedirect)
	})
	client := guarded(t, "127.0.0.0/8")
	for _, tt := range []struct{ path, want string }{
		{"/doc", "payload 1"},
		{"/back", "payload 2"},
		{"/denied", "fault 70401 upstream answered 401 Unauthorized after a redirect to another origin, to which the configured headers are not sent"},
	} {
		if heard, _ := once(t, client, home+tt.path, ""); heard != tt.want {
			t.Errorf("%s: heard %q, want %q", tt.path, heard, tt.want)
		}
	}
	for _, v := range abroadVisits() {
		if v.key != "" {
			t.Errorf("the other origin got the key: %+v", v)
		}
	}
	for _, v := range homeVisits() {
		if want := secret; (v.path == "/end") == (v.key == want) {
			t.Errorf("the first origin got %+v", v)
		}
	}
}

func TestRedirectsEnd(t *testing.T) {
	url, visits := visitors(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/a":
			http.Redirect(w, r, "/b", http.StatusFound)
		case "/b":
			http.Redirect(w, r, "/a?key="+secret, http.StatusFound)
		default: // for ever another place, after enough of them the document
			n, _ := strconv.Atoi(r.URL.Path[1:])
			if n == 5 {
				_, _ = io.WriteString(w, "5")
				return
			}
			http.Redirect(w, r, fmt.Sprintf("/%d", n+1), http.StatusFound)
		}
	})
	client := guarded(t, "127.0.0.0/8")
	for _, tt := range []struct {
		path, want string
		requests   int
	}{
		{"/a", "fault 70300 upstream redirects in a circle, by way of " + url + "/a", 2},
		{"/0", "payload 5", 6},
		{"/6", "fault 70300 upstream redirects more than 5 times", 6},
	} {
		before := len(visits())
		heard, _ := once(t, client, url+tt.path, "")
		if n := len(visits()) - before; heard != tt.want || n != tt.requests {
			t.Errorf("%s: heard %q after %d requests, want %q after %d", tt.path, heard, n, tt.want, tt.requests)
		}
	}
}

// plainly is a client without a guard that trusts a test server's certificate.
type plainly struct{ *http.Client }

func (p plainly) Do(r *http.Request) (*http.Response, error) { return p.Transport.RoundTrip(r) }

func TestRedirectFromHTTPSToHTTP(t *testing.T) {
	plain, visits := visitors(t, answers(200, "1"))
	srv := httptest.NewTLSServer(http.RedirectHandler(plain+"/doc", http.StatusFound))
	defer srv.Close()
	heard, _ := once(t, plainly{srv.Client()}, srv.URL, "")
	if heard != "fault 70300 upstream redirects from https to http, which is not followed" || len(visits()) != 0 {
		t.Errorf("heard %q; %d requests over http", heard, len(visits()))
	}
}

func TestPost(t *testing.T) {
	var moved string
	url, _ := visitors(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path == "/307":
			http.Redirect(w, r, "/", http.StatusTemporaryRedirect)
		case r.URL.Path == "/303":
			http.Redirect(w, r, "/", http.StatusSeeOther)
		case r.URL.Path == "/elsewhere":
			http.Redirect(w, r, moved, http.StatusTemporaryRedirect)
		default:
			fmt.Fprintf(w, `[%q,%q,%s]`, r.Method, r.Header.Get("Content-Type"), body)
		}
	})
	moved, movedVisits := visitors(t, answers(200, "1"))
	client := guarded(t, "127.0.0.0/8")
	for path, want := range map[string]string{
		"/":          `payload ["POST","application/json",{"query":"{a}"}]`,
		"/307":       `payload ["POST","application/json",{"query":"{a}"}]`,
		"/303":       "fault 70300 upstream redirects a POST",
		"/elsewhere": "fault 70300 upstream redirects a POST",
	} {
		if heard, _ := once(t, client, url+path, `,"method":"POST","body":{"query":"{a}"}`); !strings.HasPrefix(heard, want) {
			t.Errorf("%s: heard %q, want %q", path, heard, want)
		}
	}
	if len(movedVisits()) != 0 {
		t.Error("the body went to another origin")
	}
}

// follow polls twice a second for as long as more says so, which is asked after each poll.
func follow(t *testing.T, client source.Client, url string, more func() bool) {
	t.Helper()
	src := build(t, "http-poller", `{"url":"`+url+`","pollingPeriod":"PT0.5S"}`, source.Env{Client: client})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	sink := &recorder{start: time.Now(), each: func(string) {
		if !more() {
			cancel()
		}
	}}
	if err := src.Run(ctx, sink); err != nil {
		t.Errorf("Run: %v", err)
	}
}
