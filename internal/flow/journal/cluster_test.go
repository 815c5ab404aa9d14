package journal_test

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"freshet"
	"freshet/internal/flow/journal"
)

// TestCluster runs the journal on three servers, one of which is stopped while it leads: the same
// code, other configuration.
func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster takes its time")
	}
	t.Parallel()
	servers := cluster(t)
	connect := func(s *server.Server) *nats.Conn {
		others := nats.DontRandomize() // the given one first
		nc := must(nats.Connect(s.ClientURL()+","+servers[0].ClientURL()+","+servers[1].ClientURL()+","+servers[2].ClientURL(),
			others, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectBufSize(-1),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})))(t)
		t.Cleanup(nc.Close)
		return nc
	}
	config := journal.Config{Prefix: "elsewhere", Replicas: 3, Patience: time.Minute}
	writer := must(journal.Open(t.Context(), connect(servers[1]), config, nil))(t)
	reader := must(journal.Open(t.Context(), connect(servers[2]), config, nil))(t)
	id := journal.ID("a")
	events := fill(t, writer, id, freshet.Position{}, 100)
	if h := must(reader.Head(t.Context(), id))(t); !same(h, events[99]) {
		t.Errorf("head %v; want %v", h.Position, events[99].Position)
	}
	if at, err := reader.AppendOne(t.Context(), id, events[50].Position, patch(52, "")); !errors.Is(err, journal.ErrFenced) {
		t.Errorf("append after an old head = %v, %v", at, err)
	}
	js := must(jetstream.New(connect(servers[0])))(t)
	var leader string
	for info := range js.ListStreams(t.Context(), jetstream.WithStreamListSubject("elsewhere.f.*."+string(id)+".e")).Info() {
		if info.State.Msgs > 0 {
			leader = info.Cluster.Leader
		}
	}
	i := slices.IndexFunc(servers, func(s *server.Server) bool { return s.Name() == leader })
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		servers[i].Shutdown()
	}()
	events = append(events, fill(t, writer, id, events[99].Position, 300)...)
	<-stopped
	var got []freshet.Event
	for e, err := range reader.Tail(t.Context(), id, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, e); len(got) == len(events) {
			break
		}
	}
	if !slices.EqualFunc(got, events, same) {
		t.Error("the reader has other entries than the writer")
	}
	r := writer.Records("a")
	rev := must(r.Put(t.Context(), "k", []byte("v"), 0))(t)
	if v, got, err := reader.Records("a").Get(t.Context(), "k"); err != nil || string(v) != "v" || got != rev {
		t.Errorf("record %q %d, %v", v, got, err)
	}
}

// cluster runs three servers that know each other.
func cluster(t *testing.T) []*server.Server {
	t.Helper()
	var routes []*url.URL
	var listeners []net.Listener
	for range 3 {
		l := must(net.Listen("tcp", "127.0.0.1:0"))(t) //nolint:noctx // at once
		listeners = append(listeners, l)
		routes = append(routes, must(url.Parse("nats://"+l.Addr().String()))(t))
	}
	for _, l := range listeners { // all at once, so that no port is given twice
		_ = l.Close()
	}
	var servers []*server.Server
	for i := range 3 {
		servers = append(servers, must(server.NewServer(&server.Options{
			ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
			Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: listeners[i].Addr().(*net.TCPAddr).Port}, Routes: routes,
		}))(t))
	}
	for _, s := range servers {
		go s.Start()
	}
	for _, s := range servers {
		if !s.ReadyForConnections(10 * time.Second) {
			t.Fatal("a server does not start")
		}
	}
	// The leader that they elect places no stream until it has heard of each of them.
	complete := func(s *server.Server) bool { return len(s.JetStreamClusterPeers()) == len(servers) }
	for deadline := time.Now().Add(30 * time.Second); !slices.ContainsFunc(servers, complete); {
		if time.Now().After(deadline) {
			t.Fatal("the servers elect no leader that knows them all")
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Cleanup(func() {
		for _, s := range servers {
			s.Shutdown()
			s.WaitForShutdown()
		}
	})
	return servers
}
