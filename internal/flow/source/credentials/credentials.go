// Package credentials is how the requests of sources show who sends them. Each source that speaks HTTP has
// its settings among its own: an Authorization, and a TLS.
package credentials

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"freshet"
	"freshet/internal/egress"
	"freshet/internal/flow/source"
	"freshet/internal/settings"
)

// An Authorization says by what a request is known. The members of type oauth2 are named as the incumbent's.
type Authorization struct {
	Type string `json:"type" default:"oauth2" oneof:"basic,bearer,api-key,oauth2,jwt-bearer,aws-sigv4,hmac" doc:"basic: user and password (RFC 7617); bearer: a token (RFC 6750); api-key: a key in a header or in the query; oauth2: a token that the client credentials grant of OAuth 2.0 gives (RFC 6749, 4.4); jwt-bearer: a token that it gives for an assertion signed with a private key (RFC 7523); aws-sigv4: a signature of AWS, version 4; hmac: a signature with a shared secret. A member that another type has is refused"`

	User     string          `json:"user" doc:"Of basic, required"`
	Password settings.Secret `json:"password" doc:"Of basic"`

	Token settings.Secret `json:"token" doc:"Of bearer, required"`

	Key  settings.Secret `json:"key" doc:"Of api-key, required"`
	In   string          `json:"in" default:"header" oneof:"header,query" doc:"Of api-key: where the key is sent"`
	Name string          `json:"name" default:"X-API-Key" range:"1..100" doc:"Of api-key: the name of the header, or of the parameter of the query"`

	ClientID     string          `json:"clientId" doc:"Of oauth2, required"`
	ClientSecret settings.Secret `json:"clientSecret" doc:"Of oauth2, required"`
	Provider     settings.URL    `json:"provider" doc:"Of oauth2 and jwt-bearer, required: the address of the token endpoint. It is asked with the same tls as the API. A token is used until shortly before it expires, or until the API answers 401"`
	Scope        string          `json:"scope" doc:"Of oauth2 and jwt-bearer: what the token is for, words separated by spaces"`
	Mode         string          `json:"mode" default:"header" oneof:"header,body" doc:"Of oauth2: whether clientId and clientSecret are sent in the Authorization header or in the body"`
	Audience     string          `json:"audience" doc:"Of jwt-bearer: for whom the assertion is, by default provider. Of oauth2: sent as parameter audience, which some servers want"`

	PrivateKey settings.Secret `json:"privateKey" doc:"Of jwt-bearer, required: the private key in PEM, PKCS#1 or PKCS#8. RSA signs by RS256, elliptic curves by ES256, ES384 or ES512, Ed25519 by EdDSA"`
	KeyID      string          `json:"keyId" doc:"Of jwt-bearer: the kid of the assertion"`
	Issuer     string          `json:"issuer" doc:"Of jwt-bearer, required: the iss of the assertion, most often the client's id"`
	Subject    string          `json:"subject" doc:"Of jwt-bearer: the sub of the assertion, by default issuer"`

	AccessKey    string          `json:"accessKey" doc:"Of aws-sigv4, required: the id of the access key"`
	SecretKey    settings.Secret `json:"secretKey" doc:"Of aws-sigv4, required: the secret access key"`
	SessionToken settings.Secret `json:"sessionToken" doc:"Of aws-sigv4, for temporary credentials"`
	Region       string          `json:"region" doc:"Of aws-sigv4, required: such as eu-central-1"`
	Service      string          `json:"service" doc:"Of aws-sigv4, required: such as execute-api or s3"`

	Secret          settings.Secret `json:"secret" doc:"Of hmac, required"`
	Algorithm       string          `json:"algorithm" default:"sha256" oneof:"sha256,sha512" doc:"Of hmac: the hash function"`
	Signed          string          `json:"signed" range:"0..1000" doc:"Of hmac: the text that is signed; by default {method}, {path}, {query}, {timestamp} and {digest}, with line breaks between them. These stand for parts of the request: {method}; {host}, with the port where the address has one; {path} and {query}, as they are sent; {timestamp}, seconds since 1970; {digest}, the SHA-256 of the body in hexadecimal digits; {body}"`
	Header          string          `json:"header" default:"X-Signature" doc:"Of hmac: the name of the header with the signature"`
	Prefix          string          `json:"prefix" doc:"Of hmac: what stands before the signature, such as sha256="`
	Encoding        string          `json:"encoding" default:"hex" oneof:"hex,base64" doc:"Of hmac: how the signature is spelled"`
	TimestampHeader string          `json:"timestampHeader" default:"X-Timestamp" doc:"Of hmac: the name of the header with the timestamp; empty: none is sent"`
}

// A Signer puts credentials into requests. It is safe for concurrent use.
type Signer interface {
	// Sign changes a request, which is complete but for its credentials, so that it has them. body is what it
	// will send. An error is an *Error, and holds no secret.
	Sign(ctx context.Context, r *http.Request, body []byte) error
	// Refused takes note of an answer to a signed request, and says whether the same request, signed anew, may
	// fare better.
	Refused(resp *http.Response) bool
}

// An Error is why a request has no credentials.
type Error struct {
	Fault      freshet.Fault // what subscribers are told
	Passing    bool          // it may be over soon
	RetryAfter time.Duration // for which the token endpoint wants no request; 0: it did not say

	err error
}

func (e *Error) Error() string { return e.Fault.Error() }

// Unwrap are the fault, and what led to it.
func (e *Error) Unwrap() []error {
	if e.err == nil {
		return []error{e.Fault}
	}
	return []error{e.Fault, e.err}
}

func misconfigured(format string, args ...any) *Error {
	return &Error{Fault: source.Faultf(freshet.FaultConfig, format, args...)}
}

// member says which types have a member, and whether it is there.
type member struct {
	name  string
	given bool
	of    string // the types that need it …
	may   string // … and those that take it
}

func (a *Authorization) members() []member {
	return []member{
		{"user", a.User != "", "basic", ""},
		{"password", a.Password != "", "", "basic"},
		{"token", a.Token != "", "bearer", ""},
		{"key", a.Key != "", "api-key", ""},
		{"in", a.In != "header", "", "api-key"},
		{"name", a.Name != "X-API-Key", "", "api-key"},
		{"clientId", a.ClientID != "", "oauth2", ""},
		{"clientSecret", a.ClientSecret != "", "oauth2", ""},
		{"provider", a.Provider != "", "oauth2 jwt-bearer", ""},
		{"scope", a.Scope != "", "", "oauth2 jwt-bearer"},
		{"mode", a.Mode != "header", "", "oauth2"},
		{"audience", a.Audience != "", "", "oauth2 jwt-bearer"},
		{"privateKey", a.PrivateKey != "", "jwt-bearer", ""},
		{"keyId", a.KeyID != "", "", "jwt-bearer"},
		{"issuer", a.Issuer != "", "jwt-bearer", ""},
		{"subject", a.Subject != "", "", "jwt-bearer"},
		{"accessKey", a.AccessKey != "", "aws-sigv4", ""},
		{"secretKey", a.SecretKey != "", "aws-sigv4", ""},
		{"sessionToken", a.SessionToken != "", "", "aws-sigv4"},
		{"region", a.Region != "", "aws-sigv4", ""},
		{"service", a.Service != "", "aws-sigv4", ""},
		{"secret", a.Secret != "", "hmac", ""},
		{"algorithm", a.Algorithm != "sha256", "", "hmac"},
		{"signed", a.Signed != "", "", "hmac"},
		{"header", a.Header != "X-Signature", "", "hmac"},
		{"prefix", a.Prefix != "", "", "hmac"},
		{"encoding", a.Encoding != "hex", "", "hmac"},
		{"timestampHeader", a.TimestampHeader != "X-Timestamp", "", "hmac"},
	}
}

// Check is what the tags cannot say. It never shows a secret.
func (a *Authorization) Check(v *settings.Verdict) {
	has := func(types string) bool { return slices.Contains(strings.Fields(types), a.Type) }
	for _, m := range a.members() {
		switch {
		case has(m.of) && !m.given:
			v.Say("/"+m.name, "is required with type %s", a.Type)
		case m.given && !has(m.of) && !has(m.may):
			v.Say("/"+m.name, "is of no use with type %.40s, but with %s", a.Type, strings.ReplaceAll(strings.TrimSpace(m.of+" "+m.may), " ", " and "))
		}
	}
	switch a.Type {
	case "basic":
		if strings.ContainsFunc(a.User, func(c rune) bool { return c == ':' || c < ' ' || c == 0x7f }) {
			v.Say("/user", "cannot have a colon or a control character")
		}
	case "api-key":
		if a.In == "header" {
			checkHeader(v, "/name", a.Name)
		}
	case "jwt-bearer":
		if err := CheckKey(a.PrivateKey); err != nil {
			v.Say("/privateKey", "%v", err)
		}
	case "hmac":
		checkHeader(v, "/header", a.Header)
		if a.TimestampHeader != "" {
			checkHeader(v, "/timestampHeader", a.TimestampHeader)
			if strings.EqualFold(a.Header, a.TimestampHeader) {
				v.Say("/timestampHeader", "is the header of the signature")
			}
		}
		if unknown := unknownPart(a.Signed); unknown != "" {
			v.Say("/signed", "%.40q stands for nothing: there are {method}, {host}, {path}, {query}, {timestamp}, {digest} and {body}", unknown)
		}
		if !isFieldValue(a.Prefix) {
			v.Say("/prefix", "has a control character")
		}
	}
}

func checkHeader(v *settings.Verdict, at, name string) {
	const allowed = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" // RFC 9110, 5.6.2
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Host", "Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "Keep-Alive", "Te", "Trailer", "Upgrade", "Expect", "Accept-Encoding", "Range", "If-Range", "If-None-Match", "If-Modified-Since":
		v.Say(at, "%s is a header that the request needs for itself", name)
	}
	if name == "" || strings.Trim(name, allowed) != "" {
		v.Say(at, "%.40q is not a header name", name)
	}
}

// isFieldValue is RFC 9110, 5.5.
func isFieldValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// Headers are the names of the headers that hold credentials: nothing else may set them. Of none there are none.
func (a *Authorization) Headers() []string {
	switch {
	case a == nil || a.Type == "api-key" && a.In == "query":
		return nil
	case a.Type == "api-key":
		return []string{a.Name}
	case a.Type == "hmac" && a.TimestampHeader == "":
		return []string{a.Header}
	case a.Type == "hmac":
		return []string{a.Header, a.TimestampHeader}
	case a.Type == "aws-sigv4":
		return []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256"}
	}
	return []string{"Authorization"}
}

// New returns the signer of a source. Of no Authorization it is one that changes nothing.
func (a *Authorization) New(env source.Env) (Signer, error) {
	if a == nil {
		return open{}, nil
	}
	c := *a
	switch c.Type {
	case "basic", "bearer", "api-key":
		return &plain{&c, env.Secrets}, nil
	case "aws-sigv4":
		return newAWS(&c, env.Secrets), nil
	case "hmac":
		return &mac{&c, env.Secrets}, nil
	case "oauth2", "jwt-bearer":
		at, err := egress.ParseURL(string(c.Provider))
		if err != nil {
			return nil, fmt.Errorf("authorization.provider: %w", err)
		}
		return &tokens{Authorization: &c, at: at, client: env.Client, secrets: env.Secrets, busy: make(chan struct{}, 1)}, nil
	}
	return nil, fmt.Errorf("authorization.type: there is no %.40q", c.Type)
}

// open is the signer of an API that asks for nothing.
type open struct{}

func (open) Sign(context.Context, *http.Request, []byte) error { return nil }
func (open) Refused(*http.Response) bool                       { return false }

// reveal is a secret that can be sent in a header.
func reveal(vault settings.Vault, name string, s settings.Secret) (string, error) {
	text, err := vault.Reveal(s)
	switch {
	case err != nil:
		return "", misconfigured("authorization.%s: %v", name, err)
	case !isFieldValue(text):
		return "", misconfigured("authorization.%s has a line break or another control character", name)
	}
	return text, nil
}

// plain sends secrets as they are.
type plain struct {
	*Authorization
	secrets settings.Vault
}

func (p *plain) Sign(_ context.Context, r *http.Request, _ []byte) error {
	switch p.Type {
	case "basic":
		password, err := reveal(p.secrets, "password", p.Password)
		if err != nil {
			return err
		}
		r.SetBasicAuth(p.User, password)
	case "bearer":
		token, err := reveal(p.secrets, "token", p.Token)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+token)
	default:
		key, err := reveal(p.secrets, "key", p.Key)
		if err != nil {
			return err
		}
		if p.In == "query" {
			u := *r.URL
			u.RawQuery = withParameter(u.RawQuery, p.Name, key)
			r.URL = &u
			break
		}
		r.Header.Set(cmp.Or(p.Name, "X-API-Key"), key)
	}
	return nil
}

func (p *plain) Refused(*http.Response) bool { return false }
