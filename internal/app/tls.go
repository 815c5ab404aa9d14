package app

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"freshet"
)

// TLSConfig makes the server speak HTTPS: HTTP/1.1 and HTTP/2, by TLS 1.2 or later.
type TLSConfig struct {
	Cert       string     `json:"cert,omitempty"`       // PEM file of the certificate, with the chain that leads to it
	Key        string     `json:"key,omitempty"`        // PEM file of its private key
	MinVersion TLSVersion `json:"minVersion,omitempty"` // "1.2" (default) or "1.3"
}

// A TLSVersion is a text such as "1.3". In JSON it may be a number, as it is in YAML without quotes.
type TLSVersion string

// UnmarshalJSON reads a text or a number.
func (v *TLSVersion) UnmarshalJSON(b []byte) error {
	var text string
	if n := json.Number(""); json.Unmarshal(b, &n) == nil {
		text = n.String()
	} else if json.Unmarshal(b, &text) != nil {
		return errors.New("must be 1.2 or 1.3")
	}
	*v = TLSVersion(text)
	return nil
}

// below makes paths that are relative count from a folder.
func (c *TLSConfig) below(dir string) {
	for _, path := range []*string{&c.Cert, &c.Key} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
}

func (c TLSConfig) on() bool { return c.Cert != "" || c.Key != "" }

// invalid is what is wrong, by pointers into the configuration's document.
func (c TLSConfig) invalid() freshet.Invalid {
	mistake := func(pointer string, err error) freshet.Invalid {
		return freshet.Invalid{{Pointer: pointer, Detail: err.Error()}}
	}
	if err := oneOf(string(c.MinVersion), "1.2", "1.3"); err != nil {
		return mistake("/tls/minVersion", err)
	}
	switch {
	case !c.on() && c.MinVersion != "":
		return mistake("/tls/minVersion", errors.New("means nothing without tls.cert and tls.key: the server speaks plain HTTP"))
	case !c.on():
		return nil
	case c.Key == "":
		return mistake("/tls/key", errors.New("is needed where tls.cert is set"))
	case c.Cert == "":
		return mistake("/tls/cert", errors.New("is needed where tls.key is set"))
	}
	cert, err := os.ReadFile(c.Cert)
	if err != nil {
		return mistake("/tls/cert", err)
	}
	key, err := os.ReadFile(c.Key)
	if err != nil {
		return mistake("/tls/key", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(cert) {
		return mistake("/tls/cert", fmt.Errorf("%s holds no certificate in PEM", c.Cert))
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		return mistake("/tls/key", fmt.Errorf("%s does not go with %s: %w", c.Key, c.Cert, err))
	}
	return nil
}

// server is the configuration of a listener. The files are looked at again now and then, so that a renewed
// certificate is used without a restart.
func (c TLSConfig) server(log *slog.Logger) (*tls.Config, error) {
	k := &keyPair{TLSConfig: c, log: log}
	if err := k.load(); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: k.certificate}
	if c.MinVersion == "1.3" {
		conf.MinVersion = tls.VersionTLS13
	}
	return conf, nil
}

// keyAge is for how long the files are not looked at again.
const keyAge = 5 * time.Second

// A keyPair is a certificate that may be renewed.
type keyPair struct {
	TLSConfig
	log *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	looked  time.Time
	changed [2]time.Time // when the files were, as far as that is known
}

func (k *keyPair) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.looked) < keyAge || k.times() == k.changed {
		return k.current, nil
	}
	if err := k.load(); err != nil {
		k.log.Error("the certificate was changed but cannot be used: the one before is kept", "err", err)
	} else {
		k.log.Info("the certificate was renewed", "file", k.Cert)
	}
	return k.current, nil
}

// times looks at the files.
func (k *keyPair) times() (changed [2]time.Time) {
	k.looked = time.Now()
	for i, name := range []string{k.Cert, k.Key} {
		if info, err := os.Stat(name); err == nil {
			changed[i] = info.ModTime()
		}
	}
	return changed
}

func (k *keyPair) load() error {
	k.changed = k.times() // before the files are read, so that a change meanwhile is seen the next time
	pair, err := tls.LoadX509KeyPair(k.Cert, k.Key)
	if err != nil {
		return err
	}
	k.current = &pair
	return nil
}
