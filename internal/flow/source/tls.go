package source

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"freshet/internal/settings"
)

// TLS says how a connection is protected, and what it proves who Freshet is with.
type TLS struct {
	Enabled    bool            `json:"enabled" protects:"true" doc:"Whether TLS is used; where an address has a scheme, that says it"`
	CA         string          `json:"ca" address:"true" references:"true" doc:"Certificates of the authorities that vouch for the server, in PEM, in place of the system's; or where they are, such as file:/run/secrets/ca.pem"`
	Cert       settings.Secret `json:"cert" doc:"The client's certificate with those between it and its authority, in PEM, for servers that ask for one (mutual TLS)"`
	Key        settings.Secret `json:"key" doc:"The private key of cert, in PEM"`
	ServerName string          `json:"serverName" address:"true" doc:"The name that the server's certificate must have, where it is not the host's"`
}

// Check is what the tags cannot say.
func (t *TLS) Check(v *settings.Verdict) {
	if (t.Cert == "") != (t.Key == "") {
		v.Say("/key", "a certificate and its key go together: cert and key")
	}
	// What is found elsewhere may be another when it is used: whether it is there the vault says.
	ca, pair := TLS{CA: t.CA}, TLS{Cert: t.Cert, Key: t.Key}
	if _, err := ca.Config(settings.Vault{}); err != nil && settings.Secret(t.CA).IsLiteral() {
		v.Say("/ca", "there is no certificate in PEM")
	}
	if _, err := pair.Config(settings.Vault{}); err != nil && t.Cert.IsLiteral() && t.Key.IsLiteral() {
		v.Say("/key", "cert and key are not a certificate and its key, in PEM")
	}
}

// CheckUse refuses the other members of the settings, which are the member tls, where they are not enabled.
func (t *TLS) CheckUse(v *settings.Verdict) {
	if t.Custom() && !t.Enabled {
		v.Say("/tls/enabled", "must be true for the other members of tls to be of use")
	}
}

// Custom says whether a connection needs more than the system's TLS.
func (t *TLS) Custom() bool { return t.CA != "" || t.Cert != "" || t.ServerName != "" }

// Config is the configuration of a connection that is made now: what is in files is read anew. Errors tell
// what to mend, and nothing of a secret.
func (t *TLS) Config(vault settings.Vault) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		pem, err := vault.Reveal(settings.Secret(t.CA))
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(pem)) {
			return nil, errors.New("tls.ca: there is no certificate in PEM")
		}
	}
	if t.Cert != "" {
		cert, err1 := vault.Reveal(t.Cert)
		key, err2 := vault.Reveal(t.Key)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("tls.cert and tls.key: %w", err)
		}
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			return nil, errors.New("tls.cert and tls.key: they are not a certificate and its key, in PEM")
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
