package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// says runs a command of the binary that has to succeed, and returns what it printed.
func says(t *testing.T, args ...string) string {
	t.Helper()
	return saysTo(t, "", args...)
}

// saysTo is says for a command that reads its standard input.
func saysTo(t *testing.T, input string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := command(ctx, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		var stderr []byte
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			stderr = exit.Stderr
		}
		t.Fatalf("freshet %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr)
	}
	return string(out)
}

// develop starts freshet dev and returns its URL and what it prints.
func develop(t *testing.T, args ...string) (url string, out *lines) {
	t.Helper()
	cmd := command(context.Background(), append([]string{"dev", "--listen", "127.0.0.1:0"}, args...)...)
	out = newLines()
	cmd.Stdout, cmd.Stderr = out, out
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		if err := cmd.Wait(); err != nil {
			t.Errorf("freshet dev ended with %v:\n%s", err, out)
		}
	})
	match := out.wait(regexp.MustCompile(`(http://127\.0\.0\.1:\d+)/live/`), time.Minute)
	if match == nil {
		t.Fatalf("freshet dev shows nothing to try:\n%s", out)
	}
	t.Logf("freshet dev was ready after %v, with the race detector", time.Since(start).Round(time.Millisecond))
	return match[1], out
}

// TestDev runs the first minutes of a newcomer: the demo, then each command that its screen shows.
func TestDev(t *testing.T) {
	t.Parallel()
	url, out := develop(t)
	for _, topic := range []string{"quotes", "stock-levels", "sensors", "vitals"} {
		if !strings.Contains(out.String(), url+"/live/"+topic) {
			t.Errorf("the screen does not show where %s is:\n%s", topic, out)
		}
	}
	if out.wait(regexp.MustCompile(`patch.*%`), time.Minute) == nil {
		t.Errorf("no line for a change:\n%s", out)
	}

	server := []string{"--server", url}
	run := func(args ...string) string { return says(t, append(args, server...)...) }

	var r replica
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r.until(t, ctx, url+"/live/vitals", func() bool { return r.patches >= 2 })

	if got := run("get", "quotes"); !json.Valid([]byte(got)) {
		t.Errorf("freshet get printed no JSON: %s", got)
	}
	changes := run("sub", "quotes", "--count", "3")
	if !strings.Contains(changes, "→") || !strings.Contains(changes, "quotes") {
		t.Errorf("freshet sub shows no change as old → new:\n%s", changes)
	}
	for line := range strings.Lines(run("sub", "quotes", "--json", "--count", "3")) {
		if !json.Valid([]byte(line)) {
			t.Errorf("freshet sub --json printed %s", line)
		}
	}
	if raw := run("sub", "quotes", "--raw", "--count", "2"); !strings.Contains(raw, "event: snapshot\n") || !strings.Contains(raw, "\ndata: ") {
		t.Errorf("freshet sub --raw is not the wire:\n%s", raw)
	}
	if list := run("topic", "ls"); !strings.Contains(list, "stock-levels") {
		t.Errorf("freshet topic ls:\n%s", list)
	}
}

// TestDevURL puts freshet dev in front of an API, and asks for another one on the fly.
func TestDevURL(t *testing.T) {
	t.Parallel()
	up := newUpstream(t)
	text := func(n int) string { return document(n, 1000) }
	api := up.on("/prices", versions(1000, text))
	other := up.on("/other", versions(1000, text))
	url, out := develop(t, api, "--every", "500ms")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	named := replica{want: text}
	named.until(t, ctx, url+"/live/prices", func() bool { return named.patches >= 3 })
	if out.wait(regexp.MustCompile(`prices.*patch.*%`), time.Minute) == nil {
		t.Errorf("no line for a change:\n%s", out)
	}

	// Two who name the same URL share one topic and one poll.
	first, second := replica{want: text}, replica{want: text}
	done := make(chan struct{})
	go func() {
		defer close(done)
		first.until(t, ctx, url+"/live/"+other, func() bool { return first.patches >= 2 })
	}()
	second.until(t, ctx, url+"/live/"+other, func() bool { return second.patches >= 2 })
	<-done
	if n := len(up.times("/other")); n > 5 {
		t.Errorf("%d requests of two followers of one URL over at most four periods", n)
	}
}

// TestTopicCommands makes a topic, looks at it, follows it and removes it, by the commands alone.
func TestTopicCommands(t *testing.T) {
	t.Parallel()
	up := newUpstream(t)
	api := up.on("/doc", versions(1, func(int) string { return `{"a/b":[1.0,{"x":12345678901234567890}]}` }))
	s := serve(t, "")
	run := func(args ...string) string { return says(t, append(args, "--server", s.URL)...) }

	run("topic", "create", "prices", "--url", api, "--every", "1s")
	if list := run("topic", "ls"); !strings.Contains(list, "prices") {
		t.Errorf("topic ls:\n%s", list)
	}
	if one := run("topic", "get", "prices"); !strings.Contains(one, api) {
		t.Errorf("topic get:\n%s", one)
	}
	if got := strings.TrimSpace(run("get", "prices")); got != `{"a/b":[1.0,{"x":12345678901234567890}]}` {
		t.Errorf("get printed %s", got)
	}
	if got := strings.TrimSpace(run("get", "prices", "/a~1b/1/x")); got != "12345678901234567890" {
		t.Errorf("get of a pointer printed %s", got)
	}
	run("topic", "rm", "prices")
	checkMessage(t, fails(t, "get", "prices", "--server", s.URL), "prices", "not found")
	checkMessage(t, fails(t, "get", "prices", "--server", "http://127.0.0.1:1"), "127.0.0.1:1", "--server")
	checkMessage(t, fails(t, "topic", "create", "Bad Name", "--url", "ftp://x", "--server", s.URL), "name")
	checkMessage(t, fails(t, "subb"), "subb", "sub")
	if v := says(t, "version"); !strings.Contains(v, "freshet") {
		t.Errorf("version printed %q", v)
	}
}
