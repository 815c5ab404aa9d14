package webhooks_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"freshet/webhooks"
)

// The values that the specification's own libraries test.
func TestVector(t *testing.T) {
	const secret, id, timestamp, body, want = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", `{"test": 2432232314}`, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	s, err := webhooks.ParseSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Sign(id, timestamp, []byte(body)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if strings.Contains(fmt.Sprint(s, fmt.Sprintf("%v %s", s, s)), "1f") {
		t.Error("a secret prints")
	}
	at := time.Unix(1614265330, 0)
	for _, tt := range []struct {
		name, id, timestamp, signatures, body string
		now                                   time.Time
		want                                  error
	}{
		{"right", id, timestamp, want, body, at.Add(4 * time.Minute), nil},
		{"one of several", id, timestamp, "v1a,xx v1,AAAA " + want, body, at.Add(-4 * time.Minute), nil},
		{"old", id, timestamp, want, body, at.Add(6 * time.Minute), webhooks.ErrTimestamp},
		{"of the future", id, timestamp, want, body, at.Add(-6 * time.Minute), webhooks.ErrTimestamp},
		{"no timestamp", id, "yesterday", want, body, at, webhooks.ErrTimestamp},
		{"another id", id + "x", timestamp, want, body, at, webhooks.ErrSignature},
		{"another body", id, timestamp, want, body + " ", at, webhooks.ErrSignature},
		{"no signature", id, timestamp, "", body, at, webhooks.ErrSignature},
	} {
		if err := s.Verify(tt.id, tt.timestamp, tt.signatures, []byte(tt.body), tt.now, webhooks.Tolerance); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestSecret(t *testing.T) {
	s, text := webhooks.NewSecret()
	again, err := webhooks.ParseSecret(text)
	if err != nil || again.Sign("a", "1", nil) != s.Sign("a", "1", nil) {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "whsec_", "whsec_%%", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_" + strings.Repeat("AAAA", 22)} {
		if _, err := webhooks.ParseSecret(bad); err == nil {
			t.Errorf("%q is a secret", bad)
		}
	}
}

// Whatever the parts are, what was signed verifies, and nothing that differs.
func FuzzVerify(f *testing.F) {
	f.Add("msg_1", "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", []byte(`{}`))
	s, err := webhooks.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, id, signatures string, body []byte) {
		right := s.Sign(id, "1614265330", body)
		if err := s.Verify(id, "1614265330", signatures+" "+right, body, time.Time{}, 0); err != nil {
			t.Error(err)
		}
		if err := s.Verify(id, "1614265330", signatures, body, time.Time{}, 0); err == nil && !strings.Contains(signatures, right) {
			t.Errorf("%q is a signature", signatures)
		}
	})
}
