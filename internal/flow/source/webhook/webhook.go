// Package webhook is the source of topics to which others send webhooks, which they sign.
package webhook

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/settings"
)

// A Config says how deliveries are signed: the configuration of a source of type webhook, and a part of others.
type Config struct {
	Scheme    string            `json:"scheme" required:"true" oneof:"standard,github,stripe,slack,hmac" doc:"How deliveries are signed. standard: Standard Webhooks, as of Svix and many others; github: X-Hub-Signature-256; stripe: Stripe-Signature; slack: X-Slack-Signature; hmac: any other HMAC of the body, which the members below describe"`
	Secrets   []settings.Secret `json:"secrets" required:"true" range:"1..8" doc:"The secrets that may have signed: one, or more while it is replaced; one that cannot be had leaves the others in use. Of standard they begin with whsec_"`
	Tolerance freshet.Duration  `json:"tolerance" default:"PT5M" range:"PT1S..PT1H" doc:"How far the time of a delivery may be from the server's, where it has one"`
	Replays   string            `json:"replays" default:"refuse" oneof:"refuse,accept" doc:"Of github and hmac, whose signatures hold no time unless timestampHeader says so: whether the same body is taken twice. Refused is what came within a day, among the last 16384 deliveries"`

	Headers []string `json:"headers" range:"0..16" doc:"Headers of deliveries that are kept, such as X-GitHub-Event: a payload is then an object with headers, those of them that there were, and body. Most are not signed"`

	Header          string `json:"header" default:"X-Signature" doc:"Of hmac: the header with the signature"`
	Algorithm       string `json:"algorithm" default:"sha256" oneof:"sha256,sha512,sha1" doc:"Of hmac: the hash function"`
	Encoding        string `json:"encoding" default:"hex" oneof:"hex,base64" doc:"Of hmac: how the signature is spelled"`
	Prefix          string `json:"prefix" doc:"Of hmac: what stands before the signature, such as sha256="`
	TimestampHeader string `json:"timestampHeader" doc:"Of hmac: a header with the time, in seconds or milliseconds since 1970, which signed has to contain"`
	Signed          string `json:"signed" default:"{body}" range:"1..200" doc:"Of hmac: the text that is signed, in which {body} and {timestamp} stand for these, such as v0:{timestamp}:{body}"`
}

// Check is what the tags cannot say. It never shows a secret.
func (c *Config) Check(v *settings.Verdict) {
	for i, s := range c.Secrets {
		at := "/secrets/" + strconv.Itoa(i)
		text := strings.TrimPrefix(string(s), "plain:")
		switch {
		case text == "":
			v.Say(at, "is empty")
		case c.Scheme == "standard" && !s.IsReference() && standardKey(text) == nil:
			v.Say(at, "is not a secret of Standard Webhooks: whsec_ and Base64")
		}
	}
	seen := map[string]bool{}
	for i, name := range c.Headers {
		at, canonical := "/headers/"+strconv.Itoa(i), textproto.CanonicalMIMEHeaderKey(name)
		if seen[canonical] {
			v.Say(at, "%.40q is there twice", name)
		}
		seen[canonical] = true
		checkHeader(v, at, name)
	}
	if c.Tolerance != freshet.Duration(5*time.Minute) && (c.Scheme == "github" || c.Scheme == "hmac" && c.TimestampHeader == "") {
		v.Say("/tolerance", "is of no use where deliveries have no time")
	}
	if c.Scheme != "hmac" {
		for _, of := range []struct {
			name  string
			given bool
		}{
			{"header", c.Header != "X-Signature"},
			{"algorithm", c.Algorithm != "sha256"},
			{"encoding", c.Encoding != "hex"},
			{"prefix", c.Prefix != ""},
			{"timestampHeader", c.TimestampHeader != ""},
			{"signed", c.Signed != "{body}"},
		} {
			if of.given {
				v.Say("/"+of.name, "is of no use with scheme %.20s, but with hmac", c.Scheme)
			}
		}
		if c.Replays != "refuse" && c.Scheme != "github" {
			v.Say("/replays", "is of no use with scheme %.20s, but with github and hmac", c.Scheme)
		}
		return
	}
	checkHeader(v, "/header", c.Header)
	hasTime := strings.Contains(c.Signed, "{timestamp}")
	switch {
	case c.TimestampHeader != "" && !hasTime:
		v.Say("/signed", "has to contain {timestamp}: a time that is not signed proves nothing")
	case c.TimestampHeader == "" && hasTime:
		v.Say("/timestampHeader", "is required: signed contains {timestamp}")
	case strings.Count(c.Signed, "{body}") != 1 || strings.Count(c.Signed, "{timestamp}") > 1:
		v.Say("/signed", "has to contain {body}, and nothing twice")
	}
	if c.TimestampHeader != "" {
		checkHeader(v, "/timestampHeader", c.TimestampHeader)
		if textproto.CanonicalMIMEHeaderKey(c.TimestampHeader) == textproto.CanonicalMIMEHeaderKey(c.Header) {
			v.Say("/timestampHeader", "is the header of the signature")
		}
		if c.Replays != "refuse" {
			v.Say("/replays", "is of no use with timestampHeader")
		}
	}
}

func checkHeader(v *settings.Verdict, at, name string) {
	const allowed = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" // RFC 9110, 5.6.2
	if name == "" || strings.Trim(name, allowed) != "" {
		v.Say(at, "%.40q is not a header name", name)
	}
}

// Kind is the type webhook.
func Kind() source.Kind {
	return source.Kind{
		Name:    "webhook",
		Summary: "Takes webhooks that are sent to the topic, if they are signed as they have to be.",
		Notes:   notes,
		Feeds:   []freshet.Kind{freshet.KindEvent, freshet.KindSnapshot},
		Pushed:  true,
		Config:  Config{},
		Check:   source.Check[Config],
		New:     newReceiver,
	}
}

const notes = "`POST /live/{topic}` with `Content-Type: application/json` is where they are sent: as with `http-post`, but only with a right signature of the whole body. 401 says what is missing or wrong; 202 comes once the journal has the payload. Set `alwaysOn`: without it and without subscribers the answer is 410, on which many senders give up for good.\n\n" +
	"A delivery is stored once. What comes again with the very same signature is refused with 409. What its sender sends again by itself, with the same id (`webhook-id`; of Stripe `id`, of Slack `event_id` in the body) and a new time, is answered 202 with `Idempotent-Replayed: true`, and not stored again; an `Idempotency-Key` is not looked at. Slack's `url_verification` is answered. The body is the payload. Where what it is stands in a header, as the type of GitHub's events does, `headers: [X-GitHub-Event]` keeps it: the payload is `{\"headers\":{\"X-GitHub-Event\":\"push\"},\"body\":…}`. No scheme signs other headers than its own, so whoever knows a signed body that has not come yet could send it with others."

func newReceiver(conf json.RawMessage, env source.Env) (source.Source, error) {
	c := Config{}
	if wrong := settings.Read(conf, &c); wrong != nil {
		return nil, wrong
	}
	return newChecked(c, env), nil
}

func newChecked(c Config, env source.Env) *receiver {
	return &receiver{Config: c, vault: env.Secrets, log: cmp.Or(env.Log, slog.New(slog.DiscardHandler)), seen: newMemory()}
}

// NewVerifier judges deliveries to another source than this one, by a configuration in which Check finds
// nothing.
func NewVerifier(c Config, env source.Env) source.Verifier { return newChecked(c, env) }

// A receiver is the Source, and the source.Verifier, of the type webhook.
type receiver struct {
	Config
	vault settings.Vault
	log   *slog.Logger
	seen  *memory // of signatures

	mu      sync.Mutex
	lacking string // guarded by mu: what was logged last of secrets that cannot be had
}

// Run waits, so that the topic is accepting. Where no secret can be had it tells so, which nobody who sends may
// be told.
func (r *receiver) Run(ctx context.Context, to source.Sink) error {
	if keys, err := r.keys(); len(keys) == 0 {
		to.Fault(ctx, source.Faultf(freshet.FaultConfig, "no webhook can be taken: %v", err), 0)
	}
	<-ctx.Done()
	return nil
}

// keys are those that may have signed, as far as they can be had. The error, which is logged whenever it is another
// than before, says of the first of the others why it cannot: a secret that is not there yet, or not any more, as
// while one replaces the other, leaves the others in use.
func (r *receiver) keys() (all [][]byte, err error) {
	for i, s := range r.Secrets {
		text, wrong := r.vault.Reveal(s)
		key := []byte(text)
		if r.Scheme == "standard" {
			key = standardKey(text)
		}
		switch {
		case wrong != nil:
			wrong = fmt.Errorf("secrets/%d: %w", i, wrong)
		case len(key) == 0:
			wrong = fmt.Errorf("secrets/%d: is not a secret of the scheme %s", i, r.Scheme)
		default:
			all = append(all, key)
		}
		err = cmp.Or(err, wrong)
	}
	r.note(err, len(all))
	return all, err
}

// note logs what is wrong with secrets, once.
func (r *receiver) note(err error, others int) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if text == r.lacking {
		return
	}
	r.lacking = text
	switch {
	case err == nil:
		r.log.Info("all secrets of webhooks can be had again")
	case others == 0:
		r.log.Error("webhooks cannot be checked", "err", err)
	default:
		r.log.Warn("a secret of webhooks cannot be had, and the others are used", "err", err)
	}
}

// Verify checks the signature, the time, and that the same did not come before.
func (r *receiver) Verify(d source.Delivery) (source.Admission, error) {
	keys, lacking := r.keys()
	if len(keys) == 0 {
		return source.Admission{}, errNoSecret()
	}
	now := time.Now()
	s, err := r.proof(d, now)
	if err != nil {
		return source.Admission{}, err
	}
	switch ok := s.by(keys); {
	case !ok && lacking != nil: // it may be by the one that cannot be had: who sends may do it again
		return source.Admission{}, errNoSecret()
	case !ok:
		return source.Admission{}, unproven("no signature in the header %s is right for this body and any of the topic's secrets", s.header)
	}
	if r.Scheme == "slack" {
		if reply := challenge(d.Body); reply != nil {
			return source.Admission{Reply: reply}, nil
		}
	}
	if r.Replays == "accept" {
		return source.Admission{Envelope: r.envelope(d.Header)}, nil
	}
	identity := s.identity()
	if !r.seen.add(identity, now, time.Duration(r.Tolerance)) {
		return source.Admission{}, source.ErrReplayed
	}
	a := source.Admission{Key: s.id, Envelope: r.envelope(d.Header), Failed: func() { r.seen.forget(identity) }}
	if a.Key == "" {
		a.Key, a.Once = identity, true
	}
	return a, nil
}

// envelope puts the headers that are kept around payloads; nil: none are.
func (r *receiver) envelope(h http.Header) func([]byte) []byte {
	if len(r.Headers) == 0 {
		return nil
	}
	kept := map[string]string{}
	for _, name := range r.Headers {
		if values := h.Values(name); len(values) > 0 {
			kept[name] = strings.Join(values, ", ") // RFC 9110, 5.3
		}
	}
	headers, err := json.Marshal(kept)
	if err != nil {
		return nil // cannot be: texts can be written
	}
	return func(body []byte) []byte {
		if !json.Valid(body) { // which is to be told of the body, and must not become valid by what is around it
			return body
		}
		return slices.Concat([]byte(`{"headers":`), headers, []byte(`,"body":`), body, []byte(`}`)) // which keeps its spelling
	}
}

// errNoSecret is all that who sends is told.
func errNoSecret() error {
	return source.Faultf(freshet.FaultConfig, "webhooks cannot be checked now: a secret of the topic cannot be had")
}

func unproven(format string, args ...any) error {
	return fmt.Errorf("%w: %s", source.ErrUnproven, fmt.Sprintf(format, args...))
}

// challenge is what Slack wants to be answered when it is told of the address; nil: it is an ordinary delivery.
func challenge(body []byte) []byte {
	var is struct {
		Type      string  `json:"type"`
		Challenge *string `json:"challenge"`
	}
	if json.Unmarshal(body, &is) != nil || is.Type != "url_verification" || is.Challenge == nil {
		return nil
	}
	reply, err := json.Marshal(map[string]string{"challenge": *is.Challenge})
	if err != nil {
		return nil
	}
	return reply
}
