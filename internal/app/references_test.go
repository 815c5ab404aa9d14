package app_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/internal/app"
	"freshet/internal/settings"
)

// A topic may say where a secret is, as far as the server's configuration lets it; the reference is shown,
// and what it stands for never.
func TestSecretReferences(t *testing.T) {
	t.Setenv("FRESHET_SECRET_ONE", marker+"1")
	t.Setenv("PRIVATE", marker+"2")
	seen := make(chan string, 100)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		select {
		case seen <- r.Header.Get("X-One") + " " + r.Header.Get("X-Two") + " " + string(body):
		default:
		}
		_, _ = w.Write([]byte(`1`))
	}))
	defer upstream.Close()
	c := app.Config{Dev: true}
	c.Secrets.Env = []string{"FRESHET_SECRET_*"}
	c.Secrets.Named = map[string]settings.Secret{"two": "env:PRIVATE"}
	base := serve(t, c)
	const topic = `{"name":"a","kind":"snapshot","source":{"type":"http-poller","alwaysOn":true,"config":{"url":"URL","pollingPeriod":"500ms","method":"POST","body":{"q":"env:FRESHET_SECRET_ONE"},"headers":{"X-One":"env:FRESHET_SECRET_ONE","X-Two":"secret:two"}}}}`
	document := strings.Replace(topic, "URL", upstream.URL, 1)
	if resp, body := do(t, "POST", base+"/v1/topics", document, "Content-Type: application/json"); resp.StatusCode != http.StatusCreated ||
		!strings.Contains(body, `"env:FRESHET_SECRET_ONE"`) || strings.Contains(body, marker) {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	select {
	case got := <-seen:
		if got != marker+"1 "+marker+`2 {"q":"`+marker+`1"}` {
			t.Errorf("upstream got %q", got)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no request")
	}
	for reference, want := range map[string]string{
		"env:PRIVATE": "secrets.env", "env:FRESHET_SECRET_NONE": "is not set", "secret:none": "secrets.named", "file:/etc/passwd": "secrets.files",
	} {
		changed := strings.NewReplacer("env:FRESHET_SECRET_ONE", reference, `"a"`, `"b"`).Replace(document)
		resp, body := do(t, "POST", base+"/v1/topics", changed, "Content-Type: application/json")
		if resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, `"/source/config/headers/X-One"`) || !strings.Contains(body, `"/source/config/body/q"`) || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", reference, resp.StatusCode, body)
		}
	}
}

func TestSourceTypes(t *testing.T) {
	base := serve(t, app.Config{Dev: true})
	resp, body := do(t, "GET", base+"/v1/sources", "")
	var list struct{ Items []freshet.SourceType }
	if err := json.Unmarshal([]byte(body), &list); err != nil || resp.StatusCode != http.StatusOK || len(list.Items) != len(app.SourceTypes()) {
		t.Fatalf("%d %s: %v", resp.StatusCode, body, err)
	}
	for _, s := range list.Items {
		resp, body := do(t, "GET", base+"/v1/sources/"+s.Name, "")
		if resp.StatusCode != http.StatusOK || !strings.HasPrefix(body, `{"name":"`+s.Name+`"`) {
			t.Errorf("%s: %d %s", s.Name, resp.StatusCode, body)
		}
	}
	if resp, body := do(t, "GET", base+"/v1/sources/pigeon", ""); resp.StatusCode != http.StatusNotFound || !strings.Contains(body, "/v1/sources lists them") || !strings.Contains(body, "/no-such-resource") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
