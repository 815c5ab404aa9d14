package credentials

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/settings"
)

// withParameter is a query with a parameter in place of all of that name; the rest keeps its spelling.
func withParameter(query, name, value string) string {
	var kept []string
	for part := range strings.SplitSeq(query, "&") {
		n, _, _ := strings.Cut(part, "=")
		if is, err := url.QueryUnescape(n); part != "" && (err != nil || is != name) {
			kept = append(kept, part)
		}
	}
	return strings.Join(append(kept, url.QueryEscape(name)+"="+url.QueryEscape(value)), "&")
}

// An awsSigner signs by AWS Signature Version 4.
type awsSigner struct {
	*Authorization
	secrets settings.Vault
	signer  *v4.Signer
}

func newAWS(a *Authorization, secrets settings.Vault) *awsSigner {
	return &awsSigner{a, secrets, v4.NewSigner(func(o *v4.SignerOptions) {
		o.DisableURIPathEscaping = a.Service == "s3" // it alone does not escape a path twice
	})}
}

func (s *awsSigner) Sign(ctx context.Context, r *http.Request, body []byte) error {
	secret, err := reveal(s.secrets, "secretKey", s.SecretKey)
	if err != nil {
		return err
	}
	session, err := reveal(s.secrets, "sessionToken", s.SessionToken)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	if s.Service == "s3" {
		r.Header.Set("X-Amz-Content-Sha256", digest)
	}
	who := aws.Credentials{AccessKeyID: s.AccessKey, SecretAccessKey: secret, SessionToken: session}
	if err := s.signer.SignHTTP(ctx, who, r, digest, s.Service, s.Region, time.Now().UTC()); err != nil {
		return &Error{Fault: source.Faultf(freshet.FaultConfig, "the request cannot be signed by aws-sigv4"), err: err}
	}
	return nil
}

func (s *awsSigner) Refused(*http.Response) bool { return false }

// signedByDefault is what is signed where Authorization.Signed does not say.
const signedByDefault = "{method}\n{path}\n{query}\n{timestamp}\n{digest}"

var parts = regexp.MustCompile(`\{[^{}\s]*\}`) //nolint:gochecknoglobals // a constant

// unknownPart is what stands in braces and for nothing; "" where there is none.
func unknownPart(signed string) string {
	for _, p := range parts.FindAllString(signed, -1) {
		switch p {
		case "{method}", "{host}", "{path}", "{query}", "{timestamp}", "{digest}", "{body}":
		default:
			return p
		}
	}
	return ""
}

// A mac signs with a shared secret.
type mac struct {
	*Authorization
	secrets settings.Vault
}

func (m *mac) Sign(_ context.Context, r *http.Request, body []byte) error {
	secret, err := m.secrets.Reveal(m.Secret)
	if err != nil {
		return misconfigured("authorization.secret: %v", err)
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	signed := parts.ReplaceAllStringFunc(cmp.Or(m.Signed, signedByDefault), func(part string) string {
		switch part {
		case "{method}":
			return r.Method
		case "{host}":
			return r.URL.Host
		case "{path}":
			if path := r.URL.EscapedPath(); path != "" {
				return path
			}
			return "/"
		case "{query}":
			return r.URL.RawQuery
		case "{timestamp}":
			return now
		case "{digest}":
			sum := sha256.Sum256(body)
			return hex.EncodeToString(sum[:])
		}
		return string(body)
	})
	algorithm := map[string]func() hash.Hash{"sha256": sha256.New, "sha512": sha512.New}[m.Algorithm]
	h := hmac.New(algorithm, []byte(secret))
	_, _ = h.Write([]byte(signed)) // never fails
	sum := h.Sum(nil)
	signature := hex.EncodeToString(sum)
	if m.Encoding == "base64" {
		signature = base64.StdEncoding.EncodeToString(sum)
	}
	r.Header.Set(m.Header, m.Prefix+signature)
	if m.TimestampHeader != "" {
		r.Header.Set(m.TimestampHeader, now)
	}
	return nil
}

func (m *mac) Refused(*http.Response) bool { return false }
