package streamdata

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// How far the date of a signature may be off: what a clock may be wrong, and a request may take.
	tolerance = 5 * time.Minute
	// How long after it was given a ticket counts. Every connection gets a new one.
	ticketCounts = 30 * 24 * time.Hour

	keyBytes    = 72 // of a private key
	beaconBytes = 36 // of it, which name it in each signature; the others sign
)

// ErrRefused says that a request is not signed as it has to be. What it is wrapped in says what is wrong.
var ErrRefused = errors.New("the request is not signed as it has to be")

// A Key is the private key that belongs to a token.
type Key struct{ beacon, secret string }

// ParseKey reads a private key as clients are given it. Its error says nothing of the key.
func ParseKey(private string) (Key, error) {
	text, err := base64.StdEncoding.DecodeString(private)
	if err != nil || len(text) != keyBytes {
		return Key{}, fmt.Errorf("a private key is %d bytes in base64, which is what the clients' signature strategy takes", keyBytes)
	}
	return Key{string(text[:beaconBytes]), string(text[beaconBytes:])}, nil
}

// sign is the signature of a request for a target, the URL that is followed.
func (k Key) sign(target, millis string) string {
	mac := hmac.New(sha512.New, []byte(k.secret))
	mac.Write([]byte("GET\n" + millis + "\n" + target + "\n"))
	return base64.StdEncoding.EncodeToString([]byte(k.beacon + base64.StdEncoding.EncodeToString(mac.Sum(nil))))
}

// Keys are those of all tokens. Without any, every token is as good as another, and nothing needs to be signed.
type Keys map[string]Key

// Check says whether a request for a target is signed with the key of its token: ErrRefused where it is not. The
// headers that are to be forwarded are no part of what is signed.
func (k Keys) Check(target string, params url.Values, h http.Header, lastEventID string, now time.Time) error {
	if len(k) == 0 {
		return nil
	}
	of := TokenOf(params, h)
	key, ok := k[of]
	millis, given := params.Get(timestamp), params.Get(signature)
	switch {
	case of == "":
		return fmt.Errorf("%w: %s is missing", ErrRefused, token)
	case !ok:
		return fmt.Errorf("%w: %s is not one that this server knows", ErrRefused, token)
	case millis == "" || given == "":
		return fmt.Errorf("%w: %s and %s are missing", ErrRefused, timestamp, signature)
	case !hmac.Equal([]byte(key.sign(target, millis)), []byte(given)):
		return fmt.Errorf("%w: %s is not the signature of GET, %s and the URL %s with the key of the token", ErrRefused, signature, timestamp, withoutQuery(target))
	}
	at, err := strconv.ParseInt(millis, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: %s is no number of milliseconds since 1970", ErrRefused, timestamp)
	}
	if off := now.Sub(time.UnixMilli(at)); off > -tolerance && off < tolerance || key.knows(lastEventID, target, now) {
		return nil
	}
	return fmt.Errorf("%w: %s is %s, more than %v off the time of this server, %s: sign anew, and check the clock",
		ErrRefused, timestamp, time.UnixMilli(at).UTC().Format(time.RFC3339), tolerance, now.UTC().Format(time.RFC3339))
}

// withoutQuery is a URL without what may be a secret.
func withoutQuery(target string) string {
	base, _, _ := strings.Cut(target, "?")
	return base
}

// Ticket is what a client that was let in shows when it comes back for the same target; empty where nothing needs to
// be signed.
func (k Keys) Ticket(token, target string, now time.Time) string {
	if key, ok := k[token]; ok {
		return key.ticket(target, now.Unix())
	}
	return ""
}

// ticket has only characters for which no EventSource needs a CORS preflight.
func (k Key) ticket(target string, at int64) string {
	mac := hmac.New(sha256.New, []byte(k.secret))
	stamp := strconv.FormatInt(at, 36)
	mac.Write([]byte("ticket\n" + stamp + "\n" + target + "\n"))
	return stamp + "-" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// knows says whether a client shows a ticket that still counts.
func (k Key) knows(ticket, target string, now time.Time) bool {
	stamp, _, _ := strings.Cut(ticket, "-")
	at, err := strconv.ParseInt(stamp, 36, 64)
	if err != nil || !hmac.Equal([]byte(k.ticket(target, at)), []byte(ticket)) {
		return false
	}
	age := now.Sub(time.Unix(at, 0))
	return age > -tolerance && age < ticketCounts
}
