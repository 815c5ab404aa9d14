// Package app puts Freshet together: the one package that knows all the others.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"time"

	"freshet"
	"freshet/internal/api"
	"freshet/internal/flow"
)

// Defaults of what a configuration leaves open.
const (
	DefaultListen = "127.0.0.1:4440"
	DefaultData   = "freshet-data"

	defaultDrain     = 5 * time.Second
	defaultGrace     = time.Minute
	defaultPeriod    = freshet.Duration(5 * time.Second)
	defaultMaxAdHoc  = 1000
	defaultExchanges = freshet.Duration(7 * 24 * time.Hour)
	defaultLog       = freshet.Bytes(64 << 20)
	reserve          = 200      // descriptors for the journal, upstreams and those who manage
	headerBytes      = 40 << 10 // the names and positions of as many topics of the longest names as one connection may have
	headerTimeout    = 5 * time.Second
	orphansAreSought = time.Minute // after the start, when clients of ad-hoc topics have come back
)

// A Change is what happened to a topic, for people who watch.
type Change = flow.Change

// A Server is one that runs.
type Server struct {
	Addr   string          // host:port that it really listens on
	URL    string          // http://host:port, or https, as people type it
	Topics []freshet.Topic // that it started with
	// Listener is another descriptor of the listening socket, to be handed over; nil where there is none.
	Listener func() (*os.File, error)
}

// Run serves until ctx ends, then lets streams end on a whole event and stops. ready is called once the
// server answers; it may be nil.
func Run(ctx context.Context, c Config, log *slog.Logger, ready func(Server)) (err error) {
	if err := c.Check(); err != nil {
		return err
	}
	if err := c.mayOpen(log); err != nil {
		return err
	}
	listener := c.Listener
	if listener != nil {
		c.warnListen(listener.Addr(), log)
		c.Listen = listener.Addr().String()
	}
	c = c.withDefaults()
	if err := c.mayListen(log); err != nil {
		return err
	}
	if listener == nil {
		if listener, err = listen(ctx, c.Listen); err != nil {
			return err
		}
	}
	defer func() { _ = listener.Close() }() // the server has closed it where it got so far
	s, err := open(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, s.close()); err == nil {
			log.InfoContext(ctx, "stopped")
		}
	}()
	return s.serve(ctx, c, listener, ready)
}

func (c Config) withDefaults() Config {
	orElse(&c.Listen, DefaultListen)
	orElse(&c.Data, DefaultData)
	orElse(&c.Drain, freshet.Duration(defaultDrain))
	orElse(&c.AdHoc.Grace, freshet.Duration(defaultGrace))
	orElse(&c.AdHoc.PollingPeriod, defaultPeriod)
	orElse(&c.AdHoc.MaxTopics, defaultMaxAdHoc)
	orElse(&c.Journal.Sync, "always")
	orElse(&c.Exchanges.MaxAge, defaultExchanges)
	orElse(&c.Exchanges.MaxBytes, defaultLog)
	orElse(&c.Version, "dev")
	orElse(&c.Limits.Connections, streams(descriptors()))
	if c.Dev {
		c.AdHoc.Allow = []string{"*"}
		if len(c.CORS.Origins) == 0 { // pages that are being developed
			c.CORS.Origins = []string{"http://localhost", "http://localhost:*", "http://127.0.0.1", "http://127.0.0.1:*", "http://[::1]:*"}
		}
		c.Egress.Allow = append(c.Egress.Allow, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	}
	return c
}

// streams is how many streams a process has room for that may open so many descriptors.
func streams(descriptors int) int { return max(descriptors-reserve, descriptors/2) }

// mayOpen refuses to start where the process may open too few descriptors, and warns where it may open less
// than it is told to serve.
func (c Config) mayOpen(log *slog.Logger) error {
	const least = 100 // those of the journal, and some streams
	may := descriptors()
	switch {
	case may < least:
		return fmt.Errorf("the process may open only %d files and sockets at a time, and needs at least %d: raise the limit (ulimit -n, or LimitNOFILE of systemd)", may, least)
	case c.Limits.Connections > streams(may):
		log.Warn("limits.connections is more than there are descriptors for: raise their limit (ulimit -n, or LimitNOFILE of systemd)", "connections", c.Limits.Connections, "descriptors", may, "room", streams(may))
	case may < 2*reserve:
		log.Warn("the process may open few descriptors (ulimit -n, or LimitNOFILE of systemd)", "descriptors", may, "streams", streams(may))
	}
	return nil
}

// warnListen warns where the socket that the process was given is not the one that the configuration names.
func (c Config) warnListen(addr net.Addr, log *slog.Logger) {
	given, ok := addr.(*net.TCPAddr)
	if !ok || c.Listen == "" {
		return
	}
	host, port, err := net.SplitHostPort(c.Listen)
	ip := net.ParseIP(host)
	sameHost := ip.Equal(given.IP)
	switch {
	case host == "":
		sameHost = given.IP.IsUnspecified()
	case host == "localhost":
		sameHost = given.IP.IsLoopback()
	case ip == nil: // a name, of which nothing is known
		sameHost = true
	}
	same := err == nil && sameHost && (port == "0" || port == strconv.Itoa(given.Port))
	switch {
	case same:
	case !HandedOver(): // that is what socket activation is for
		log.Info("listening on the socket that systemd gives, in place of what the configuration says", "listening", addr.String(), "configured", c.Listen)
	default:
		log.Warn("still listening on the socket that was handed over, not on what the configuration says: stop the server and start it anew to change the address", "listening", addr.String(), "configured", c.Listen)
	}
}

func orElse[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// mayListen refuses to listen where others could come in, as there is no authentication yet.
func (c Config) mayListen(log *slog.Logger) error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %q is not host:port", c.Listen)
	}
	switch {
	case isLoopback(host):
		return nil
	case c.Dev:
		return fmt.Errorf("listen: %s is not a loopback address, and freshet dev has no authentication: use freshet serve", c.Listen)
	case !c.Insecure:
		return fmt.Errorf("listen: %s is not a loopback address, and there is no authentication: whoever reaches it can read and change every topic and make requests from this host. "+
			"Listen on 127.0.0.1 behind a proxy that authenticates, or say --insecure", c.Listen)
	}
	log.Warn("INSECURE: listening beyond loopback without authentication: whoever reaches this address can read and change every topic", "listen", c.Listen)
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	network := "tcp"
	if ap, err := netip.ParseAddrPort(addr); err == nil && ap.Addr().Is4() {
		network = "tcp4" // 0.0.0.0 is not every IPv6 address as well
	}
	l, err := new(net.ListenConfig).Listen(ctx, network, addr)
	if errors.Is(err, errAddrInUse) {
		return nil, fmt.Errorf("listen: %s is in use already: stop what listens there, or choose another port with --listen", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

func (s *system) serve(ctx context.Context, c Config, listener net.Listener, ready func(Server)) error {
	stopping := make(chan struct{})
	requests, endRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer endRequests()
	keys, wrong := c.Streamdata.keys()
	if wrong != nil { // a file that was there when the configuration was checked
		return wrong.In("/streamdata")
	}
	server := &http.Server{
		Handler: api.Handler(api.Config{
			Flow: s.flow, Catalog: s.catalog, Sources: s.kinds.Describe(), Metrics: s.metrics, Ready: s.readiness(stopping), Streams: s.streams,
			Sockets: s.sockets, Publishes: c.WebSocket.Publish,
			AdHoc:  api.AdHoc{Allow: c.AdHoc.Allow, Grace: time.Duration(c.AdHoc.Grace), PollingPeriod: c.AdHoc.PollingPeriod, MaxTopics: c.AdHoc.MaxTopics, Check: s.checkSource, Keys: keys},
			Limits: api.Limits(c.Limits), Subscriptions: s.subscriptions, Deliveries: s.deliveries,
			CORSOrigins: c.CORS.Origins, LocalOnly: isLoopback(hostOf(c.Listen)), Log: s.log,
		}),
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: headerTimeout,
		MaxHeaderBytes:    headerBytes,
		IdleTimeout:       2 * time.Minute,
		ConnState:         s.busy.note,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	scheme, start := "http", func() error { return server.Serve(listener) }
	if c.TLS.on() {
		var err error
		if server.TLSConfig, err = c.TLS.server(s.log); err != nil {
			return err
		}
		scheme, start = "https", func() error { return server.ServeTLS(listener, "", "") }
	}
	served := make(chan error, 1)
	go func() { served <- start() }()
	addr := listener.Addr().String()
	s.log.InfoContext(ctx, "listening", "addr", addr, "scheme", scheme, "version", c.Version, "data", c.Data, "topics", s.catalog.Len())
	if ready != nil {
		ready(Server{Addr: addr, URL: scheme + "://" + addr, Topics: c.Topics, Listener: fileOf(listener)})
	}
	sweep, endSweep := context.WithCancel(ctx)
	defer endSweep()
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		s.sweepOrphans(sweep)
	}()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		close(stopping)
		s.log.InfoContext(ctx, "stopping: streams end on a whole event", "limit", c.Drain.String())
		err = s.drain(server, listener, served, time.Duration(c.Drain))
	}
	endSweep()
	<-swept
	return err
}

func fileOf(l net.Listener) func() (*os.File, error) {
	if f, ok := l.(interface{ File() (*os.File, error) }); ok {
		return f.File
	}
	return func() (*os.File, error) { return nil, fmt.Errorf("a %T has no descriptor", l) }
}

func hostOf(addr string) string {
	host, _, _ := net.SplitHostPort(addr) // checked at the start
	return host
}
