package webhook_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/webhook"
	"freshet/internal/freshettest"
	"freshet/internal/settings"
)

const marker = "MARKER1f"

func verifier(t testing.TB, config string, vault settings.Vault) source.Verifier {
	t.Helper()
	k := webhook.Kind()
	if wrong := k.Check(json.RawMessage(config)); wrong != nil {
		t.Fatalf("%s: %v", config, wrong)
	}
	s, err := k.New(json.RawMessage(config), source.Env{Secrets: vault})
	if err != nil {
		t.Fatal(err)
	}
	return s.(source.Verifier)
}

func delivery(body string, headers ...string) source.Delivery {
	h := http.Header{}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return source.Delivery{Header: h, Body: []byte(body)}
}

func mac(of func() hash.Hash, key, text string) []byte {
	h := hmac.New(of, []byte(key))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// The examples that the inventors of the schemes publish.
func TestPublished(t *testing.T) {
	const slackBody = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
	for _, tt := range []struct {
		scheme, secret string
		at             int64
		delivery       source.Delivery
		key            string
	}{
		{
			"standard", "whsec_plJ3nmyCDGBKInavdOK15jsl", 1731705121,
			delivery(`{"event_type":"ping","data":{"success":true}}`, "webhook-id: msg_loFOjxBNrRLzqYUf", "webhook-timestamp: 1731705121", "webhook-signature: v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="),
			"id msg_loFOjxBNrRLzqYUf",
		},
		{"github", "It's a Secret to Everybody", 0, delivery("Hello, World!", "X-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"), ""},
		{
			"slack", "8f742231b10e8888abcd99yyyzzz85a5", 1531420618,
			delivery(slackBody, "X-Slack-Request-Timestamp: 1531420618", "X-Slack-Signature: v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"), "",
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(time.Unix(tt.at, 0)))
			for _, config := range []string{`{"scheme":"` + tt.scheme + `","secrets":["` + tt.secret + `"]}`, `{"scheme":"` + tt.scheme + `","secrets":["whsec_AAAA","` + tt.secret + `"]}`} {
				v := verifier(t, config, settings.Vault{})
				a, err := v.Verify(tt.delivery)
				if err != nil || tt.key != "" && (a.Key != tt.key || a.Once) || tt.key == "" && !a.Once || a.Reply != nil {
					t.Errorf("%s: %+v, %v", tt.scheme, a, err)
				}
				if _, err := v.Verify(tt.delivery); !errors.Is(err, source.ErrReplayed) {
					t.Errorf("%s, again: %v", tt.scheme, err)
				}
				a.Failed()
				if _, err := v.Verify(tt.delivery); err != nil {
					t.Errorf("%s, after it failed: %v", tt.scheme, err)
				}
			}
			other := verifier(t, `{"scheme":"`+tt.scheme+`","secrets":["whsec_AAAA"]}`, settings.Vault{})
			changed := tt.delivery
			changed.Body = append(slices.Clone(changed.Body), ' ')
			for of, d := range map[string]source.Delivery{"another secret": tt.delivery, "another body": changed} {
				v := other
				if of == "another body" {
					v = verifier(t, `{"scheme":"`+tt.scheme+`","secrets":["`+tt.secret+`"]}`, settings.Vault{})
				}
				if _, err := v.Verify(d); !errors.Is(err, source.ErrUnproven) {
					t.Errorf("%s, %s: %v", tt.scheme, of, err)
				}
			}
			time.Sleep(5*time.Minute + time.Second)
			if _, err := verifier(t, `{"scheme":"`+tt.scheme+`","secrets":["`+tt.secret+`"]}`, settings.Vault{}).Verify(tt.delivery); (err == nil) != (tt.scheme == "github") {
				t.Errorf("%s, later: %v", tt.scheme, err)
			}
			if tt.scheme == "github" { // which has no time
				return
			}
			if _, err := verifier(t, `{"scheme":"`+tt.scheme+`","secrets":["`+tt.secret+`"],"tolerance":"PT10M"}`, settings.Vault{}).Verify(tt.delivery); err != nil {
				t.Errorf("%s, with more tolerance: %v", tt.scheme, err)
			}
		})
	}
}

// at is the time of the deliveries below.
func at() string { return fmt.Sprint(time.Now().Unix()) }

func hexOf(sum []byte) string { return hex.EncodeToString(sum) }

// A retry by its sender, with the same id and a new time, is known by its id; one without an id is another.
func TestRetry(t *testing.T) {
	stripe := func(body, time string) source.Delivery {
		return delivery(body, "Stripe-Signature: t="+time+",v1=00ff,v0=aa,v1="+hexOf(mac(sha256.New, "whsec_s", time+"."+body)))
	}
	slack := func(body, time string) source.Delivery {
		return delivery(body, "X-Slack-Request-Timestamp: "+time, "X-Slack-Signature: v0="+hexOf(mac(sha256.New, "whsec_s", "v0:"+time+":"+body)))
	}
	for name, tt := range map[string]struct {
		of       func(body, time string) source.Delivery
		body, id string
	}{
		"stripe": {stripe, `{"id":"evt_1","type":"charge"}`, "id evt_1"},
		"slack":  {slack, `{"event_id":"Ev1","event":{}}`, "id Ev1"},
	} {
		synctest.Test(t, func(t *testing.T) {
			v := verifier(t, `{"scheme":"`+name+`","secrets":["whsec_s"]}`, settings.Vault{})
			first := tt.of(tt.body, at())
			a, err := v.Verify(first)
			if err != nil || a.Key != tt.id || a.Once {
				t.Fatal(name, a, err)
			}
			time.Sleep(time.Minute)
			if b, err := v.Verify(tt.of(tt.body, at())); err != nil || b.Key != a.Key || b.Once {
				t.Error(name, b, err)
			}
			if _, err := v.Verify(first); !errors.Is(err, source.ErrReplayed) {
				t.Error(name, err)
			}
			none, err1 := v.Verify(tt.of(`[1]`, at()))
			time.Sleep(time.Second)
			again, err2 := v.Verify(tt.of(`[1]`, at()))
			if err := errors.Join(err1, err2); err != nil || none.Key == again.Key || !none.Once || !again.Once {
				t.Error(name, none, again, err)
			}
		})
	}
}

func TestSlackChallenge(t *testing.T) {
	body := `{"token":"x","challenge":"3eZ<bZ\"1","type":"url_verification"}`
	headers := []string{"X-Slack-Request-Timestamp: " + at(), "X-Slack-Signature: v0=" + hexOf(mac(sha256.New, "s", "v0:"+at()+":"+body))}
	v := verifier(t, `{"scheme":"slack","secrets":["s"]}`, settings.Vault{})
	a, err := v.Verify(delivery(body, headers...))
	var reply struct{ Challenge string }
	if err != nil || json.Unmarshal(a.Reply, &reply) != nil || reply.Challenge != `3eZ<bZ"1` || a.Key != "" {
		t.Errorf("%s %v", a.Reply, err)
	}
	if _, err := v.Verify(delivery(body, headers[0], "X-Slack-Signature: v0=00")); !errors.Is(err, source.ErrUnproven) {
		t.Errorf("a challenge that is not signed is answered: %v", err)
	}
}

// Each option of hmac changes what is right.
func TestHMAC(t *testing.T) {
	const body = `{"n":1}`
	now := at()
	for _, tt := range []struct {
		name, options string
		headers       []string
	}{
		{"by default", ``, []string{"X-Signature: " + hexOf(mac(sha256.New, "s", body))}},
		{"in capitals", ``, []string{"X-Signature: " + strings.ToUpper(hexOf(mac(sha256.New, "s", body)))}},
		{"header", `,"header":"Sign"`, []string{"Sign: " + hexOf(mac(sha256.New, "s", body))}},
		{"sha512", `,"algorithm":"sha512"`, []string{"X-Signature: " + hexOf(mac(sha512.New, "s", body))}},
		{"sha1", `,"algorithm":"sha1"`, []string{"X-Signature: " + hexOf(mac(sha1.New, "s", body))}},
		{"base64", `,"encoding":"base64"`, []string{"X-Signature: " + base64.StdEncoding.EncodeToString(mac(sha256.New, "s", body))}},
		{"prefix", `,"prefix":"v1 "`, []string{"X-Signature: v1 " + hexOf(mac(sha256.New, "s", body))}},
		{"timestamp", `,"timestampHeader":"T","signed":"v0:{timestamp}:{body}"`, []string{"T: " + now, "X-Signature: " + hexOf(mac(sha256.New, "s", "v0:"+now+":"+body))}},
		{"after it", `,"timestampHeader":"T","signed":"{body}.{timestamp}"`, []string{"T: " + now, "X-Signature: " + hexOf(mac(sha256.New, "s", body+"."+now))}},
		{"milliseconds", `,"timestampHeader":"T","signed":"{timestamp}{body}"`, []string{"T: " + now + "123", "X-Signature: " + hexOf(mac(sha256.New, "s", now+"123"+body))}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := delivery(body, tt.headers...)
			v := verifier(t, `{"scheme":"hmac","secrets":["s"]`+tt.options+`}`, settings.Vault{})
			if a, err := v.Verify(d); err != nil || !a.Once || a.Key == "" {
				t.Errorf("%+v, %v", a, err)
			}
			if _, err := v.Verify(d); !errors.Is(err, source.ErrReplayed) {
				t.Errorf("again: %v", err)
			}
			if tt.options != "" {
				if _, err := verifier(t, `{"scheme":"hmac","secrets":["s"]}`, settings.Vault{}).Verify(d); !errors.Is(err, source.ErrUnproven) {
					t.Errorf("without the option: %v", err)
				}
			}
		})
	}
	v := verifier(t, `{"scheme":"hmac","secrets":["s"],"replays":"accept"}`, settings.Vault{})
	for range 2 {
		if a, err := v.Verify(delivery(body, "X-Signature: "+hexOf(mac(sha256.New, "s", body)))); err != nil || a.Key != "" {
			t.Errorf("%+v, %v", a, err)
		}
	}
}

// What is wrong is named, and what would be right is not told.
func TestUnproven(t *testing.T) {
	now, old, early := at(), fmt.Sprint(time.Now().Add(-6*time.Minute).Unix()), fmt.Sprint(time.Now().Add(6*time.Minute).Unix())
	b64 := func(text string) string {
		return base64.StdEncoding.EncodeToString(mac(sha256.New, marker, text))
	}
	secret := base64.StdEncoding.EncodeToString([]byte(marker))
	for _, tt := range []struct {
		scheme   string
		delivery source.Delivery
		says     string
	}{
		{"standard", delivery("{}"), "the header webhook-id is missing"},
		{"standard", delivery("{}", "webhook-id: 1"), "the header webhook-timestamp is missing"},
		{"standard", delivery("{}", "webhook-id: 1", "webhook-timestamp: "+now), "the header webhook-signature is missing"},
		{"standard", delivery("{}", "webhook-id: 1", "webhook-timestamp: "+now, "webhook-signature: v1a,xx v2,yy"), "no signature of the form v1,Base64"},
		{"standard", delivery("{}", "webhook-id: 1", "webhook-id: 2", "webhook-timestamp: "+now), "there are 2 headers webhook-id"},
		{"standard", delivery("{}", "webhook-id: 1", "webhook-timestamp: "+old, "webhook-signature: v1,"+b64("1."+old+".{}")), "webhook-timestamp is older than PT5M"},
		{"standard", delivery("{}", "webhook-id: 1", "webhook-timestamp: "+early, "webhook-signature: v1,"+b64("1."+early+".{}")), "webhook-timestamp is more than PT5M ahead"},
		{"standard", delivery("{}", "webhook-id: 1", "webhook-timestamp: x", "webhook-signature: v1,"+b64("1.x.{}")), "webhook-timestamp is no time"},
		{"standard", delivery("{}", "webhook-id: 2", "webhook-timestamp: "+now, "webhook-signature: v1,"+b64("1."+now+".{}")), "no signature in the header webhook-signature is right"},
		{"standard", delivery("{}", "svix-id: 2", "svix-timestamp: "+now, "svix-signature: v1,"+b64("1."+now+".{}")), "no signature in the header svix-signature is right"},
		{"github", delivery("{}"), "the header X-Hub-Signature-256 is missing"},
		{"github", delivery("{}", "X-Hub-Signature: sha1=00"), "the header X-Hub-Signature-256 is missing"},
		{"github", delivery("{}", "X-Hub-Signature-256: 00"), `the prefix "sha256=" and a signature`},
		{"github", delivery("{}", "X-Hub-Signature-256: sha256=zz"), `the prefix "sha256=" and a signature`},
		{"github", delivery("{}", "X-Hub-Signature-256: sha256="), `the prefix "sha256=" and a signature`},
		{"github", delivery("{}", "X-Hub-Signature-256: sha256=00"), "no signature in the header X-Hub-Signature-256 is right"},
		{"stripe", delivery("{}"), "the header Stripe-Signature is missing"},
		{"stripe", delivery("{}", "Stripe-Signature: v1=00"), "has no time, t="},
		{"stripe", delivery("{}", "Stripe-Signature: t=1,t=2,v1=00"), "has no time, t="},
		{"stripe", delivery("{}", "Stripe-Signature: t="+now+",v0=00"), "has no signature, v1="},
		{"stripe", delivery("{}", "Stripe-Signature: t="+old+",v1=00"), "t in the header Stripe-Signature is older"},
		{"stripe", delivery("{}", "Stripe-Signature: t="+now+",v1=00"), "no signature in the header Stripe-Signature is right"},
		{"slack", delivery("{}"), "the header X-Slack-Request-Timestamp is missing"},
		{"slack", delivery("{}", "X-Slack-Request-Timestamp: "+now), "the header X-Slack-Signature is missing"},
		{"slack", delivery("{}", "X-Slack-Request-Timestamp: "+old, "X-Slack-Signature: v0=00"), "X-Slack-Request-Timestamp is older"},
		{"slack", delivery("{}", "X-Slack-Request-Timestamp: "+now, "X-Slack-Signature: v0=00"), "no signature in the header X-Slack-Signature is right"},
		{"hmac", delivery("{}"), "the header X-Signature is missing"},
	} {
		_, err := verifier(t, `{"scheme":"`+tt.scheme+`","secrets":["`+secret+`"]}`, settings.Vault{}).Verify(tt.delivery)
		if !errors.Is(err, source.ErrUnproven) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s %v: %v, want %s", tt.scheme, tt.delivery.Header, err, tt.says)
		}
	}
}

// Deliveries by the old names of the headers are taken, too.
func TestSvix(t *testing.T) {
	now := at()
	signature := base64.StdEncoding.EncodeToString(mac(sha256.New, "key", "1."+now+".{}"))
	d := delivery("{}", "svix-id: 1", "svix-timestamp: "+now, "svix-signature: v1,AAAA v1,"+signature)
	if a, err := verifier(t, `{"scheme":"standard","secrets":["`+base64.StdEncoding.EncodeToString([]byte("key"))+`"]}`, settings.Vault{}).Verify(d); err != nil || a.Key != "id 1" {
		t.Error(a, err)
	}
}

// What is remembered is bounded, and old enough when it is forgotten.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := verifier(t, `{"scheme":"hmac","secrets":["s"]}`, settings.Vault{})
		send := func(n int) error {
			body := fmt.Sprint(n)
			_, err := v.Verify(delivery(body, "X-Signature: "+hexOf(mac(sha256.New, "s", body))))
			return err
		}
		for n := range 16<<10 + 1 {
			if err := send(n); err != nil {
				t.Fatal(n, err)
			}
		}
		if err := send(1); !errors.Is(err, source.ErrReplayed) {
			t.Errorf("the second is forgotten: %v", err)
		}
		if err := send(0); err != nil {
			t.Errorf("the first is remembered: %v", err)
		}
		time.Sleep(11 * time.Minute)
		if err := send(5000); err != nil {
			t.Errorf("it is remembered for too long: %v", err)
		}
	})
}

// A secret that cannot be had is told to the topic's subscribers and its log, and to whoever posts as little as
// possible.
func TestNoSecret(t *testing.T) {
	config := `{"scheme":"github","secrets":["env:FRESHET_SECRET_` + marker + `"]}`
	_, err := verifier(t, config, settings.Vault{Env: []string{"FRESHET_*"}}).Verify(delivery("{}", "X-Hub-Signature-256: sha256=00"))
	if f, ok := errors.AsType[freshet.Fault](err); !ok || f.Code != freshet.FaultConfig || strings.Contains(f.Message, marker) {
		t.Errorf("told who posts: %v", err)
	}
	env := freshettest.Env(t)
	env.Secrets = settings.Vault{Env: []string{"FRESHET_*"}}
	to := &freshettest.Sink{}
	freshettest.Run(t, webhook.Kind(), config, env, to)
	freshettest.WaitFor(t, 10*time.Second, "a fault", func() bool { return len(to.Faults()) > 0 })
	if f := to.Faults()[0]; f.Code != freshet.FaultConfig || !strings.Contains(f.Message, "secrets/0: the environment variable") {
		t.Errorf("told subscribers: %v", f)
	}
	t.Setenv("FRESHET_SECRET_"+marker, "s")
	if _, err := verifier(t, config, settings.Vault{Env: []string{"FRESHET_*"}}).Verify(delivery("{}", "X-Hub-Signature-256: sha256="+hexOf(mac(sha256.New, "s", "{}")))); err != nil {
		t.Errorf("by reference: %v", err)
	}
}

// One of several secrets that cannot be had, as while they are replaced, leaves the others in use, and is logged once.
func TestSecretLacking(t *testing.T) {
	const config = `{"scheme":"github","secrets":["env:FRESHET_SECRET_NEW","env:FRESHET_SECRET_OLD"]}`
	t.Setenv("FRESHET_SECRET_OLD", "old")
	var log bytes.Buffer
	env := freshettest.Env(t)
	env.Secrets, env.Log = settings.Vault{Env: []string{"FRESHET_*"}}, slog.New(slog.NewTextHandler(&log, nil))
	s, err := webhook.Kind().New(json.RawMessage(config), env)
	if err != nil {
		t.Fatal(err)
	}
	v, _ := s.(source.Verifier)
	by := func(secret, body string) error {
		_, err := v.Verify(delivery(body, "X-Hub-Signature-256: sha256="+hexOf(mac(sha256.New, secret, body))))
		return err
	}
	if err := errors.Join(by("old", "1"), by("old", "2")); err != nil {
		t.Errorf("by the secret that is there: %v", err)
	}
	if err := by("new", "3"); !isFault(err, freshet.FaultConfig) { // which its sender sends again
		t.Errorf("by the one that is not: %v", err)
	}
	if said := log.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "level=WARN") || !strings.Contains(said, "secrets/0") || !strings.Contains(said, "FRESHET_SECRET_NEW") {
		t.Errorf("logged: %s", said)
	}
	t.Setenv("FRESHET_SECRET_NEW", "new")
	if err := by("new", "3"); err != nil {
		t.Errorf("once it is there: %v", err)
	}
	if err := by("other", "4"); !errors.Is(err, source.ErrUnproven) {
		t.Errorf("by another: %v", err)
	}
	if s, err = webhook.Kind().New(json.RawMessage(strings.Replace(config, "_NEW", "_NONE", 1)), env); err != nil {
		t.Fatal(err)
	}
	to := &freshettest.Sink{}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := s.Run(ended, to); err != nil || len(to.Faults()) > 0 {
		t.Errorf("a topic that takes webhooks has faults: %v, %v", to.Faults(), err)
	}
}

// The headers that are to be kept are around the body, and make nothing valid that is not.
func TestHeaders(t *testing.T) {
	for _, options := range []string{``, `,"replays":"accept"`} {
		v := verifier(t, `{"scheme":"github","secrets":["s"],"headers":["x-github-event","X-None"]`+options+`}`, settings.Vault{})
		for body, want := range map[string]string{
			` {"b": 1, "a":"<é>"}`: `{"headers":{"x-github-event":"push \"1\", 2"},"body": {"b": 1, "a":"<é>"}}`,
			`1,"c":2`:              `1,"c":2`,
		} {
			a, err := v.Verify(delivery(body, "X-GitHub-Event: push \"1\"", "X-GitHub-Event: 2", "X-Other: 3", "X-Hub-Signature-256: sha256="+hexOf(mac(sha256.New, "s", body))))
			if err != nil || a.Envelope == nil {
				t.Fatalf("%+v, %v", a, err)
			}
			if got := string(a.Envelope([]byte(body))); got != want {
				t.Errorf("%s: %s, want %s", options, got, want)
			}
		}
	}
	v := verifier(t, `{"scheme":"github","secrets":["s"]}`, settings.Vault{})
	if a, err := v.Verify(delivery("{}", "X-Hub-Signature-256: sha256="+hexOf(mac(sha256.New, "s", "{}")))); err != nil || a.Envelope != nil {
		t.Errorf("without the option: %+v, %v", a, err)
	}
}

func isFault(err error, code int) bool {
	f, ok := errors.AsType[freshet.Fault](err)
	return ok && f.Code == code
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct{ config, pointer string }{
		{`{"secrets":["s"]}`, "/scheme"},
		{`{"scheme":"git","secrets":["s"]}`, "/scheme"},
		{`{"scheme":"github"}`, "/secrets"},
		{`{"scheme":"github","secrets":["a","b","c","d","e","f","g","h","i"]}`, "/secrets"},
		{`{"scheme":"github","secrets":["a",""]}`, "/secrets/1"},
		{`{"scheme":"standard","secrets":["whsec_` + marker + `!"]}`, "/secrets/0"},
		{`{"scheme":"github","secrets":["s"],"tolerance":"PT0S"}`, "/tolerance"},
		{`{"scheme":"github","secrets":["s"],"replays":"some"}`, "/replays"},
		{`{"scheme":"stripe","secrets":["s"],"replays":"accept"}`, "/replays"},
		{`{"scheme":"github","secrets":["s"],"header":"X"}`, "/header"},
		{`{"scheme":"github","secrets":["s"],"tolerance":"PT6M"}`, "/tolerance"},
		{`{"scheme":"github","secrets":["s"],"headers":["a b"]}`, "/headers/0"},
		{`{"scheme":"github","secrets":["s"],"headers":["X-A","x-a"]}`, "/headers/1"},
		{`{"scheme":"github","secrets":["s"],"algorithm":"sha512"}`, "/algorithm"},
		{`{"scheme":"github","secrets":["s"],"encoding":"base64"}`, "/encoding"},
		{`{"scheme":"github","secrets":["s"],"prefix":"x"}`, "/prefix"},
		{`{"scheme":"github","secrets":["s"],"timestampHeader":"x"}`, "/timestampHeader"},
		{`{"scheme":"github","secrets":["s"],"signed":"x{body}"}`, "/signed"},
		{`{"scheme":"hmac","secrets":["s"],"header":"a b"}`, "/header"},
		{`{"scheme":"hmac","secrets":["s"],"algorithm":"md5"}`, "/algorithm"},
		{`{"scheme":"hmac","secrets":["s"],"encoding":"raw"}`, "/encoding"},
		{`{"scheme":"hmac","secrets":["s"],"signed":"{timestamp}"}`, "/timestampHeader"},
		{`{"scheme":"hmac","secrets":["s"],"signed":"text"}`, "/signed"},
		{`{"scheme":"hmac","secrets":["s"],"timestampHeader":"T"}`, "/signed"},
		{`{"scheme":"hmac","secrets":["s"],"timestampHeader":"x-signature","signed":"{timestamp}{body}"}`, "/timestampHeader"},
	} {
		wrong := webhook.Kind().Check(json.RawMessage(tt.config))
		if !slices.ContainsFunc(wrong, func(e freshet.FieldError) bool { return e.Pointer == tt.pointer }) || strings.Contains(wrong.Error(), marker) {
			t.Errorf("%s: %v, want %s", tt.config, wrong, tt.pointer)
		}
	}
	const stored = `{"scheme":"github","secrets":["` + marker + `","env:A"]}`
	shown := webhook.Kind().Mask(json.RawMessage(stored))
	if string(shown) != `{"scheme":"github","secrets":["***","env:A"]}` {
		t.Errorf("shown: %s", shown)
	}
	if back := webhook.Kind().Unmask(shown, json.RawMessage(stored)); string(back) != stored {
		t.Errorf("put back: %s", back)
	}
}

// No header whatever makes a receiver fall over, or let pass what is not signed.
func FuzzVerify(f *testing.F) {
	f.Add("v1,AAAA v1,BBBB", "1700000000", "{}")
	f.Add("t=1,v1=00", "x", `{"type":"url_verification","challenge":""}`)
	f.Add("v0=00", "", "")
	f.Fuzz(func(t *testing.T, signature, time, body string) {
		for _, scheme := range []string{"standard", "github", "stripe", "slack", "hmac"} {
			h := http.Header{}
			for _, name := range []string{"Webhook-Signature", "X-Hub-Signature-256", "Stripe-Signature", "X-Slack-Signature", "X-Signature"} {
				h.Set(name, signature)
			}
			h.Set("Webhook-Timestamp", time)
			h.Set("Webhook-Id", time)
			h.Set("X-Slack-Request-Timestamp", time)
			v := verifier(t, `{"scheme":"`+scheme+`","secrets":["whsec_plJ3nmyCDGBKInavdOK15jsl"]}`, settings.Vault{})
			if a, err := v.Verify(source.Delivery{Header: h, Body: []byte(body)}); !errors.Is(err, source.ErrUnproven) {
				t.Errorf("%s: %+v, %v", scheme, a, err)
			}
		}
	})
}
