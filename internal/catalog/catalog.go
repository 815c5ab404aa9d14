// Package catalog keeps the topics as configured: it validates them, stores them and tells who
// watches of each change.
//
// The store is the truth and a view in memory answers every read, so that a list is fast with
// 10 000 topics. All changes of a process go through one Catalog, one at a time: a change is in the
// store, in the view and with the watchers before the call that made it returns.
package catalog

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strconv"
	"sync"
	"unique"

	"freshet"
	"freshet/internal/strict"
)

// Records is a small keyed store with compare-and-set. A revision is never used twice for a key.
type Records interface {
	// Get returns freshet.ErrNotFound where there is no such key.
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// Put replaces the value that has this revision, or creates it where revision is 0. Where another
	// one is there it returns freshet.ErrConflict or freshet.ErrExists.
	Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	// Delete removes the value that has this revision; otherwise freshet.ErrConflict.
	Delete(ctx context.Context, key string, revision uint64) error
	// List calls each for every value there is, in any order, until it returns an error.
	List(ctx context.Context, each func(key string, value []byte, revision uint64) error) error
}

// An Entry is a topic in the catalog as it is shown: the secrets of its source are masked. Only those
// who watch are told them.
type Entry struct {
	Topic   freshet.Topic // effective: defaults are filled in; not to be changed, as it is shared
	Version string        // changes with each write; what an ETag holds
	Pushed  bool          // the topic's data is posted to it

	stored   freshet.Topic // as written, with what the server set, and the secrets
	revision uint64        // of the record; 0 while there is none
}

// whole is the topic with its secrets, as a watcher is told it.
func (e *Entry) whole() *freshet.Topic {
	switch {
	case e == nil:
		return nil
	case bytes.Equal(e.Topic.Source.Config, e.stored.Source.Config):
		return &e.Topic // has none; of thousands of topics there need not be two each
	}
	t := e.Topic
	t.Source.Config = e.stored.Source.Config
	return &t
}

// A Change is what a watcher is told.
type Change struct {
	Old, New *freshet.Topic // effective, with the secrets; shared, so not to be changed. Old is nil where the topic is new, New where it was deleted
}

// ErrPrecondition says that the topic is not in the state that a Write demands.
var ErrPrecondition error = &refusal{"precondition failed", freshet.ErrConflict}

// A refusal says in its own words what another error means here.
type refusal struct {
	text    string
	meaning error
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.meaning }

func refuse(meaning error, format string, args ...any) error {
	return &refusal{fmt.Sprintf(format, args...), meaning}
}

func notFound(name freshet.TopicName) error {
	return refuse(freshet.ErrNotFound, "there is no topic %q", name)
}

// Catalog is safe for concurrent use.
type Catalog struct {
	records Records
	sources Sources

	writing  sync.Mutex             // held over a whole change, the watchers' calls included
	watchers map[*func(Change)]bool // guarded by writing

	reading sync.RWMutex // guards what follows
	byName  map[freshet.TopicName]*Entry
	sorted  []*Entry // by name, made when it is asked for; nil: it has to be made. A reader may keep it
}

// New reads the catalog that records hold.
func New(ctx context.Context, records Records, sources Sources) (*Catalog, error) {
	c := &Catalog{records: records, sources: sources, watchers: map[*func(Change)]bool{}, byName: map[freshet.TopicName]*Entry{}}
	err := records.List(ctx, func(key string, value []byte, revision uint64) error {
		e, err := c.entry(value, revision)
		if err != nil {
			return fmt.Errorf("topic %q: %w", key, err)
		}
		c.byName[e.Topic.Name] = e
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	return c, nil
}

func byName(a, b *Entry) int { return cmp.Compare(a.Topic.Name, b.Topic.Name) }

// entry makes one of a stored document.
func (c *Catalog) entry(value []byte, revision uint64) (*Entry, error) {
	var t freshet.Topic
	if err := json.Unmarshal(value, &t); err != nil {
		return nil, fmt.Errorf("stored document: %w", err)
	}
	// What says the same in thousands of topics is kept once.
	t.Kind, t.Source.Type, t.ManagedBy = unique.Make(t.Kind).Value(), unique.Make(t.Source.Type).Value(), unique.Make(t.ManagedBy).Value()
	// The hash tells a catalog that was begun anew, and so counts from 1 again, from the one before.
	version := strconv.FormatUint(revision, 36) + "-" + fmt.Sprintf("%08x", crc32.ChecksumIEEE(value))
	return &Entry{Topic: c.sources.masked(Effective(t)), Version: version, Pushed: c.sources[t.Source.Type].Pushed, stored: t, revision: revision}, nil
}

// Get returns the topic or an error that is freshet.ErrNotFound.
func (c *Catalog) Get(name freshet.TopicName) (Entry, error) {
	if e := c.find(name); e != nil {
		return *e, nil
	}
	return Entry{}, notFound(name)
}

func (c *Catalog) find(name freshet.TopicName) *Entry {
	c.reading.RLock()
	defer c.reading.RUnlock()
	return c.byName[name]
}

// Len is the number of topics.
func (c *Catalog) Len() int { return len(c.all()) }

// all is every topic by name.
func (c *Catalog) all() []*Entry {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.sorted == nil {
		c.sorted = slices.SortedFunc(maps.Values(c.byName), byName)
	}
	return c.sorted
}

// Watch calls fn for every topic there is, then for each change until stop is called, one call at a
// time and in order. A change waits for fn, which therefore is quick and changes nothing itself.
func (c *Catalog) Watch(fn func(Change)) (stop func()) {
	c.writing.Lock()
	defer c.writing.Unlock()
	for _, e := range c.all() {
		fn(Change{New: e.whole()})
	}
	c.watchers[&fn] = true
	return func() {
		c.writing.Lock()
		defer c.writing.Unlock()
		delete(c.watchers, &fn)
	}
}

// adoptLocked puts e, or its absence, into the view and tells the watchers; writing is held.
func (c *Catalog) adoptLocked(name freshet.TopicName, e *Entry) {
	old := c.find(name)
	change := Change{old.whole(), e.whole()}
	c.reading.Lock()
	c.sorted = nil // thousands of topics may be made one after the other
	if e != nil {
		c.byName[name] = e
	} else {
		delete(c.byName, name)
	}
	c.reading.Unlock()

	if old == nil && e == nil {
		return
	}
	for fn := range c.watchers {
		(*fn)(change)
	}
}

// reloadLocked brings the view of one topic in line with the store. After a failed write nobody
// knows what the store holds: the write may have taken place, or somebody else's.
func (c *Catalog) reloadLocked(ctx context.Context, name freshet.TopicName) {
	value, revision, err := c.records.Get(context.WithoutCancel(ctx), string(name))
	if errors.Is(err, freshet.ErrNotFound) {
		c.adoptLocked(name, nil)
		return
	}
	if err != nil {
		return // the store is away; the next write finds out by its revision
	}
	e, err := c.entry(value, revision)
	if old := c.find(name); err != nil || old != nil && old.Version == e.Version {
		return
	}
	c.adoptLocked(name, e)
}

// encode writes the document of a topic as it is stored.
func encode(t freshet.Topic) ([]byte, error) {
	t.Status = nil
	document, err := strict.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encode topic %q: %w", t.Name, err)
	}
	return document, nil
}
