// Package app puts Freshet together: the one package that knows all the others.
package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"freshet"
	"freshet/internal/api"
	"freshet/internal/catalog"
	"freshet/internal/egress"
	"freshet/internal/engine"
	"freshet/internal/flow"
	"freshet/internal/flow/delivery"
	"freshet/internal/flow/journal"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/all"
	"freshet/internal/flow/source/origin"
	"freshet/internal/flow/transport/sse"
	"freshet/internal/flow/transport/websocket"
	"freshet/internal/settings"
	"freshet/internal/subscriptions"
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
	// Watch calls fn for each change from now on until ctx ends. fn must be quick.
	Watch func(ctx context.Context, fn func(Change))
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
	if !same {
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

// A system is what runs below the HTTP edge.
type system struct {
	log     *slog.Logger
	engine  *engine.Engine
	journal *journal.Journal
	catalog *catalog.Catalog
	egress  *egress.Client
	flow    *flow.Flow
	streams *sse.Streams
	sockets *websocket.Sockets
	busy    *busy
	metrics *prometheus.Registry
	watch   *watchers
	kinds   source.Set
	vault   settings.Vault
	folders []string
	origins *origin.Origins
	sources catalog.Sources
	made    atomic.Uint64 // sources, so far
	unwatch func()

	deliveries    *delivery.Deliveries
	subscriptions *subscriptions.Registry
}

func open(ctx context.Context, c Config, log *slog.Logger) (*system, error) {
	s := &system{log: log, kinds: all.Kinds(), vault: c.Secrets.vault(), folders: c.Files.Allow, origins: c.Egress.origins(), busy: newBusy(), metrics: prometheus.NewRegistry(), watch: &watchers{fns: map[*func(Change)]bool{}}, unwatch: func() {}}
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(c.Version))
	if err := s.openStore(ctx, c); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.egress = egress.New(egress.Config{Allow: c.Egress.Allow, Version: c.Version})
	s.flow = flow.New(flow.Config{Journal: store{s.journal}, Sources: s.kinds, NewSource: s.newSource, ID: journal.ID, Metrics: s.metrics, Log: log, Watch: s.watch.tell})
	var err error
	if s.streams, err = sse.New(sse.Config{Portable: c.Portable}); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if s.sockets, err = websocket.New(websocket.Config{Portable: c.Portable}); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := s.openCatalog(ctx, c.Topics); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := s.openSubscriptions(ctx, c); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *system) openStore(ctx context.Context, c Config) error {
	e, err := engine.Open(engine.Config{Dir: c.Data, Sync: c.Journal.Sync, MaxBytes: c.Journal.MaxBytes, Log: s.log})
	if err != nil {
		return err
	}
	s.engine = e
	if s.journal, err = journal.Open(ctx, e.Conn(), journal.Config{MaxBytes: e.Budget(), Settle: e.SyncDirs}, s.log); err != nil {
		return fmt.Errorf("open the journal in %s: %w", c.Data, err)
	}
	return nil
}

func (s *system) openCatalog(ctx context.Context, fromFile []freshet.Topic) (err error) {
	s.sources = Sources(s.vault, s.folders)
	if s.catalog, err = catalog.New(ctx, records{s.journal.Records("topics")}, s.sources); err != nil {
		return err
	}
	// Nothing runs before the catalog is what the file says: a source that is no longer meant must not start.
	changes, err := s.catalog.Sync(ctx, fromFile, s.flow.Remove)
	s.logSync(ctx, changes)
	if err != nil {
		return fmt.Errorf("store the topics of the configuration: %w", err)
	}
	s.unwatch = s.catalog.Watch(s.configure)
	return nil
}

// logSync says what the configuration file has changed since the last start. Those who start with the
// wrong file, or none, see here what they have lost.
func (s *system) logSync(ctx context.Context, changes []catalog.Change) {
	for _, c := range changes {
		switch {
		case c.New == nil:
			s.log.WarnContext(ctx, "topic removed with its history: it left the configuration file", "topic", string(c.Old.Name))
		case c.Old == nil:
			s.log.InfoContext(ctx, "topic added by the configuration file", "topic", string(c.New.Name))
		case c.Old.Kind != c.New.Kind:
			s.log.WarnContext(ctx, "topic made anew and its history dropped: the configuration file gives it another kind", "topic", string(c.New.Name), "kind", string(c.New.Kind), "was", string(c.Old.Kind))
		case c.Old.ManagedBy != c.New.ManagedBy:
			s.log.InfoContext(ctx, "topic of the API taken over by the configuration file", "topic", string(c.New.Name))
		default:
			s.log.InfoContext(ctx, "topic changed by the configuration file", "topic", string(c.New.Name))
		}
	}
}

// configure brings a topic that runs in line with the catalog.
func (s *system) configure(ch catalog.Change) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if ch.New != nil {
		if err := s.flow.Put(ch.New); err != nil {
			s.log.ErrorContext(ctx, "a topic cannot run", "topic", string(ch.New.Name), "err", err)
		}
		return
	}
	if s.subscriptions != nil {
		if err := s.subscriptions.RemoveTopic(ctx, ch.Old.Name); err != nil {
			s.log.ErrorContext(ctx, "the subscriptions of a deleted topic will be removed at the next start", "topic", string(ch.Old.Name), "err", err)
		}
	}
	if err := s.flow.Remove(ctx, ch.Old.Name); err != nil {
		s.log.ErrorContext(ctx, "what is left of a deleted topic will be removed at the next start", "topic", string(ch.Old.Name), "err", err)
	}
}

func (s *system) newSource(t freshet.Topic) (source.Source, error) {
	kind, ok := s.kinds.Lookup(t.Source.Type)
	if !ok {
		return nil, fmt.Errorf("there is no source of type %q", t.Source.Type)
	}
	config := t.Source.Config
	if config == nil {
		config = []byte("{}")
	}
	// Multiples of the golden ratio are spread evenly over the period, however many there are.
	_, phase := math.Modf(float64(s.made.Add(1)) * math.Phi)
	return kind.New(config, source.Env{
		Topic: t.Name, ID: journal.ID(t.Name),
		Client: s.egress, Secure: func(c *tls.Config) source.Client { return s.egress.Secure(c) }, Dial: s.egress.Dial,
		Secrets: s.vault, Folders: s.folders, Origins: s.origins, Limit: t.Limits.Payload, Log: s.log.With("topic", string(t.Name)), Phase: phase,
	})
}

// Sources is what the catalog needs to know of the types of source that there are. Secrets that a topic
// refers to must be in the vault, and files that it reads in the folders.
func Sources(vault settings.Vault, folders []string) catalog.Sources {
	known := catalog.Sources{}
	for _, k := range all.Kinds() {
		check := func(config json.RawMessage) freshet.Invalid {
			found := append(k.Check(config), vault.CheckSecrets(config, k.Config)...)
			if k.Within != nil {
				found = append(found, k.Within(config, folders)...)
			}
			return found
		}
		known[k.Name] = catalog.SourceType{Kinds: k.Feeds, Check: check, Pushed: k.Pushed, Mask: k.Mask, Unmask: k.Unmask}
	}
	return known
}

func (s *system) close() error {
	s.unwatch()
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if s.streams != nil { // where it was not drained
		s.streams.Close(gone)
	}
	if s.sockets != nil {
		s.sockets.Close(gone)
	}
	if s.deliveries != nil {
		s.deliveries.Close()
	}
	if s.flow != nil {
		s.flow.Close()
	}
	if s.egress != nil {
		s.egress.Close()
	}
	if s.engine == nil {
		return nil
	}
	return s.engine.Close()
}

func (s *system) serve(ctx context.Context, c Config, listener net.Listener, ready func(Server)) error {
	stopping := make(chan struct{})
	requests, endRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer endRequests()
	server := &http.Server{
		Handler: api.Handler(api.Config{
			Flow: s.flow, Catalog: s.catalog, Sources: s.kinds.Describe(), Metrics: s.metrics, Ready: s.readiness(stopping), Streams: s.streams,
			Sockets: s.sockets, Publishes: c.WebSocket.Publish,
			AdHoc:  api.AdHoc{Allow: c.AdHoc.Allow, Grace: time.Duration(c.AdHoc.Grace), PollingPeriod: c.AdHoc.PollingPeriod, MaxTopics: c.AdHoc.MaxTopics, Check: s.checkSource},
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
		ready(Server{Addr: addr, URL: scheme + "://" + addr, Topics: c.Topics, Watch: s.watch.until, Listener: fileOf(listener)})
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

// readiness says what must work for traffic to be welcome.
func (s *system) readiness(stopping <-chan struct{}) func(context.Context) map[string]error {
	return func(ctx context.Context) map[string]error {
		checks := map[string]error{"journal": s.engine.Healthy(ctx), "running": nil}
		select {
		case <-stopping:
			checks["running"] = flow.ErrStopping
		default:
		}
		return checks
	}
}

// checkSource checks the source of an ad-hoc topic as a configured one's.
func (s *system) checkSource(t *freshet.Topic) error {
	if wrong := s.sources[t.Source.Type].Check(t.Source.Config); wrong != nil {
		return wrong
	}
	return nil
}

// sweepOrphans removes the histories of topics that are not configured any more: ad-hoc topics that were
// followed when the process was killed, and what a deletion left over.
func (s *system) sweepOrphans(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(orphansAreSought):
	}
	ids, err := s.journal.Topics(ctx)
	if err != nil {
		s.log.WarnContext(ctx, "orphaned histories could not be sought", "err", err)
		return
	}
	known := s.flow.IDs()
	for _, id := range ids {
		if known[id] || ctx.Err() != nil {
			continue
		}
		if err := s.journal.Delete(ctx, id); err != nil {
			s.log.WarnContext(ctx, "an orphaned history could not be deleted", "err", err)
		}
	}
}

// watchers are who wants to see every change.
type watchers struct {
	mu  sync.Mutex
	fns map[*func(Change)]bool
}

func (w *watchers) tell(c Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for fn := range w.fns {
		(*fn)(c)
	}
}

func (w *watchers) until(ctx context.Context, fn func(Change)) {
	w.mu.Lock()
	w.fns[&fn] = true
	w.mu.Unlock()
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.fns, &fn)
	})
}

func buildInfo(version string) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "freshet_build_info", Help: "The version that runs.", ConstLabels: prometheus.Labels{"version": version}})
	g.Set(1)
	return g
}
