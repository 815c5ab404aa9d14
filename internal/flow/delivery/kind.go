// Package delivery brings the events of topics to those who do not come for them: webhooks and brokers.
//
// A subscription is a follower of its topic with a cursor of its own. An event is delivered until its receiver
// has accepted it; then the cursor is moved, and only once that is stored does the next delivery begin. So a
// crash repeats at most one delivery of a subscription, and loses none.
package delivery

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/settings"
)

// A Kind is a type of subscription that is sent to, such as webhook. Each has a folder of its own, and all
// lists them.
type Kind struct {
	Name    string // what a subscription's type says
	Summary string // one sentence for people
	Notes   string // what else they should know, in Markdown; for the documentation

	// Config is a zero value of the struct that its configurations are read into, as package settings says.
	Config any
	// Check returns everything wrong with a configuration, by pointers into it; nil: nothing.
	Check func(config json.RawMessage) freshet.Invalid
	// Complete adds to the configuration of a new subscription what only the server can, such as a secret; nil
	// where that is nothing.
	Complete func(config json.RawMessage) (json.RawMessage, error)
	// New makes a target of a subscription, in whose configuration Check finds nothing.
	New func(s *freshet.Subscription, env Env) (Target, error)
}

// Mask is a configuration as it is shown: with settings.Masked in the place of each secret.
func (k Kind) Mask(config json.RawMessage) json.RawMessage { return settings.Mask(config, k.Config) }

// Unmask is a configuration as it is to be stored: with what is stored in the place of each
// settings.Masked that stands for it.
func (k Kind) Unmask(config, stored json.RawMessage) json.RawMessage {
	return settings.Unmask(config, stored, k.Config)
}

// A Set is the types of subscription that are sent to.
type Set []Kind

// Lookup returns the type of that name.
func (s Set) Lookup(name string) (Kind, bool) {
	for _, k := range s {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

// Env is what a target needs of its surroundings.
type Env struct {
	// Client sends requests, and Secure is one with another TLS configuration.
	Client source.Client
	Secure func(*tls.Config) source.Client
	// Dial connects to a host and port where the server may go, and nothing else does.
	Dial      func(ctx context.Context, network, address string) (net.Conn, error)
	Secrets   settings.Vault
	UserAgent string
	Log       *slog.Logger
}

// A Target is where the events of one subscription go. Deliver may be called again while it runs where
// the subscription allows deliveries in parallel.
type Target interface {
	// Deliver makes one attempt. nil means that the receiver has accepted every message. Where it says what is
	// to be done about it, the error is a *Refusal.
	Deliver(ctx context.Context, d *Delivery) error
	// Close ends connections. Attempts under way may fail.
	Close()
}

// An Endpointed target names where its deliveries go, without secrets. Targets of one name share what is known of it.
type Endpointed interface{ Endpoint() string }

// A Refusal is why an attempt failed, where that matters for what comes next.
type Refusal struct {
	Err        error
	Status     int           // of HTTP; 0: there was none
	RetryAfter time.Duration // the receiver wants nothing before; 0: it did not say
	Gone       bool          // the receiver wants nothing any more
}

func (r *Refusal) Error() string { return r.Err.Error() }
func (r *Refusal) Unwrap() error { return r.Err }

// Refusedf is a Refusal in words.
func Refusedf(format string, args ...any) *Refusal { return &Refusal{Err: fmt.Errorf(format, args...)} }

// A Planned is a Target whose configuration says how deliveries are made.
type Planned interface {
	// Plan is when attempts are made, each so long after the one before, and how many deliveries may be
	// under way at a time.
	Plan() (schedule []freshet.Duration, parallel int)
}

// A Delivery is one or more messages that are sent together. Its ID is the same in every attempt.
type Delivery struct {
	ID           string
	Subscription freshet.SubscriptionID
	Topic        freshet.TopicName
	Messages     []Message
	Batched      bool // the subscription gets lists, of one message too
	Attempt      int  // from 1
	Purpose      string
	Exchange     Exchange // the target fills in Request and Response

	// Of an attempt that failed: when the next is due, and whether there is one.
	wait time.Duration
	more bool
}

// What deliveries are for.
const (
	PurposeEvent     = "event"
	PurposeTest      = "test"
	PurposeRedeliver = "redelivery"
)

// A Message is an event on its way.
type Message struct {
	freshet.Event
	// Reset says why the event does not follow what the receiver had; empty: it does.
	Reset string
}
