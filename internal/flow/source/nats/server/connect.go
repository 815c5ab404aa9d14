// Package server reaches servers of NATS, for those who read there and those who publish.
package server

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/settings"
)

// AnswerTakes is how long the server may take for an answer.
const AnswerTakes = 10 * time.Second

// dialer connects as env does, and closes connections when ctx ends: the client's own time limits are long.
type dialer struct {
	ctx  context.Context //nolint:containedctx // the client calls Dial without one
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu  sync.Mutex
	err error // of the last attempt; the client hides some
}

func (d *dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.dial(d.ctx, network, address)
	d.mu.Lock()
	d.err = err
	d.mu.Unlock()
	if err == nil {
		context.AfterFunc(d.ctx, func() { _ = conn.Close() })
	}
	return conn, err
}

// Connect makes a connection until ctx ends, by the name that the servers show, and does not make it again when it ends.
// change changes what it is made with.
func (a *Access) Connect(ctx context.Context, env source.Env, name string, change func(*nats.Options)) (*nats.Conn, error) {
	d := &dialer{ctx: ctx, dial: env.Dial}
	o := nats.GetDefaultOptions()
	o.Servers = a.servers
	o.Name = name
	o.CustomDialer, o.SkipHostLookup = d, true // the guard wants the name
	o.AllowReconnect, o.IgnoreDiscoveredServers = false, true
	o.Timeout, o.PingInterval, o.MaxPingsOut = AnswerTakes, 15*time.Second, 2
	o.InboxPrefix = a.InboxPrefix
	o.AsyncErrorCB = func(*nats.Conn, *nats.Subscription, error) {} // or the client would print it
	change(&o)
	if err := a.login(&o, env.Secrets); err != nil {
		return nil, err
	}
	nc, err := o.Connect()
	if err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		if errors.Is(err, nats.ErrNoServers) && d.err != nil {
			err = d.err
		}
		return nil, err //nolint:wrapcheck // FaultOf says what it means
	}
	return nc, nil
}

// login adds what a connection shows of who it is, as it is now.
func (a *Access) login(o *nats.Options, vault settings.Vault) error {
	password, err1 := vault.Reveal(a.Password)
	token, err2 := vault.Reveal(a.Token)
	seed, err3 := vault.Reveal(a.NKey)
	creds, err4 := vault.Reveal(a.Creds)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return source.Faultf(freshet.FaultConfig, "%v", err)
	}
	o.User, o.Password, o.Token = a.User, password, token
	if seed != "" {
		pair, err := nkeys.FromSeed([]byte(seed))
		if err != nil {
			return source.Faultf(freshet.FaultConfig, "nkey: it is not the seed of an NKey")
		}
		if o.Nkey, err = pair.PublicKey(); err != nil {
			return source.Faultf(freshet.FaultConfig, "nkey: it is not the seed of an NKey")
		}
		o.SignatureCB = pair.Sign
	}
	if creds != "" {
		if !areCreds(creds) || nats.UserCredentialBytes([]byte(creds))(o) != nil {
			return source.Faultf(freshet.FaultConfig, "creds: it is not the content of a credentials file")
		}
	}
	if a.secure {
		config, err := a.TLS.Config(vault)
		if err != nil {
			return source.Faultf(freshet.FaultConfig, "%v", err)
		}
		o.Secure, o.TLSConfig, o.TLSHandshakeFirst = true, config, a.TLSFirst
	}
	return nil
}
