package httppoller_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
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

// originOf starts a process that answers like canned, over connections, so that its processor time is not
// counted.
func originOf(b *testing.B, size int) (url string) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run", "^TestOriginOfBenchmark$")
	cmd.Env = append(os.Environ(), "FRESHET_BENCH_ORIGIN="+strconv.Itoa(size))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// TestOriginOfBenchmark is not a test but the other process.
func TestOriginOfBenchmark(t *testing.T) {
	size, err := strconv.Atoi(os.Getenv("FRESHET_BENCH_ORIGIN"))
	if err != nil {
		return // nobody benchmarks
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	document := `"` + strings.Repeat("x", size) + `"`
	fmt.Println("http://" + l.Addr().String() + "/")
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go answer304(conn, fmt.Sprintf("HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: %d\r\n\r\n%s", len(document), document))
	}
}

func answer304(conn net.Conn, full string) {
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
}

// BenchmarkNotModified is a poll that upstream answers with 304: what the poller does of it by itself, and
// with the HTTP client and connections to another process, one after the other and many together. None grows with
// the document.
func BenchmarkNotModified(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20} {
		document := `"` + strings.Repeat("x", size) + `"`
		b.Run(fmt.Sprintf("poller/%s", freshet.Bytes(size)), func(b *testing.B) {
			polls(b, "http://upstream.example/", source.Env{Client: &canned{document}, Limit: 4 << 20})
		})
		b.Run(fmt.Sprintf("loopback/%s", freshet.Bytes(size)), func(b *testing.B) {
			env := freshettest.Env(b)
			env.Limit = 4 << 20
			polls(b, originOf(b, size), env)
		})
		b.Run(fmt.Sprintf("together/%s", freshet.Bytes(size)), func(b *testing.B) {
			env := freshettest.Env(b)
			env.Limit = 4 << 20
			pollsTogether(b, originOf(b, size), env)
		})
	}
}

// pollsTogether has many topics poll at once, as they do on a server that has something to do.
func pollsTogether(b *testing.B, url string, env source.Env) {
	b.Helper()
	const topics = 64
	sink := &freshettest.Sink{}
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	for range topics {
		src, err := httppoller.Kind().New(json.RawMessage(`{"url":"`+url+`"}`), env)
		if err != nil {
			b.Fatal(err)
		}
		poll := httppoller.PollOf(src)
		ready.Add(1)
		done.Go(func() {
			ok := poll(b.Context(), sink)
			ready.Done()
			<-begin
			for range b.N/topics + 1 {
				ok = ok && poll(b.Context(), sink)
			}
			if !ok {
				b.Error(sink.Faults())
			}
		})
	}
	ready.Wait()
	before := cpuTime()
	b.ReportAllocs()
	b.ResetTimer()
	close(begin)
	done.Wait()
	b.ReportMetric(float64(cpuTime()-before)/float64((b.N/topics+1)*topics)/float64(time.Microsecond), "cpu-µs/op")
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
