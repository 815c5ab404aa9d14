package app_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"freshet"
	"freshet/internal/app"
	"freshet/internal/freshettest"
)

// received is a topic that takes webhooks.
func received(name freshet.TopicName, alwaysOn bool, config string) freshet.Topic {
	return freshet.Topic{Name: name, Kind: freshet.KindEvent, Source: freshet.Source{Type: "webhook", AlwaysOn: alwaysOn, Config: json.RawMessage(config)}}
}

func signature(key, text string) []byte {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// Webhooks are taken if they are signed, once each, also after a restart; all else is refused, and says why, but
// no secret.
func TestWebhooks(t *testing.T) {
	data := t.TempDir()
	secret := base64.StdEncoding.EncodeToString([]byte(marker))
	topics := []freshet.Topic{
		received("std", true, `{"scheme":"standard","secrets":["whsec_`+secret+`"]}`),
		received("git", true, `{"scheme":"github","secrets":["`+marker+`"],"headers":["X-GitHub-Event"]}`),
		received("slack", false, `{"scheme":"slack","secrets":["`+marker+`"]}`),
		received("lost", true, `{"scheme":"github","secrets":["env:FRESHET_SECRET_NONE"]}`),
	}
	logged := &freshettest.Buffer{}
	var shown strings.Builder
	restart := func(t *testing.T) (post func(topic, body string, headers ...string) (*http.Response, string), look func()) {
		t.Setenv("FRESHET_SECRET_NONE", "here for now")
		base := serveLogged(t, app.Config{Data: data, Topics: topics, Secrets: app.SecretsConfig{Env: []string{"FRESHET_SECRET_*"}}}, slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug})))
		if err := os.Unsetenv("FRESHET_SECRET_NONE"); err != nil {
			t.Fatal(err)
		}
		post = func(topic, body string, headers ...string) (*http.Response, string) {
			t.Helper()
			resp, text := do(t, "POST", base+"/live/"+topic, body, append(headers, "Content-Type: application/json")...)
			fmt.Fprintln(&shown, resp.Header, text)
			return resp, text
		}
		return post, func() {
			for _, path := range []string{"/v1/topics", "/v1/topics/std", "/v1/topics/lost", "/live/git", "/metrics"} {
				resp, text := do(t, "GET", base+path, "")
				fmt.Fprintln(&shown, resp.Header, text)
			}
			if _, text := do(t, "GET", base+"/live/std?from=beginning", "", "Accept: application/x-ndjson"); strings.Count(text, `{"n":`) != 3 {
				t.Errorf("the history of std:\n%s", text)
			}
			if _, text := do(t, "GET", base+"/live/git?from=beginning", "", "Accept: application/x-ndjson"); strings.Count(text, `"n":`) != 2 || !strings.Contains(text, `{"headers":{"X-GitHub-Event":"push"},"body":{"n":1}}`) {
				t.Errorf("the history of git:\n%s", text)
			}
		}
	}
	std := func(id string, at time.Time, body string) []string {
		when := fmt.Sprint(at.Unix())
		return []string{"webhook-id: " + id, "webhook-timestamp: " + when, "webhook-signature: v1," + base64.StdEncoding.EncodeToString(signature(marker, id+"."+when+"."+body))}
	}
	git := func(body string) string {
		return "X-Hub-Signature-256: sha256=" + hex.EncodeToString(signature(marker, body))
	}
	now := time.Now()
	expect := func(t *testing.T, what string, resp *http.Response, text string, status int, says string) {
		t.Helper()
		if resp.StatusCode != status || !strings.Contains(text, says) {
			t.Errorf("%s: %s %s; want %d %s", what, resp.Status, text, status, says)
		}
	}
	t.Run("first", func(t *testing.T) {
		post, look := restart(t)
		defer look()
		resp, text := post("std", `{"n":1}`, std("a", now, `{"n":1}`)...)
		expect(t, "signed", resp, text, 202, `"changed":true`)
		resp, text = post("std", `{"n":1}`, std("a", now, `{"n":1}`)...)
		expect(t, "replayed", resp, text, 409, "errors/replayed")
		resp, text = post("std", `{"n":1}`, std("a", now.Add(time.Second), `{"n":1}`)...)
		if expect(t, "sent again", resp, text, 202, `"changed":true`); resp.Header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("it is not said that it came before: %v", resp.Header)
		}
		resp, text = post("std", `{"n":"in other words"}`, std("a", now.Add(time.Second), `{"n":"in other words"}`)...)
		if expect(t, "sent again in other words", resp, text, 202, `"changed":true`); resp.Header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("it is stored twice: %v", resp.Header)
		}
		resp, text = post("std", `{"n":1}`, append(std("b", now, `{"n":1}`), `Idempotency-Key: "a"`)...)
		expect(t, "another of the same body", resp, text, 202, `"changed":true`)
		resp, text = post("std", `{"n":2}`, std("c", now, `{"n":1}`)...)
		expect(t, "changed", resp, text, 401, "no signature in the header webhook-signature is right")
		resp, text = post("std", `{"n":2}`)
		if expect(t, "unsigned", resp, text, 401, "the header webhook-id is missing"); resp.Header.Get("WWW-Authenticate") == "" || !strings.Contains(text, "errors/unproven") {
			t.Errorf("401: %v %s", resp.Header, text)
		}
		resp, text = post("std", `{"n":`, std("d", now, `{"n":`)...)
		expect(t, "signed, but no JSON", resp, text, 400, "70016")
		resp, text = post("std", `{"n":`, std("d", now, `{"n":`)...)
		expect(t, "the same, which was not stored", resp, text, 400, "70016")
		resp, text = post("git", `{"n":1}`, git(`{"n":1}`), "X-GitHub-Event: push")
		expect(t, "git", resp, text, 202, `"changed":true`)
		question := `{"type":"url_verification","challenge":"c1"}`
		when := fmt.Sprint(now.Unix())
		slack := []string{"X-Slack-Request-Timestamp: " + when, "X-Slack-Signature: v0=" + hex.EncodeToString(signature(marker, "v0:"+when+":"+question))}
		resp, text = post("slack", question, slack...)
		expect(t, "a challenge", resp, text, 200, `{"challenge":"c1"}`)
		resp, text = post("slack", `{"n":1}`, slack...)
		expect(t, "nobody listens, and it is not signed", resp, text, 401, "")
		slack[1] = "X-Slack-Signature: v0=" + hex.EncodeToString(signature(marker, "v0:"+when+`:{"n":1}`))
		for range 2 {
			resp, text = post("slack", `{"n":1}`, slack...)
			expect(t, "nobody listens", resp, text, 410, "")
		}
		resp, text = post("lost", `{"n":1}`, git(`{"n":1}`))
		expect(t, "a secret is not there", resp, text, 503, "a secret of the topic cannot be had")
		var wg sync.WaitGroup
		var mu sync.Mutex
		taken := 0
		for range 8 { // at once
			wg.Go(func() {
				resp, _ := do(t, "POST", resp.Request.URL.Scheme+"://"+resp.Request.URL.Host+"/live/git", `{"n":2}`, git(`{"n":2}`), "Content-Type: application/json")
				mu.Lock()
				defer mu.Unlock()
				if resp.StatusCode == 202 {
					taken++
				} else if resp.StatusCode != 409 {
					t.Error(resp.Status)
				}
			})
		}
		if wg.Wait(); taken != 1 {
			t.Errorf("the same delivery was taken %d times", taken)
		}
		resp, text = post("std", `{"n":3}`, std("e", now, `{"n":3}`)...)
		expect(t, "the third", resp, text, 202, `"changed":true`)
	})
	t.Run("after a restart", func(t *testing.T) {
		post, look := restart(t)
		defer look()
		resp, text := post("git", `{"n":1}`, git(`{"n":1}`))
		expect(t, "replayed", resp, text, 409, "errors/replayed")
		resp, text = post("std", `{"n":1}`, std("a", now, `{"n":1}`)...)
		if expect(t, "sent again", resp, text, 202, ""); resp.Header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("it is stored twice: %v", resp.Header)
		}
	})
	if all := shown.String() + logged.String(); strings.Contains(all, marker) || strings.Contains(all, secret) {
		t.Errorf("a secret is shown:\n%s", all)
	}
}
