package brokers

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"

	"freshet/internal/freshettest"
)

// A Mosquitto is a real one, which keeps its sessions on disk.
type Mosquitto struct {
	*freshettest.Process
	Address string // host:port
}

// StartMosquitto starts one. options are lines of its configuration; without allow_anonymous among them anybody may
// come.
func StartMosquitto(t testing.TB, options ...string) *Mosquitto {
	t.Helper()
	program := freshettest.Program(t, "apt-get install mosquitto", "mosquitto")
	folder := t.TempDir()
	port := freshettest.Port(t)
	b := &Mosquitto{Address: fmt.Sprintf("127.0.0.1:%d", port)}
	lines := []string{
		"per_listener_settings false", "persistence true", "persistence_location " + folder + "/",
		"autosave_on_changes true", "autosave_interval 1", "log_dest stderr",
	}
	if os.Geteuid() == 0 {
		lines = append(lines, "user root")
	}
	if !slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(o, "allow_anonymous") }) {
		lines = append(lines, "allow_anonymous true")
	}
	lines = append(append(lines, fmt.Sprintf("listener %d 127.0.0.1", port)), options...)
	file := filepath.Join(folder, "mosquitto.conf")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Process = freshettest.Start(t, b.Address, func() *exec.Cmd { return exec.Command(program, "-c", file) }) //nolint:gosec,noctx // Process ends it
	return b
}

// A Subscriber remembers the messages of topics. Its session lasts, and it connects anew when the server is back.
type Subscriber struct {
	mu  sync.Mutex
	all []*paho.Publish
}

// Subscribe returns a subscriber once it has subscribed to a filter, with quality 2, by the client of the Eclipse
// project.
func (b *Mosquitto) Subscribe(t testing.TB, filter string) *Subscriber {
	t.Helper()
	s := &Subscriber{}
	subscribed := make(chan error, 100)
	ctx, cancel := context.WithCancel(context.Background())
	m, err := autopaho.NewConnection(ctx, autopaho.ClientConfig{
		ServerUrls: []*url.URL{{Scheme: "mqtt", Host: b.Address}}, KeepAlive: 20, SessionExpiryInterval: 3600,
		ReconnectBackoff: func(int) time.Duration { return 50 * time.Millisecond },
		OnConnectionUp: func(m *autopaho.ConnectionManager, _ *paho.Connack) {
			go func() {
				_, err := m.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: 2, RetainAsPublished: true}}})
				subscribed <- err
			}()
		},
		ClientConfig: paho.ClientConfig{
			ClientID: fmt.Sprintf("subscriber%d", freshettest.Port(t)), // which is taken by no other
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.all = append(s.all, r.Packet)
				return true, nil
			}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		<-m.Done()
	})
	if err := <-subscribed; err != nil {
		t.Fatal(err)
	}
	return s
}

// Messages are those so far.
func (s *Subscriber) Messages() []*paho.Publish {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// Payloads are those of the messages so far.
func (s *Subscriber) Payloads() (all []string) {
	for _, m := range s.Messages() {
		all = append(all, string(m.Payload))
	}
	return all
}
