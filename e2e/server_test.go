package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A server is a running freshet serve.
type server struct {
	t    *testing.T
	args []string
	cmd  *exec.Cmd
	log  *lines
	URL  string // http://host:port
}

// listening is the line by which serve says where it can be reached.
var listening = regexp.MustCompile(`msg=listening.* addr=(\S+)`)

// serve starts the server with topics and settings, on a port of its own, until the test ends.
func serve(t *testing.T, config string, args ...string) *server {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "freshet.yaml")
	if err := os.WriteFile(file, []byte("egress: {allow: [127.0.0.0/8]}\n"+config), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, args: append([]string{"serve", "-c", file, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0"}, args...)}
	s.start()
	t.Cleanup(s.stop)
	return s
}

// starting lets two servers start at a time. Each writes and syncs dozens of files for that, and all
// tests begin at once. One that is started again, whose clients wait for it, need not wait its turn.
var starting = make(chan struct{}, 2)

// start runs the server until it listens.
func (s *server) start() {
	s.t.Helper()
	if s.URL == "" {
		starting <- struct{}{}
		defer func() { <-starting }()
	}
	s.cmd = command(context.Background(), s.args...)
	s.log = newLines()
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	match := s.log.wait(listening, time.Minute)
	if match == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.t.Fatalf("freshet %s does not listen:\n%s", strings.Join(s.args, " "), s.log)
	}
	if url := "http://" + match[1]; url != s.URL { // a restart on the same port leaves it to its readers
		s.URL = url
	}
}

// kill ends the server as a power cut would, without a word.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.checkLog()
	s.cmd = nil
}

// stop ends the server as an operator would, and checks that it went well.
func (s *server) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	timeout := time.AfterFunc(30*time.Second, func() {
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // shows every goroutine
	})
	err := s.cmd.Wait()
	timeout.Stop()
	if err != nil {
		s.t.Errorf("the server ended with %v:\n%s", err, s.log)
	}
	s.checkLog()
	s.cmd = nil
}

// checkLog fails the test on what a server must never log.
func (s *server) checkLog() {
	log := s.log.String()
	for _, bad := range []string{"DATA RACE", "panic:", "level=ERROR"} {
		if strings.Contains(log, bad) {
			s.t.Errorf("the server logged %q:\n%s", bad, log)
			return
		}
	}
}

// command is one run of the binary, in an environment without settings of the machine.
func command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir(), "NO_COLOR=1", "GORACE=halt_on_error=1 atexit_sleep_ms=0"}
	return cmd
}

// fails runs the binary, which has to end by itself with an error, and returns what it said.
func fails(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := command(ctx, args...).CombinedOutput()
	if _, ok := errors.AsType[*exec.ExitError](err); !ok || ctx.Err() != nil {
		t.Fatalf("freshet %s: %v, want an exit code that is not 0:\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// publish posts one payload to a topic and returns once the server has it for good.
func (s *server) publish(topic, body string) error {
	resp, err := http.Post(s.URL+"/live/"+topic, "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusAccepted {
		err = fmt.Errorf("POST %s: %s: %s", topic, resp.Status, answer)
	}
	return err
}

// get is a plain GET, for the status, the header and the body.
func (s *server) get(path string, header ...string) (*http.Response, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, string(body)
}

// lines collects what a program prints, for those who wait for a line.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed and replaced when text grows
}

func newLines() *lines { return &lines{more: make(chan struct{})} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.more)
	l.more = make(chan struct{})
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait returns the groups of the first line that matches, or nil when none comes in time.
func (l *lines) wait(pattern *regexp.Regexp, within time.Duration) []string {
	timeout := time.After(within)
	for {
		l.mu.Lock()
		text, more := l.text.String(), l.more
		l.mu.Unlock()
		for line := range strings.Lines(text) {
			if match := pattern.FindStringSubmatch(line); match != nil && strings.HasSuffix(line, "\n") {
				return match
			}
		}
		select {
		case <-more:
		case <-timeout:
			return nil
		}
	}
}
