package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
)

// secretPrefix marks a secret of Standard Webhooks.
const secretPrefix = "whsec_"

func secretOf(key []byte) string { return secretPrefix + base64.StdEncoding.EncodeToString(key) }

// keyOf is the key of a secret: 24 to 64 bytes.
func keyOf(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("is not a secret of Standard Webhooks: whsec_ and 24 to 64 bytes in base64")
	}
	return key, nil
}

// appendSignatures appends the signatures of a message, one for each key, with spaces between them.
func appendSignatures(b []byte, keys [][]byte, id, timestamp string, body []byte) []byte {
	var sum [sha256.Size]byte
	for i, key := range keys {
		if i > 0 {
			b = append(b, ' ')
		}
		mac := hmac.New(sha256.New, key)
		_, _ = mac.Write([]byte(id + "." + timestamp + ".")) // never fails
		_, _ = mac.Write(body)
		b = append(b, "v1,"...)
		b = base64.StdEncoding.AppendEncode(b, mac.Sum(sum[:0]))
	}
	return b
}
