package httppoller_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freshet/internal/freshettest"
)

// A real server of S3, which nobody here wrote, takes the signature of AWS, also of names that are escaped and of
// a query, and refuses another.
func TestSignatureOfS3(t *testing.T) {
	t.Parallel()
	versitygw := freshettest.GoProgram(t, "github.com/versity/versitygw/cmd/versitygw", "v1.8.0")
	folder := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, "bucket", "a b"), 0o750); err != nil {
		t.Fatal(err)
	}
	object := filepath.Join(folder, "bucket", "a b", "ü+(1).json")
	if err := os.WriteFile(object, []byte(`{"n":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", freshettest.Port(t))
	freshettest.Start(t, address, func() *exec.Cmd {
		return exec.Command(versitygw, "--access", "AKID", "--secret", marker, "--region", "eu-central-1", "--port", address, "posix", "--nometa", folder)
	})
	config := func(path, key, region string) string {
		return `{"url":"http://` + address + path + `","pollingPeriod":"PT0.5S","authorization":{"type":"aws-sigv4","accessKey":"AKID","secretKey":"` + key + `","region":"` + region + `","service":"s3"}}`
	}
	const path = "/bucket/a%20b/%C3%BC%2B%281%29.json"
	to := &freshettest.Sink{}
	freshettest.Run(t, poller(t), config(path, marker, "eu-central-1"), freshettest.Env(t), to)
	to.Await(t, `{"n":1}`)
	if err := os.WriteFile(object, []byte(`{"n":2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	to.Await(t, `{"n":1}`, `{"n":2}`)

	queried := &freshettest.Sink{}
	freshettest.Run(t, poller(t), config(path+"?response-content-type=application%2Fjson&response-cache-control=a+b~c", marker, "eu-central-1"), freshettest.Env(t), queried)
	queried.Await(t, `{"n":2}`)
	for _, wrong := range []string{config(path, "another", "eu-central-1"), config(path, marker, "us-east-1")} {
		to := &freshettest.Sink{}
		freshettest.Run(t, poller(t), wrong, freshettest.Env(t), to)
		freshettest.WaitFor(t, time.Minute, "a fault", func() bool { return len(to.Faults()) > 0 })
		if f := to.Faults()[0]; f.Code != 70403 && f.Code != 70400 || strings.Contains(f.Message, marker) {
			t.Errorf("%s: %v", wrong, f)
		}
	}
}
