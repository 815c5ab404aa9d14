// Package freshettest is what tests of several packages need: real servers of others, started and stopped,
// and a sink that remembers.
package freshettest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Skip skips a test for want of something on this machine, and says so where make test looks. Where
// FRESHET_TEST_ALL is set, nothing may be wanting.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	why := fmt.Sprintf(format, args...)
	if os.Getenv("FRESHET_TEST_ALL") != "" {
		t.Fatalf("%s, and FRESHET_TEST_ALL forbids to skip", why)
	}
	if name := os.Getenv("FRESHET_SKIPPED"); name != "" {
		if f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err == nil { //nolint:gosec // make names it
			fmt.Fprintf(f, "%s: %s\n", t.Name(), why)
			_ = f.Close()
		}
	}
	t.Skip(why)
}

// Program is where a program is, by one of its names; without it the test is skipped. from says how it is
// installed, such as "apt-get install mosquitto".
func Program(t testing.TB, from string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
		if path := filepath.Join("/usr/sbin", name); isFile(path) {
			return path
		}
	}
	Skip(t, "%s is not installed (%s)", names[0], from)
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// Port is a free TCP port of 127.0.0.1, below those that systems give to connections: it stays free until the server
// that it is for has come so far as to listen.
func Port(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 20_000 + rand.IntN(12_000)                                              //nolint:gosec // no secret
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil { //nolint:noctx // no name is looked up
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// A Process is a server of others. It is killed when the test ends.
type Process struct {
	t       testing.TB
	command func() *exec.Cmd
	address string
	cmd     *exec.Cmd
	log     *os.File
}

// Start starts a server and returns once it takes connections at address, host:port. command makes the
// command anew for each start. What it prints is shown where the test fails.
func Start(t testing.TB, address string, command func() *exec.Cmd) *Process {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{t: t, command: command, address: address, log: log}
	t.Cleanup(func() {
		p.Kill()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s printed:\n%s", p.cmd.Path, text[max(0, len(text)-4000):])
		}
		_ = log.Close()
	})
	p.Restart()
	return p
}

// Kill ends the server at once, without a chance to tidy up.
func (p *Process) Kill() {
	if p.cmd == nil || p.cmd.Process == nil || p.cmd.ProcessState != nil {
		return
	}
	_ = killGroup(p.cmd)
	_ = p.cmd.Wait()
}

// Restart starts the server again, after Kill, and returns once it takes connections.
func (p *Process) Restart() {
	p.t.Helper()
	p.cmd = p.command()
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	newGroup(p.cmd)
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.cmd.Path, err)
	}
	WaitFor(p.t, time.Minute, p.cmd.Path+" takes connections at "+p.address, func() bool {
		conn, err := net.DialTimeout("tcp", p.address, time.Second) //nolint:noctx // bounded by itself
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// WaitFor waits until something real is so, which another process brings about, and fails the test where it
// takes too long.
func WaitFor(t testing.TB, longest time.Duration, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(longest); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not so within %v", what, longest)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
