package httppoller_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/httppoller"
	"freshet/internal/freshettest"
)

// A canned client answers each request with a document, and from the second on that it has not changed.
type canned struct{ document string }

func (c *canned) Do(r *http.Request) (*http.Response, error) {
	resp := &http.Response{StatusCode: http.StatusNotModified, Header: http.Header{"Etag": {`"1"`}}, Body: http.NoBody, Request: r}
	if r.Header.Get("If-None-Match") == "" {
		resp.StatusCode, resp.Body = http.StatusOK, readCloser{strings.NewReader(c.document)}
	}
	return resp, nil
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// origin answers like canned, over a connection, at the least cost that an origin can have.
func origin304(b *testing.B, document string) (url string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // no name is looked up
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	full := fmt.Sprintf("HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: %d\r\n\r\n%s", len(document), document)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				in, conditional := bufio.NewReader(conn), false
				for {
					line, err := in.ReadSlice('\n')
					if err != nil {
						return
					}
					conditional = conditional || strings.HasPrefix(string(line), "If-None-Match")
					if len(line) > 2 {
						continue
					}
					answer := full
					if conditional {
						answer = "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n"
					}
					if _, err := conn.Write([]byte(answer)); err != nil {
						return
					}
					conditional = false
				}
			}()
		}
	}()
	return "http://" + l.Addr().String() + "/"
}

// BenchmarkNotModified is a poll that upstream answers with 304: what the poller does of it by itself, and
// with the HTTP client and a connection, whose other end is the same process. Neither grows with the document.
func BenchmarkNotModified(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20} {
		document := `"` + strings.Repeat("x", size) + `"`
		b.Run(fmt.Sprintf("poller/%s", freshet.Bytes(size)), func(b *testing.B) {
			polls(b, "http://upstream.example/", source.Env{Client: &canned{document}, Limit: 4 << 20})
		})
		b.Run(fmt.Sprintf("loopback/%s", freshet.Bytes(size)), func(b *testing.B) {
			env := freshettest.Env(b)
			env.Limit = 4 << 20
			polls(b, origin304(b, document), env)
		})
	}
}

func polls(b *testing.B, url string, env source.Env) {
	b.Helper()
	src, err := httppoller.Kind().New(json.RawMessage(`{"url":"`+url+`"}`), env)
	if err != nil {
		b.Fatal(err)
	}
	poll := httppoller.PollOf(src)
	sink := &freshettest.Sink{}
	if !poll(b.Context(), sink) {
		b.Fatal(sink.Faults())
	}
	before := cpuTime()
	b.ReportAllocs()
	for b.Loop() {
		if !poll(b.Context(), sink) {
			b.Fatal(sink.Faults())
		}
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N)/float64(time.Microsecond), "cpu-µs/op")
	if len(sink.Payloads()) != 1 || sink.Fine() == 0 {
		b.Fatalf("%d payloads", len(sink.Payloads()))
	}
}
