// Package fanout is the live end of topics: any number of followers on one reader of a journal's tail.
//
// A feed holds a topic's document and the last of its events. A follower is a Cursor, which remembers
// the position that its reader has and nothing else: it asks the feed what its reader lacks. So a slow
// reader costs no memory, and where history meets live nothing is lost or told twice.
package fanout

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"freshet"
	"freshet/jsonpatch"
)

// ErrNever is freshet.ErrGone of an event that cannot ever have been.
var ErrNever = fmt.Errorf("never in any history: %w", freshet.ErrGone)

// A Journal is what a feed reads.
type Journal interface {
	// Oldest is the first event that is kept; zero where there is none.
	Oldest(ctx context.Context, id freshet.TopicID) (freshet.Event, error)
	// Entry is the event with a sequence; freshet.ErrGone where that is not kept, ErrNever where none has
	// that sequence.
	Entry(ctx context.Context, id freshet.TopicID, sequence uint64) (freshet.Event, error)
	// Before is the last event at or before a time; freshet.ErrGone where none is kept.
	Before(ctx context.Context, id freshet.TopicID, t time.Time) (freshet.Event, error)
	// Keyframe is the last full document that results from an event at or before a sequence, with the
	// position of that event; zero where there is none.
	Keyframe(ctx context.Context, id freshet.TopicID, upTo uint64) (freshet.Event, error)
	// Read yields the events after a sequence, 0 being "from the oldest"; freshet.ErrGone where the
	// history does not reach there.
	Read(ctx context.Context, id freshet.TopicID, after uint64) iter.Seq2[freshet.Event, error]
	// Tail is Read that goes on live until ctx ends; an error means that it cannot be continued.
	Tail(ctx context.Context, id freshet.TopicID, after uint64) iter.Seq2[freshet.Event, error]
}

// A Feed is the live end of one topic. Its methods may be called from any goroutine.
type Feed struct {
	journal Journal
	id      freshet.TopicID
	kind    freshet.Kind
	log     *slog.Logger
	loaded  chan struct{} // closed once the first load succeeded or the feed ended

	mu      sync.Mutex
	changed chan struct{} // closed and replaced whenever there is something new
	ring    ring
	head    freshet.Position
	current *Entry // the document now as a snapshot, or the last message; nil: nothing yet
	fault   *Entry // what keeps the topic from being up to date; nil: nothing
	offered []offer
	ended   error
	watches map[*func()]struct{} // called at each change

	composer composer
}

// An offer is a document that the topic's owner hands over, so that the feed need not apply the patch.
type offer struct {
	revision freshet.Revision
	tag      freshet.Tag
	doc      []byte
}

// New returns the feed of a topic, which Run must keep up to date.
func New(j Journal, id freshet.TopicID, kind freshet.Kind, log *slog.Logger) *Feed {
	return &Feed{journal: j, id: id, kind: kind, log: log, loaded: make(chan struct{}), changed: make(chan struct{})}
}

// Run keeps the feed up to date until ctx ends; the cause of that is what followers are told. Whatever
// breaks the tail (history replaced, store away for a while) makes it load afresh.
func (f *Feed) Run(ctx context.Context) {
	const shortest, longest = 10 * time.Millisecond, time.Second
	for wait := shortest; ; wait = min(2*wait, longest) {
		start := time.Now()
		err := f.follow(ctx)
		if ctx.Err() != nil {
			f.end(context.Cause(ctx))
			return
		}
		if time.Since(start) > time.Minute {
			wait = shortest
		}
		f.log.WarnContext(ctx, "feed loads afresh", "err", err, "wait", wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// follow loads the topic and applies its tail until that breaks.
func (f *Feed) follow(ctx context.Context) error {
	if err := f.load(ctx); err != nil {
		return err
	}
	for ev, err := range f.journal.Tail(ctx, f.id, f.Head().Sequence) {
		if err == nil {
			err = f.apply(ev)
		}
		if err != nil {
			return fmt.Errorf("tail: %w", err)
		}
	}
	return errors.New("the tail ended")
}

// load fills the ring: a document's from its last keyframe on, that of messages with the last of them, so
// that those who come back together need not read the journal each for themselves.
func (f *Feed) load(ctx context.Context) error {
	base, err := f.anchor(ctx)
	if err != nil {
		return err
	}
	var since []freshet.Event
	for ev, err := range f.journal.Read(ctx, f.id, base.Sequence) {
		if err != nil {
			return fmt.Errorf("read after %d: %w", base.Sequence, err)
		}
		since = append(since, ev)
	}
	if base.Sequence == 0 && len(since) > 0 && since[0].Revision > 1 { // the history was trimmed: nothing is known of before
		base, since = since[0], since[1:]
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.startLocked(base)
	for _, ev := range since {
		if err := f.applyLocked(ev); err != nil {
			return err
		}
	}
	if f.ended == nil && !f.isLoaded() {
		close(f.loaded)
	}
	f.wakeLocked()
	return nil
}

// anchor is the event that the ring starts from: the last keyframe; of messages one that is some
// hundreds of them ago, where there is one.
func (f *Feed) anchor(ctx context.Context) (freshet.Event, error) {
	const (
		most     = 16  // looks back, as small histories have many keyframes
		messages = 256 // that are enough for most who come back
	)
	base, err := f.journal.Keyframe(ctx, f.id, ^uint64(0))
	last := base.Revision
	for i := 0; err == nil && f.kind == freshet.KindEvent && i < most && base.Sequence > 0 && last-base.Revision < messages; i++ {
		base, err = f.journal.Keyframe(ctx, f.id, base.Sequence-1) // none: from the oldest message on
	}
	if err != nil {
		return freshet.Event{}, fmt.Errorf("read keyframe: %w", err)
	}
	return base, nil
}

func (f *Feed) startLocked(base freshet.Event) {
	first := &Entry{Event: base}
	f.head, f.current, f.fault, f.offered = base.Position, nil, nil, nil
	if base.Sequence > 0 && changes(base) {
		f.current = first
	}
	if base.Type == freshet.TypeSnapshot {
		first.doc = base.Data
	}
	if base.Type == freshet.TypeError {
		f.fault = first
	}
	f.ring.start(first)
}

func (f *Feed) apply(ev freshet.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.applyLocked(ev); err != nil {
		return err
	}
	f.wakeLocked()
	return nil
}

func (f *Feed) applyLocked(ev freshet.Event) error {
	e := &Entry{Event: ev}
	switch ev.Type {
	case freshet.TypeSnapshot, freshet.TypeEvent:
		f.current, f.fault = e, nil
	case freshet.TypePatch:
		doc, err := f.documentAfterLocked(ev)
		if err != nil {
			return fmt.Errorf("revision %d: %w", ev.Revision, err)
		}
		f.current, f.fault = &Entry{Event: freshet.Event{Position: ev.Position, Type: freshet.TypeSnapshot, Time: ev.Time, Data: doc}}, nil
	case freshet.TypeError:
		f.fault = e
	case freshet.TypeRecovered:
		f.fault = nil
	}
	f.head = ev.Position
	f.ring.add(e, f.current)
	if changes(ev) {
		f.composer.revised()
	}
	return nil
}

// SetKeys says by which members the items of arrays are known, as freshet.Diff has them.
func (f *Feed) SetKeys(keys map[string]string) error { return f.composer.setKeys(keys) }

// documentAfterLocked is the document that a patch leads to: the owner's, where it offered it, which
// saves the work, else by applying the patch.
func (f *Feed) documentAfterLocked(ev freshet.Event) ([]byte, error) {
	for i, o := range f.offered {
		if o.revision == ev.Revision && o.tag == ev.Tag {
			f.offered = append(f.offered[:0], f.offered[i+1:]...)
			return o.doc, nil
		}
	}
	if f.current == nil {
		return nil, errors.New("a patch without a document before it")
	}
	return jsonpatch.Apply(f.current.Data, ev.Data)
}

// Offer hands over the document of a revision whose event is about to be appended.
func (f *Feed) Offer(revision freshet.Revision, tag freshet.Tag, doc []byte) {
	const most = 16 // the tail is hardly ever so far behind; what is not offered is computed
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.offered) == most {
		f.offered = append(f.offered[:0], f.offered[1:]...)
	}
	f.offered = append(f.offered, offer{revision, tag, doc})
}

func (f *Feed) wakeLocked() {
	close(f.changed)
	f.changed = make(chan struct{})
	for fn := range f.watches {
		(*fn)()
	}
}

// Watch calls fn at each change until stop is called. fn must not block, nor call the feed.
func (f *Feed) Watch(fn func()) (stop func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watches == nil {
		f.watches = map[*func()]struct{}{}
	}
	f.watches[&fn] = struct{}{}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watches, &fn)
	}
}

func (f *Feed) isLoaded() bool {
	select {
	case <-f.loaded:
		return true
	default:
		return false
	}
}

func (f *Feed) end(cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = cause
	if !f.isLoaded() {
		close(f.loaded)
	}
	f.wakeLocked()
}

// Wait returns once the feed knows what the journal holds: nil, why the feed ended, or ctx's error.
func (f *Feed) Wait(ctx context.Context) error {
	select {
	case <-f.loaded:
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.ended
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Head is the position of the last event that the feed knows.
func (f *Feed) Head() freshet.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.head
}

// Changed is closed at the next change. Fetch it before looking at the feed, then nothing is missed.
func (f *Feed) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// Current is the document now, as a snapshot, or the last message of an event topic, and the fault that
// keeps it from being up to date. Either may be nil.
func (f *Feed) Current() (doc, fault *Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current, f.fault
}
