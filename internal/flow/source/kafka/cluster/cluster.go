// Package cluster reaches a cluster of Kafka, for those who read there and those who write.
package cluster

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/settings"
)

// ConnectTime is how long the brokers may take to answer at first.
const ConnectTime = 15 * time.Second

// A Cluster is how one is reached.
type Cluster struct {
	servers []string
	login   *Login
	tls     source.TLS
	env     source.Env
	log     *slog.Logger
	tokens  tokens
}

// New is the cluster at some servers, with a login or nil. Nothing is connected to yet.
func New(servers []string, login *Login, tls source.TLS, env source.Env) *Cluster {
	return &Cluster{servers: servers, login: login, tls: tls, env: env, log: cmp.Or(env.Log, slog.New(slog.DiscardHandler))}
}

// Options are what a client is made with to reach the cluster. What TLS needs is read now, and other secrets anew for
// each connection. The error is a fault.
func (c *Cluster) Options() ([]kgo.Opt, error) {
	var encrypted *tls.Config
	if c.tls.Enabled {
		var err error
		if encrypted, err = c.tls.Config(c.env.Secrets); err != nil {
			return nil, source.Faultf(freshet.FaultConfig, "%v", err)
		}
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(c.servers...),
		kgo.Dialer(c.dial(encrypted)),
		kgo.WithLogger(logger{c.log}),
		kgo.DisableClientMetrics(), // the brokers have no claim to ours
	}
	if m := c.mechanism(); m != nil {
		options = append(options, kgo.SASL(m))
	}
	return options, nil
}

// dial connects to a broker where the server may go.
func (c *Cluster) dial(encrypted *tls.Config) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, ConnectTime)
		defer cancel()
		conn, err := c.env.Dial(ctx, network, address)
		if err != nil || encrypted == nil {
			return conn, err
		}
		config := encrypted.Clone()
		if config.ServerName == "" {
			config.ServerName, _, _ = net.SplitHostPort(address)
		}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("TLS with %s: %w", address, err)
		}
		return secure, nil
	}
}

// CheckServers judges the member bootstrapServers, and returns what it lists.
func CheckServers(v *settings.Verdict, text string) (all []string) {
	for server := range strings.SplitSeq(text, ",") {
		if server = strings.TrimSpace(server); !isHostPort(server) {
			v.Say("/bootstrapServers", "%.80q is not host:port", server)
		}
		all = append(all, server)
	}
	return all
}

func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	n, errPort := strconv.ParseUint(port, 10, 16)
	return err == nil && host != "" && errPort == nil && n > 0 && !strings.ContainsAny(host, "/@ ")
}

// topicName is that of a topic of Kafka.
var topicName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// CheckTopic judges the member topic, if there is one.
func CheckTopic(v *settings.Verdict, topic string) {
	if topic != "" && (!topicName.MatchString(topic) || len(topic) > 249 || topic == "." || topic == "..") {
		v.Say("/topic", "%.80q is no name of a topic of Kafka: letters, digits, '.', '_' and '-', at most 249", topic)
	}
}

// A logger has the client's warnings in ours.
type logger struct{ to *slog.Logger }

// Level is how much the client is to tell.
func (logger) Level() kgo.LogLevel { return kgo.LogLevelWarn }

// Log tells.
func (l logger) Log(_ kgo.LogLevel, what string, pairs ...any) {
	l.to.Debug("the Kafka client says", append([]any{"what", what}, pairs...)...)
}
