package app_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/internal/app"
	"freshet/internal/flow/source/all"
	"freshet/internal/freshettest"
	"freshet/internal/settings"
)

// nested is a configuration with one member, at a path as freshet.Option names it.
func nested(path, value string) string {
	parts := strings.Split(path, ".")
	for _, part := range slices.Backward(parts) {
		name, isList := strings.CutSuffix(part, "[]")
		if isList {
			value = "[" + value + "]"
		}
		if name == "*" {
			name = "any"
		}
		value = `{"` + name + `":` + value + `}`
	}
	return value
}

// Whatever a type of source says is a secret is never shown, is kept when what is shown comes back, and does not
// go along when the address changes that it was given for.
func TestSecretsOfAllKinds(t *testing.T) {
	found := 0
	for _, k := range all.Kinds() {
		hasTLS := slices.ContainsFunc(settings.Describe(k.Config), func(o freshet.Option) bool { return o.Name == "tls.enabled" })
		for _, o := range settings.Describe(k.Config) {
			value := `"` + marker + `"`
			switch {
			case o.Secret:
			case o.Type == "list of secrets":
				value = "[" + value + "]"
			default:
				continue
			}
			found++
			stored := nested(o.Name, value)
			shown := k.Mask(json.RawMessage(stored))
			if strings.Contains(string(shown), marker) || !strings.Contains(string(shown), "***") {
				t.Errorf("%s shows its %s: %s", k.Name, o.Name, shown)
			}
			if back := k.Unmask(shown, json.RawMessage(stored)); string(back) != stored {
				t.Errorf("%s loses its %s: %s", k.Name, o.Name, back)
			}
			if !hasTLS || strings.HasPrefix(o.Name, "tls.") {
				continue
			}
			with := func(config json.RawMessage, on string) json.RawMessage {
				return json.RawMessage(`{"tls":{"enabled":` + on + `},` + string(config[1:]))
			}
			if back := k.Unmask(with(shown, "false"), with(json.RawMessage(stored), "true")); strings.Contains(string(back), marker) {
				t.Errorf("%s takes its %s along when TLS is turned off: %s", k.Name, o.Name, back)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d secrets were looked at", found)
	}
}

// Nothing that anybody can read holds the credentials of a source, or what a token endpoint gave: no answer, no
// stream, no metrics, no log, whether it works or fails.
func TestCredentialsAreShownNowhere(t *testing.T) {
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != marker {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error":"invalid_client","error_description":"%s"}`, marker)
			return
		}
		fmt.Fprintf(w, `{"access_token":"%s-token","expires_in":3600}`, marker)
	}))
	defer provider.Close()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(fmt.Sprint(r.Header, r.URL), marker) && r.Header.Get("X-Signature") == "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprint(w, `{"fine":true}`)
	}))
	defer api.Close()
	kinds := map[freshet.TopicName]string{
		"oauth":  `{"clientId":"id","clientSecret":"` + marker + `","provider":"` + provider.URL + `/token?key=` + marker + `"}`,
		"failed": `{"clientId":"id","clientSecret":"` + marker + `-wrong","provider":"` + provider.URL + `/token"}`,
		"bearer": `{"type":"bearer","token":"` + marker + `"}`,
		"key":    `{"type":"api-key","in":"query","name":"k","key":"` + marker + `"}`,
		"hmac":   `{"type":"hmac","secret":"` + marker + `"}`,
	}
	logged := &freshettest.Buffer{}
	base := serveLogged(t, app.Config{Dev: true}, slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
	var shown strings.Builder
	see := func(method, path, body string, headers ...string) string {
		t.Helper()
		resp, text := do(t, method, base+path, body, append(headers, "Content-Type: application/json")...)
		fmt.Fprintln(&shown, method, path, resp.Status, resp.Header, text)
		return text
	}
	for name, authorization := range kinds {
		see("POST", "/v1/topics", `{"name":"`+string(name)+`","kind":"snapshot","source":{"type":"http-poller","alwaysOn":true,"config":{"url":"`+api.URL+`","pollingPeriod":"PT0.5S","authorization":`+authorization+`}}}`)
	}
	for name := range kinds {
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			text := see("GET", "/v1/topics/"+string(name), "")
			if name == "failed" && strings.Contains(text, "70401") && strings.Contains(text, "invalid_client") || name != "failed" && strings.Contains(text, `"revision":1`) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s", name, text)
			}
		}
		see("GET", "/live/"+string(name), "")
		see("GET", "/live/"+string(name)+"?from=beginning", "", "Accept: application/x-ndjson")
	}
	failed := open(t, base+"/live/failed")
	failed.expect("event: error", `"code":70401`)
	for _, path := range []string{"/v1/topics", "/v1/sources", "/metrics", "/readyz"} {
		see("GET", path, "")
	}
	see("PATCH", "/v1/topics/bearer", `{"source":{"config":{"authorization":{"type":"basic"}}}}`)
	see("PATCH", "/v1/topics/oauth", `{"source":{"config":{"authorization":{"provider":"https://elsewhere.example/"}}}}`)
	if all := shown.String() + logged.String(); strings.Contains(all, marker) {
		for line := range strings.Lines(all) {
			if strings.Contains(line, marker) {
				t.Errorf("a secret is shown: %s", line)
			}
		}
	}
	if !strings.Contains(shown.String(), "stands for a secret that is stored, and none is stored for it here, or one for another host") {
		t.Error("a secret went along to another token endpoint")
	}
}
