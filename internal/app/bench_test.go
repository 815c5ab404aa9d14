package app_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"freshet"
	"freshet/internal/app"
)

// BenchmarkPost is one poster over one connection, as directly as can be: what remains is the server's.
func BenchmarkPost(b *testing.B) {
	base := serve(b, app.Config{Topics: []freshet.Topic{pushed("log", freshet.KindEvent)}})
	body := fmt.Sprintf(`{"text":"%0300d"}`, 0)
	for name, header := range map[string]string{
		"JSON": "Content-Type: application/json\r\n", "key": "Content-Type: application/json\r\nIdempotency-Key: %d\r\n",
		"100 lines": "Content-Type: application/x-ndjson\r\n",
	} {
		b.Run(name, func(b *testing.B) {
			body := body
			if strings.Contains(header, "ndjson") {
				body = strings.Repeat(body+"\n", 100)
			}
			c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://")) //nolint:noctx // at once
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			in := bufio.NewReader(c)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				fields := header
				if strings.Contains(header, "%d") {
					fields = fmt.Sprintf(header, n)
				}
				if _, err := fmt.Fprintf(c, "POST /live/log HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %d\r\n\r\n%s", fields, len(body), body); err != nil {
					b.Fatal(err)
				}
				resp, err := http.ReadResponse(in, nil)
				if err != nil {
					b.Fatal(err)
				}
				answer, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != http.StatusAccepted {
					b.Fatal(resp.Status, string(answer), err)
				}
			}
		})
	}
}
