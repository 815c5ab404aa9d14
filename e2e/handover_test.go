package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"freshet/internal/freshettest"
)

// A restart by SIGHUP hands the listening socket over: not one of those who connect in the meantime is
// refused or left without an answer, and a publisher loses nothing.
func TestRestartRefusesNobody(t *testing.T) {
	s := serve(t, "topics: [{name: log, kind: event, source: {type: http-post, alwaysOn: true}}]\n")
	ctx, cancel := context.WithCancel(t.Context())
	var answered atomic.Int64
	failed := make(chan error, 1)
	done := make(chan struct{})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			resp, err := client.Get(s.URL + "/livez")
			if err == nil {
				err = resp.Body.Close()
			}
			if err == nil && resp.StatusCode != http.StatusOK {
				err = fmt.Errorf("answered %s", resp.Status)
			}
			if err != nil {
				failed <- err
				return
			}
			answered.Add(1)
		}
	}()
	for n := range 5 {
		for before := answered.Load(); answered.Load() < before+20; {
			select {
			case err := <-failed:
				t.Fatalf("in restart %d: %v\n%s", n, err, s.log)
			case <-time.After(time.Millisecond):
			}
		}
		if err := s.publish("log", fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		s.says("msg=listening", n+2)
	}
	cancel()
	<-done
	if _, history := s.get("/live/log", "Accept", "application/x-ndjson"); strings.Count(history, "\n") != 5 {
		t.Errorf("after the restarts the history is\n%s\nwant 5 messages", history)
	}
}

// SIGHUP that comes again, at whatever moment of a restart, does not end the server.
func TestRestartTwice(t *testing.T) {
	s := serve(t, "topics: [{name: log, kind: event, source: {type: http-post, alwaysOn: true}}]\n")
	for n := range 12 {
		restarts := strings.Count(s.log.String(), "msg=listening")
		for range 2 {
			if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatalf("round %d: %v\n%s", n, err, s.log)
			}
			time.Sleep(time.Duration(n) * 3 * time.Millisecond) //nolint:forbidigo // any moment will do; all of them should
		}
		s.says("msg=listening", restarts+1)
		if _, err := s.publishOnce("log", "application/json", fmt.Sprint(n), fmt.Sprint("round-", n)); err != nil {
			t.Fatalf("round %d: %v\n%s", n, err, s.log)
		}
	}
}

// A restart into a configuration that is wrong does not come about: what runs goes on.
func TestRestartIsCheckedFirst(t *testing.T) {
	const topic = "topics: [{name: log, kind: event, source: {type: http-post, alwaysOn: true}}]\n"
	s := serve(t, topic)
	good, err := os.ReadFile(s.config())
	if err != nil {
		t.Fatal(err)
	}
	restart := func(config, said string, times int) {
		t.Helper()
		if err := os.WriteFile(s.config(), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		s.says(said, times)
	}
	for i, wrong := range []string{"drain", "tls: {cert: none.pem, key: none.pem}"} {
		restart(string(good)+wrong+"\n", "not restarted", i+1)
		if err := s.publish("log", `"still here"`); err != nil {
			t.Errorf("after a restart into %s: %v\n%s", wrong, err, s.log)
		}
	}
	restart(string(good), "msg=restarting", 1)
	s.says("msg=listening", 2)
}

// A restart goes on listening where it did; that the configuration says something else by then is said.
func TestRestartKeepsItsAddress(t *testing.T) {
	file := filepath.Join(t.TempDir(), "freshet.yaml")
	listen := func(addr string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("listen: "+addr+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one, other := fmt.Sprintf("127.0.0.1:%d", freshettest.Port(t)), fmt.Sprintf("127.0.0.1:%d", freshettest.Port(t))
	listen(one)
	s := &server{t: t, args: []string{"serve", "-c", file, "--data", filepath.Join(t.TempDir(), "data")}}
	s.start()
	t.Cleanup(s.stop)
	restart := func(times int) {
		t.Helper()
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		s.says("msg=listening", times)
	}
	restart(2)
	if log := s.log.String(); strings.Contains(log, "WARN") {
		t.Errorf("a restart on the same address warns:\n%s", log)
	}
	listen(other)
	restart(3)
	s.says("listening="+one+" configured="+other, 1)
	if resp, _ := s.get("/livez"); resp.StatusCode != http.StatusOK {
		t.Errorf("on the old address: %s", resp.Status)
	}
}

// With few descriptors the server starts, with a bound on streams that they suffice for, or says what it needs.
func TestFewDescriptors(t *testing.T) {
	run := func(limit int, config string) string {
		t.Helper()
		dir := t.TempDir()
		file := filepath.Join(dir, "freshet.yaml")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, limit), binary, "serve", "-c", file, "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"))
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		log := newLines()
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			if log.wait(listening, time.Minute) != nil {
				cancel()
			}
		}()
		_ = cmd.Wait()
		return log.String()
	}
	for _, tt := range []struct {
		limit        int
		config, want string
	}{
		{50, "", "may open only 50 files"},
		{150, "", "descriptors=150 streams=75"},
		{1000, "limits: {connections: 5000}\n", "connections=5000 descriptors=1000 room=800"},
		{1000, "limits: {connections: 800}\n", "msg=stopped"},
	} {
		if said := run(tt.limit, tt.config); !strings.Contains(said, tt.want) {
			t.Errorf("%d descriptors, %q:\n%s\nwant %q", tt.limit, tt.config, said, tt.want)
		} else if tt.limit > 100 && (!strings.Contains(said, "msg=stopped") || strings.Contains(said, "WARN") != strings.Contains(tt.want, "descriptors")) {
			t.Errorf("%d descriptors, %q:\n%s", tt.limit, tt.config, said)
		}
	}
}

// says waits until the log has a text so many times.
func (s *server) says(text string, times int) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); strings.Count(s.log.String(), text) < times; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("the log does not say %q %d times:\n%s", text, times, s.log)
		}
	}
}

// config is the file that the server was started with.
func (s *server) config() string { return s.args[slices.Index(s.args, "-c")+1] }

// TestSocketActivation starts the server as systemd does: with the socket as descriptor 3.
func TestSocketActivation(t *testing.T) {
	port := freshettest.Port(t)
	script := fmt.Sprintf(`import os, socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", %d)); s.listen(8)
os.dup2(s.fileno(), 3); os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[1], sys.argv[1:])`, port)
	python, err := exec.LookPath("python3")
	if err != nil {
		without(t, "python3 is not installed, which stands in for systemd")
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", script, binary, "serve", "--data", t.TempDir())
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir()}
	log := newLines()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	match := log.wait(listening, 30*time.Second)
	if match == nil || match[1] != fmt.Sprintf("127.0.0.1:%d", port) {
		t.Errorf("listens on %v; want the socket that it was given\n%s", match, log)
	}
	if strings.Contains(log.String(), "level=WARN") {
		t.Errorf("it warns of what was asked for:\n%s", log)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v\n%s", err, log)
	}
}
