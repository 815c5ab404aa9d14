// Package wire connects to servers of MQTT 5 and reads what they say, for those who subscribe and those who publish.
//
// Packets are read and written by the library of the Eclipse project. Its client is not used: it allocates whatever
// size a packet claims to have, and acknowledges at intervals.
package wire

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/settings"
)

// A Server is where one is and how it lets Freshet in. Configurations embed it.
type Server struct {
	URL      settings.URL    `json:"url" required:"true" schemes:"mqtt,mqtts" doc:"The server: mqtt://host or mqtts://host, the latter with TLS. The ports are 1883 and 8883 unless it names one"`
	Username string          `json:"username" range:"0..65535" doc:"The user"`
	Password settings.Secret `json:"password" doc:"The user's password"`
	TLS      source.TLS      `json:"tls" doc:"How an mqtts connection is protected"`
}

// Check is what the tags cannot say.
func (s *Server) Check(v *settings.Verdict) {
	if u, err := url.Parse(string(s.URL)); err == nil && s.URL != "" {
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		switch {
		case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
			v.Say("/url", "there is nothing after the host and the port")
		case u.Port() != "" && (err != nil || port == 0):
			v.Say("/url", "a port is from 1 to 65535")
		case u.Scheme == "mqtt" && (s.TLS.Enabled || s.TLS.Custom()):
			v.Say("/url", "with TLS it begins with mqtts://")
		}
	}
}

// address is where the server is, and whether the connection has TLS.
func (s *Server) address() (hostPort, host string, secure bool) {
	u, err := url.Parse(string(s.URL))
	if err != nil {
		return "", "", false // which Check refuses
	}
	secure = u.Scheme == "mqtts"
	port := u.Port()
	if port == "" {
		port = "1883"
		if secure {
			port = "8883"
		}
	}
	return net.JoinHostPort(u.Hostname(), port), u.Hostname(), secure
}

// Opens is how long it may take until a connection is there and the server has answered.
const Opens = 30 * time.Second

// Dial connects, with TLS where the URL says so. dial makes the connection.
func (s *Server) Dial(ctx context.Context, dial func(ctx context.Context, network, address string) (net.Conn, error), vault settings.Vault) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, Opens)
	defer cancel()
	address, host, secure := s.address()
	var with *tls.Config
	if secure {
		var err error
		if with, err = s.TLS.Config(vault); err != nil {
			return nil, source.Faultf(freshet.FaultConfig, "%v", err)
		}
		with.ServerName = cmp.Or(with.ServerName, host)
	}
	conn, err := dial(ctx, "tcp", address)
	if err != nil || !secure {
		return conn, err //nolint:wrapcheck // it says what it is about
	}
	over := tls.Client(conn, with)
	if err := over.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err //nolint:wrapcheck // source.FaultOf knows it
	}
	return over, nil
}

// Hello introduces a client.
func (s *Server) Hello(vault settings.Vault, client string, keepAlive time.Duration, properties *packets.Properties) (*packets.Connect, error) {
	password, err := vault.Reveal(s.Password)
	if err != nil {
		return nil, source.Faultf(freshet.FaultConfig, "password: %v", err)
	}
	return &packets.Connect{
		ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: client, KeepAlive: uint16(keepAlive / time.Second),
		UsernameFlag: s.Username != "", Username: s.Username, PasswordFlag: password != "", Password: []byte(password),
		Properties: properties,
	}, nil
}
