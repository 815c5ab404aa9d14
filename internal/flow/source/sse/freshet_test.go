package sse_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/internal/flow/source/sse"
	"freshet/internal/freshettest"
)

func TestPatchesBecomeDocuments(t *testing.T) {
	t.Parallel()
	u := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
		switch n {
		case 1:
			send(w, "event: snapshot\ndata: {\"a\":1}\nid: 1\n\nevent: patch\ndata: [{\"op\":\"replace\",\"path\":\"/a\",\"value\":2.0}]\nid: 2\n\n"+
				"event: error\ndata: {\"code\":70503,\"message\":\"s3cret\"}\nid: 3\n\nevent: recovered\ndata: {}\nid: 4\n\nevent: new\ndata: x\n\n")
		case 2: // resumed
			send(w, "event: patch\ndata: [{\"op\":\"add\",\"path\":\"/b\",\"value\":3}]\nid: 5\n\nevent: merge-patch\ndata: {\"b\":[]}\nid: 5b\n\n"+
				"event: changes\ndata: {\"created\":[{\"array\":\"/b\",\"key\":1,\"value\":{\"id\":1}}],\"keys\":{\"/b\":\"id\"}}\nid: 5c\n\n")
		case 3: // does not fit
			send(w, "event: patch\ndata: [{\"op\":\"remove\",\"path\":\"/nothing\"}]\nid: 6\n\n")
			hang(r)
		default:
			send(w, fmt.Sprintf("event: snapshot\ndata: {\"c\":%d}\nid: 7\n\n", n))
			hang(r)
		}
	})
	to := &freshettest.Sink{}
	stop := freshettest.Run(t, sse.Kind(), config(u, `"freshet":true`), freshettest.Env(t), to)
	to.Await(t, `{"a":1}`, `{"a":2.0}`, `{"a":2.0,"b":3}`, `{"a":2.0,"b":[]}`, `{"a":2.0,"b":[{"id":1}]}`, `{"c":4}`)
	stop()
	freshettest.Run(t, sse.Kind(), config(u, `"freshet":true`), freshettest.Env(t), to)
	to.Await(t, `{"a":1}`, `{"a":2.0}`, `{"a":2.0,"b":3}`, `{"a":2.0,"b":[]}`, `{"a":2.0,"b":[{"id":1}]}`, `{"c":4}`, `{"c":5}`)
	var ids []string
	for _, r := range u.requests() {
		ids = append(ids, r.Header.Get("Last-Event-Id"))
	}
	if got := strings.Join(ids, ","); got != ",4,5c,," {
		t.Errorf("asked for what comes after %q", got)
	}
	if f := to.Faults(); len(f) != 2 || f[0].Code != 70503 || strings.Contains(f[0].Message, "s3cret") || f[1].Code != freshet.FaultFormat {
		t.Error(f)
	}
	if to.Fine() != 6 { // five connections, and once recovered
		t.Errorf("fine %d times", to.Fine())
	}
}

// A document that outgrows the limit is told once, and taken again when it is sent whole.
func TestDocumentOutgrows(t *testing.T) {
	t.Parallel()
	u := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			send(w, "event: snapshot\ndata: {\"a\":1}\nid: 1\n\n"+
				"event: patch\ndata: [{\"op\":\"add\",\"path\":\"/b\",\"value\":\""+strings.Repeat("x", 80)+"\"}]\nid: 2\n\n"+
				"event: patch\ndata: [{\"op\":\"add\",\"path\":\"/c\",\"value\":\""+strings.Repeat("x", 80)+"\"}]\nid: 3\n\n"+
				"event: patch\ndata: [{\"op\":\"add\",\"path\":\"/d\",\"value\":0}]\nid: 4\n\n")
			return
		}
		send(w, "event: snapshot\ndata: \""+strings.Repeat("x", 300)+"\"\nid: 5\n\nevent: snapshot\ndata: {}\nid: 6\n\n")
		hang(r)
	})
	to := &freshettest.Sink{}
	env := freshettest.Env(t)
	env.Limit = 150
	freshettest.Run(t, sse.Kind(), config(u, `"freshet":true`), env, to)
	to.Await(t, `{"a":1}`, `{"a":1,"b":"`+strings.Repeat("x", 80)+`"}`, `{}`)
	if f := to.Faults(); len(f) != 2 || f[0].Code != freshet.FaultSize || f[1].Code != freshet.FaultSize || u.requests()[1].Header["Last-Event-Id"] != nil {
		t.Error(f)
	}
}

func TestReportedFaults(t *testing.T) {
	t.Parallel()
	u := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		for _, data := range []string{`{"code":40404}`, `{"code":50503}`, `x`, `{"code":70014}`} {
			send(w, "event: error\ndata: "+data+"\n\n")
		}
		send(w, "event: event\ndata: 1\n\n")
		hang(r)
	})
	to := &freshettest.Sink{}
	freshettest.Run(t, sse.Kind(), config(u, `"freshet":true`), freshettest.Env(t), to)
	to.Await(t, "1")
	var codes []int
	for _, f := range to.Faults() {
		codes = append(codes, f.Code)
	}
	if fmt.Sprint(codes) != "[70000 70000 70000 70014]" || !strings.Contains(to.Faults()[0].Message, "missing") {
		t.Error(to.Faults())
	}
}

// The real thing: a Freshet that is killed amid a stream, while it is written to and while the source is
// restarted. No message is lost, none comes twice, and the document is what was published last.
func TestFreshetThatIsKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	binary := filepath.Join(dir, "freshet")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "freshet/cmd/freshet").CombinedOutput(); err != nil {
		t.Fatalf("build freshet: %v\n%s", err, out)
	}
	conf := "egress: {allow: [127.0.0.0/8]}\ntopics:\n" +
		"- {name: messages, kind: event, source: {type: http-post, alwaysOn: true}}\n" +
		"- {name: document, kind: snapshot, source: {type: http-post, alwaysOn: true}}\n"
	if err := os.WriteFile(filepath.Join(dir, "freshet.yaml"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + strconv.Itoa(freshettest.Port(t))
	server := freshettest.Start(t, address, func() *exec.Cmd {
		cmd := exec.Command(binary, "serve", "-c", filepath.Join(dir, "freshet.yaml"), "--data", filepath.Join(dir, "data"), "--listen", address)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "NO_COLOR=1"}
		return cmd
	})
	of := func(topic string) string {
		return fmt.Sprintf(`{"url":"http://%s/live/%s","freshet":true}`, address, topic)
	}
	messages, documents := &freshettest.Sink{}, &freshettest.Sink{}
	freshettest.WaitFor(t, time.Minute, "ready", func() bool { return get("http://"+address+"/readyz") == nil })
	stop := freshettest.Run(t, sse.Kind(), of("messages"), freshettest.Env(t), messages)
	stopDocument := freshettest.Run(t, sse.Kind(), of("document"), freshettest.Env(t), documents)
	freshettest.WaitFor(t, time.Minute, "connected", func() bool { return messages.Fine() > 0 && documents.Fine() > 0 })

	down := 5 * time.Second
	if os.Getenv("FRESHET_TEST_ALL") != "" {
		down = 30 * time.Second
	}
	const all = 200
	published := make(chan int, all)
	go func() {
		defer close(published)
		for i := range all {
			for _, topic := range []string{"messages", "document"} {
				body := fmt.Sprintf(`{"n":%d,"unchanged":"%s"}`, i, strings.Repeat("x", 200))
				for post(t.Context(), "http://"+address+"/live/"+topic, fmt.Sprintf("%s-%d", topic, i), body) != nil {
					if t.Context().Err() != nil {
						return
					}
					time.Sleep(50 * time.Millisecond)
				}
			}
			published <- i
		}
	}()
	want, document := []string{}, ""
	for i := range published {
		document = fmt.Sprintf(`{"n":%d,"unchanged":"%s"}`, i, strings.Repeat("x", 200))
		want = append(want, document)
		switch i {
		case 60:
			server.Kill()
			time.Sleep(down / 2)
			stop()
			stop = freshettest.Run(t, sse.Kind(), of("messages"), freshettest.Env(t), messages)
			time.Sleep(down / 2)
			server.Restart()
		case 130:
			stop()
			stop = freshettest.Run(t, sse.Kind(), of("messages"), freshettest.Env(t), messages)
			stopDocument()
			stopDocument = freshettest.Run(t, sse.Kind(), of("document"), freshettest.Env(t), documents)
		}
	}
	messages.Await(t, want...)
	freshettest.WaitFor(t, time.Minute, "the last document", func() bool {
		got := documents.Payloads()
		return len(got) > 0 && got[len(got)-1] == document
	})
	last := -1
	for _, text := range documents.Payloads() { // those that a restart asked for again come twice in a row
		var n int
		if _, err := fmt.Sscanf(text, `{"n":%d,`, &n); err != nil || n < last {
			t.Errorf("%s after %d", text, last)
		}
		last = n
	}
	stop()
	stopDocument()
}

func get(url string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

func post(ctx context.Context, url, key, body string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", strconv.Quote(key))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	return nil
}
