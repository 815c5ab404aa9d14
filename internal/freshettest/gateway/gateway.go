// Package gateway is a whole Freshet inside a test.
package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"freshet"
	"freshet/client"
	"freshet/internal/app"
	"freshet/internal/freshettest"
)

// A Gateway is a whole Freshet, which reaches this machine and nothing else.
type Gateway struct {
	*client.Client
	t    testing.TB
	stop func()
}

// Start runs a Freshet until the test ends or it is stopped. What c leaves out is right for a test.
func Start(t testing.TB, c app.Config) *Gateway {
	t.Helper()
	c.Listen = "127.0.0.1:0"
	if c.Data == "" {
		c.Data = t.TempDir()
	}
	c.Egress.Allow = append(c.Egress.Allow, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan app.Server, 1), make(chan error, 1)
	go func() {
		done <- app.Run(ctx, c, slog.New(slog.DiscardHandler), func(s app.Server) { ready <- s })
	}()
	select {
	case s := <-ready:
		to, err := client.New(s.URL, client.Config{})
		if err != nil {
			t.Fatal(err)
		}
		stopped := false
		g := &Gateway{Client: to, t: t, stop: func() {
			if stop(); stopped {
				return
			}
			stopped = true
			if err := <-done; err != nil {
				t.Error("stopped with:", err)
			}
		}}
		t.Cleanup(g.stop)
		return g
	case err := <-done:
		stop()
		t.Fatal("did not start:", err)
		return nil
	}
}

// Stop stops it.
func (g *Gateway) Stop() { g.stop() }

// Topic makes a topic that is posted to.
func (g *Gateway) Topic(name freshet.TopicName, kind freshet.Kind) {
	g.t.Helper()
	if _, err := g.CreateTopic(g.t.Context(), freshet.Topic{Name: name, Kind: kind, Source: freshet.Source{Type: "http-post", AlwaysOn: true}}, client.WriteOptions{}); err != nil {
		g.t.Fatal(err)
	}
}

// Subscribe makes a subscription of a topic. more are members of it, such as: "format":"raw".
func (g *Gateway) Subscribe(topic freshet.TopicName, id, kind, config, more string) {
	g.t.Helper()
	if more != "" {
		more = "," + more
	}
	if _, err := g.CreateSubscription(g.t.Context(), topic, fmt.Appendf(nil, `{"id":%q,"type":%q,"config":%s%s}`, id, kind, config, more), client.WriteOptions{}); err != nil {
		g.t.Fatal(err)
	}
}

// Post posts values to a topic, each by itself.
func (g *Gateway) Post(topic freshet.TopicName, values ...any) {
	g.t.Helper()
	for _, v := range values {
		text, err := json.Marshal(v)
		if err != nil {
			g.t.Fatal(err)
		}
		if _, err := g.Publish(g.t.Context(), string(topic), text, client.PublishOptions{}); err != nil {
			g.t.Fatal(err)
		}
	}
}

// Await waits until a subscription has a progress that is right, and returns it.
func (g *Gateway) Await(id freshet.SubscriptionID, longest time.Duration, what string, right func(*freshet.Progress) bool) (p *freshet.Progress) {
	g.t.Helper()
	freshettest.WaitFor(g.t, longest, what, func() bool {
		s, _, err := g.Subscription(g.t.Context(), id)
		if err != nil {
			g.t.Fatal(err)
		}
		p = s.Progress
		return p != nil && right(p)
	})
	return p
}
