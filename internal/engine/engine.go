// Package engine runs the embedded NATS server: JetStream on a data directory, with no TCP port. It
// is the only importer of nats-server; everything else talks to a *nats.Conn, which may as well
// lead to a cluster elsewhere.
//
// Two facts about the server shape the package. It does not lock its directory, and two servers on
// one directory destroy it: LOCK is ours. And after a write that failed for want of space it
// refuses writes until it is started anew, even when there is room again: a watchdog does that.
package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"freshet"
)

// SyncAlways makes every write durable before it is acknowledged.
const SyncAlways = "always"

const (
	maxPayload = 8 << 20   // of one message; above it the server warns. The journal splits what is larger
	maxPending = 512 << 20 // what one connection may have under way before the server cuts it off
	startTime  = 30 * time.Second
)

// Config says where the store is and what it may cost.
type Config struct {
	// Dir is the data directory. It is made when it is missing; only one process may use it.
	Dir string
	// Sync is SyncAlways, also when empty, or an interval such as "1s" whose writes a power cut may
	// lose. A crash of the process alone loses nothing with either.
	Sync string
	// MaxBytes is the disk budget, which the engine tells the journal (Budget). By default it is
	// 75 % of what is free or already used by the store when it is opened.
	MaxBytes freshet.Bytes
	// Log gets the server's warnings and errors, and its notices at debug level. Nil discards.
	Log *slog.Logger
}

// An Engine is a running server and one connection to it.
type Engine struct {
	log    *slog.Logger
	lock   *os.File
	dir    string
	opts   server.Options
	budget int64
	nc     *nats.Conn

	stop    context.CancelFunc // ends the watchdog
	watched sync.WaitGroup

	mu     sync.Mutex // guards server, which the watchdog replaces
	server *server.Server
}

// Open starts the server and waits until it takes writes, some milliseconds. A directory that
// cannot be used, or that another process uses, is an error that says so.
func Open(c Config) (*Engine, error) {
	always, interval, err := parseSync(c.Sync)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(c.Dir)
	if err != nil {
		return nil, err
	}
	e := &Engine{log: cmp.Or(c.Log, slog.New(slog.DiscardHandler)), lock: lock, dir: c.Dir}
	e.budget = budget(c)
	e.opts = server.Options{
		ServerName:         "freshet",
		DontListen:         true,
		NoSigs:             true,
		JetStream:          true,
		StoreDir:           c.Dir,
		SyncAlways:         always,
		SyncInterval:       interval,
		JetStreamMaxMemory: 1 << 20, // every stream of ours is in files
		// The streams have their bounds. One on all of them would count what they might take, and
		// refuse every change of theirs once it has become smaller than that.
		JetStreamMaxStore: math.MaxInt64,
		MaxPayload:        maxPayload,
		MaxPending:        maxPending,
	}
	if err := e.start(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	e.nc, err = nats.Connect("", nats.InProcessServer(e), nats.Name("freshet"),
		nats.MaxReconnects(-1), nats.ReconnectWait(5*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ReconnectBufSize(-1), // what cannot be sent now is tried again by who knows whether it may be
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			e.log.Debug("engine connection", "err", err) // dropped messages; readers find the gap
		}))
	if err != nil {
		e.server.Shutdown()
		e.server.WaitForShutdown()
		return nil, errors.Join(fmt.Errorf("connect to the engine: %w", err), lock.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	e.stop = stop
	e.watched.Go(func() { e.watch(ctx) })
	return e, nil
}

// parseSync reads Config.Sync.
func parseSync(s string) (always bool, interval time.Duration, err error) {
	if s == "" || s == SyncAlways {
		return true, 0, nil
	}
	d, err := freshet.ParseDuration(s)
	if err != nil || d <= 0 {
		return false, 0, fmt.Errorf("journal sync %q is neither %q nor a duration such as 1s", s, SyncAlways)
	}
	return false, time.Duration(d), nil
}

// budget is how many bytes the store may take. What it takes already counts as free, so that the
// budget does not shrink from start to start.
func budget(c Config) int64 {
	if c.MaxBytes > 0 {
		return int64(c.MaxBytes)
	}
	free, _, ok := diskSpace(c.Dir)
	if !ok {
		return 1 << 40
	}
	return max((free+used(c.Dir))/4*3, 1)
}

// used sums the sizes of the files below dir.
func used(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				sum += info.Size()
			}
		}
		return nil // what cannot be read is not counted
	})
	return sum
}

// start runs a new server on the directory.
func (e *Engine) start() error {
	opts := e.opts // the server keeps and changes what it is given
	s, err := server.NewServer(&opts)
	if err != nil {
		return fmt.Errorf("start the engine in %s: %w", e.dir, err)
	}
	failure := &startLog{serverLog: serverLog{e.log}}
	s.SetLoggerV2(failure, false, false, false)
	s.Start() // returns, for it has no port to accept on; Shutdown ends all that it leaves running
	if failure.last() != "" || !s.ReadyForConnections(startTime) || !s.JetStreamEnabled() {
		s.Shutdown()
		s.WaitForShutdown()
		return fmt.Errorf("start the engine in %s: %s", e.dir, cmp.Or(failure.last(), "not ready in time"))
	}
	e.mu.Lock()
	e.server = s
	e.mu.Unlock()
	return nil
}

// InProcessConn connects to the server that runs now; nats.go calls it for each reconnect.
func (e *Engine) InProcessConn() (net.Conn, error) { return e.current().InProcessConn() }

func (e *Engine) current() *server.Server {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.server
}

// Conn is a connection to the server. It lives until Close and survives restarts of the server;
// requests fail in the meantime, some 20 ms.
func (e *Engine) Conn() *nats.Conn { return e.nc }

// Budget is the disk budget in bytes.
func (e *Engine) Budget() int64 { return e.budget }

// Relaxed says that writes are acknowledged before they are durable.
func (e *Engine) Relaxed() bool { return !e.opts.SyncAlways }

// Healthy says what keeps the store from taking writes, if anything does; errors are
// freshet.ErrUnavailable.
func (e *Engine) Healthy(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !e.nc.IsConnected() {
		return fmt.Errorf("engine: not connected: %w", freshet.ErrUnavailable)
	}
	if why := e.ill(); why != "" {
		return fmt.Errorf("engine: %s: %w", why, freshet.ErrUnavailable)
	}
	if free, need, ok := e.room(); ok && free < need {
		return fmt.Errorf("engine: only %d bytes are free on the disk of %s: %w", free, e.dir, freshet.ErrUnavailable)
	}
	return nil
}

// SyncDirs makes the names of all files in the store durable. The server leaves that to the file
// system, which may then forget a whole stream in a power cut; call it after streams were made.
func (e *Engine) SyncDirs() error {
	return filepath.WalkDir(e.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		f, err := os.Open(path) //nolint:gosec // below our own directory
		if err != nil {
			return fmt.Errorf("sync %s: %w", path, err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("sync %s: %w", path, err)
		}
		return nil
	})
}

// Close stops the server after what it acknowledged is written, and unlocks the directory.
func (e *Engine) Close() error {
	e.stop()
	e.watched.Wait()
	e.nc.Close()
	s := e.current()
	s.Shutdown()
	s.WaitForShutdown()
	// Not only closed: a child process that is just being made holds the file until it runs.
	if err := errors.Join(funlock(e.lock), e.lock.Close()); err != nil {
		return fmt.Errorf("unlock %s: %w", e.dir, err)
	}
	return nil
}

// ill is what is wrong with the server, or empty. Its readiness for connections is left out: the
// server measures that with a millisecond of patience, too little for a busy machine.
func (e *Engine) ill() string {
	if h := e.current().Healthz(nil); h.StatusCode == http.StatusServiceUnavailable {
		return cmp.Or(h.Error, h.Status)
	}
	return ""
}

// room is how much space is free, and how much the store needs to work.
func (e *Engine) room() (free, need int64, ok bool) {
	free, total, ok := diskSpace(e.dir)
	return free, int64(math.Min(64<<20, float64(total)/20)), ok
}

// serverLog hands the server's log lines to slog.
type serverLog struct{ log *slog.Logger }

func (l serverLog) line(level slog.Level, format string, args []any) {
	l.log.Log(context.Background(), level, "engine", "line", strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (l serverLog) Noticef(format string, v ...any) { l.line(slog.LevelDebug, format, v) }
func (l serverLog) Debugf(format string, v ...any)  { l.line(slog.LevelDebug, format, v) }
func (l serverLog) Tracef(format string, v ...any)  { l.line(slog.LevelDebug, format, v) }
func (l serverLog) Warnf(format string, v ...any)   { l.line(slog.LevelWarn, format, v) }
func (l serverLog) Errorf(format string, v ...any)  { l.line(slog.LevelError, format, v) }
func (l serverLog) Fatalf(format string, v ...any)  { l.line(slog.LevelError, format, v) }

// startLog remembers why the server would not start: it says so only in its log.
type startLog struct {
	serverLog

	mu    sync.Mutex
	fatal string
}

func (l *startLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	l.fatal = fmt.Sprintf(format, v...)
	l.mu.Unlock()
	l.serverLog.Fatalf(format, v...)
}

func (l *startLog) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}
