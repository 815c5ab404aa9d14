package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"freshet/internal/freshettest"
	"freshet/webhooks"
)

// What people do with subscriptions and webhooks on the command line.
func TestSubscriptionCommands(t *testing.T) {
	t.Parallel()
	h := newHook(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	s := serve(t, eventTopic)
	run := func(args ...string) string { return says(t, append(args, "--server", s.URL)...) }
	made := run("subscription", "create", "log", "--id", "one", "--url", h.URL+"/a", "-H", "X-Key: geheim", "--format", "cloudevents-binary")
	secret := regexp.MustCompile(`whsec_\S+`).FindString(made)
	if !strings.HasPrefix(made, "one created") || secret == "" {
		t.Fatal(made)
	}
	run("pub", "log", "1", "2")
	first := h.await(t, 2)[0]
	if first.header.Get("X-Key") != "geheim" || first.header.Get("Ce-Id") == "" {
		t.Errorf("%+v", first)
	}
	if list := run("subscription", "ls"); !strings.Contains(list, "one  log    webhook  event  active") {
		t.Error(list)
	}
	if list := run("webhook", "ls", "log", "--search", "status!active"); list != "" {
		t.Error(list)
	}
	log := run("webhook", "log", "one", "--body")
	if strings.Count(log, "delivered") != 2 || strings.Contains(log, "geheim") || !strings.Contains(log, "> POST /a HTTP/1.1") || !strings.Contains(log, "< HTTP/1.1 200 OK") {
		t.Error(log)
	}
	if again := run("webhook", "redeliver", "one", first.event); !strings.Contains(again, "delivered (redelivery)") || h.await(t, 3)[2].body != "1" {
		t.Error(again)
	}
	if tested := run("webhook", "test", "one", `{"x":1}`); !strings.Contains(tested, "delivered (test)  200") || h.await(t, 4)[3].body != `{"x":1}` {
		t.Error(tested)
	}
	run("webhook", "recover", "one", "--since", "1h")
	if calls := h.await(t, 6); calls[4].body != "1" || calls[5].body != "2" {
		t.Errorf("%+v", calls[4:])
	}
	run("webhook", "recover", "one", "--since", "30d")
	h.await(t, 8)
	timestamp, id, signature := first.header.Get(webhooks.HeaderTimestamp), first.id, first.header.Get(webhooks.HeaderSignature)
	verify := []string{"webhook", "verify", "--secret", secret, "--id", id, "--timestamp", timestamp}
	if right := saysTo(t, "1", append(verify, "--signature", signature)...); right != "the signature is right\n" {
		t.Error(right)
	}
	if sign := saysTo(t, "1", verify...); strings.TrimSpace(sign) != signature {
		t.Errorf("%s, want %s", sign, signature)
	}
	if run("subscription", "suspend", "one"); !strings.Contains(run("subscription", "ls", "--search", "status:suspended"), "one") {
		t.Error("it is not suspended")
	}
	if run("subscription", "resume", "one"); !strings.Contains(run("subscription", "patch", "one", `{"minInterval":"PT1S"}`), `"minInterval": "PT1S"`) {
		t.Error("it was not patched")
	}
	run("subscription", "create", "log", "--id", "wall", "--type", "sse")
	if got := run("subscription", "get", "wall"); !strings.Contains(got, `"connection": "closed"`) {
		t.Error(got)
	}
	run("subscription", "rm", "one", "wall")
	run("subscription", "create", "log", "--id", "two", "--type", "sse")
	run("subscription", "create", "log", "--id", "three", "--type", "sse")
	if dry := run("subscription", "create", "log", "--url", h.URL, "--dry-run"); strings.Contains(dry, "whsec_") {
		t.Errorf("a dry run shows a secret that there will never be: %s", dry)
	}
	bad := h.URL + "/bad"
	run("subscription", "create", "log", "--id", "stuck", "--url", bad, "--start", "beginning")
	s.awaitSubscription("stuck", func(s subscription) bool { return s.Progress.Attempts > 0 })
	if skipped := run("subscription", "skip", "stuck", first.event); skipped != "stuck goes on after event "+first.event+"\n" {
		t.Error(skipped)
	}
	run("subscription", "rm", "stuck")
	for _, tt := range []struct{ want, args string }{
		{`--url: the scheme is "ftp"`, "subscription create log --url ftp://x"},
		{`--mode: must be event, not "foo"`, "subscription create log --url http://x --mode foo"},
		{"a webhook needs --url", "subscription create log"},
		{"--url and --header are for webhooks: subscribers of type sse come", "subscription create log --type sse --url http://x"},
		{"--type mqtt needs a file (-f) that says how the broker is reached, such as {type: mqtt, config: {url: mqtt://", "subscription create log --type mqtt"},
		{"--type nats needs a file (-f)", "subscription create log --type nats --url nats://x"},
		{`--type: must be sse, websocket, webhook, kafka, mqtt, nats, amqp, not "mqt": did you mean "mqtt"?`, "subscription create log --type mqt"},
		{"three deleted\n", "subscription rm none three nor"}, // and what is not there is an error at the end
		{"subscription none: subscription not found: none (404)\n  subscription nor: subscription not found: nor (404)\n", "subscription rm none nor"},
		{"subscription not found", "webhook log one"},
		{"subscription not found", "subscription suspend one"},
		{"--since says from when", "webhook recover one"},
		{"neither a time such as", "webhook recover one --since yesterday"},
		{"--since: must not be in the future", "webhook recover two --since 2999-01-02T15:04:05Z"},
		{"--start: must not be in the future", "subscription create log --url http://x --start 2999-01-02T15:04:05Z"},
		{"subscribers of type sse come for their events", "subscription skip two"},
		{"--secret is not a secret", "webhook verify --secret x"},
		{"--id and --timestamp", "webhook verify --secret " + secret},
		{"no signature is that", "webhook verify --tolerance 0 --secret " + secret + " --id x --timestamp 1 --signature v1,xx"},
		{"--forward is the URL", "listen log"},
	} {
		args := strings.Fields(tt.args)
		if args[1] != "verify" {
			args = append(args, "--server", s.URL)
		}
		if got := fails(t, args...); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s, want %s", tt.args, got, tt.want)
		}
	}
	if got := fails(t, "listen", "log", "--forward", h.URL+"/bad", "--from", "beginning", "--once", "--server", s.URL); !strings.Contains(got, "not accepted: 418") {
		t.Error(got)
	}
}

// listen posts what comes to a program of the user's, signed, and again when it is asked to.
func TestListen(t *testing.T) {
	t.Parallel()
	h := newHook(t, accept)
	s := serve(t, eventTopic)
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	if err := s.publish("log", `"old"`); err != nil {
		t.Fatal(err)
	}
	cmd := command(context.Background(), "listen", "log", "--forward", h.URL+"/in", "--secret", secret, "--from", "beginning", "--server", s.URL)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := newLines()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h.await(t, 1)
	if err := s.publish("log", `"new"`); err != nil {
		t.Fatal(err)
	}
	h.await(t, 2)
	if _, err := in.Write([]byte("r\n")); err != nil {
		t.Fatal(err)
	}
	calls := h.await(t, 3)
	key, err := webhooks.ParseSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{`"old"`, `"new"`, `"new"`} {
		c := calls[i]
		if c.body != want || c.path != "/in" || c.header.Get("Freshet-Event-Type") != "event" || key.Verify(c.id, c.header.Get(webhooks.HeaderTimestamp), c.header.Get(webhooks.HeaderSignature), []byte(c.body), time.Now(), time.Minute) != nil {
			t.Errorf("request %d: %+v", i, c)
		}
	}
	if calls[1].id != calls[2].id {
		t.Errorf("an event that is sent again has ids %s and %s", calls[1].id, calls[2].id)
	}
	if out.wait(regexp.MustCompile(`(event  200 OK)`), time.Minute) == nil {
		t.Errorf("it says %s", out)
	}
	_ = cmd.Process.Signal(syscall.SIGINT)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// What --forward names is not the server: where it does not answer that is said of it, and the next event is tried
// all the same.
func TestListenToNobody(t *testing.T) {
	t.Parallel()
	s := serve(t, eventTopic)
	if err := s.publish("log", `"first"`); err != nil {
		t.Fatal(err)
	}
	target := fmt.Sprintf("http://127.0.0.1:%d/x", freshettest.Port(t))
	got := fails(t, "listen", "log", "--forward", target, "--from", "beginning", "--once", "--server", s.URL)
	if !strings.Contains(got, "the target of --forward, "+target+", does not answer: nothing listens at 127.0.0.1:") || strings.Contains(got, "--server") {
		t.Errorf("it says %s", got)
	}
	for _, forward := range []string{"foo", "ftp://127.0.0.1/x", "http://:80/", "http://", "/x", "127"} {
		if got := fails(t, "listen", "log", "--forward", forward, "--server", s.URL); !strings.Contains(got, "--forward is the URL") {
			t.Errorf("--forward %s: %s", forward, got)
		}
	}
	cmd := command(context.Background(), "listen", "log", "--forward", strings.TrimPrefix(target, "http://"), "--from", "beginning", "--server", s.URL)
	out := newLines()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if out.wait(regexp.MustCompile(`(event  nothing listens at 127.0.0.1)`), time.Minute) == nil {
		t.Fatalf("it says %s", out)
	}
	if err := s.publish("log", `"second"`); err != nil {
		t.Fatal(err)
	}
	freshettest.WaitFor(t, time.Minute, "the second event", func() bool { return strings.Count(out.String(), "event  nothing listens") == 2 })
}

// Faults name who listens, as they name a stored subscription.
func TestListenToFaults(t *testing.T) {
	t.Parallel()
	h := newHook(t, accept)
	s := serve(t, "topics: [{name: doc, kind: snapshot, source: {type: http-poller, config: {url: \"http://127.0.0.1:1/\"}}}]\n")
	cmd := command(context.Background(), "listen", "doc", "--forward", h.URL, "--server", s.URL)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	c := h.await(t, 1)[0]
	if !regexp.MustCompile(`^\{"datetime":"[^"]+","subscriptionId":"listen","code":70013,`).MatchString(c.body) {
		t.Errorf("a fault is %s", c.body)
	}
}
