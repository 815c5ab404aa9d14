package s3_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/credentials"
	"freshet/internal/flow/source/s3"
	"freshet/internal/freshettest"
)

// A gateway is a real store: Versity's gateway over a folder.
type gateway struct {
	testing.TB
	*freshettest.Process
	url    string
	signer credentials.Signer
}

const secretKey = "very/secret+key"

func newGateway(t testing.TB) *gateway {
	t.Helper()
	program := freshettest.GoProgram(t, "github.com/versity/versitygw/cmd/versitygw", "v1.8.0")
	address := fmt.Sprintf("127.0.0.1:%d", freshettest.Port(t))
	dir := t.TempDir()
	for _, name := range []string{"data", "meta"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	g := &gateway{TB: t, url: "http://" + address}
	g.Process = freshettest.Start(t, address, func() *exec.Cmd {
		return exec.Command(program, "--access", "reader", "--secret", secretKey, "--region", "eu-test-1", "--port", address, "posix", "--sidecar", filepath.Join(dir, "meta"), filepath.Join(dir, "data"))
	})
	var err error
	g.signer, err = (&credentials.Authorization{Type: "aws-sigv4", AccessKey: "reader", SecretKey: secretKey, Region: "eu-test-1", Service: "s3"}).New(source.Env{})
	if err != nil {
		t.Fatal(err)
	}
	g.put("bucket", "")
	return g
}

// try puts an object, or makes a bucket.
func (g *gateway) try(path, data string) error {
	g.Helper()
	r, err := http.NewRequestWithContext(g.Context(), http.MethodPut, g.url, bytes.NewReader([]byte(data)))
	if err != nil {
		g.Fatal(err)
	}
	r.URL.Path, r.URL.RawPath = "/"+path, strings.NewReplacer("+", "%20", "%2F", "/").Replace(url.QueryEscape("/"+path))
	if err := g.signer.Sign(g.Context(), r, []byte(data)); err != nil {
		g.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("put %s: %s", path, resp.Status)
	}
	return nil
}

func (g *gateway) put(path, data string) {
	g.Helper()
	var err error
	freshettest.WaitFor(g, time.Minute, "put "+path, func() bool { err = g.try(path, data); return err == nil })
}

func (g *gateway) run(options string, to source.Sink) (stop func()) {
	g.Helper()
	return freshettest.Run(g, s3.Kind(), fmt.Sprintf(`{"endpoint":%q,"region":"eu-test-1","bucket":"bucket","accessKey":"reader","secretKey":%q,"pollingPeriod":"PT0.5S"%s}`, g.url, secretKey, options), freshettest.Env(g), to)
}

func awaitFault(t testing.TB, to *freshettest.Sink, code int) {
	t.Helper()
	freshettest.WaitFor(t, 10*time.Second, fmt.Sprintf("fault %d", code), func() bool {
		return slices.ContainsFunc(to.Faults(), func(f freshet.Fault) bool { return f.Code == code })
	})
}

func TestObject(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	to := &freshettest.Sink{}
	const key = "a folder/ä+b&c=d?.json"
	name, _ := json.Marshal(key)
	stop := g.run(`,"key":`+string(name), to)
	awaitFault(t, to, 70404)
	g.put("bucket/"+key, `{"a":1}`)
	to.Await(t, `{"a":1}`)
	g.put("bucket/"+key, `{"a":2}`)
	to.Await(t, `{"a":1}`, `{"a":2}`)
	stop()
	g.put("bucket/"+key, `{"a":3}`)
	g.run(`,"key":`+string(name), to)
	to.Await(t, `{"a":1}`, `{"a":2}`, `{"a":3}`)
}

func TestLines(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	to := &freshettest.Sink{}
	log := "a,b\n1,2\n"
	g.put("bucket/log", log)
	stop := g.run(`,"key":"log","mode":"lines","format":"csv"`, to)
	to.Await(t, `{"a":"1","b":"2"}`)
	log += strings.Repeat("3,4\n", 2000)
	g.put("bucket/log", log)
	freshettest.WaitFor(t, 10*time.Second, "all lines", func() bool { return len(to.Payloads()) == 2001 })
	stop()
	g.put("bucket/log", log+"5,6\n")
	g.run(`,"key":"log","mode":"lines","format":"csv"`, to)
	freshettest.WaitFor(t, 10*time.Second, "the last line", func() bool { return len(to.Payloads()) == 2002 })
	if got := to.Payloads()[2001]; got != `{"a":"5","b":"6"}` {
		t.Errorf("the last is %s", got)
	}
}

func TestPrefix(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	to := &freshettest.Sink{}
	g.put("bucket/in/b ü.json", `"b"`)
	g.put("bucket/in/a+.json", `"a"`)
	g.put("bucket/in/x.txt", `"x"`)
	g.put("bucket/out/c.json", `"c"`)
	stop := g.run(`,"prefix":"in/","pattern":"*.json"`, to)
	to.Await(t, `"a"`, `"b"`)
	g.put("bucket/in/sub/d.json", `"d"`)
	to.Await(t, `"a"`, `"b"`, `"d"`)
	stop()
	g.put("bucket/in/z.json", `"z"`)
	g.put("bucket/in/c.json", `"late"`)
	g.run(`,"prefix":"in/","pattern":"*.json"`, to)
	to.Await(t, `"a"`, `"b"`, `"d"`, `"late"`, `"z"`)
	all := &freshettest.Sink{}
	g.run(`,"prefix":"","order":"modified"`, all)
	freshettest.WaitFor(t, 10*time.Second, "all objects", func() bool { return len(all.Payloads()) == 7 })
}

// TestKilled kills the store while objects come; nothing is lost or repeated, also by a restart in between.
func TestKilled(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	to := &freshettest.Sink{}
	stop := g.run(`,"prefix":"in/"`, to)
	away := 5 * time.Second
	if os.Getenv("FRESHET_TEST_ALL") != "" {
		away = 30 * time.Second
	}
	var want []string
	for i := range 60 {
		want = append(want, fmt.Sprint(i))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range want {
			path := fmt.Sprintf("bucket/in/%04d", i)
			for deadline := time.Now().Add(time.Minute); g.try(path, want[i]) != nil && time.Now().Before(deadline); {
				time.Sleep(50 * time.Millisecond)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	freshettest.WaitFor(t, time.Minute, "some are there", func() bool { return len(to.Payloads()) > 10 })
	g.Kill()
	awaitFault(t, to, freshet.FaultConnection)
	time.Sleep(away / 2)
	stop()
	g.run(`,"prefix":"in/"`, to)
	time.Sleep(away / 2)
	g.Restart()
	<-done
	to.Await(t, want...)
}

func TestRefused(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.put("bucket/a", "1")
	for options, code := range map[string]int{
		`"bucket":"bucket","key":"a","accessKey":"reader","secretKey":"wrong"`:                                70403,
		`"bucket":"bucket","key":"a"`:                                                                         70403,
		`"bucket":"nobucket","prefix":"","accessKey":"reader","secretKey":"` + secretKey + `"`:                70404,
		`"bucket":"bucket","key":"a","sessionToken":"x","accessKey":"reader","secretKey":"` + secretKey + `"`: 0,
	} {
		to := &freshettest.Sink{}
		freshettest.Run(t, s3.Kind(), fmt.Sprintf(`{"endpoint":%q,"region":"eu-test-1",%s}`, g.url, options), freshettest.Env(t), to)
		if code != 0 {
			awaitFault(t, to, code)
			continue
		}
		freshettest.WaitFor(t, 10*time.Second, "an answer", func() bool { return len(to.Payloads())+len(to.Faults()) > 0 })
	}
}

// A fake answers with pages, and remembers what it was asked.
type fake struct {
	mu    sync.Mutex
	asked []*http.Request
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r)
	q := r.URL.Query()
	switch {
	case q.Get("list-type") == "":
		fmt.Fprintf(w, "%q", r.URL.Path)
	case q.Get("start-after") != "":
		fmt.Fprint(w, `<ListBucketResult/>`)
	case q.Get("continuation-token") == "next one+":
		fmt.Fprint(w, `<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>p%2Fb+%2B</Key></Contents></ListBucketResult>`)
	default:
		fmt.Fprint(w, `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>true</IsTruncated><NextContinuationToken>next one+</NextContinuationToken>`+
			`<Contents><Key>p/</Key></Contents><Contents><Key>p/a%2F</Key></Contents></ListBucketResult>`)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	f := &fake{}
	srv := httptest.NewServer(f)
	defer srv.Close()
	to := &freshettest.Sink{}
	stop := freshettest.Run(t, s3.Kind(), fmt.Sprintf(`{"endpoint":%q,"bucket":"bucket","prefix":"p/","accessKey":"a","secretKey":"s","sessionToken":"t"}`, srv.URL+"/base/"), freshettest.Env(t), to)
	to.Await(t, `"/base/bucket/p/a%2F"`, `"/base/bucket/p/b +"`)
	stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.asked[0]; r.URL.Query().Get("prefix") != "p/" || r.URL.Path != "/base/bucket" || r.Header.Get("X-Amz-Security-Token") != "t" || !strings.Contains(r.Header.Get("Authorization"), "/us-east-1/s3/") {
		t.Errorf("asked %v with %v", r.URL, r.Header)
	}
}

// hosts sends each request to one server, and remembers which hosts were meant.
type hosts struct {
	source.Client
	mu   sync.Mutex
	seen []string
}

func (h *hosts) Do(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, r.URL.Scheme+"://"+r.URL.Host+r.URL.EscapedPath())
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]string{
		`{"bucket":"bucket","key":"a b"}`:                                              "https://s3.us-east-1.amazonaws.com/bucket/a%20b",
		`{"bucket":"bucket","key":"a","region":"x-1","addressing":"host"}`:             "https://bucket.s3.x-1.amazonaws.com/a",
		`{"bucket":"bucket","key":"/a","endpoint":"http://h:9/x","addressing":"host"}`: "http://bucket.h:9/x//a",
	} {
		h := &hosts{}
		env := freshettest.Env(t)
		env.Client = h
		to := &freshettest.Sink{}
		stop := freshettest.Run(t, s3.Kind(), config, env, to)
		awaitFault(t, to, freshet.FaultFormat)
		stop()
		if h.seen[0] != want {
			t.Errorf("%s: %s, want %s", config, h.seen[0], want)
		}
	}
}

func TestMistakes(t *testing.T) {
	k := s3.Kind()
	for config, pointer := range map[string]string{
		`{"key":"a"}`:                                                                    "/bucket",
		`{"bucket":"B","key":"a"}`:                                                       "/bucket",
		`{"bucket":"bbb"}`:                                                               "/key",
		`{"bucket":"bbb","key":"a","prefix":""}`:                                         "/prefix",
		`{"bucket":"bbb","key":"a","accessKey":"a"}`:                                     "/secretKey",
		`{"bucket":"bbb","key":"a","sessionToken":"a"}`:                                  "/sessionToken",
		`{"bucket":"bbb","key":"a","region":"/"}`:                                        "/region",
		`{"bucket":"bbb","key":"a","endpoint":"ftp://a"}`:                                "/endpoint",
		`{"bucket":"bbb","key":"a","endpoint":"http://a?b=c"}`:                           "/endpoint",
		`{"bucket":"bbb","key":"a","addressing":"x"}`:                                    "/addressing",
		`{"bucket":"bbb","key":"a","addressing":"host","endpoint":"http://127.0.0.1:9"}`: "/addressing",
		`{"bucket":"bbb","key":"a","timeout":"PT0S"}`:                                    "/timeout",
		`{"bucket":"bbb","key":"a","tls":{"cert":"x"}}`:                                  "/tls/key",
		`{"bucket":"bbb","key":"a","tls":{"serverName":"x"},"endpoint":"http://a"}`:      "/tls",
		`{"bucket":"bbb","key":"a","settle":"PT3S"}`:                                     "/settle",
		`{"bucket":"bbb","key":"a","pattern":"*"}`:                                       "/pattern",
		`{"bucket":"bbb","key":"a","order":"modified"}`:                                  "/order",
		`{"bucket":"bbb","key":"a","readFrom":"latest"}`:                                 "/readFrom",
		`{"bucket":"bbb","key":"a","format":"csv","formatOptions":{"arrays":["a"]}}`:     "/formatOptions/arrays",
		`{"bucket":"bbb","prefix":"a","pattern":"["}`:                                    "/pattern",
		`{"bucket":"bbb","prefix":"a","mode":"lines","format":"feed"}`:                   "/format",
	} {
		found := k.Check(json.RawMessage(config))
		if len(found) != 1 || found[0].Pointer != pointer {
			t.Errorf("%s: %v", config, found)
		}
		if _, err := k.New(json.RawMessage(config), source.Env{}); err == nil {
			t.Errorf("%s: a source was made", config)
		}
	}
	if got := k.Period(json.RawMessage(`{"bucket":"bbb","key":"a","pollingPeriod":"PT7S"}`)); got != 7*time.Second {
		t.Errorf("period: %v", got)
	}
}
