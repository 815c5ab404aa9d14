package httppoller_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freshet/internal/freshettest"
	"freshet/internal/settings"
)

// The API takes a token until it has been used twice; then the poller gets another, and its user sees nothing
// of that.
func TestTokenOfAPoller(t *testing.T) {
	var given, polls atomic.Int32
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "id" || password != marker {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"access_token":"%s%d","token_type":"Bearer","expires_in":3600}`, marker, given.Add(1))
	}))
	defer provider.Close()
	var uses [10]atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "+marker)
		if len(token) != 1 || uses[token[0]-'0'].Add(1) > 2 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, polls.Add(1))
	}))
	defer api.Close()
	logged := &freshettest.Buffer{}
	env := freshettest.Env(t)
	env.Log = slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	to := &freshettest.Sink{}
	freshettest.Run(t, poller(t), `{"url":"`+api.URL+`","pollingPeriod":"PT0.5S","authorization":{"clientId":"id","clientSecret":"`+marker+`","provider":"`+provider.URL+`/token"}}`, env, to)
	to.Await(t, "1", "2", "3", "4", "5")
	if faults := to.Faults(); len(faults) > 0 || given.Load() != 3 {
		t.Errorf("%d tokens, faults %v", given.Load(), faults)
	}
	if strings.Contains(logged.String(), marker) {
		t.Errorf("a secret is in the log:\n%s", logged)
	}
}

// Credentials stay with the origin that they are for, and nothing that is told or logged has them.
func TestCredentialsStayHome(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, fmt.Sprint(r.Header, r.URL))
		mu.Unlock()
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer elsewhere.Close()
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(fmt.Sprint(r.Header, r.URL), marker) && r.Header.Get("X-Signature") == "" && !strings.Contains(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256") {
			t.Errorf("no credentials: %v %v", r.URL, r.Header)
		}
		http.Redirect(w, r, elsewhere.URL, http.StatusFound)
	}))
	defer home.Close()
	for _, authorization := range []string{
		`{"type":"bearer","token":"` + marker + `"}`,
		`{"type":"api-key","key":"` + marker + `"}`,
		`{"type":"api-key","in":"query","name":"q","key":"` + marker + `"}`,
		`{"type":"hmac","secret":"` + marker + `"}`,
		`{"type":"aws-sigv4","accessKey":"A","secretKey":"` + marker + `","region":"r","service":"s3"}`,
	} {
		logged := &freshettest.Buffer{}
		env := freshettest.Env(t)
		env.Log = slog.New(slog.NewJSONHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
		to := &freshettest.Sink{}
		stop := freshettest.Run(t, poller(t), `{"url":"`+home.URL+`","authorization":`+authorization+`}`, env, to)
		freshettest.WaitFor(t, time.Minute, "a fault", func() bool { return len(to.Faults()) > 0 })
		stop()
		want := "upstream answered 401 Unauthorized after a redirect to another origin, to which the credentials are not sent"
		if f := to.Faults()[0]; f.Code != 70401 || f.Message != want {
			t.Errorf("%s: %v", authorization, f)
		}
		if all := logged.String() + fmt.Sprint(to.Faults()); strings.Contains(all, marker) || !strings.Contains(all, "poll failed") {
			t.Errorf("%s: told\n%s", authorization, all)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, s := range seen {
		if strings.Contains(s, marker) || strings.Contains(s, "Authorization") || strings.Contains(s, "X-Signature") || strings.Contains(s, "X-Amz") {
			t.Errorf("sent elsewhere: %s", s)
		}
	}
	if len(seen) == 0 {
		t.Error("it was never redirected")
	}
}

// The body that is posted is what is signed.
func TestBodyIsSigned(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h := hmac.New(sha256.New, []byte("s"))
		fmt.Fprintf(h, "%s %s", r.Method, body)
		fmt.Fprint(w, len(body) > 0 && r.Header.Get("X-Signature") == hex.EncodeToString(h.Sum(nil)))
	}))
	defer api.Close()
	to := &freshettest.Sink{}
	freshettest.Run(t, poller(t), `{"url":"`+api.URL+`","method":"POST","body":{"q":1},"authorization":{"type":"hmac","secret":"s","signed":"{method} {body}"}}`, freshettest.Env(t), to)
	to.Await(t, "true")
}

// A token endpoint that refuses is told once and not asked again at once; one that fails is.
func TestTokenFaultOfAPoller(t *testing.T) {
	for _, tt := range []struct {
		status, code int
		asked        int32
	}{{401, 70401, 1}, {503, 70503, 3}} {
		var asked, polled atomic.Int32
		provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.WriteHeader(tt.status)
		}))
		api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { polled.Add(1) }))
		to := &freshettest.Sink{}
		stop := freshettest.Run(t, poller(t), `{"url":"`+api.URL+`","pollingPeriod":"PT1H","retryMaxAttempts":2,"retryBackOffInitialDuration":"PT0S","authorization":{"clientId":"id","clientSecret":"s","provider":"`+provider.URL+`"}}`, freshettest.Env(t), to)
		freshettest.WaitFor(t, time.Minute, "a fault", func() bool { return len(to.Faults()) > 0 })
		stop()
		if f := to.Faults()[0]; f.Code != tt.code || asked.Load() != tt.asked || polled.Load() > 0 {
			t.Errorf("%v after %d requests; the API had %d", f, asked.Load(), polled.Load())
		}
		provider.Close()
		api.Close()
	}
}

func TestCredentialsOfAPollerAreChecked(t *testing.T) {
	for _, tt := range []struct{ config, pointer string }{
		{`{"url":"https://a.example/","headers":{"authorization":"Bearer x"},"authorization":{"type":"bearer","token":"t"}}`, "/headers/authorization"},
		{`{"url":"https://a.example/","headers":{"x-api-key":"x"},"authorization":{"type":"api-key","key":"t"}}`, "/headers/x-api-key"},
		{`{"url":"https://a.example/","authorization":{"type":"bearer"}}`, "/authorization/token"},
		{`{"url":"https://a.example/","tls":{"cert":"file:/c"}}`, "/tls/key"},
		{`{"url":"https://a.example/","tls":{"key":"file:/k"}}`, "/tls/key"},
	} {
		wrong := poller(t).Check(json.RawMessage(tt.config))
		if len(wrong) != 1 || wrong[0].Pointer != tt.pointer {
			t.Errorf("%s: %v, want %s", tt.config, wrong, tt.pointer)
		}
	}
}

// certificate is one in PEM, with its key, signed by another or itself.
func certificate(t *testing.T, name string, by *tls.Certificate) (cert tls.Certificate, certPEM, keyPEM string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: by == nil,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, signer := template, any(key)
	if by != nil {
		parent, signer = by.Leaf, by.PrivateKey
	}
	der, err1 := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	pkcs8, err2 := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	certPEM = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	keyPEM = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	cert, err = tls.X509KeyPair([]byte(certPEM), []byte(keyPEM))
	if err != nil {
		t.Fatal(err)
	}
	return cert, certPEM, keyPEM
}

// Upstream knows the poller by its certificate, which may be renewed in its file, and the poller upstream by an
// authority of its own.
func TestMutualTLS(t *testing.T) {
	authority, caPEM, _ := certificate(t, "authority", nil)
	server, _, _ := certificate(t, "upstream.example", &authority)
	pool := x509.NewCertPool()
	pool.AddCert(authority.Leaf)
	var mu sync.Mutex
	var names []string
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if name := r.TLS.PeerCertificates[0].Subject.CommonName; !slices.Contains(names, name) {
			names = append(names, name)
		}
		fmt.Fprint(w, len(names))
	}))
	api.TLS = &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	api.StartTLS()
	defer api.Close()

	folder := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, "new"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(folder, "new"), filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	renew := func(name string) {
		_, cert, key := certificate(t, name, &authority)
		write("key.pem", cert+key) // one file, so that both change at once
	}
	write("ca.pem", caPEM)
	renew("one")
	env := freshettest.Env(t)
	env.Secrets = settings.Vault{Files: []string{folder}}
	file := func(name string) string { return `"file:` + filepath.Join(folder, name) + `"` }
	config := `{"url":"` + api.URL + `","pollingPeriod":"PT0.5S","tls":{"ca":` + file("ca.pem") + `,"cert":` + file("key.pem") + `,"key":` + file("key.pem") + `,"serverName":"upstream.example"}}`
	to := &freshettest.Sink{}
	freshettest.Run(t, poller(t), config, env, to)
	to.Await(t, "1")
	renew("two")
	to.Await(t, "1", "2")
	mu.Lock()
	if !slices.Equal(names, []string{"one", "two"}) {
		t.Errorf("upstream knew %v", names)
	}
	mu.Unlock()

	fails := func(config string, code int) {
		t.Helper()
		to := &freshettest.Sink{}
		defer freshettest.Run(t, poller(t), config, env, to)()
		freshettest.WaitFor(t, time.Minute, "a fault", func() bool { return len(to.Faults()) > 0 })
		if f := to.Faults()[0]; f.Code != code || strings.Contains(f.Message, marker) {
			t.Errorf("%s: %v, want %d", config, f, code)
		}
	}
	at := func(tls string) string {
		return `{"url":"` + api.URL + `","retryMaxAttempts":0,"tls":{` + tls + `}}`
	}
	fails(at(`"ca":`+file("ca.pem")+`,"cert":`+file("key.pem")+`,"key":`+file("key.pem")+`,"serverName":"other.example"`), 70013)
	fails(at(`"ca":`+file("ca.pem")+`,"serverName":"upstream.example"`), 70013) // it has no certificate to show
	write("no.pem", marker)
	fails(at(`"ca":`+file("no.pem")), 70001)
	for tls, pointer := range map[string]string{`"ca":"` + marker + `"`: "/tls/ca", `"cert":"` + marker + `","key":"` + marker + `"`: "/tls/key", `"cert":"` + marker + `"`: "/tls/key"} {
		if wrong := poller(t).Check(json.RawMessage(at(tls))); len(wrong) != 1 || wrong[0].Pointer != pointer || strings.Contains(wrong.Error(), marker) {
			t.Errorf("%s: %v, want one mistake at %s", tls, wrong, pointer)
		}
	}
	fails(at(`"ca":`+file("none.pem")), 70001)
}
