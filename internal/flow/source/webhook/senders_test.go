package webhook_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"freshet/internal/flow/source"
	"freshet/internal/freshettest"
	"freshet/internal/settings"
)

// What the libraries of the senders sign is taken, once, and by no other secret.
func TestSenders(t *testing.T) {
	t.Parallel()
	node, modules := freshettest.NodeModules(t, "standardwebhooks@1.1.1", "stripe@23.1.0", "@octokit/webhooks-methods@6.0.0")
	// A module of today finds others beside itself alone.
	text, err := os.ReadFile("testdata/senders.mjs")
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(filepath.Dir(modules), "senders.mjs")
	if err := os.WriteFile(script, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, script)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var sent []struct {
		Scheme, Secret, Body string
		Headers              map[string]string
	}
	if err := json.Unmarshal(out, &sent); err != nil || len(sent) != 6 {
		t.Fatalf("%s: %v", out, err)
	}
	for _, s := range sent {
		d := source.Delivery{Header: http.Header{}, Body: []byte(s.Body)}
		for name, value := range s.Headers {
			d.Header.Set(name, value)
		}
		secret, err := json.Marshal(s.Secret)
		if err != nil {
			t.Fatal(err)
		}
		v := verifier(t, `{"scheme":"`+s.Scheme+`","secrets":["whsec_AAAA",`+string(secret)+`]}`, settings.Vault{})
		if a, err := v.Verify(d); err != nil || a.Key == "" {
			t.Errorf("%s %.40s: %v", s.Scheme, s.Body, err)
		}
		if _, err := v.Verify(d); !errors.Is(err, source.ErrReplayed) {
			t.Errorf("%s %.40s again: %v", s.Scheme, s.Body, err)
		}
		if _, err := verifier(t, `{"scheme":"`+s.Scheme+`","secrets":["whsec_AAAA"]}`, settings.Vault{}).Verify(d); !errors.Is(err, source.ErrUnproven) {
			t.Errorf("%s %.40s by another secret: %v", s.Scheme, s.Body, err)
		}
	}
}
