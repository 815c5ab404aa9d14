package brokers

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"freshet/internal/freshettest"
)

// A NATS is nats-server, with JetStream.
type NATS struct {
	*freshettest.Process
	Address string // host:port
}

// StartNATS starts it, until the test ends.
func StartNATS(t testing.TB) *NATS {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "nats-server")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil { //nolint:gosec // all is our own
		t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	b := &NATS{Address: fmt.Sprintf("127.0.0.1:%d", freshettest.Port(t))}
	_, port, _ := net.SplitHostPort(b.Address)
	b.Process = freshettest.Start(t, b.Address, func() *exec.Cmd {
		return exec.Command(binary, "-a", "127.0.0.1", "-p", port, "-js", "-sd", filepath.Join(dir, "data")) //nolint:gosec,noctx // Process ends it
	})
	return b
}

// ServeNATS runs a server in this process, with JetStream, until the test ends. change may change how.
func ServeNATS(t testing.TB, change func(*server.Options)) (address string, s *server.Server) {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}
	if change != nil {
		change(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server is not ready")
	}
	return s.Addr().String(), s
}

// MutualTLS has a server ask for certificates; first: before it says anything else.
func MutualTLS(t testing.TB, cert, key string, first bool) (change func(*server.Options)) {
	return func(o *server.Options) {
		config, err := server.GenTLSConfig(&server.TLSConfigOpts{CertFile: cert, KeyFile: key, CaFile: cert, Verify: true})
		if err != nil {
			t.Fatal(err)
		}
		o.TLSConfig, o.TLS, o.TLSVerify, o.TLSTimeout, o.TLSHandshakeFirst = config, true, true, 5, first
	}
}

// DialNATS is a client of a server.
func DialNATS(t testing.TB, address string, options ...nats.Option) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect("nats://"+address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

// CreateStream makes a stream.
func CreateStream(t testing.TB, js jetstream.JetStream, c jetstream.StreamConfig) jetstream.Stream {
	t.Helper()
	s, err := js.CreateStream(t.Context(), c)
	for range 100 { // the server may still be removing one of that name that was there before
		if refused, ok := errors.AsType[*jetstream.APIError](err); !ok || refused.Code != 500 {
			break
		}
		time.Sleep(50 * time.Millisecond) //nolint:forbidigo // for what another process does
		s, err = js.CreateStream(t.Context(), c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}
