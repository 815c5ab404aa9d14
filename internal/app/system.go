package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"freshet"
	"freshet/internal/catalog"
	"freshet/internal/egress"
	"freshet/internal/engine"
	"freshet/internal/flow"
	"freshet/internal/flow/delivery"
	"freshet/internal/flow/journal"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/all"
	"freshet/internal/flow/source/filter"
	"freshet/internal/flow/source/origin"
	"freshet/internal/flow/transport/sse"
	"freshet/internal/flow/transport/websocket"
	"freshet/internal/settings"
	"freshet/internal/subscriptions"
)

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
	kinds   source.Set
	vault   settings.Vault
	folders []string
	origins *origin.Origins
	filters filter.Runner    // nil: sources run filters in this process
	workers *filter.Children // that filters is, to be closed
	sources catalog.Sources
	made    atomic.Uint64 // sources, so far
	unwatch func()

	deliveries    *delivery.Deliveries
	subscriptions *subscriptions.Registry
}

func open(ctx context.Context, c Config, log *slog.Logger) (*system, error) {
	s := &system{log: log, kinds: all.Kinds(), vault: c.Secrets.vault(), folders: c.Files.Allow, origins: c.Egress.origins(), busy: newBusy(), metrics: prometheus.NewRegistry(), unwatch: func() {}}
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(c.Version))
	if err := s.openStore(ctx, c); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.egress = egress.New(egress.Config{Allow: c.Egress.Allow, Version: c.Version})
	if c.FilterCommand != nil {
		s.workers = filter.NewChildren(c.FilterCommand)
		s.filters = s.workers
	}
	s.flow = flow.New(flow.Config{Journal: store{s.journal}, Sources: s.kinds, NewSource: s.newSource, ID: journal.ID, Metrics: s.metrics, Log: log, Watch: c.Watch})
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
	s.flow.Began()
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
		Filters: s.filters,
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
	if s.workers != nil {
		s.workers.Close()
	}
	if s.egress != nil {
		s.egress.Close()
	}
	if s.engine == nil {
		return nil
	}
	return s.engine.Close()
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

func buildInfo(version string) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "freshet_build_info", Help: "The version that runs.", ConstLabels: prometheus.Labels{"version": version}})
	g.Set(1)
	return g
}
