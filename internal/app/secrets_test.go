package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/internal/app"
)

// marker is in every place of a source's configuration that may hold a secret.
const marker = "MARKER5e"

// secretive is the configuration of a source that is full of secrets.
func secretive(url string) string {
	headers := map[string]string{"Accept": "application/json", "X-Forward": "Bearer " + marker}
	for _, name := range []string{"Authorization", "Cookie", "Proxy-Authorization", "X-Api-Key", "X-Token", "X-Client-Secret", "X-Password", "x-auth-user", "Api_Key", "Session-Id"} {
		headers[name] = marker
	}
	var query strings.Builder
	query.WriteString("?plain=1")
	for _, name := range []string{"api_key", "apikey", "key", "token", "access_token", "secret", "client-secret", "password", "signature", "sig", "X-Amz-Credential", "auth", "jwt"} {
		query.WriteString("&" + name + "=" + marker)
	}
	config, _ := json.Marshal(map[string]any{
		"url": url + query.String() + "#token=" + marker, "headers": headers, "method": "POST", "pollingPeriod": "500ms",
		"body": map[string]any{"plain": 1, "auth": map[string]any{"user": marker}, "list": []any{map[string]any{"password": marker}}},
	})
	return string(config)
}

// No answer of /v1 shows a secret, what is shown can be put back, and the upstream gets the secrets all
// the while.
func TestSecretsAreWriteOnly(t *testing.T) {
	requests := make(chan string, 100)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		select {
		case requests <- fmt.Sprint(r.URL.RawQuery, r.Header, string(body)):
		default:
		}
		http.Error(w, marker, http.StatusTeapot) // so that there is a fault to be shown too
	}))
	defer upstream.Close()
	config := secretive(upstream.URL + "/x")
	whole := 10 + 1 + 13 + 2 // headers, the one with Bearer, query, body; a fragment is not sent
	sent := func(when string) {
		t.Helper()
		for len(requests) > 0 {
			<-requests
		}
		select {
		case got := <-requests:
			if n := strings.Count(got, marker); n != whole {
				t.Errorf("%s: upstream gets %d of %d secrets: %s", when, n, whole, got)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: no request", when)
		}
	}

	ofFile := freshet.Topic{Name: "file", Kind: freshet.KindSnapshot, Source: freshet.Source{Type: "http-poller", Config: json.RawMessage(config)}}
	base := serve(t, app.Config{Dev: true, Topics: []freshet.Topic{ofFile}})
	answers := 0
	v1 := func(status int, method, path, body string, headers ...string) (*http.Response, string) {
		t.Helper()
		resp, text := do(t, method, base+path, body, append(headers, "Content-Type: application/json")...)
		answers++
		if resp.StatusCode != status {
			t.Fatalf("%s %s: %s %s; want %d", method, path, resp.Status, text, status)
		}
		if all := fmt.Sprint(resp.Header) + text; strings.Contains(all, marker) {
			t.Errorf("%s %s shows a secret: %s", method, path, all)
		}
		return resp, text
	}
	document := `{"name":"a","kind":"snapshot","source":{"type":"http-poller","alwaysOn":true,"config":` + config + `}}`
	v1(200, "POST", "/v1/topics?dryRun=true", document)
	made, shown := v1(201, "POST", "/v1/topics", document)
	if n := strings.Count(shown, `***`); n != whole+1 {
		t.Errorf("%d of %d secrets are masked: %s", n, whole+1, shown)
	}
	sent("created")
	got, text := v1(200, "GET", "/v1/topics/a", "")
	v1(200, "GET", "/v1/topics/file", "")
	v1(200, "GET", "/v1/topics", "")
	v1(400, "GET", "/v1/topics?search=source.config.url:*", "")
	if _, found := v1(200, "GET", "/v1/topics?search=description:*KER5e*", ""); !strings.Contains(found, `"total":0`) {
		t.Errorf("a search finds a secret: %s", found)
	}
	if tag := made.Header.Get("ETag"); got.Header.Get("ETag") != tag {
		t.Errorf("ETag %s after %s", got.Header.Get("ETag"), tag)
	}
	put, _ := v1(200, "PUT", "/v1/topics/a", text, "If-Match: "+got.Header.Get("ETag")) // the defaults are written down now
	if again, _ := v1(200, "PUT", "/v1/topics/a", text, "If-Match: "+put.Header.Get("ETag")); again.Header.Get("ETag") != put.Header.Get("ETag") {
		t.Error("putting back what was shown is taken for a change")
	}
	edited := strings.Replace(strings.Replace(text, `plain=1`, `plain=2`, 1), `"name":"a"`, `"name":"a","description":"edited"`, 1)
	v1(200, "PUT", "/v1/topics/a?dryRun=true", edited)
	v1(200, "PUT", "/v1/topics/a", edited)
	sent("edited")
	v1(200, "PATCH", "/v1/topics/a?dryRun=true", `{"source":{"config":{"headers":{"X-Token":"***"}}}}`)
	v1(200, "PATCH", "/v1/topics/a", `{"source":{"config":{"headers":{"X-Token":"***","Accept":"*/*"}}}}`)
	v1(200, "PATCH", "/v1/topics/a", `{"description":null}`)
	sent("patched")

	// Mistakes name the place and not the value; a secret does not go to another host by itself.
	_, wrong := v1(400, "POST", "/v1/topics", strings.Replace(strings.Replace(document, `"X-Api-Key":"`+marker, `"X-Api-Key":"***`, 1), `"name":"a"`, `"name":"b"`, 1))
	if !strings.Contains(wrong, `"pointer":"/source/config/headers/X-Api-Key"`) {
		t.Errorf("a mask of nothing: %s", wrong)
	}
	_, wrong = v1(400, "PATCH", "/v1/topics/a", `{"source":{"config":{"url":"https://evil.example/?token=***"}}}`)
	if !strings.Contains(wrong, `/source/config/headers/Authorization`) || !strings.Contains(wrong, `/source/config/url`) {
		t.Errorf("another host: %s", wrong)
	}
	v1(400, "PUT", "/v1/topics/a", strings.Replace(document, upstream.URL, "ftp://u:"+marker+"@x", 1))
	v1(400, "PUT", "/v1/topics/a", strings.Replace(document, upstream.URL, "http://u:"+marker+"/@x", 1))
	v1(400, "PUT", "/v1/topics/a", strings.Replace(document, `"500ms"`, `1`, 1))
	v1(409, "POST", "/v1/topics", document)
	v1(412, "PUT", "/v1/topics/a", document, "If-None-Match: *")
	v1(409, "PUT", "/v1/topics/file", document)
	v1(204, "DELETE", "/v1/topics/a", "")
	if answers < 20 {
		t.Errorf("only %d answers were looked at", answers)
	}
}
