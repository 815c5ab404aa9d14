// Package subscriptions keeps the stored subscriptions of topics: it validates them, stores them and has them
// delivered to.
//
// The store is the truth and a view in memory answers every read. All changes of a process go through one
// Registry, one at a time.
package subscriptions

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"freshet"
	"freshet/internal/flow/delivery"
	"freshet/internal/settings"
	"freshet/internal/strict"
	"freshet/jsonpatch"
)

// ErrNotFound says that there is no such subscription.
var ErrNotFound = errors.New("subscription not found")

// ErrExists says that there is a subscription of that id already.
var ErrExists error = &told{freshet.ErrExists, "subscription exists already"}

// ErrPrecondition says that a subscription is not in the state that a change demands.
var ErrPrecondition error = &told{freshet.ErrConflict, "precondition failed"}

// Records is a small keyed store with compare-and-set.
type Records interface {
	Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	Delete(ctx context.Context, key string, revision uint64) error
	List(ctx context.Context, each func(key string, value []byte, revision uint64) error) error
}

// Deliveries is who delivers.
type Deliveries interface {
	Put(s *freshet.Subscription) error
	Remove(id freshet.SubscriptionID)
	Progress(s *freshet.Subscription) *freshet.Progress
}

// A Config is what a Registry works with.
type Config struct {
	Records    Records
	Kinds      delivery.Set
	Secrets    settings.Vault
	Topic      func(freshet.TopicName) (*freshet.Topic, error) // effective
	Deliveries Deliveries
	Log        *slog.Logger
}

// A Registry is the subscriptions of a server.
type Registry struct {
	Config
	writing sync.Mutex

	mu  sync.Mutex
	all map[freshet.SubscriptionID]*stored
}

// stored is a subscription as it was written, complete, with its secrets.
type stored struct {
	sub      freshet.Subscription
	revision uint64
	version  string
}

// Open reads what is stored. Subscriptions of topics that are gone are removed.
func Open(ctx context.Context, c Config) (*Registry, error) {
	r := &Registry{Config: c, all: map[freshet.SubscriptionID]*stored{}}
	err := c.Records.List(ctx, func(key string, value []byte, revision uint64) error {
		s := &stored{revision: revision, version: versionOf(value)}
		if err := json.Unmarshal(value, &s.sub); err != nil {
			return fmt.Errorf("subscription %s: %w", key, err)
		}
		r.all[s.sub.ID] = s
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the subscriptions: %w", err)
	}
	for id, s := range r.all {
		if _, err := c.Topic(s.sub.Topic); errors.Is(err, freshet.ErrNotFound) {
			if err := r.removeLocked(ctx, s); err != nil {
				return nil, err
			}
			continue
		}
		if err := c.Deliveries.Put(share(&s.sub)); err != nil { // it was right when it was stored
			c.Log.ErrorContext(ctx, "a subscription cannot be delivered to", "subscription", string(id), "err", err)
		}
	}
	return r, nil
}

func versionOf(value []byte) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE(value)) }

func share(s *freshet.Subscription) *freshet.Subscription {
	c := *s
	return &c
}

// find is the subscription of that id.
func (r *Registry) find(id freshet.SubscriptionID) (*stored, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.all[id]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("%w: %.64s", ErrNotFound, id)
}

// Whole is a subscription with its secrets.
func (r *Registry) Whole(id freshet.SubscriptionID) (*freshet.Subscription, error) {
	s, err := r.find(id)
	if err != nil {
		return nil, err
	}
	return share(&s.sub), nil
}

// Get is a subscription as it is shown, with its progress, and its version.
func (r *Registry) Get(id freshet.SubscriptionID) (freshet.Subscription, string, error) {
	s, err := r.find(id)
	if err != nil {
		return freshet.Subscription{}, "", err
	}
	return r.shown(s), s.version, nil
}

func (r *Registry) shown(s *stored) freshet.Subscription {
	shown := s.sub
	shown.Progress = r.Deliveries.Progress(&s.sub)
	return r.masked(shown)
}

func (r *Registry) masked(s freshet.Subscription) freshet.Subscription {
	if kind, ok := r.Kinds.Lookup(s.Type); ok && len(s.Config) > 0 {
		s.Config = kind.Mask(s.Config)
	}
	return s
}

// Create stores a new subscription of a topic. What it returns shows a secret that the server made, this once.
// The error is a freshet.Invalid that lists every mistake, or ErrExists.
func (r *Registry) Create(ctx context.Context, name freshet.TopicName, document []byte, dryRun bool) (freshet.Subscription, string, error) {
	topic, err := r.Topic(name)
	if err != nil {
		return freshet.Subscription{}, "", err
	}
	var s freshet.Subscription
	bad := strict.Decode(document, &s)
	s = own(s)
	if s.Topic != "" && s.Topic != name {
		bad = append(bad, freshet.FieldError{Pointer: "/topic", Detail: fmt.Sprintf("must be %q, or be left out", name)})
	}
	if s.Topic = name; s.ID == "" {
		s.ID = newID()
	}
	given := s.Config
	if bad == nil {
		if err := r.completeConfig(&s); err != nil {
			return freshet.Subscription{}, "", err
		}
	}
	if bad := strict.Merge(document, bad, append(r.check(&s, topic), future(s.Start)...)); bad != nil {
		return freshet.Subscription{}, "", bad
	}
	s = complete(s, topic)
	r.writing.Lock()
	defer r.writing.Unlock()
	if _, err := r.find(s.ID); err == nil {
		return freshet.Subscription{}, "", &told{ErrExists, fmt.Sprintf("subscription %q exists already", s.ID)}
	}
	s.CreateTimestamp = time.Now().UTC()
	s.ModifyTimestamp = s.CreateTimestamp
	if dryRun { // what the server would make is another one each time, and shown masked
		return r.shown(&stored{sub: s}), "", nil
	}
	made, err := r.storeLocked(ctx, s, 0)
	if err != nil {
		return freshet.Subscription{}, "", err
	}
	return r.shownOnce(made, given), made.version, nil
}

// completeConfig adds to a configuration what only the server can, such as a secret.
func (r *Registry) completeConfig(s *freshet.Subscription) (err error) {
	if kind, ok := r.Kinds.Lookup(s.Type); ok && kind.Complete != nil {
		s.Config, err = kind.Complete(s.Config)
	}
	return err
}

// shownOnce is a subscription as it is shown to who wrote it: with what the server added to the configuration that
// was given.
func (r *Registry) shownOnce(s *stored, given json.RawMessage) freshet.Subscription {
	shown := r.shown(s)
	if !bytes.Equal(given, s.sub.Config) {
		shown.Config = withMade(shown.Config, given, s.sub.Config)
	}
	return shown
}

// withMade is a configuration as it is shown with those members of the whole that were not given: the server
// made them, and who asked for the subscription is told this once.
func withMade(shown, given, whole json.RawMessage) json.RawMessage {
	var members, had, has map[string]json.RawMessage
	if json.Unmarshal(shown, &members) != nil || json.Unmarshal(whole, &has) != nil {
		return shown
	}
	if len(given) > 0 && json.Unmarshal(given, &had) != nil {
		return shown
	}
	for name, value := range has {
		if is, ok := had[name]; !ok || string(is) == "null" {
			members[name] = value
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		return shown // cannot be: they were read from JSON
	}
	return text
}

// demand checks that a subscription has one of the versions; none: any.
func (s *stored) demand(match []string) error {
	if len(match) == 0 || slices.Contains(match, "*") || slices.Contains(match, s.version) {
		return nil
	}
	return &told{ErrPrecondition, fmt.Sprintf("subscription %q has another version by now, %q: read it again", s.sub.ID, s.version)}
}

// told says in its own words what another error means here.
type told struct {
	meaning error
	text    string
}

func (t *told) Error() string { return t.text }
func (t *told) Unwrap() error { return t.meaning }

// own is a subscription without what the server adds.
func own(s freshet.Subscription) freshet.Subscription {
	s.CreateTimestamp, s.ModifyTimestamp, s.Progress = time.Time{}, time.Time{}, nil
	return s
}

func same(a, b freshet.Subscription) bool {
	x, errX := strict.Marshal(own(a))
	y, errY := strict.Marshal(own(b))
	return errX == nil && errY == nil && jsonpatch.Equal(x, y)
}

func newID() freshet.SubscriptionID {
	return freshet.SubscriptionID("sub_" + strings.ToLower(rand.Text()[:16]))
}

// storeLocked writes a subscription and has it delivered to.
func (r *Registry) storeLocked(ctx context.Context, s freshet.Subscription, revision uint64) (*stored, error) {
	value, err := strict.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("store subscription %s: %w", s.ID, err)
	}
	if revision, err = r.Records.Put(ctx, string(s.ID), value, revision); err != nil {
		return nil, fmt.Errorf("store subscription %s: %w", s.ID, err)
	}
	now := &stored{sub: s, revision: revision, version: versionOf(value)}
	r.mu.Lock()
	r.all[s.ID] = now
	r.mu.Unlock()
	return now, r.Deliveries.Put(share(&s))
}

// Patch changes a subscription by a JSON Merge Patch (RFC 7396) of what Get shows; match are the versions of which
// it must have one, none: any. What the patch leaves out that the server makes is made anew, and shown this once.
func (r *Registry) Patch(ctx context.Context, id freshet.SubscriptionID, patch []byte, match []string, dryRun bool) (freshet.Subscription, string, error) {
	r.writing.Lock()
	defer r.writing.Unlock()
	old, err := r.find(id)
	if err != nil {
		return freshet.Subscription{}, "", err
	}
	if err := old.demand(match); err != nil {
		return freshet.Subscription{}, "", err
	}
	topic, err := r.Topic(old.sub.Topic)
	if err != nil {
		return freshet.Subscription{}, "", err
	}
	var whatever any
	if bad := strict.Decode(patch, &whatever); bad != nil {
		return freshet.Subscription{}, "", bad
	}
	before, err := json.Marshal(r.masked(own(old.sub)))
	if err != nil {
		return freshet.Subscription{}, "", fmt.Errorf("patch subscription %s: %w", id, err)
	}
	document := strict.MergePatch(before, patch)
	var s freshet.Subscription
	bad := strict.Decode(document, &s)
	s = own(s)
	bad = append(bad, fixed(&s, &old.sub)...)
	if kind, ok := r.Kinds.Lookup(s.Type); ok && len(s.Config) > 0 && len(old.sub.Config) > 0 {
		s.Config = kind.Unmask(s.Config, old.sub.Config)
	}
	given := s.Config
	if bad == nil {
		if err := r.completeConfig(&s); err != nil {
			return freshet.Subscription{}, "", err
		}
	}
	if bad := strict.Merge(document, bad, r.check(&s, topic)); bad != nil {
		return freshet.Subscription{}, "", bad
	}
	s = complete(s, topic)
	if same(s, old.sub) { // an attempt under way is not broken off for nothing
		return r.shown(old), old.version, nil
	}
	s.CreateTimestamp, s.ModifyTimestamp = old.sub.CreateTimestamp, time.Now().UTC()
	if s.Status != freshet.SubscriptionActive && s.Status == old.sub.Status {
		s.Progress = old.sub.Progress // the reason
	}
	if dryRun {
		return r.shown(&stored{sub: s}), old.version, nil
	}
	now, err := r.storeLocked(ctx, s, old.revision)
	if err != nil {
		return freshet.Subscription{}, "", err
	}
	return r.shownOnce(now, given), now.version, nil
}

// fixed says what of a subscription cannot be changed.
func fixed(s, old *freshet.Subscription) (bad freshet.Invalid) {
	for _, f := range []struct{ at, is, was string }{
		{"/id", string(s.ID), string(old.ID)}, {"/topic", string(s.Topic), string(old.Topic)}, {"/type", s.Type, old.Type}, {"/start", s.Start, old.Start},
	} {
		if f.is != f.was {
			bad = append(bad, freshet.FieldError{Pointer: f.at, Detail: fmt.Sprintf("must stay %q: make another subscription", f.was)})
		}
	}
	if s.Status == freshet.SubscriptionDisabled && old.Status != freshet.SubscriptionDisabled {
		bad = append(bad, freshet.FieldError{Pointer: "/status", Detail: "disabled is what the server says; suspended ends deliveries"})
	}
	return bad
}

// Halt stores that deliveries to a subscription ended by themselves.
func (r *Registry) Halt(ctx context.Context, id freshet.SubscriptionID, status freshet.SubscriptionStatus, reason string) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	old, err := r.find(id)
	if err != nil {
		return err
	}
	s := old.sub
	s.Status, s.ModifyTimestamp, s.Progress = status, time.Now().UTC(), &freshet.Progress{Reason: reason}
	_, err = r.storeLocked(ctx, s, old.revision)
	return err
}

// Delete removes a subscription; match as for Patch.
func (r *Registry) Delete(ctx context.Context, id freshet.SubscriptionID, match []string, dryRun bool) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	old, err := r.find(id)
	if err != nil {
		return err
	}
	if err := old.demand(match); err != nil {
		return err
	}
	if dryRun {
		return nil
	}
	return r.removeLocked(ctx, old)
}

func (r *Registry) removeLocked(ctx context.Context, s *stored) error {
	if err := r.Records.Delete(ctx, string(s.sub.ID), s.revision); err != nil && !errors.Is(err, freshet.ErrNotFound) {
		return fmt.Errorf("delete subscription %s: %w", s.sub.ID, err)
	}
	r.mu.Lock()
	delete(r.all, s.sub.ID)
	r.mu.Unlock()
	r.Deliveries.Remove(s.sub.ID)
	return nil
}

// RemoveTopic removes the subscriptions of a topic that is gone.
func (r *Registry) RemoveTopic(ctx context.Context, name freshet.TopicName) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	var failed error
	for _, s := range r.those(func(s *freshet.Subscription) bool { return s.Topic == name }) {
		failed = cmp.Or(failed, r.removeLocked(ctx, s))
	}
	return failed
}

// those are the subscriptions of which is holds, in the order of their ids.
func (r *Registry) those(is func(*freshet.Subscription) bool) []*stored {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*stored
	for _, s := range r.all {
		if is(&s.sub) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b *stored) int { return cmp.Compare(a.sub.ID, b.sub.ID) })
	return found
}
