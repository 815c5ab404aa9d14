package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/settings"
)

// mechanism is how the client shows the brokers who it is; nil: it does not. Secrets are read anew for each
// connection.
func (c *Cluster) mechanism() sasl.Mechanism {
	s := c.login
	if s == nil {
		return nil
	}
	switch s.Mechanism {
	case scramSHA256, scramSHA512:
		credentials := func(context.Context) (scram.Auth, error) {
			password, err := c.reveal("sasl.password", s.Password)
			return scram.Auth{User: s.Username, Pass: password}, err
		}
		if s.Mechanism == scramSHA256 {
			return scram.Sha256(credentials)
		}
		return scram.Sha512(credentials)
	case oauthBearer:
		return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := c.bearer(ctx)
			return oauth.Auth{Token: token, Extensions: s.Extensions}, err
		})
	}
	return plain.Plain(func(context.Context) (plain.Auth, error) {
		password, err := c.reveal("sasl.password", s.Password)
		return plain.Auth{User: s.Username, Pass: password}, err
	})
}

// reveal is a secret, or the fault that it cannot be had.
func (c *Cluster) reveal(name string, secret settings.Secret) (string, error) {
	value, err := c.env.Secrets.Reveal(secret)
	if err != nil {
		return "", source.Faultf(freshet.FaultConfig, "%s: %v", name, err)
	}
	return value, nil
}

// bearer is the token for a connection.
func (c *Cluster) bearer(ctx context.Context) (string, error) {
	if c.login.Token != "" {
		return c.reveal("sasl.token", c.login.Token)
	}
	return c.tokens.get(ctx, c)
}

// tokens keeps the token that tokenUrl gave until shortly before it expires.
type tokens struct {
	mu    sync.Mutex // held while one is got: others wait for it
	token *oauth2.Token
}

// early is how long before its end a token is not used any more.
const early = 30 * time.Second

func (t *tokens) get(ctx context.Context, of *Cluster) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != nil && (t.token.Expiry.IsZero() || time.Until(t.token.Expiry) > early) {
		return t.token.AccessToken, nil
	}
	secret, err := of.reveal("sasl.clientSecret", of.login.ClientSecret)
	if err != nil {
		return "", err
	}
	conf := clientcredentials.Config{ClientID: of.login.ClientID, ClientSecret: secret, TokenURL: string(of.login.TokenURL), Scopes: strings.Fields(of.login.Scope), AuthStyle: oauth2.AuthStyleInHeader}
	ctx, cancel := context.WithTimeout(ctx, ConnectTime)
	defer cancel()
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{
		Transport:     guarded{of.env.Client},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
	token, err := conf.Token(ctx)
	if err != nil {
		t.token = nil
		if _, answered := errors.AsType[*oauth2.RetrieveError](err); answered {
			return "", fmt.Errorf("get a token: %w", err)
		}
		f, _ := source.FaultOf(err)
		f.Message = "no token from tokenUrl: " + f.Message
		return "", fmt.Errorf("%w (%w)", f, err)
	}
	t.token = token
	return token.AccessToken, nil
}

// guarded sends requests through the one client that may.
type guarded struct{ source.Client }

// RoundTrip sends a request.
func (g guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	return g.Do(r) //nolint:wrapcheck // it says enough
}
