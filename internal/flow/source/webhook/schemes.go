package webhook

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // some sign by HMAC-SHA-1, which is not broken as SHA-1 is
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"

	"freshet/internal/flow/source"
)

// mostSignatures is how many signatures of a delivery are looked at.
const mostSignatures = 16

// A proof is what a delivery says of itself.
type proof struct {
	header     string   // with the signatures
	signatures [][]byte // of which one has to be right
	signed     [][]byte // what they are of, in pieces
	algorithm  func() hash.Hash
	id         string // of the delivery, which the signature covers; "": it has none
	right      []byte // the signature that was found right
}

// by says whether one of the signatures is by one of the keys. It takes as long where the first is right as
// where the last is not.
func (p *proof) by(keys [][]byte) (ok bool) {
	for _, key := range keys {
		h := hmac.New(p.algorithm, key)
		for _, piece := range p.signed {
			_, _ = h.Write(piece) // never fails
		}
		want := h.Sum(nil)
		for _, s := range p.signatures {
			if hmac.Equal(s, want) && !ok {
				ok, p.right = true, want
			}
		}
	}
	return ok
}

// identity tells the delivery from all others, but not from the same one that comes again.
func (p *proof) identity() string {
	return p.header + " " + base64.RawURLEncoding.EncodeToString(p.right)
}

// proof reads what the scheme wants of a delivery. Whether it is right is to be seen.
func (r *receiver) proof(d source.Delivery, now time.Time) (*proof, error) {
	switch r.Scheme {
	case "standard":
		return r.standard(d, now)
	case "github":
		p := &proof{header: "X-Hub-Signature-256", signed: [][]byte{d.Body}, algorithm: sha256.New}
		return p, p.only(d.Header, "sha256=", hex.DecodeString)
	case "stripe":
		return r.stripe(d, now)
	case "slack":
		return r.slack(d, now)
	}
	return r.plain(d, now)
}

// only reads the one signature of a header.
func (p *proof) only(h http.Header, prefix string, decode func(string) ([]byte, error)) error {
	value, err := one(h, p.header)
	if err != nil {
		return err
	}
	text, ok := strings.CutPrefix(value, prefix)
	signature, err := decode(text)
	if !ok || err != nil || len(signature) == 0 {
		return unproven("the header %s is not of the form that it has to have: %s and a signature", p.header, strings.TrimSpace("the prefix "+strconv.Quote(prefix)))
	}
	p.signatures = [][]byte{signature}
	return nil
}

// one is the value of a header that there must be once.
func one(h http.Header, name string) (string, error) {
	values := h.Values(name)
	switch {
	case len(values) == 0 || values[0] == "":
		return "", unproven("the header %s is missing", name)
	case len(values) > 1:
		return "", unproven("there are %d headers %s", len(values), name)
	}
	return values[0], nil
}

// timely reads the time of a delivery, in seconds since 1970.
func (r *receiver) timely(text, where string, now time.Time) error {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return unproven("%s is no time in seconds since 1970", where)
	}
	off := now.Sub(time.Unix(seconds, 0))
	switch most := time.Duration(r.Tolerance); {
	case off > most:
		return unproven("%s is older than %v", where, r.Tolerance)
	case -off > most:
		return unproven("%s is more than %v ahead: is the sender's clock right?", where, r.Tolerance)
	}
	return nil
}

const secretPrefix = "whsec_"

// standardKey is the key of a secret of Standard Webhooks; nil: it is none.
func standardKey(text string) []byte {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, secretPrefix))
	if err != nil || len(key) == 0 {
		return nil
	}
	return key
}

// standard is Standard Webhooks 1.0, also with the names of headers that it had at Svix before.
func (r *receiver) standard(d source.Delivery, now time.Time) (*proof, error) {
	prefix := "webhook-"
	if d.Header.Get("webhook-id") == "" && d.Header.Get("svix-id") != "" {
		prefix = "svix-"
	}
	id, err := one(d.Header, prefix+"id")
	if err != nil {
		return nil, err
	}
	at, err := one(d.Header, prefix+"timestamp")
	if err != nil {
		return nil, err
	}
	p := &proof{header: prefix + "signature", algorithm: sha256.New, id: "id " + id, signed: [][]byte{[]byte(id + "." + at + "."), d.Body}}
	list, err := one(d.Header, p.header)
	if err != nil {
		return nil, err
	}
	for item := range strings.FieldsSeq(list) {
		version, text, _ := strings.Cut(item, ",")
		if s, err := base64.StdEncoding.DecodeString(text); version == "v1" && err == nil && len(p.signatures) < mostSignatures {
			p.signatures = append(p.signatures, s)
		}
	}
	if len(p.signatures) == 0 {
		return nil, unproven("the header %s has no signature of the form v1,Base64", p.header)
	}
	return p, r.timely(at, "the header "+prefix+"timestamp", now)
}

// stripe is Stripe-Signature: t=seconds,v1=hex,v1=hex.
func (r *receiver) stripe(d source.Delivery, now time.Time) (*proof, error) {
	p := &proof{header: "Stripe-Signature", algorithm: sha256.New, id: idIn(d.Body, "id")}
	list, err := one(d.Header, p.header)
	if err != nil {
		return nil, err
	}
	at, times := "", 0
	for item := range strings.SplitSeq(list, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(item), "=")
		switch name {
		case "t":
			at, times = value, times+1
		case "v1":
			if s, err := hex.DecodeString(value); err == nil && len(s) > 0 && len(p.signatures) < mostSignatures {
				p.signatures = append(p.signatures, s)
			}
		}
	}
	switch {
	case times != 1:
		return nil, unproven("the header Stripe-Signature has no time, t=")
	case len(p.signatures) == 0:
		return nil, unproven("the header Stripe-Signature has no signature, v1=")
	}
	p.signed = [][]byte{[]byte(at + "."), d.Body}
	return p, r.timely(at, "t in the header Stripe-Signature", now)
}

// slack is X-Slack-Signature: v0=hex.
func (r *receiver) slack(d source.Delivery, now time.Time) (*proof, error) {
	const header = "X-Slack-Request-Timestamp"
	at, err := one(d.Header, header)
	if err != nil {
		return nil, err
	}
	p := &proof{header: "X-Slack-Signature", algorithm: sha256.New, signed: [][]byte{[]byte("v0:" + at + ":"), d.Body}, id: idIn(d.Body, "event_id")}
	if err := p.only(d.Header, "v0=", hex.DecodeString); err != nil {
		return nil, err
	}
	return p, r.timely(at, "the header "+header, now)
}

// idIn is a member of the body that names the delivery; "" where it does not.
func idIn(body []byte, name string) string {
	var members map[string]json.RawMessage
	var id string
	if json.Unmarshal(body, &members) != nil || json.Unmarshal(members[name], &id) != nil || id == "" {
		return ""
	}
	return "id " + id
}

// plain is any other HMAC, as configured.
func (r *receiver) plain(d source.Delivery, now time.Time) (*proof, error) {
	p := &proof{header: r.Header, algorithm: map[string]func() hash.Hash{"sha256": sha256.New, "sha512": sha512.New, "sha1": sha1.New}[r.Algorithm]}
	decode := hex.DecodeString
	if r.Encoding == "base64" {
		decode = base64.StdEncoding.DecodeString
	}
	if err := p.only(d.Header, r.Prefix, decode); err != nil {
		return nil, err
	}
	before, after, _ := strings.Cut(r.Signed, "{body}")
	if r.TimestampHeader == "" {
		p.signed = [][]byte{[]byte(before), d.Body, []byte(after)}
		return p, nil
	}
	at, err := one(d.Header, r.TimestampHeader)
	if err != nil {
		return nil, err
	}
	p.signed = [][]byte{[]byte(strings.Replace(before, "{timestamp}", at, 1)), d.Body, []byte(strings.Replace(after, "{timestamp}", at, 1))}
	if len(at) == len("1700000000000") { // milliseconds
		at = at[:len(at)-3]
	}
	return p, r.timely(at, "the header "+r.TimestampHeader, now)
}
