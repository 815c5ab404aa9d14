package amqp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	rabbit "github.com/rabbitmq/amqp091-go"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/settings"
)

// A Broker is where one is and how it lets Freshet in. Configurations embed it, of those too who send to brokers.
type Broker struct {
	URL      settings.URL    `json:"url" required:"true" schemes:"amqp,amqps" doc:"The broker, as amqp://host:port/vhost, or amqps for TLS; without a path the virtual host /"`
	Username string          `json:"username" default:"guest" doc:"The user"`
	Password settings.Secret `json:"password" default:"guest" doc:"The user's password"`
	TLS      source.TLS      `json:"tls" doc:"How the connection is protected; amqps in url turns it on"`
}

// Check is what the tags cannot say.
func (b *Broker) Check(v *settings.Verdict) {
	if b.TLS.Enabled {
		v.Say("/tls/enabled", "amqps in url says that")
	}
	u, err := url.Parse(string(b.URL))
	if err != nil {
		return // which the tags find
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		v.Say("/url", "there is nothing after the virtual host: what a query would say, such as heartbeat, is not looked at")
	}
	if strings.Contains(strings.TrimPrefix(u.EscapedPath(), "/"), "/") {
		v.Say("/url", "a virtual host is one segment of the path: write a slash in its name as %%2F")
	}
	if u.Scheme == "amqp" && b.TLS.Custom() {
		v.Say("/url", "with TLS it begins with amqps://")
	}
}

// handshake is how long it may take until the broker has let one in.
const handshake = 10 * time.Second

// Connect connects, until ctx ends. dial makes the connection; the broker shows name to its administrators. What the
// broker says against it is a freshet.Fault.
func (b *Broker) Connect(ctx context.Context, dial func(ctx context.Context, network, address string) (net.Conn, error), vault settings.Vault, name string) (*rabbit.Connection, error) {
	password, err := vault.Reveal(b.Password)
	if err != nil {
		return nil, source.Faultf(freshet.FaultConfig, "password: %v", err)
	}
	secure, err := b.TLS.Config(vault)
	if err != nil {
		return nil, source.Faultf(freshet.FaultConfig, "%v", err)
	}
	u, err := url.Parse(string(b.URL))
	if err != nil {
		return nil, source.Faultf(freshet.FaultConfig, "url: it cannot be read")
	}
	secure.ServerName = cmp.Or(secure.ServerName, u.Hostname())
	stop := func() bool { return true }
	conn, err := rabbit.DialConfig(string(b.URL), rabbit.Config{
		SASL:            []rabbit.Authentication{&rabbit.PlainAuth{Username: b.Username, Password: password}},
		TLSClientConfig: secure,
		Heartbeat:       10 * time.Second,
		Properties:      rabbit.Table{"connection_name": name, "capabilities": rabbit.Table{"consumer_cancel_notify": true}},
		Dial: func(network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
			return conn, conn.SetDeadline(time.Now().Add(handshake)) // the library takes it away afterwards
		},
	})
	if !stop() {
		return nil, ctx.Err()
	}
	return conn, explainAccess(err)
}

// explainAccess makes what the broker says to who connects a fault.
func explainAccess(err error) error {
	said, ok := errors.AsType[*rabbit.Error](err)
	if !ok {
		return err
	}
	switch {
	case said.Code == rabbit.AccessRefused && errors.Is(err, rabbit.ErrCredentials):
		return fault(err, freshet.FaultHTTP+401, "the broker does not accept the user and password")
	case said.Code == rabbit.NotAllowed:
		return fault(err, freshet.FaultHTTP+403, "there is no such virtual host, or the user may not enter it")
	}
	return err
}

func fault(err error, code int, words string) error {
	return fmt.Errorf("%w (%w)", source.Faultf(code, "%s", words), err)
}
