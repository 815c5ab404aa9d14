package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"freshet"
	"freshet/internal/engine"
)

// holder, in the environment, makes the test binary a process that opens that directory.
const holder = "FRESHET_TEST_HOLDER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holder); dir != "" {
		if _, err := engine.Open(engine.Config{Dir: dir}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		os.Exit(0) // without Close, as in a crash
	}
	os.Exit(m.Run())
}

func open(t testing.TB, c engine.Config) *engine.Engine {
	t.Helper()
	e, err := engine.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestKeepsWhatIsStored(t *testing.T) {
	for _, sync := range []string{"", engine.SyncAlways, "1s", "PT0.5S"} {
		dir := filepath.Join(t.TempDir(), "made", "below")
		for round := range 3 {
			e := open(t, engine.Config{Dir: dir, Sync: sync})
			if err := e.Healthy(t.Context()); err != nil {
				t.Error(err)
			}
			if relaxed := sync != "" && sync != engine.SyncAlways; e.Relaxed() != relaxed {
				t.Errorf("sync %q: relaxed is %v", sync, e.Relaxed())
			}
			js, err := jetstream.New(e.Conn())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
				t.Fatal(err)
			}
			if err := e.SyncDirs(); err != nil {
				t.Error(err)
			}
			ack, err := js.Publish(t.Context(), "s", make([]byte, 7<<20))
			if err != nil || ack.Sequence != uint64(round)+1 { //nolint:gosec // small
				t.Errorf("sync %q, round %d: %v, %v", sync, round, ack, err)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			if err := e.Healthy(t.Context()); !errors.Is(err, freshet.ErrUnavailable) {
				t.Errorf("health after Close: %v", err)
			}
		}
	}
}

func TestListensNowhere(t *testing.T) {
	e := open(t, engine.Config{Dir: t.TempDir()})
	defer func() { _ = e.Close() }()
	if nc, err := nats.Connect(nats.DefaultURL, nats.Timeout(time.Second)); err == nil {
		if nc.ConnectedServerId() == e.Conn().ConnectedServerId() {
			t.Error("the engine has a port")
		}
		nc.Close()
	}
}

func TestOneProcessOnly(t *testing.T) {
	dir := t.TempDir()
	e := open(t, engine.Config{Dir: dir})
	try := func() (string, error) {
		cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // ourselves
		cmd.Env = append(os.Environ(), holder+"="+dir)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := try()
	if want := fmt.Sprintf("%s is in use by process %d", dir, os.Getpid()); err == nil || !strings.Contains(out, want) {
		t.Errorf("a second process: %v, %q; want %q", err, out, want)
	}
	if _, err := engine.Open(engine.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "in use by process") {
		t.Errorf("a second engine: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := try(); err != nil {
		t.Errorf("after Close: %v, %s", err, out)
	}
	if err := open(t, engine.Config{Dir: dir}).Close(); err != nil { // the process before crashed
		t.Error(err)
	}
}

func TestRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken := t.TempDir()
	if err := os.WriteFile(filepath.Join(taken, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	locked := t.TempDir()
	if err := os.Mkdir(filepath.Join(locked, "LOCK"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		c    engine.Config
		want string
	}{
		"no directory":             {engine.Config{}, "no data directory"},
		"a file for a directory":   {engine.Config{Dir: file}, "not a directory"},
		"a file above":             {engine.Config{Dir: filepath.Join(file, "data")}, "not a directory"},
		"a lock it cannot write":   {engine.Config{Dir: locked}, "cannot be written"},
		"a store it cannot use":    {engine.Config{Dir: taken}, "start the engine in " + taken},
		"a sync of another sort":   {engine.Config{Dir: t.TempDir(), Sync: "often"}, `"often"`},
		"a sync that never comes":  {engine.Config{Dir: t.TempDir(), Sync: "0s"}, `"0s"`},
		"a sync before it is time": {engine.Config{Dir: t.TempDir(), Sync: "-1s"}, `"-1s"`},
	} {
		e, err := engine.Open(tt.c)
		if err == nil {
			_ = e.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q", name, err, tt.want)
		}
	}
	if err := os.Remove(filepath.Join(taken, "jetstream")); err != nil {
		t.Fatal(err)
	}
	if err := open(t, engine.Config{Dir: taken}).Close(); err != nil { // the lock was let go
		t.Error(err)
	}
}

func TestBudget(t *testing.T) {
	dir := t.TempDir()
	e := open(t, engine.Config{Dir: dir, MaxBytes: 12345})
	if e.Budget() != 12345 {
		t.Errorf("budget %d", e.Budget())
	}
	_ = e.Close()
	e = open(t, engine.Config{Dir: dir})
	if e.Budget() < 1<<20 {
		t.Errorf("budget %d", e.Budget())
	}
	_ = e.Close()
}

// TestLogsThroughSlog: nothing but the logger it is given says anything.
func TestLogsThroughSlog(t *testing.T) {
	var b strings.Builder
	e := open(t, engine.Config{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	_ = e.Close()
	if !strings.Contains(b.String(), "level=DEBUG") || strings.Contains(b.String(), "level=WARN") || strings.Contains(b.String(), "level=ERROR") {
		t.Errorf("logged %s", b.String())
	}
}

func TestHealthyObeysItsContext(t *testing.T) {
	e := open(t, engine.Config{Dir: t.TempDir()})
	defer func() { _ = e.Close() }()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := e.Healthy(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		if err := open(b, engine.Config{Dir: dir}).Close(); err != nil {
			b.Fatal(err)
		}
	}
}
