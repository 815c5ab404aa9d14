package egress_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"testing"

	"freshet/internal/egress"
)

// FuzzRequest compares what is sent with what net/http would send, as its own server reads both.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "http://api.example/a%20b?x=1#f", "X-Key", "k", "")
	f.Add("GET", "http://api.example", "User-Agent", "", "")
	f.Add("GET", "http://api.example:8080/?", "user-agent", "a\r\nb: c", "")
	f.Add("HEAD", "http://[fe80::1%25eth0]/", "Host", "other.example", "")
	f.Add("POST", "http://[::1]:80/a b", "X Y", " z ", "{}")
	f.Add("GET", "http://api.example//x/../y", "Content-Length", "7", "")
	f.Fuzz(func(t *testing.T, method, at, name, value, body string) {
		u, err := url.Parse(at)
		if err != nil || u.Host == "" {
			return // no address of an API
		}
		build := func() *http.Request {
			r := &http.Request{Method: method, URL: u, Host: u.Host, Header: http.Header{"Accept": {"a", "b"}, name: {value}}}
			if body != "" {
				r.Body, r.ContentLength = io.NopCloser(bytes.NewReader([]byte(body))), int64(len(body))
			}
			return r
		}
		sent, failed := egress.AppendRequest(nil, build())
		var other bytes.Buffer
		if otherFailed := build().Write(&other); (failed == nil) != (otherFailed == nil) {
			t.Fatalf("%v, net/http: %v", failed, otherFailed)
		}
		got, gotErr := read(sent)
		want, wantErr := read(other.Bytes())
		if want.Header["User-Agent"] != nil && got.Header["User-Agent"] == nil {
			want.Header.Del("User-Agent") // the one that net/http invents
		}
		if (gotErr == nil) != (wantErr == nil) || !reflect.DeepEqual(got, want) {
			t.Errorf("%q, net/http: %q", sent, other.Bytes())
		}
	})
}

type request struct {
	Method, URI, Host, Body string
	Header                  http.Header
}

func read(sent []byte) (request, error) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(sent)))
	if err != nil {
		return request{}, err
	}
	body, err := io.ReadAll(r.Body)
	return request{r.Method, r.RequestURI, r.Host, string(body), r.Header}, err
}
