package fanout

import (
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"freshet"
	"freshet/jsonpatch"
)

// A composer tells in one event what leads from the document of a reader to the document now: as a patch, a
// merge patch or changes of items. What it made for one reader serves all at the same position.
type composer struct {
	mu     sync.Mutex
	keys   map[string]string // of the items of arrays, as the topic has them
	differ *jsonpatch.Differ // nil: to be made
	target *Entry            // the document that the events lead to
	to     *jsonpatch.Document
	made   map[place][]*Entry

	// Where readers are who are told of every revision by an event made here, the document before the target is
	// kept, as most of them are there. Where there are none for some revisions, it is not.
	before *jsonpatch.Document
	has    version             // what that is
	spare  *jsonpatch.Document // memory
	wanted atomic.Int32        // revisions for which to keep it
}

// keepFor is how many revisions a document is kept for, without anybody who asks.
const keepFor = 16

// A version is which document it is.
type version struct {
	revision freshet.Revision
	tag      freshet.Tag
}

func versionOf(p freshet.Position) version { return version{p.Revision, p.Tag} }

// A place is where a reader is.
type place struct {
	at     freshet.Position
	mode   freshet.Mode
	faulty bool // the last that it was told was that the topic is not up to date
}

// Stepwise says whether every event of a mode is composed. Of others only those are that stand for several.
func Stepwise(m freshet.Mode) bool { return m == freshet.ModeMergePatch || m == freshet.ModeChanges }

// setKeys says by which members the items of arrays are known.
func (c *composer) setKeys(keys map[string]string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if maps.Equal(keys, c.keys) {
		return nil
	}
	differ, err := jsonpatch.NewDiffer(jsonpatch.Options{ArrayKeys: keys})
	if err != nil {
		return fmt.Errorf("keys of arrays: %w", err)
	}
	c.keys, c.differ, c.made = maps.Clone(keys), differ, map[place][]*Entry{}
	return nil
}

// revised takes note of a new revision. It does not block.
func (c *composer) revised() {
	if c.wanted.Load() > 1 {
		c.wanted.Add(-1)
		return
	}
	if c.wanted.Load() == 1 && c.mu.TryLock() {
		c.target, c.to, c.before, c.spare, c.made = nil, nil, nil, nil, nil
		c.wanted.Store(0)
		c.mu.Unlock()
	}
}

// compose is what leads a reader to target: an event, or target itself where that is smaller, where it cannot be
// said otherwise, or where the reader's document cannot be had; nothing where nothing is to be said.
func (c *composer) compose(p place, target *Entry, document func() ([]byte, error)) []*Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	if Stepwise(p.mode) {
		c.wanted.Store(keepFor)
	}
	if c.target != target {
		c.aimLocked(target)
	}
	entries, ok := c.made[p]
	if !ok {
		entries = c.makeLocked(p, document)
		c.made[p] = entries
	}
	return entries
}

// aimLocked changes the target.
func (c *composer) aimLocked(target *Entry) {
	if c.wanted.Load() > 0 && c.to != nil {
		c.spare = c.before
		c.before, c.has, c.to = c.to, versionOf(c.target.Position), nil
	}
	c.target, c.to, c.made = target, nil, map[place][]*Entry{}
}

func (c *composer) makeLocked(p place, document func() ([]byte, error)) []*Entry {
	old, err := c.documentsLocked(p, document)
	if err != nil {
		return []*Entry{c.target}
	}
	e := &Entry{Event: freshet.Event{Position: c.target.Position, Time: c.target.Time}}
	switch ok := c.tellLocked(&e.Event, p.mode, old, c.to); {
	case !ok:
		return []*Entry{c.target}
	case len(e.Data) > 0:
		return []*Entry{e}
	case !p.faulty:
		return nil
	}
	e.Type, e.Data = freshet.TypeRecovered, recovery(e.Time)
	return []*Entry{e}
}

// tellLocked makes an event lead from a document to another; it has no data where there is nothing to tell.
// It reports false where the whole document is better.
func (c *composer) tellLocked(ev *freshet.Event, mode freshet.Mode, old, now *jsonpatch.Document) (ok bool) {
	if c.differ == nil {
		c.differ = new(jsonpatch.Differ)
	}
	size := len(now.Bytes())
	switch mode {
	case freshet.ModeMergePatch:
		ev.Type = freshet.TypeMergePatch
		ev.Data, ok = c.differ.AppendMerge(nil, old, now)
		return ok && len(ev.Data) < size
	case freshet.ModeChanges: // as large as they are: who asks for them wants to know what became of which item
		ev.Type = freshet.TypeChanges
		ev.Data, ok = c.differ.AppendChanges(nil, old, now)
		return ok
	}
	var stats jsonpatch.Stats
	ev.Type = freshet.TypePatch
	ev.Data, stats = c.differ.Append(nil, old, now)
	return !stats.Whole && len(ev.Data) < size
}

// Step is what a snapshot is in one of the stepwise modes for a reader who has the revision before: an event that
// leads there, or the snapshot. Where only the order of items changed the event says that nothing did.
func (f *Feed) Step(mode freshet.Mode, before []byte, snapshot freshet.Event) (freshet.Event, error) {
	old, err := jsonpatch.Parse(before, StoredLimits)
	if err != nil {
		return freshet.Event{}, fmt.Errorf("read the document before: %w", err)
	}
	now := new(jsonpatch.Document)
	if err := now.Parse(snapshot.Data, old, StoredLimits); err != nil {
		return freshet.Event{}, fmt.Errorf("read the document: %w", err)
	}
	c := &f.composer
	c.mu.Lock()
	defer c.mu.Unlock()
	ev := snapshot
	switch ok := c.tellLocked(&ev, mode, old, now); {
	case !ok:
		return snapshot, nil
	case len(ev.Data) == 0 && mode == freshet.ModeChanges:
		ev.Data = []byte(`{"created":[],"updated":[],"deleted":[]}`)
	case len(ev.Data) == 0:
		ev.Data = []byte(`{}`)
	}
	return ev, nil
}

// documentsLocked sees to it that the target is parsed, and returns the document of the reader.
func (c *composer) documentsLocked(p place, document func() ([]byte, error)) (old *jsonpatch.Document, err error) {
	if c.before != nil && c.has == versionOf(p.at) {
		old = c.before
	} else {
		doc, err := document()
		if err != nil {
			return nil, err
		}
		if old, err = jsonpatch.Parse(doc, StoredLimits); err != nil {
			return nil, fmt.Errorf("read the document before: %w", err)
		}
	}
	if c.to == nil {
		to := c.spare
		if c.spare = nil; to == nil {
			to = new(jsonpatch.Document)
		}
		if err := to.Parse(c.target.Data, old, StoredLimits); err != nil {
			return nil, fmt.Errorf("read the document: %w", err)
		}
		c.to = to
	}
	return old, nil
}

// recovery is the data of an event that says that a fault is over, though nothing changed.
func recovery(at time.Time) []byte {
	data, err := json.Marshal(struct {
		Time time.Time `json:"datetime"`
	}{at})
	if err != nil {
		panic(err) // a time of the history always marshals
	}
	return data
}

// StoredLimits are for documents that passed a topic's limits on their way in, as those were then.
var StoredLimits = jsonpatch.Limits{Depth: 10_000, Size: 1 << 30, Members: 1 << 30} //nolint:gochecknoglobals // a constant
