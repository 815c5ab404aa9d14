package credentials_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/credentials"
	"freshet/internal/freshettest"
	"freshet/internal/settings"
)

const marker = "MARKER1f"

// conf is a configuration with credentials, as that of any source.
type conf struct {
	URL           settings.URL               `json:"url" doc:"Where it goes"`
	Authorization *credentials.Authorization `json:"authorization" doc:"Credentials"`
}

func read(t testing.TB, authorization string) *credentials.Authorization {
	t.Helper()
	var c conf
	if wrong := settings.Read(json.RawMessage(`{"authorization":`+authorization+`}`), &c); wrong != nil {
		t.Fatal(wrong)
	}
	return c.Authorization
}

func signer(t testing.TB, authorization string, env source.Env) credentials.Signer {
	t.Helper()
	s, err := read(t, authorization).New(env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func request(t testing.TB, method, url, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func pemOf(t testing.TB, form string, key any) string {
	t.Helper()
	var der []byte
	var err error
	switch form {
	case "PRIVATE KEY":
		der, err = x509.MarshalPKCS8PrivateKey(key)
	case "RSA PRIVATE KEY":
		der = x509.MarshalPKCS1PrivateKey(key.(*rsa.PrivateKey))
	case "EC PRIVATE KEY":
		der, err = x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey))
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: form, Bytes: der}))
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// Each member that is missing, wrong or of another type is named.
func TestCheck(t *testing.T) {
	for _, tt := range []struct{ name, config, pointer, detail string }{
		{"no type is oauth2", `{}`, "/clientId", "is required with type oauth2"},
		{"type", `{"type":"oauth3"}`, "/type", `did you mean "oauth2"?`},
		{"user", `{"type":"basic"}`, "/user", "is required with type basic"},
		{"a colon", `{"type":"basic","user":"a:b"}`, "/user", "colon"},
		{"token", `{"type":"bearer"}`, "/token", "is required"},
		{"key", `{"type":"api-key"}`, "/key", "is required"},
		{"in", `{"type":"api-key","key":"k","in":"body"}`, "/in", "header or query"},
		{"name", `{"type":"api-key","key":"k","name":"a b"}`, "/name", "not a header name"},
		{"name of its own", `{"type":"api-key","key":"k","name":"host"}`, "/name", "needs for itself"},
		{"clientSecret", `{"clientId":"i","provider":"https://id.example/"}`, "/clientSecret", "is required"},
		{"provider", `{"clientId":"i","clientSecret":"s"}`, "/provider", "is required"},
		{"an address", `{"clientId":"i","clientSecret":"s","provider":"id.example"}`, "/provider", "not an absolute URL"},
		{"mode", `{"clientId":"i","clientSecret":"s","provider":"https://id.example/","mode":"query"}`, "/mode", "header or body"},
		{"of another type", `{"clientId":"i","clientSecret":"s","provider":"https://id.example/","user":"u"}`, "/user", "of no use with type oauth2, but with basic"},
		{"of two others", `{"type":"bearer","token":"t","scope":"s"}`, "/scope", "but with oauth2 and jwt-bearer"},
		{"privateKey", `{"type":"jwt-bearer","issuer":"i","provider":"https://id.example/","privateKey":"` + marker + `"}`, "/privateKey", "PKCS#8"},
		{"issuer", `{"type":"jwt-bearer","provider":"https://id.example/","privateKey":"file:/key"}`, "/issuer", "is required"},
		{"accessKey", `{"type":"aws-sigv4","secretKey":"s","region":"r","service":"s3"}`, "/accessKey", "is required"},
		{"secretKey", `{"type":"aws-sigv4","accessKey":"a","region":"r","service":"s3"}`, "/secretKey", "is required"},
		{"region", `{"type":"aws-sigv4","accessKey":"a","secretKey":"s","service":"s3"}`, "/region", "is required"},
		{"service", `{"type":"aws-sigv4","accessKey":"a","secretKey":"s","region":"r"}`, "/service", "is required"},
		{"secret", `{"type":"hmac"}`, "/secret", "is required"},
		{"algorithm", `{"type":"hmac","secret":"s","algorithm":"md5"}`, "/algorithm", "sha256 or sha512"},
		{"encoding", `{"type":"hmac","secret":"s","encoding":"hexx"}`, "/encoding", "hex or base64"},
		{"signed", `{"type":"hmac","secret":"s","signed":"{method} {nonsense}"}`, "/signed", "{nonsense}"},
		{"header", `{"type":"hmac","secret":"s","header":""}`, "/header", "not a header name"},
		{"timestampHeader", `{"type":"hmac","secret":"s","timestampHeader":"x-signature"}`, "/timestampHeader", "is the header of the signature"},
		{"prefix", `{"type":"hmac","secret":"s","prefix":"a\nb"}`, "/prefix", "control"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wrong := settings.Read(json.RawMessage(`{"authorization":`+tt.config+`}`), &conf{})
			for _, f := range wrong {
				if f.Pointer == "/authorization"+tt.pointer {
					if !strings.Contains(f.Detail, tt.detail) || strings.Contains(f.Detail, marker) {
						t.Errorf("said %q, want %q", f.Detail, tt.detail)
					}
					return
				}
			}
			t.Errorf("nothing said of %s: %v", tt.pointer, wrong)
		})
	}
}

func TestPlain(t *testing.T) {
	t.Setenv("FRESHET_SECRET_TOKEN", "from-env")
	env := freshettest.Env(t)
	env.Secrets = settings.Vault{Env: []string{"FRESHET_SECRET_*"}}
	for _, tt := range []struct{ name, config, header, want, query string }{
		{"basic", `{"type":"basic","user":"u","password":"p:p"}`, "Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("u:p:p")), ""},
		{"basic without a password", `{"type":"basic","user":"u"}`, "Authorization", "Basic dTo=", ""},
		{"bearer", `{"type":"bearer","token":"t"}`, "Authorization", "Bearer t", ""},
		{"bearer by reference", `{"type":"bearer","token":"env:FRESHET_SECRET_TOKEN"}`, "Authorization", "Bearer from-env", ""},
		{"api-key", `{"type":"api-key","key":"k"}`, "X-Api-Key", "k", ""},
		{"api-key of another name", `{"type":"api-key","key":"k","name":"apikey"}`, "Apikey", "k", ""},
		{"api-key in the query", `{"type":"api-key","key":"k&k","in":"query","name":"api key"}`, "", "", "a=1&b=%2f&api+key=k%26k"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := request(t, "GET", "https://a.example/p?a=1&api+key=old&b=%2f", "")
			if err := signer(t, tt.config, env).Sign(t.Context(), r, nil); err != nil {
				t.Fatal(err)
			}
			if tt.header != "" && r.Header.Get(tt.header) != tt.want {
				t.Errorf("%s: %q, want %q", tt.header, r.Header.Get(tt.header), tt.want)
			}
			if tt.query != "" && (r.URL.RawQuery != tt.query || len(r.Header) > 0) {
				t.Errorf("query %q, want %q; header %v", r.URL.RawQuery, tt.query, r.Header)
			}
		})
	}
	r := request(t, "GET", "https://a.example/", "")
	var none *credentials.Authorization
	if s, err := none.New(env); err != nil || s.Sign(t.Context(), r, nil) != nil || len(r.Header) > 0 || none.Headers() != nil {
		t.Error("no authorization does something")
	}
	err := signer(t, `{"type":"bearer","token":"env:FRESHET_SECRET_NONE"}`, env).Sign(t.Context(), r, nil)
	if e, ok := errors.AsType[*credentials.Error](err); !ok || e.Fault.Code != freshet.FaultConfig || !strings.Contains(e.Error(), "authorization.token: the environment variable") {
		t.Errorf("a secret that is not there: %v", err)
	}
}

// The vectors of AWS's test suite for Signature Version 4.
func TestAWS(t *testing.T) {
	for _, tt := range []struct{ name, method, url, want string }{
		{"get-vanilla", "GET", "https://example.amazonaws.com/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"get-vanilla-query-order-key-case", "GET", "https://example.amazonaws.com/?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		{"post-vanilla", "POST", "https://example.amazonaws.com/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)))
			r, err := http.NewRequestWithContext(t.Context(), tt.method, tt.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			s := signer(t, `{"type":"aws-sigv4","accessKey":"AKIDEXAMPLE","secretKey":"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY","region":"us-east-1","service":"service"}`, source.Env{})
			if err := s.Sign(t.Context(), r, nil); err != nil {
				t.Fatal(err)
			}
			want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + tt.want
			if got := r.Header.Get("Authorization"); got != want {
				t.Errorf("%s:\n%s, want\n%s", tt.name, got, want)
			}
		})
	}
	r := request(t, "POST", "https://bucket.s3.eu-central-1.amazonaws.com/a%20b", "body")
	s := signer(t, `{"type":"aws-sigv4","accessKey":"A","secretKey":"s","sessionToken":"session","region":"eu-central-1","service":"s3"}`, source.Env{})
	if err := s.Sign(t.Context(), r, []byte("body")); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("body"))
	if r.Header.Get("X-Amz-Content-Sha256") != hex.EncodeToString(sum[:]) || r.Header.Get("X-Amz-Security-Token") != "session" {
		t.Errorf("of s3: %v", r.Header)
	}
}

func TestHMAC(t *testing.T) {
	digest := func(body string) string {
		sum := sha256.Sum256([]byte(body))
		return hex.EncodeToString(sum[:])
	}
	synctest.Test(t, func(t *testing.T) { // it is 946684800 there
		for _, tt := range []struct{ name, options, header, signed, prefix, timestamp string }{
			{"by default", ``, "X-Signature", "POST\n/a%20b\nq=1\n946684800\n" + digest("body"), "", "X-Timestamp"},
			{"named", `,"signed":"{host}|{body}","header":"Sign","prefix":"v1=","timestampHeader":""`, "Sign", "a.example:8443|body", "v1=", ""},
		} {
			r := request(t, "POST", "https://a.example:8443/a%20b?q=1", "body")
			if err := signer(t, `{"type":"hmac","secret":"s"`+tt.options+`}`, source.Env{}).Sign(t.Context(), r, []byte("body")); err != nil {
				t.Fatal(err)
			}
			h := hmac.New(sha256.New, []byte("s"))
			h.Write([]byte(tt.signed))
			if got, want := r.Header.Get(tt.header), tt.prefix+hex.EncodeToString(h.Sum(nil)); got != want {
				t.Errorf("%s: %s, want %s", tt.name, got, want)
			}
			if got := r.Header.Get("X-Timestamp"); (got == "946684800") != (tt.timestamp != "") {
				t.Errorf("%s: timestamp %q", tt.name, got)
			}
		}
		r := request(t, "GET", "https://a.example", "")
		if err := signer(t, `{"type":"hmac","secret":"s","algorithm":"sha512","encoding":"base64","signed":"{path}"}`, source.Env{}).Sign(t.Context(), r, nil); err != nil {
			t.Fatal(err)
		}
		h := hmac.New(sha512.New, []byte("s"))
		h.Write([]byte("/"))
		if got, want := r.Header.Get("X-Signature"), base64.StdEncoding.EncodeToString(h.Sum(nil)); got != want {
			t.Errorf("sha512: %s, want %s", got, want)
		}
	})
}

// An issuer is a token endpoint. It gives token-1, token-2 … and keeps the forms that it was sent.
type issuer struct {
	*httptest.Server
	mu      sync.Mutex
	forms   []map[string]string
	answer  func(n int, w http.ResponseWriter) bool // false: it gives a token
	expires string
}

func newIssuer(t testing.TB) *issuer {
	i := &issuer{expires: "3600"}
	i.Server = httptest.NewServer(i)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	form := map[string]string{"method": r.Method}
	for name := range r.PostForm {
		form[name] = r.PostForm.Get(name)
	}
	if user, password, ok := r.BasicAuth(); ok {
		form["basic"] = user + " " + password
	}
	i.mu.Lock()
	i.forms = append(i.forms, form)
	n := len(i.forms)
	i.mu.Unlock()
	if i.answer != nil && i.answer(n, w) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"bearer","expires_in":%s}`, n, i.expires)
}

func (i *issuer) asked() []map[string]string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.forms
}

func TestClientCredentials(t *testing.T) {
	for _, tt := range []struct{ options, want string }{
		{``, "map[basic:the%3Aid s%26%2B grant_type:client_credentials method:POST]"},
		{`,"mode":"header","scope":"a b"`, "map[basic:the%3Aid s%26%2B grant_type:client_credentials method:POST scope:a b]"},
		{`,"mode":"body","audience":"them"`, "map[audience:them client_id:the:id client_secret:s&+ grant_type:client_credentials method:POST]"},
	} {
		i := newIssuer(t)
		s := signer(t, `{"type":"oauth2","clientId":"the:id","clientSecret":"s&+","provider":"`+i.URL+`/token"`+tt.options+`}`, freshettest.Env(t))
		var wg sync.WaitGroup
		for range 20 { // one token for all
			wg.Go(func() {
				r := request(t, "GET", "https://a.example/", "")
				if err := s.Sign(t.Context(), r, nil); err != nil || r.Header.Get("Authorization") != "Bearer token-1" {
					t.Errorf("%v %v", r.Header, err)
				}
			})
		}
		wg.Wait()
		if got := i.asked(); len(got) != 1 || fmt.Sprint(got[0]) != tt.want {
			t.Errorf("asked by %v, want %s", got, tt.want)
		}
	}
}

func TestJWTBearer(t *testing.T) {
	rsaKey, err1 := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	bare := pemOf(t, "PRIVATE KEY", rsaKey)
	bare = strings.Join(strings.Split(strings.TrimSpace(bare), "\n")[1:len(strings.Split(strings.TrimSpace(bare), "\n"))-1], "\n")
	for _, tt := range []struct {
		name, key, options, method, want string
		public                           any
	}{
		{"PKCS#1", pemOf(t, "RSA PRIVATE KEY", rsaKey), ``, "RS256", "me me URL/token <nil>", &rsaKey.PublicKey},
		{"PKCS#8", pemOf(t, "PRIVATE KEY", rsaKey), `,"subject":"you","audience":"them","scope":"a b"`, "RS256", "me you them a b", &rsaKey.PublicKey},
		{"without lines around it", bare, ``, "RS256", "me me URL/token <nil>", &rsaKey.PublicKey},
		{"a curve", pemOf(t, "EC PRIVATE KEY", ecKey), `,"keyId":"k1"`, "ES256", "me me URL/token <nil>", &ecKey.PublicKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := newIssuer(t)
			s := signer(t, `{"type":"jwt-bearer","issuer":"me","privateKey":`+quote(tt.key)+`,"provider":"`+i.URL+`/token"`+tt.options+`}`, freshettest.Env(t))
			r := request(t, "GET", "https://a.example/", "")
			if err := s.Sign(t.Context(), r, nil); err != nil || r.Header.Get("Authorization") != "Bearer token-1" {
				t.Fatal(r.Header, err)
			}
			form := i.asked()[0]
			claims := jwt.MapClaims{}
			parsed, err := jwt.ParseWithClaims(form["assertion"], claims, func(*jwt.Token) (any, error) { return tt.public, nil }, jwt.WithValidMethods([]string{tt.method}), jwt.WithExpirationRequired())
			if err != nil || form["grant_type"] != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
				t.Fatalf("%v: %v", form, err)
			}
			if got, want := fmt.Sprint(claims["iss"], " ", claims["sub"], " ", claims["aud"], " ", claims["scope"]), strings.Replace(tt.want, "URL", i.URL, 1); got != want {
				t.Errorf("claims %s, want %s", got, want)
			}
			if kid := parsed.Header["kid"]; (kid == "k1") != strings.Contains(tt.options, "keyId") || claims["jti"] == "" {
				t.Errorf("kid %v, jti %v", kid, claims["jti"])
			}
		})
	}
}

// What a token endpoint may do wrong is told by codes and words of our own.
func TestTokenFaults(t *testing.T) {
	page := func(status int, body string) func(int, http.ResponseWriter) bool {
		return func(_ int, w http.ResponseWriter) bool {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			fmt.Fprint(w, body)
			return true
		}
	}
	for _, tt := range []struct {
		name    string
		answer  func(int, http.ResponseWriter) bool
		code    int
		message string
		passing bool
	}{
		{"refused", page(401, `{"error":"invalid_client","error_description":"`+marker+`"}`), 70401, "URL/token answered 401 Unauthorized and invalid_client", false},
		{"forbidden", page(403, marker), 70403, "URL/token answered 403 Forbidden", false},
		{"another word", page(400, `{"error":"`+marker+`"}`), 70400, "URL/token answered 400 Bad Request", false},
		{"busy", page(503, ``), 70503, "URL/token answered 503 Service Unavailable", true},
		{"redirects", page(302, ``), 70300, "URL/token redirects, which is not followed", false},
		{"no token", page(200, `{"token":"`+marker+`"}`), 70016, "without an access_token", false},
		{"a page", page(200, `<html>`+marker), 70016, "without an access_token", false},
		{"a break", page(200, `{"access_token":"`+marker+`\n"}`), 70016, "without an access_token", false},
		{"another type", page(200, `{"access_token":"`+marker+`","token_type":"mac"}`), 70016, "not of type Bearer", false},
		{"cut", func(int, http.ResponseWriter) bool { panic(http.ErrAbortHandler) }, 70013, "URL/token cannot be asked: upstream closed the connection", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := newIssuer(t)
			i.answer = tt.answer
			s := signer(t, `{"clientId":"i","clientSecret":"`+marker+`","provider":"`+i.URL+`/token?key=`+marker+`"}`, freshettest.Env(t))
			err := s.Sign(t.Context(), request(t, "GET", "https://a.example/", ""), nil)
			e, ok := errors.AsType[*credentials.Error](err)
			if !ok {
				t.Fatal(err)
			}
			if want := strings.Replace(tt.message, "URL", i.URL, 1); e.Fault.Code != tt.code || !strings.Contains(e.Fault.Message, want) || e.Passing != tt.passing {
				t.Errorf("%v (passing %v), want %d %s", e.Fault, e.Passing, tt.code, want)
			}
			if tt.code > 70300 && e.RetryAfter != 7*time.Second {
				t.Errorf("retry after %v", e.RetryAfter)
			}
			if f, _ := source.FaultOf(err); f != e.Fault {
				t.Errorf("told %v", f)
			}
			for _, is := range []string{fmt.Sprintf("%v %+v %s", err, err, errors.Join(e.Unwrap()...)), fmt.Sprintf("%#v", *read(t, `{"type":"bearer","token":"`+marker+`"}`))} {
				if strings.Contains(is, marker) {
					t.Errorf("a secret is in %s", is)
				}
			}
		})
	}
	env := freshettest.Env(t)
	s := signer(t, fmt.Sprintf(`{"clientId":"i","clientSecret":"s","provider":"http://127.0.0.1:%d/"}`, freshettest.Port(t)), env)
	if e, ok := errors.AsType[*credentials.Error](s.Sign(t.Context(), request(t, "GET", "https://a.example/", ""), nil)); !ok || e.Fault.Code != freshet.FaultConnection || !e.Passing {
		t.Errorf("nobody listens: %v", e)
	}
	s = signer(t, `{"clientId":"i","clientSecret":"s","provider":"http://169.254.169.254/"}`, env)
	if e, ok := errors.AsType[*credentials.Error](s.Sign(t.Context(), request(t, "GET", "https://a.example/", ""), nil)); !ok || e.Fault.Code != freshet.FaultConfig || e.Passing {
		t.Errorf("where it may not go: %v", e)
	}
}

// script is a Client that answers as a token endpoint.
type script func(n int) (*http.Response, error)

type scripted struct {
	answer script
	n      int
}

func (s *scripted) Do(*http.Request) (*http.Response, error) { s.n++; return s.answer(s.n) }

// A token is used until shortly before it expires; where no other can be had then, until it has expired.
func TestTokenLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := false
		client := &scripted{answer: func(n int) (*http.Response, error) {
			rec := httptest.NewRecorder()
			if down {
				return nil, context.DeadlineExceeded
			}
			fmt.Fprintf(rec, `{"access_token":"%d","expires_in":"600"}`, n)
			return rec.Result(), nil
		}}
		s := signer(t, `{"clientId":"i","clientSecret":"s","provider":"https://id.example/"}`, source.Env{Client: client})
		sign := func() string {
			r := request(t, "GET", "https://a.example/", "")
			if err := s.Sign(t.Context(), r, nil); err != nil {
				return "none"
			}
			return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		}
		for _, step := range []struct {
			after time.Duration
			down  bool
			want  string
		}{
			{0, false, "1"},
			{539 * time.Second, false, "1"},
			{2 * time.Second, true, "1"}, // it is to be renewed, and cannot
			{58 * time.Second, true, "1"},
			{2 * time.Second, true, "none"},
			{time.Second, false, "5"}, // the first of a new life; 2, 3 and 4 failed
			{541 * time.Second, false, "6"},
		} {
			time.Sleep(step.after)
			down = step.down
			if got := sign(); got != step.want {
				t.Fatalf("after %v: %s, want %s", step.after, got, step.want)
			}
		}
	})
}

// A token that is refused is replaced once.
func TestTokenRefused(t *testing.T) {
	i := newIssuer(t)
	s := signer(t, `{"clientId":"i","clientSecret":"s","provider":"`+i.URL+`"}`, freshettest.Env(t))
	sign := func() *http.Response {
		r := request(t, "GET", "https://a.example/", "")
		if err := s.Sign(t.Context(), r, nil); err != nil {
			t.Fatal(err)
		}
		return &http.Response{StatusCode: http.StatusUnauthorized, Request: r}
	}
	first := sign()
	if first.StatusCode = http.StatusForbidden; s.Refused(first) {
		t.Error("another token may help against 403")
	}
	first.StatusCode = http.StatusUnauthorized
	second := sign()
	if !s.Refused(second) {
		t.Error("a token that was used before is not replaced")
	}
	if !s.Refused(first) {
		t.Error("who was refused with the old token does not try the new one")
	}
	third := sign()
	if third.Request.Header.Get("Authorization") != "Bearer token-2" || s.Refused(third) {
		t.Error("a new token is replaced because it is refused")
	}
	if n := len(i.asked()); n != 2 {
		t.Errorf("%d tokens were asked for", n)
	}
}

// Whoever waits for a token goes when it is not wanted any more.
func TestTokenCancelled(t *testing.T) {
	i := newIssuer(t)
	release := make(chan struct{})
	i.answer = func(int, http.ResponseWriter) bool { <-release; return false }
	defer close(release)
	s := signer(t, `{"clientId":"i","clientSecret":"s","provider":"`+i.URL+`"}`, freshettest.Env(t))
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if e, ok := errors.AsType[*credentials.Error](s.Sign(ctx, request(t, "GET", "https://a.example/", ""), nil)); !ok || !e.Passing {
				t.Errorf("waited for, and got %v", e)
			}
		})
	}
	wg.Wait()
}

// A secret goes where it was meant to go only: who changes the token endpoint has to know it.
func TestMask(t *testing.T) {
	const stored = `{"url":"https://a.example/","authorization":{"clientId":"i","clientSecret":"` + marker + `","provider":"https://id.example/token"}}`
	shown := settings.Mask(json.RawMessage(stored), conf{})
	if strings.Contains(string(shown), marker) {
		t.Fatalf("shown: %s", shown)
	}
	if back := settings.Unmask(shown, json.RawMessage(stored), conf{}); string(back) != stored {
		t.Errorf("put back as %s", back)
	}
	moved := strings.Replace(string(shown), "id.example", "evil.example", 1)
	if back := settings.Unmask(json.RawMessage(moved), json.RawMessage(stored), conf{}); strings.Contains(string(back), marker) {
		t.Errorf("sent elsewhere: %s", back)
	}
	for _, secret := range []string{"password", "token", "key", "clientSecret", "privateKey", "secretKey", "sessionToken", "secret"} {
		config := `{"authorization":{"` + secret + `":"` + marker + `"}}`
		if shown := settings.Mask(json.RawMessage(config), conf{}); strings.Contains(string(shown), marker) {
			t.Errorf("shown: %s", shown)
		}
	}
}
