// Package flow runs topics: what a source obtains is compared with what was there, and what changed goes
// into the journal and from there to the topic's followers.
//
// A topic's source runs while somebody follows it, or always where the topic says so. Its feed is in
// memory while somebody follows and a little longer.
package flow

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freshet"
	"freshet/internal/flow/fanout"
	"freshet/internal/flow/journal"
	"freshet/internal/flow/source"
)

// A Journal is the durable history of topics.
type Journal interface {
	fanout.Journal
	// Head is the last event of a topic; zero where there is none.
	Head(ctx context.Context, id freshet.TopicID) (freshet.Event, error)
	// Append adds events after head, which is the last there is, and sets their sequences: all or none;
	// freshet.ErrConflict where head is not the last any more. The note is kept as long as they are.
	Append(ctx context.Context, id freshet.TopicID, head freshet.Position, events []freshet.Event, note string) error
	// Notes yields the notes on a topic's last events, the oldest first: on so many events at least, or on
	// those of so many bytes together.
	Notes(ctx context.Context, id freshet.TopicID, events int, bytes int64) iter.Seq2[journal.Note, error]
	// Fits says whether so many events, of so many bytes together, can be appended at once.
	Fits(events, bytes int) bool
	// PutKeyframe keeps a full document with the position that it results from.
	PutKeyframe(ctx context.Context, id freshet.TopicID, doc freshet.Event) error
	// Trim drops what is beyond the bounds, but nothing that is needed to rebuild what is kept.
	Trim(ctx context.Context, id freshet.TopicID, maxAge time.Duration, maxEvents int, maxBytes int64) error
	// Delete drops everything there is of a topic.
	Delete(ctx context.Context, id freshet.TopicID) error
}

// A Change is what happened to a topic, for people who watch.
type Change struct {
	Time          time.Time
	Topic         freshet.TopicName
	Type          freshet.EventType
	Revision      freshet.Revision
	Operations    int // of a patch
	Bytes         int // of the event
	DocumentBytes int // of the document after it
	Fault         *freshet.Fault
}

// A Config is what a Flow works with.
type Config struct {
	Journal   Journal
	Sources   source.Set
	NewSource func(t freshet.Topic) (source.Source, error)
	ID        func(freshet.TopicName) freshet.TopicID
	Metrics   prometheus.Registerer
	Log       *slog.Logger
	Watch     func(Change) // may be nil; must not block
}

// A Flow is the topics of one node. Close it.
type Flow struct {
	Config
	stats *meters
	base  context.Context // of all that topics run; ended by Close, not by a request
	stop  context.CancelCauseFunc
	wg    sync.WaitGroup

	mu     sync.Mutex
	topics map[freshet.TopicName]*topic
	closed bool
	began  bool        // the topics that there were at the start are all there
	puts   int         // topics made or changed since memory was last given back
	tidy   *time.Timer // gives memory back
}

// New returns a Flow without topics.
func New(c Config) *Flow {
	base, stop := context.WithCancelCause(context.Background())
	f := &Flow{Config: c, base: base, stop: stop, topics: map[freshet.TopicName]*topic{}}
	f.stats = newMeters(c.Metrics, f)
	f.wg.Go(f.sweep)
	return f
}

// sweep trims the histories of topics that do not change, now and then: the others trim themselves.
func (f *Flow) sweep() {
	const pause = 10 * time.Minute
	for {
		select {
		case <-f.base.Done():
			return
		case <-time.After(pause):
		}
		for _, t := range f.all() {
			if f.base.Err() == nil {
				t.trim(f.base)
			}
		}
	}
}

// ErrStopping is why feeds end when the process stops.
var ErrStopping = fmt.Errorf("the server is stopping: %w", freshet.ErrUnavailable)

// Close ends the sources, then the feeds, and returns once all have ended.
func (f *Flow) Close() {
	f.mu.Lock()
	f.closed = true
	topics := f.topics
	f.topics = nil
	if f.tidy != nil {
		f.tidy.Stop()
	}
	f.mu.Unlock()
	var wg sync.WaitGroup
	for _, t := range topics {
		wg.Go(t.stopSource)
	}
	wg.Wait()
	f.stop(ErrStopping)
	f.wg.Wait()
}

// EndFeeds ends every stream that is followed now and refuses new ones, while sources go on until Close.
func (f *Flow) EndFeeds() { f.stop(ErrStopping) }

// Put makes a topic run as configured by c, which is not to be changed any more. One that runs already goes on
// with its history and followers.
func (f *Flow) Put(c *freshet.Topic) error {
	src, err := f.NewSource(*c)
	if err != nil {
		return fmt.Errorf("topic %s: %w", c.Name, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return ErrStopping
	}
	t, ok := f.topics[c.Name]
	if !ok {
		t = newTopic(f, c.Name, c.Kind)
		f.topics[c.Name] = t
	}
	var pause time.Duration
	if !f.began { // the first polls of many topics are not to be made all at once
		pause = min(time.Duration(len(f.topics))*spreadOf, longestSpread)
	}
	t.configure(c, src, pause)
	f.afterBulkLocked()
	return nil
}

// Of topics that are put before Began, first polls that nobody waits for are spread over some time for each topic.
const (
	spreadOf      = 20 * time.Millisecond
	longestSpread = time.Minute
)

// Began says that the topics of the start are all put: those that come later poll at once.
func (f *Flow) Began() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.began = true
}

// afterBulkLocked gives back the memory that making thousands of topics left behind, once that is over. The
// runtime would keep as much as the topics need for good, since nothing else makes garbage where all is idle.
func (f *Flow) afterBulkLocked() {
	const bulk, quiet = 1000, 2 * time.Second
	if f.puts++; f.puts < bulk {
		return
	}
	f.tidy = after(f.tidy, quiet, func() {
		f.mu.Lock()
		f.puts = 0
		f.mu.Unlock()
		debug.FreeOSMemory()
	})
}

// Remove ends a topic's source and feed and drops its history. Its followers are told ErrNotFound.
func (f *Flow) Remove(ctx context.Context, name freshet.TopicName) error {
	f.mu.Lock()
	t, ok := f.topics[name]
	delete(f.topics, name)
	f.mu.Unlock()
	if ok {
		t.remove()
		f.stats.forget(name)
	}
	if err := f.Journal.Delete(ctx, f.ID(name)); err != nil {
		return fmt.Errorf("delete the history of %s: %w", name, err)
	}
	return nil
}

func (f *Flow) topic(name freshet.TopicName) (*topic, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, ErrStopping
	}
	t, ok := f.topics[name]
	if !ok {
		return nil, fmt.Errorf("%w: %s", freshet.ErrNotFound, name)
	}
	return t, nil
}

func (f *Flow) all() []*topic {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Values(f.topics))
}

// Follow starts following a topic, whose source runs until the follower is closed.
func (f *Flow) Follow(name freshet.TopicName) (*Follower, error) {
	t, err := f.topic(name)
	if err != nil {
		return nil, err
	}
	return t.follow(), nil
}

// IDs are the topics that there are, ad-hoc ones included, as the journal knows them.
func (f *Flow) IDs() map[freshet.TopicID]bool {
	ids := map[freshet.TopicID]bool{}
	for _, t := range f.all() {
		ids[t.id] = true
	}
	return ids
}

// Limit is how large a payload of a topic may be; 0 where there is no such topic.
func (f *Flow) Limit(name freshet.TopicName) freshet.Bytes {
	t, err := f.topic(name)
	if err != nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return orDefault(t.conf.Limits.Payload, freshet.DefaultPayload)
}

// Status says what a topic is doing now; nil where there is none.
func (f *Flow) Status(name freshet.TopicName) *freshet.Status {
	t, err := f.topic(name)
	if err != nil {
		return nil
	}
	return t.status(true)
}
