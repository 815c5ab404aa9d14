package sftp

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/settings"
)

// families are the kinds of host key to ask for where only fingerprints are known: a server has several, and
// shows one.
func families() [][]string {
	return [][]string{
		{ssh.KeyAlgoED25519},
		{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521},
		{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
	}
}

// attempts are the algorithms to ask for in one attempt after the other.
func (c *config) attempts() [][]string {
	var known []string
	for _, key := range c.keys {
		switch key.kind {
		case "":
			return families()
		case ssh.KeyAlgoRSA:
			known = append(known, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		default:
			known = append(known, key.kind)
		}
	}
	return [][]string{known}
}

// connect logs in.
func connect(ctx context.Context, c *config, env source.Env) (*store, error) {
	methods, err := c.methods(env.Secrets)
	if err != nil {
		return nil, err
	}
	other := false
	for _, algorithms := range c.attempts() {
		s, mismatch, err := c.attempt(ctx, env, methods, algorithms)
		if err == nil {
			return s, nil
		}
		other = other || mismatch
		if _, none := errors.AsType[*ssh.AlgorithmNegotiationError](err); !mismatch && !none {
			return nil, err
		}
	}
	if other {
		return nil, source.Faultf(freshet.FaultConfig, "the server has none of the keys in hostKey: is it the right server, or has its key changed?")
	}
	return nil, source.Faultf(freshet.FaultConnection, "the server has no host key of the kind that hostKey names, or knows none of our algorithms")
}

// methods are the ways to log in.
func (c *config) methods(vault settings.Vault) (all []ssh.AuthMethod, err error) {
	if c.PrivateKey != "" {
		signer, err := c.signer(vault)
		if err != nil {
			return nil, err
		}
		all = append(all, ssh.PublicKeys(signer))
	}
	if c.Password != "" {
		password, err := vault.Reveal(c.Password)
		if err != nil {
			return nil, source.Faultf(freshet.FaultConfig, "password: %v", err)
		}
		all = append(all, ssh.Password(password), ssh.KeyboardInteractive(func(_, _ string, questions []string, echos []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for i := range answers {
				if !echos[i] { // what may be seen is no question for a password
					answers[i] = password
				}
			}
			return answers, nil
		}))
	}
	return all, nil
}

func (c *config) signer(vault settings.Vault) (ssh.Signer, error) {
	key, err := vault.Reveal(c.PrivateKey)
	if err != nil {
		return nil, source.Faultf(freshet.FaultConfig, "privateKey: %v", err)
	}
	if c.Passphrase == "" {
		signer, err := ssh.ParsePrivateKey([]byte(key))
		if _, locked := errors.AsType[*ssh.PassphraseMissingError](err); locked {
			return nil, source.Faultf(freshet.FaultConfig, "privateKey is encrypted: passphrase is required")
		}
		if err != nil {
			return nil, source.Faultf(freshet.FaultConfig, "privateKey is no private key in PEM, nor one of OpenSSH")
		}
		return signer, nil
	}
	passphrase, err := vault.Reveal(c.Passphrase)
	if err != nil {
		return nil, source.Faultf(freshet.FaultConfig, "passphrase: %v", err)
	}
	signer, err := ssh.ParsePrivateKeyWithPassphrase([]byte(key), []byte(passphrase))
	switch {
	case errors.Is(err, x509.IncorrectPasswordError):
		return nil, source.Faultf(freshet.FaultConfig, "privateKey cannot be read with passphrase")
	case err != nil:
		return nil, source.Faultf(freshet.FaultConfig, "privateKey is no private key in PEM, nor one of OpenSSH")
	}
	return signer, nil
}

// attempt logs in to a server that shows a key of one of the algorithms. mismatch: it has another key.
func (c *config) attempt(ctx context.Context, env source.Env, methods []ssh.AuthMethod, algorithms []string) (s *store, mismatch bool, err error) {
	limited, cancel := context.WithTimeout(ctx, time.Duration(c.Timeout))
	defer cancel()
	conn, err := env.Dial(limited, "tcp", c.host)
	if err != nil {
		return nil, false, err //nolint:wrapcheck // it is told as it is
	}
	stop := context.AfterFunc(limited, func() { _ = conn.Close() })
	var other atomic.Bool
	sshConn, channels, requests, err := ssh.NewClientConn(conn, c.host, &ssh.ClientConfig{
		User: c.User, Auth: methods, HostKeyAlgorithms: algorithms, ClientVersion: "SSH-2.0-Freshet",
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			shown := ssh.FingerprintSHA256(key)
			if !slices.ContainsFunc(c.keys, func(k hostKey) bool { return k.fingerprint == shown }) {
				other.Store(true)
				return errors.New("another host key")
			}
			return nil
		},
	})
	if err != nil {
		_ = conn.Close()
		stop()
		return nil, other.Load(), c.refused(limited, err)
	}
	client := ssh.NewClient(sshConn, channels, requests)
	files, err := sftp.NewClient(client)
	if !stop() { // which closed it
		err = errors.Join(err, limited.Err())
	}
	if err != nil {
		_ = client.Close()
		if limited.Err() != nil {
			return nil, false, c.refused(limited, err)
		}
		return nil, false, fmt.Errorf("%w (%w)", source.Faultf(freshet.FaultConfig, "the server has no SFTP for this user"), err)
	}
	s = &store{config: c, ssh: client, client: files}
	s.stop = context.AfterFunc(ctx, func() { _ = client.Close() })
	return s, false, nil
}

// refused is why a connection could not be made.
func (c *config) refused(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w (%w)", source.Faultf(freshet.FaultConnection, "the server did not let user in within %v", time.Duration(c.Timeout)), err)
	case strings.Contains(err.Error(), "unable to authenticate"): // which has no type
		return fmt.Errorf("%w (%w)", source.Faultf(freshet.FaultHTTP+401, "%s", c.turnedAway(err.Error())), err)
	case strings.Contains(err.Error(), "unexpected message type 51 (expected 60)"): // keyboard-interactive, which it names and has not
		return fmt.Errorf("%w (%w)", source.Faultf(freshet.FaultHTTP+401, "the server does not take password, and may let nobody in by one"), err)
	case strings.Contains(err.Error(), "overflow reading version string"):
		return fmt.Errorf("%w (%w)", source.Faultf(freshet.FaultConnection, "what answers there does not speak SSH: is it another port?"), err)
	}
	return err
}

// turnedAway is why the server lets user not in, by what the client says of it: which ways it has tried, of those that
// the server has.
func (c *config) turnedAway(said string) string {
	_, list, _ := strings.Cut(said, "attempted methods [")
	list, _, _ = strings.Cut(list, "]")
	tried := strings.Fields(list)
	noPassword := c.Password != "" && !slices.Contains(tried, "password") && !slices.Contains(tried, "keyboard-interactive")
	noKey := c.PrivateKey != "" && !slices.Contains(tried, "publickey")
	switch {
	case noPassword && noKey:
		return "the server lets user in neither by password nor by key"
	case noPassword && c.PrivateKey != "":
		return "the server does not take privateKey, and lets nobody in by password"
	case noPassword:
		return "the server lets nobody in by password: it may want privateKey"
	case noKey && c.Password != "":
		return "the server does not take password, and lets nobody in by key"
	case noKey:
		return "the server lets nobody in by key: it may want password"
	}
	return "the server takes none of the credentials of user"
}
