package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"path/filepath"
	"time"

	"freshet"
	"freshet/internal/flow"
	"freshet/internal/flow/delivery"
	deliveries "freshet/internal/flow/delivery/all"
	"freshet/internal/flow/journal"
	"freshet/internal/flow/source"
	"freshet/internal/subscriptions"
)

// openSubscriptions has the stored subscriptions delivered to.
func (s *system) openSubscriptions(ctx context.Context, c Config) error {
	exchanges, err := delivery.OpenLog(delivery.LogConfig{Dir: filepath.Join(c.Data, "exchanges"), MaxBytes: int64(c.Exchanges.MaxBytes), MaxAge: time.Duration(c.Exchanges.MaxAge)})
	if err != nil {
		return err
	}
	kinds := deliveries.Kinds()
	opened := make(chan struct{})
	defer close(opened)
	s.deliveries, err = delivery.Open(ctx, delivery.Config{
		Kinds: kinds,
		Follow: func(name freshet.TopicName) (*delivery.Following, error) {
			f, err := s.flow.Follow(name)
			if err != nil {
				return nil, err
			}
			return &delivery.Following{Feed: f.Feed, Topic: f.Topic, Leave: f.Close}, nil
		},
		Head: func(name freshet.TopicName) freshet.Position {
			is := s.flow.Status(name)
			if is == nil {
				return freshet.Position{}
			}
			return freshet.Position{Revision: is.Revision}
		},
		At:      s.revisionAt,
		Records: records{s.journal.Records("cursors")}, Exchanges: exchanges,
		Env: delivery.Env{
			Client: s.egress, Secure: func(c *tls.Config) source.Client { return s.egress.Secure(c) }, Dial: s.egress.Dial,
			Secrets: s.vault, UserAgent: s.egress.UserAgent(),
		},
		Metrics: s.metrics, Log: s.log,
		Halted: func(id freshet.SubscriptionID, status freshet.SubscriptionStatus, reason string) {
			if <-opened; s.subscriptions != nil {
				s.halted(id, status, reason, c.Subscriptions.Events)
			}
		},
	})
	if err != nil {
		return err
	}
	s.subscriptions, err = subscriptions.Open(ctx, subscriptions.Config{
		Records: records{s.journal.Records("subscriptions")}, Kinds: kinds, Secrets: s.vault, Deliveries: s.deliveries, Log: s.log,
		Topic: func(name freshet.TopicName) (*freshet.Topic, error) {
			e, err := s.catalog.Get(name)
			return &e.Topic, err
		},
	})
	s.checkEvents(ctx, c.Subscriptions.Events)
	return err
}

// checkEvents warns where the topic that is to be told that subscriptions were halted cannot be: it may be made later.
func (s *system) checkEvents(ctx context.Context, name freshet.TopicName) {
	if name == "" {
		return
	}
	why := ""
	switch e, err := s.catalog.Get(name); {
	case err != nil:
		why = "there is no such topic"
	case e.Topic.Kind != freshet.KindEvent:
		why = "its kind is " + string(e.Topic.Kind) + ", not event"
	default:
		if kind, _ := s.kinds.Lookup(e.Topic.Source.Type); !kind.Pushed {
			why = "its source, " + e.Topic.Source.Type + ", takes nothing that is posted"
		}
	}
	if why != "" {
		s.log.WarnContext(ctx, "subscriptions.events names a topic that cannot be told of subscriptions that are halted", "topic", string(name), "reason", why)
	}
}

// revisionAt is the revision that a topic was at at a time, and whether its history reaches back there. Where it does
// not, it is the one before the oldest that is kept; the zero time is before all.
func (s *system) revisionAt(ctx context.Context, name freshet.TopicName, t time.Time) (then freshet.Revision, kept bool, err error) {
	id := journal.ID(name)
	if !t.IsZero() {
		switch e, err := s.journal.LookupTime(ctx, id, t); {
		case err == nil:
			return e.Revision, true, nil
		case !errors.Is(err, freshet.ErrGone):
			return 0, false, err
		}
	}
	oldest, err := s.journal.Oldest(ctx, id)
	if err != nil {
		return 0, false, err
	}
	then = oldest.Revision
	switch oldest.Type {
	case freshet.TypeSnapshot, freshet.TypePatch, freshet.TypeEvent:
		then--
	}
	return then, false, nil
}

// halted stores that deliveries to a subscription were given up, and tells those who want to know.
func (s *system) halted(id freshet.SubscriptionID, status freshet.SubscriptionStatus, reason string, events freshet.TopicName) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.subscriptions.Halt(ctx, id, status, reason); err != nil {
		s.log.ErrorContext(ctx, "that a subscription was halted is not stored; it is tried again after the next start", "subscription", string(id), "err", err)
	}
	if events == "" {
		return
	}
	sub, err := s.subscriptions.Whole(id)
	if err != nil || sub.Topic == events { // or it would tell of itself
		return
	}
	data, err := json.Marshal(map[string]any{"subscriptionId": id, "topic": sub.Topic, "type": sub.Type, "status": status, "reason": reason})
	if err == nil {
		now := time.Now().UTC()
		message := delivery.Message{Event: freshet.Event{Type: freshet.EventType("subscription." + string(status)), Time: now, Data: data}}
		_, err = s.flow.Publish(ctx, events, flow.Post{Body: delivery.Structured(sub.Topic, message)})
	}
	if err != nil {
		s.log.WarnContext(ctx, "that a subscription was halted could not be published", "topic", string(events), "err", err)
	}
}
