package brokers

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"testing"

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
