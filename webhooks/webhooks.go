// Package webhooks signs and verifies webhooks as Standard Webhooks has it
// (https://github.com/standard-webhooks/standard-webhooks, specification 1.0.0), with shared secrets.
package webhooks

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The headers of a request.
const (
	HeaderID        = "webhook-id"        // of the message: the same in every attempt
	HeaderTimestamp = "webhook-timestamp" // of the attempt, in seconds since 1970
	HeaderSignature = "webhook-signature" // one or more signatures, with spaces between them
)

// Tolerance is how far from now a timestamp may be, usually.
const Tolerance = 5 * time.Minute

const (
	prefix  = "whsec_"
	version = "v1,"
)

// A Secret is the key that a sender and a receiver share. It prints as nothing that tells it.
type Secret struct{ key []byte }

func (Secret) String() string { return "***" }

// NewSecret makes a secret, and the text to be given to the receiver.
func NewSecret() (Secret, string) {
	key := make([]byte, 24)
	_, _ = rand.Read(key) // never fails
	return Secret{key}, prefix + base64.StdEncoding.EncodeToString(key)
}

// ParseSecret reads a secret: whsec_ and 24 to 64 bytes in base64.
func ParseSecret(text string) (Secret, error) {
	encoded, ok := strings.CutPrefix(text, prefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return Secret{}, errors.New("is not a secret of Standard Webhooks: whsec_ and 24 to 64 bytes in base64")
	}
	return Secret{key}, nil
}

// AppendSign appends the signature of a message.
func (s Secret) AppendSign(b []byte, id, timestamp string, body []byte) []byte {
	var sum [sha256.Size]byte
	mac := hmac.New(sha256.New, s.key)
	_, _ = mac.Write([]byte(id + "." + timestamp + ".")) // never fails
	_, _ = mac.Write(body)
	return base64.StdEncoding.AppendEncode(append(b, version...), mac.Sum(sum[:0]))
}

// Sign is the signature of a message: one of those that HeaderSignature may have.
func (s Secret) Sign(id, timestamp string, body []byte) string {
	return string(s.AppendSign(nil, id, timestamp, body))
}

// What Verify finds wrong.
var (
	ErrTimestamp = errors.New("the timestamp is not one, or too far from now")
	ErrSignature = errors.New("no signature is that of the secret, the id, the timestamp and the body")
)

// Verify says what is wrong with a message, by the values of its three headers and its body: nil, ErrTimestamp or
// ErrSignature. tolerance is how far its timestamp may be from now; 0: any distance.
func (s Secret) Verify(id, timestamp, signatures string, body []byte, now time.Time, tolerance time.Duration) error {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: %.40q are no seconds since 1970", ErrTimestamp, timestamp)
	}
	if off := now.Sub(time.Unix(seconds, 0)).Abs(); tolerance > 0 && off > tolerance {
		return fmt.Errorf("%w: it is %v away, and %v are allowed", ErrTimestamp, off.Truncate(time.Second), tolerance)
	}
	want := s.AppendSign(nil, id, timestamp, body)
	for signature := range strings.FieldsSeq(signatures) {
		if hmac.Equal([]byte(signature), want) {
			return nil
		}
	}
	return ErrSignature
}
