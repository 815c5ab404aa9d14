package e2e_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMistakes makes the mistakes that people make when they start a server. Each has to be
// answered with what is wrong, where, and how to mend it, and an exit code.
func TestMistakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() }) // after the parallel tests below
	running := serve(t, "")
	lockedDir := running.args[4]
	file := filepath.Join(dir, "a-file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	const topic = "topics:\n  - name: prices\n    kind: snapshot\n    source:\n      type: http-poller\n"
	for i, tt := range []struct {
		name   string
		config string
		args   []string
		want   []string
	}{
		{"unknown key", "listne: 127.0.0.1:0\n", nil, []string{"freshet.yaml:1:1", "listne", `did you mean "listen"`}},
		{
			"unknown key in a topic",
			topic + "      config: {url: https://example.com/, polingPeriod: PT5S}\n", nil,
			[]string{"freshet.yaml:6:", "polingPeriod", `did you mean "pollingPeriod"`},
		},
		{"bad duration", topic + "      config: {url: https://example.com/, pollingPeriod: 5 seconds}\n", nil, []string{"freshet.yaml:6:", "5 seconds", "PT5S"}},
		{"period too short", topic + "      config: {url: https://example.com/, pollingPeriod: PT0.1S}\n", nil, []string{"pollingPeriod", "PT0.5S", "PT1H"}},
		{"bad pointer", topic + "      config: {url: https://example.com/, payloadPointer: items}\n", nil, []string{"payloadPointer", "items"}},
		{"bad name", strings.Replace(topic, "prices", "Our Prices", 1) + "      config: {url: https://example.com/}\n", nil, []string{"freshet.yaml:2:", "name"}},
		{"no such kind", strings.Replace(topic, "snapshot", "snapshots", 1) + "      config: {url: https://example.com/}\n", nil, []string{"freshet.yaml:3:", "kind", "snapshot"}},
		{"the same name twice", topic + "      config: {url: https://example.com/}\n" + strings.TrimPrefix(topic, "topics:\n") + "      config: {url: https://example.com/}\n", nil, []string{"prices"}},
		{"broken YAML", "topics: [\n", nil, []string{"freshet.yaml:"}},
		{"several at once", "listne: x\nlog: {level: loud}\n", nil, []string{"listne", "loud"}},
		{"no such file", "", []string{"-c", filepath.Join(dir, "absent.yaml")}, []string{"absent.yaml"}},
		{"no such flag", "", []string{"--lisen", "x"}, []string{"--lisen"}},
		{"bad address", "", []string{"--listen", "nonsense"}, []string{"nonsense"}},
		{"port in use", "", []string{"--listen", taken.Addr().String()}, []string{taken.Addr().String(), "in use", "--listen"}},
		{"beyond loopback", "", []string{"--listen", "0.0.0.0:0"}, []string{"--insecure"}},
		{"data directory locked", "", []string{"--data", lockedDir}, []string{lockedDir}},
		{"data directory is a file", "", []string{"--data", file}, []string{file}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			work := filepath.Join(dir, fmt.Sprint(i))
			if err := os.Mkdir(work, 0o700); err != nil {
				t.Fatal(err)
			}
			config := filepath.Join(work, "freshet.yaml")
			if err := os.WriteFile(config, []byte(tt.config), 0o600); err != nil {
				t.Fatal(err)
			}
			said := fails(t, append([]string{"serve", "-c", config, "--data", filepath.Join(work, "data"), "--listen", "127.0.0.1:0"}, tt.args...)...)
			checkMessage(t, said, tt.want...)
		})
	}
}

// TestNotWritable starts a server that may not write to its folder; root may write everywhere, so it
// becomes somebody else for this.
func TestNotWritable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := command(context.Background(), "serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"))
	if os.Getuid() == 0 {
		become(cmd, 65534)
		// The folders above belong to root alone, and somebody else has to get to the binary and here.
		for _, path := range []string{filepath.Dir(binary), filepath.Dir(dir), dir} {
			if err := os.Chmod(path, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	} else if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("the server ran in a folder that it may not write to:\n%s", out)
	}
	checkMessage(t, string(out), filepath.Join(dir, "data"), "permission denied")
}

// TestInsecure starts a server for everybody when it is told to, and hears it say so.
func TestInsecure(t *testing.T) {
	t.Parallel()
	s := serve(t, "", "--listen", "0.0.0.0:0", "--insecure")
	if log := s.log.String(); !strings.Contains(log, "level=WARN") || !strings.Contains(strings.ToLower(log), "insecure") {
		t.Errorf("a server without authentication says nothing of it:\n%s", log)
	}
}

// checkMessage checks an error as a person reads it: the facts are there, and nothing of the machinery.
func checkMessage(t *testing.T, said string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(said, w) {
			t.Errorf("the message does not say %q:\n%s", w, said)
		}
	}
	for _, bad := range []string{"panic", "goroutine ", "&{", "%!", "0xc0"} {
		if strings.Contains(said, bad) {
			t.Errorf("the message shows %q:\n%s", bad, said)
		}
	}
	t.Logf("%s", said)
}
