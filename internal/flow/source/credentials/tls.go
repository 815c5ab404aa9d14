package credentials

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"sync"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/settings"
)

// A TLS is how the connections of a source that speaks HTTP are encrypted, beyond what is usual.
type TLS struct {
	CA         string          `json:"ca" address:"true" references:"true" doc:"Certificates of the authorities that vouch for the server, in PEM, in place of the system's; or where they are, such as file:/run/secrets/ca.pem"`
	Cert       settings.Secret `json:"cert" doc:"The client's certificate with those between it and its authority, in PEM, for servers that ask for one (mutual TLS)"`
	Key        settings.Secret `json:"key" doc:"The private key of cert, in PEM"`
	ServerName string          `json:"serverName" address:"true" doc:"The name that the server's certificate must have, where it is not the host's"`
}

// Check is what the tags cannot say.
func (t *TLS) Check(v *settings.Verdict) {
	whole := t.whole()
	whole.Check(v)
}

// CheckUse refuses the settings, which are at a pointer, where nothing is encrypted: not at a URL, and not at that
// of a where there is one.
func (t *TLS) CheckUse(v *settings.Verdict, at, url string, a *Authorization) {
	plain := func(u string) bool { return strings.HasPrefix(u, "http://") || strings.HasPrefix(u, "ws://") }
	if t != nil && *t != (TLS{}) && plain(url) && (a == nil || !strings.HasPrefix(string(a.Provider), "https://")) {
		v.Say(at, "is of no use: the URL begins with %s://", url[:strings.IndexByte(url, ':')])
	}
}

func (t *TLS) whole() source.TLS {
	return source.TLS{Enabled: true, CA: t.CA, Cert: t.Cert, Key: t.Key, ServerName: t.ServerName}
}

// Client is the client of a source: of no TLS, or an empty one, the one that it has anyway. Certificates are
// read anew for each request, so that those which are renewed are seen.
func (t *TLS) Client(env source.Env) source.Client {
	if t == nil || *t == (TLS{}) {
		return env.Client
	}
	return &secured{settings: t.whole(), env: env}
}

// secured is a client with certificates of its own.
type secured struct {
	settings source.TLS
	env      source.Env

	mu     sync.Mutex
	digest [sha256.Size]byte // guarded by mu: of what the client was made of
	client source.Client     // guarded by mu
}

func (s *secured) Do(r *http.Request) (*http.Response, error) {
	client, err := s.current()
	if err != nil {
		return nil, err
	}
	return client.Do(r) //nolint:wrapcheck // it is the client
}

// current is the client of the certificates as they are now.
func (s *secured) current() (source.Client, error) {
	digest, err := s.read()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil && s.digest == digest {
		return s.client, nil
	}
	config, err := s.settings.Config(s.env.Secrets)
	if err != nil {
		return nil, source.Faultf(freshet.FaultConfig, "%v", err)
	}
	if before, ok := s.client.(interface{ Close() }); ok {
		before.Close() // the connections that were made with other certificates
	}
	s.client, s.digest = s.env.Secure(config), digest
	return s.client, nil
}

// read is a digest of the certificates.
func (s *secured) read() (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	for _, of := range []settings.Secret{settings.Secret(s.settings.CA), s.settings.Cert, s.settings.Key} {
		text := ""
		if of != "" {
			if text, err = s.env.Secrets.Reveal(of); err != nil {
				return sum, source.Faultf(freshet.FaultConfig, "tls: %v", err)
			}
		}
		one := sha256.Sum256([]byte(text))
		_, _ = h.Write(one[:]) // never fails
	}
	copy(sum[:], h.Sum(nil))
	return sum, nil
}
