package app_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/internal/app"
	"freshet/internal/selfsigned"
)

// A path is a way on which a stream is written.
type path struct{ portable, tls, http1 bool }

// onEveryPath runs a test of streams that loops write, that net/http does, and of those over TLS.
func onEveryPath(t *testing.T, test func(t *testing.T, on path)) {
	t.Helper()
	for name, on := range map[string]path{"loops": {}, "portable": {portable: true}, "TLS": {tls: true, http1: true}, "HTTP2": {tls: true}} {
		t.Run(name, func(t *testing.T) { test(t, on) })
	}
}

// serve is serve of streams that are written on a path.
func (on path) serve(t *testing.T, c app.Config) string {
	t.Helper()
	c.Portable = on.portable
	if on.tls {
		c.TLS = filesOf(t, testKeys)
	}
	url := serve(t, c)
	if on.http1 {
		url = strings.Replace(url, "127.0.0.1", "localhost", 1)
	}
	return url
}

// clients is the transport of tests: it trusts their certificate, and speaks HTTP/1.1 to localhost and HTTP/2
// to 127.0.0.1.
type clients struct{ one, two *http.Transport }

func (c clients) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Hostname() == "localhost" {
		return c.one.RoundTrip(r)
	}
	return c.two.RoundTrip(r)
}

func TestMain(m *testing.M) {
	two := http.DefaultTransport.(*http.Transport).Clone()
	two.TLSClientConfig = &tls.Config{RootCAs: testKeys.Roots, MinVersion: tls.VersionTLS12}
	one := two.Clone()
	one.TLSClientConfig.NextProtos = []string{"http/1.1"}
	one.ForceAttemptHTTP2 = false
	one.Protocols = new(http.Protocols)
	one.Protocols.SetHTTP1(true)
	http.DefaultTransport = clients{one, two}
	os.Exit(m.Run())
}

var testKeys = newKeys()

func newKeys() selfsigned.Pair {
	p, err := selfsigned.New()
	if err != nil {
		panic(err)
	}
	return p
}

// filesOf writes a certificate and its key into a directory of the test.
func filesOf(t *testing.T, p selfsigned.Pair) app.TLSConfig {
	t.Helper()
	dir := t.TempDir()
	c := app.TLSConfig{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	write(t, p, c)
	return c
}

func write(t *testing.T, p selfsigned.Pair, c app.TLSConfig) {
	t.Helper()
	if err := p.Write(c.Cert, c.Key); err != nil {
		t.Fatal(err)
	}
}

func TestTLS(t *testing.T) {
	c := filesOf(t, testKeys)
	url := serve(t, app.Config{TLS: c, Topics: []freshet.Topic{pushed("doc", freshet.KindSnapshot)}})
	if !strings.HasPrefix(url, "https://") {
		t.Errorf("the server says that it is at %s", url)
	}
	post(t, url+"/live/doc", `{"n":1}`)
	for host, proto := range map[string]string{"127.0.0.1": "HTTP/2.0", "localhost": "HTTP/1.1"} {
		s := open(t, strings.Replace(url, "127.0.0.1", host, 1)+"/live/doc")
		if s.expect(`{"n":1}`); s.resp.Proto != proto || s.resp.TLS == nil {
			t.Errorf("a stream over %s", s.resp.Proto)
		}
	}
	addr := strings.TrimPrefix(url, "https://")
	if _, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: testKeys.Roots, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil { //nolint:gosec // that is the test
		t.Error("TLS 1.1 was accepted")
	}
	if resp, text := do(t, "GET", "http://"+addr+"/", ""); resp.StatusCode != http.StatusBadRequest || !strings.Contains(text, "HTTPS") {
		t.Errorf("plain HTTP: %s %s", resp.Status, text)
	}
}

// Over HTTP/2 a stream that ends with its topic, or with the server, is ended and not reset: a reset is told
// as an error of the server's.
func TestStreamsEndOverHTTP2(t *testing.T) {
	topics := []freshet.Topic{pushed("doc", freshet.KindSnapshot), pushed("log", freshet.KindEvent)}
	var ends []*stream
	t.Run("the server stops", func(t *testing.T) {
		base := path{tls: true}.serve(t, app.Config{Topics: topics})
		post(t, base+"/live/doc", `{"n":1}`)
		for _, path := range []string{"/live/doc", "/live?topic=doc&topic=log", "/live/log"} {
			r, err := http.NewRequest("GET", base+path, nil) // outlives the subtest
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Accept", "text/event-stream")
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, &stream{t, resp, bufio.NewReader(resp.Body)})
		}
	})
	for _, s := range ends {
		defer s.resp.Body.Close()
		if text, err := io.ReadAll(s.in); err != nil || s.resp.ProtoMajor != 2 || !strings.HasSuffix(string(text), ":\n") {
			t.Errorf("%s: %q, %v", s.resp.Request.URL, text, err)
		}
	}
}

// Who hangs up a stream over TLS is noticed at once, though nothing is written.
func TestHangUpOverTLS(t *testing.T) {
	url := path{tls: true, http1: true}.serve(t, app.Config{Topics: []freshet.Topic{pushed("doc", freshet.KindSnapshot)}})
	post(t, url+"/live/doc", `{"n":1}`)
	s := open(t, url+"/live/doc")
	s.expect(`{"n":1}`)
	_ = s.resp.Body.Close()
	for deadline := time.Now().Add(4 * time.Second); ; { // less than the pause between heartbeats
		if _, text := do(t, "GET", url+"/v1/topics/doc", ""); strings.Contains(text, `"subscribers":0`) || !strings.Contains(text, `"subscribers"`) {
			return
		} else if time.Now().After(deadline) {
			t.Fatal(text)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A certificate that is renewed is used without a restart; one that is broken is not.
func TestRenewedCertificate(t *testing.T) {
	c := filesOf(t, testKeys)
	var log locked
	url := serveLogged(t, app.Config{TLS: c}, slog.New(slog.NewTextHandler(&log, nil)))
	addr := strings.TrimPrefix(url, "https://")
	shown := func(roots *x509.CertPool) bool {
		conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	until := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(100 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not in time; the log is %s", what, log.String())
			}
		}
	}
	if err := os.WriteFile(c.Cert, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	until("a broken certificate", func() bool { return shown(testKeys.Roots) && strings.Contains(log.String(), "cannot be used") })
	renewed := newKeys()
	write(t, renewed, c)
	until("a renewed certificate", func() bool { return shown(renewed.Roots) })
}

func TestTLSConfig(t *testing.T) {
	good, other := filesOf(t, testKeys), filesOf(t, newKeys())
	for name, tt := range map[string]struct {
		c    app.TLSConfig
		want []string // in the error; none: there is none
	}{
		"good":             {good, nil},
		"TLS 1.3":          {app.TLSConfig{Cert: good.Cert, Key: good.Key, MinVersion: "1.3"}, nil},
		"no key":           {app.TLSConfig{Cert: good.Cert}, []string{"tls/key", "needed"}},
		"no certificate":   {app.TLSConfig{Key: good.Key}, []string{"tls/cert", "needed"}},
		"no such file":     {app.TLSConfig{Cert: "/no/such.pem", Key: good.Key}, []string{"tls/cert", "/no/such.pem"}},
		"no such key":      {app.TLSConfig{Cert: good.Cert, Key: "/no/such.pem"}, []string{"tls/key", "/no/such.pem"}},
		"key for cert":     {app.TLSConfig{Cert: good.Key, Key: good.Key}, []string{"tls/cert", "no certificate"}},
		"of another":       {app.TLSConfig{Cert: good.Cert, Key: other.Key}, []string{"tls/key", "does not go with"}},
		"an old version":   {app.TLSConfig{Cert: good.Cert, Key: good.Key, MinVersion: "1.1"}, []string{"tls/minVersion", "1.1"}},
		"no version":       {app.TLSConfig{MinVersion: "x"}, []string{"tls/minVersion"}},
		"version, no cert": {app.TLSConfig{MinVersion: "1.3"}, []string{"tls/minVersion", "tls.cert"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := (&app.Config{TLS: tt.c}).Check()
			if (err == nil) != (tt.want == nil) {
				t.Fatal(err)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v; want %q in it", err, part)
				}
			}
		})
	}
}

// What YAML takes for a number is a version too, and files are sought beside the one that names them.
func TestTLSInFile(t *testing.T) {
	c := filesOf(t, testKeys)
	dir := filepath.Dir(c.Cert)
	load := func(text string, env ...string) (app.Config, error) {
		path := filepath.Join(dir, "freshet.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return app.Load(path, env)
	}
	for _, version := range []string{"1.3", `"1.3"`, "'1.3'"} {
		got, err := load("tls: {cert: cert.pem, key: ./key.pem, minVersion: " + version + "}\n")
		if want := (app.TLSConfig{Cert: c.Cert, Key: c.Key, MinVersion: "1.3"}); err != nil || got.TLS != want {
			t.Errorf("minVersion: %s: %+v, %v", version, got.TLS, err)
		}
	}
	for text, want := range map[string]string{
		"tls: {cert: cert.pem, key: key.pem, minVersion: 1.1}\n":   `freshet.yaml:1:49: tls/minVersion: "1.1" is not known`,
		"tls: {cert: cert.pem, key: key.pem, minVersion: [1.2]}\n": "tls/minVersion: must be 1.2 or 1.3",
		"tls: {minVersion: 1.3}\n":                                 "tls/minVersion: means nothing without tls.cert and tls.key",
		"tls: {cert: none.pem, key: key.pem}\n":                    filepath.Join(dir, "none.pem"),
	} {
		if _, err := load(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", text, err, want)
		}
	}
	t.Chdir(dir) // what the environment names counts from here
	if got, err := app.Load("", []string{"FRESHET_TLS_CERT=cert.pem", "FRESHET_TLS_KEY=key.pem", "FRESHET_TLS_MIN_VERSION=1.3"}); err != nil || got.TLS != (app.TLSConfig{Cert: "cert.pem", Key: "key.pem", MinVersion: "1.3"}) {
		t.Errorf("in the environment: %+v, %v", got.TLS, err)
	}
}
