// Package e2e_test tests the built binary from outside: over its flags, its files and the wire of
// docs/protocol.md, with clients that others wrote.
package e2e_test

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// binary is the freshet under test, built with the race detector by TestMain.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "freshet-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "freshet")
	if err := watchSources(".."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	build := exec.Command("go", "build", "-race", "-o", binary, "freshet/cmd/freshet")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build freshet: %v\n%s", err, out)
		return 1
	}
	// Tests mostly wait for others here, so far more of them than there are processors run at a time.
	flag.Parse()
	if err := flag.Set("test.parallel", "64"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// watchSources looks at every source file, because go test reuses a result as long as the files that
// the test looked at are the same, and cannot know that this one builds a binary of the others.
func watchSources(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "bin") {
			return fs.SkipDir
		}
		if !d.IsDir() {
			_, err = os.Stat(path)
		}
		return err
	})
}

// without ends a test that wants something this machine lacks: skipped, with the reason where make
// test shows it, or failed where nothing may be skipped.
func without(t *testing.T, format string, args ...any) {
	t.Helper()
	reason := fmt.Sprintf(format, args...)
	if os.Getenv("FRESHET_TEST_ALL") != "" {
		t.Fatalf("FRESHET_TEST_ALL is set, so nothing may be skipped: %s", reason)
	}
	if path := os.Getenv("FRESHET_SKIPPED"); path != "" {
		if f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			fmt.Fprintf(f, "%s: %s\n", t.Name(), reason)
			f.Close()
		}
	}
	t.Skip(reason)
}

// installed gives the folder of the Node.js clients once they are installed as their lock file says.
var installed = sync.OnceValues(func() (string, error) {
	if _, err := exec.LookPath("node"); err != nil {
		return "", fmt.Errorf("there is no Node.js (20 or later)")
	}
	lock, err := os.Stat("clients/package-lock.json")
	if err != nil {
		return "", err
	}
	if done, err := os.Stat("clients/node_modules/.package-lock.json"); err == nil && done.ModTime().After(lock.ModTime()) {
		return "clients", nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = "clients"
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci in e2e/clients: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return "clients", nil
})

// nodeClients is installed, for a test that cannot do without.
func nodeClients(t *testing.T) string {
	t.Helper()
	dir, err := installed()
	if err != nil {
		without(t, "%v", err)
	}
	return dir
}

// program finds the first of several names of a program.
func program(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	without(t, "there is no %s", names[0])
	return ""
}

// eventually waits until ok holds, and fails the test when it does not within the time.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("after %v still not: %s", within, what)
		}
	}
}
