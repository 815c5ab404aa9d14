package credentials

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"freshet/internal/settings"
)

// assertionLife is how long an assertion is good for: the clocks of two machines may differ, and some servers
// take no longer one.
const assertionLife = 3 * time.Minute

// assertion is the JWT by which a token is asked for (RFC 7523, 3).
func (t *tokens) assertion(now time.Time) (string, error) {
	text, err := t.secrets.Reveal(t.PrivateKey)
	if err != nil {
		return "", misconfigured("authorization.privateKey: %v", err)
	}
	key, err := parseKey(text)
	if err != nil {
		return "", misconfigured("authorization.privateKey: %v", err)
	}
	claims := jwt.MapClaims{
		"iss": t.Issuer,
		"sub": cmp.Or(t.Subject, t.Issuer),
		"aud": cmp.Or(t.Audience, string(t.Provider)),
		"iat": now.Unix(),
		"exp": now.Add(assertionLife).Unix(),
		"jti": rand.Text(),
	}
	if t.Scope != "" {
		claims["scope"] = t.Scope // where Google looks for it; others read the parameter
	}
	assertion := jwt.NewWithClaims(methodOf(key), claims)
	if t.KeyID != "" {
		assertion.Header["kid"] = t.KeyID
	}
	signed, err := assertion.SignedString(key)
	if err != nil {
		return "", misconfigured("authorization.privateKey cannot sign an assertion")
	}
	return signed, nil
}

var errKey = errors.New("is not a private key in PEM, PKCS#1 or PKCS#8, without a passphrase")

// CheckKey says what is wrong with a private key that is written out; nil: nothing, or it is named. It shows
// nothing of the key.
func CheckKey(s settings.Secret) error {
	if s == "" || s.IsReference() {
		return nil
	}
	_, err := parseKey(strings.TrimPrefix(string(s), "plain:"))
	return err
}

// parseKey reads a private key in PEM, or in the Base64 of PEM without the lines around it. Errors hold
// nothing of it.
func parseKey(text string) (any, error) {
	var der []byte
	if block, _ := pem.Decode([]byte(strings.TrimSpace(text))); block != nil {
		der = block.Bytes
	} else {
		var err error
		if der, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), "")); err != nil {
			return nil, errKey
		}
	}
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		if methodOf(key) == nil {
			return nil, errors.New("is a private key, but neither RSA nor of the curves P-256, P-384 and P-521 nor Ed25519")
		}
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil && methodOf(key) != nil {
		return key, nil
	}
	return nil, errKey
}

// methodOf is how a key signs; nil: it does not.
func methodOf(key any) jwt.SigningMethod {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return jwt.SigningMethodRS256
	case ed25519.PrivateKey:
		return jwt.SigningMethodEdDSA
	case *ecdsa.PrivateKey:
		switch k.Curve.Params().BitSize {
		case 256:
			return jwt.SigningMethodES256
		case 384:
			return jwt.SigningMethodES384
		case 521:
			return jwt.SigningMethodES512
		}
	}
	return nil
}
