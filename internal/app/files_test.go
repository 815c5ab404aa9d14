package app_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freshet/internal/app"
)

// A topic may be fed from a file where the server's configuration allows its folder, and nowhere else.
func TestFilesAllowed(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"in/a.json": `{"a":1}`, "out/b.json": `{"b":1}`} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := app.Config{Dev: true}
	c.Files.Allow = []string{filepath.Join(dir, "in")}
	base := serve(t, c)
	create := func(name, path string) (*http.Response, string) {
		return do(t, "POST", base+"/v1/topics", fmt.Sprintf(`{"name":%q,"kind":"snapshot","source":{"type":"file","alwaysOn":true,"config":{"path":%q}}}`, name, filepath.Join(dir, path)), "Content-Type: application/json")
	}
	if resp, body := create("a", "in/a.json"); resp.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		resp, body := do(t, "GET", base+"/live/a", "", "Accept: application/json")
		if resp.StatusCode == http.StatusOK && body == `{"a":1}` {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	for _, path := range []string{"out/b.json", "in/../out/b.json", "", "inside"} {
		resp, body := create("b", path)
		if resp.StatusCode/100 != 4 || !strings.Contains(body, `"/source/config/path"`) || !strings.Contains(body, "files.allow") {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
}
