package catalog

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"freshet"
	"freshet/internal/strict"
)

// Who a topic is managed by.
const (
	byFile = "file"
	byAPI  = "api"
)

// A Write says when a change may be made, and whether it is.
type Write struct {
	Match  []string // If-Match: the versions of which the topic must have one; "*" is any; none: no matter
	Absent bool     // If-None-Match: *: the topic must not exist
	DryRun bool     // check everything, and return what would be stored, but store nothing
}

func (w Write) allows(name freshet.TopicName, e *Entry) error {
	switch {
	case w.Absent && e != nil:
		return refuse(ErrPrecondition, "topic %q exists already", name)
	case len(w.Match) > 0 && e == nil:
		return refuse(ErrPrecondition, "topic %q does not exist", name)
	case len(w.Match) > 0 && !slices.Contains(w.Match, "*") && !slices.Contains(w.Match, e.Version):
		return refuse(ErrPrecondition, "topic %q has another version by now, %q: read it again", name, e.Version)
	}
	return nil
}

// Create stores a new topic. The error is a freshet.Invalid that lists every mistake in document, or
// freshet.ErrExists.
func (c *Catalog) Create(ctx context.Context, document []byte, w Write) (Entry, error) {
	t, bad := c.sources.Decode(document)
	if bad != nil {
		return Entry{}, bad
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	old := c.find(t.Name)
	if err := w.allows(t.Name, old); err != nil {
		return Entry{}, err
	}
	if old != nil {
		return Entry{}, refuse(freshet.ErrExists, "topic %q exists already", t.Name)
	}
	return c.storeLocked(ctx, nil, t, byAPI, w.DryRun)
}

// Put stores document as the topic of this name, new or in the place of what is there. The document
// may leave the name out, and what is masked in it stays what it was. created says that there was none before.
func (c *Catalog) Put(ctx context.Context, name freshet.TopicName, document []byte, w Write) (e Entry, created bool, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	old := c.find(name)
	if err := permit(name, old, w); err != nil {
		return Entry{}, false, err
	}
	t, err := c.readLocked(name, old, document)
	if err != nil {
		return Entry{}, false, err
	}
	e, err = c.storeLocked(ctx, old, t, byAPI, w.DryRun)
	return e, old == nil, err
}

// Patch changes the topic by a JSON Merge Patch (RFC 7396) of the document that was written, without
// the defaults: null takes a member out, and so brings its default back.
func (c *Catalog) Patch(ctx context.Context, name freshet.TopicName, patch []byte, w Write) (Entry, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	old := c.find(name)
	if old == nil {
		return Entry{}, notFound(name)
	}
	if err := permit(name, old, w); err != nil {
		return Entry{}, err
	}
	var whatever any
	if bad := strict.Decode(patch, &whatever); bad != nil {
		return Entry{}, bad
	}
	// The patch is of what was shown: where it changes the URL, the secrets beside it are not carried along.
	document, err := encode(c.sources.masked(own(old.stored)))
	if err != nil {
		return Entry{}, err
	}
	t, err := c.readLocked(name, old, strict.MergePatch(document, patch))
	if err != nil {
		return Entry{}, err
	}
	return c.storeLocked(ctx, old, t, byAPI, w.DryRun)
}

// Delete removes the topic.
func (c *Catalog) Delete(ctx context.Context, name freshet.TopicName, w Write) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	old := c.find(name)
	if old == nil {
		return notFound(name)
	}
	if err := permit(name, old, w); err != nil || w.DryRun {
		return err
	}
	return c.removeLocked(ctx, old)
}

// permit says whether the API may change the topic, which may not exist.
func permit(name freshet.TopicName, old *Entry, w Write) error {
	if old != nil && old.stored.ManagedBy == byFile {
		return refuse(freshet.ErrManaged, "topic %q is managed by the configuration file: change it there", name)
	}
	return w.allows(name, old)
}

// readLocked reads a document that is to replace old, which may be nil, under a name that is given.
func (c *Catalog) readLocked(name freshet.TopicName, old *Entry, document []byte) (freshet.Topic, error) {
	var t freshet.Topic
	decoded := strict.Decode(document, &t)
	var moved freshet.Invalid
	if t.Name == "" {
		t.Name = name
	} else if t.Name != name {
		moved = freshet.Invalid{{Pointer: "/name", Detail: fmt.Sprintf("must be %q, the topic that the URL names: topics cannot be renamed", name)}}
	}
	if old != nil {
		c.sources.unmask(&t, old.stored.Source)
	}
	checked := append(moved, c.sources.Check(&t)...)
	if old != nil && t.Kind != old.stored.Kind && t.Kind.Modes() != nil {
		checked = append(checked, kindChanged(old.stored.Kind))
	}
	if bad := strict.Merge(document, decoded, checked); bad != nil {
		return freshet.Topic{}, bad
	}
	return own(t), nil
}

func kindChanged(kind freshet.Kind) freshet.FieldError {
	return freshet.FieldError{Pointer: "/kind", Detail: fmt.Sprintf("must stay %q: the kind of a topic never changes; delete the topic and create it again", kind)}
}

// storeLocked writes t in the place of old, which may be nil. Where nothing would change, nothing is
// written and the version stays.
func (c *Catalog) storeLocked(ctx context.Context, old *Entry, t freshet.Topic, manager string, dry bool) (Entry, error) {
	t.ManagedBy = manager
	t.ModifyTimestamp = time.Now().UTC().Truncate(time.Millisecond)
	t.CreateTimestamp = t.ModifyTimestamp
	var revision uint64
	if old != nil {
		t.CreateTimestamp, revision = old.stored.CreateTimestamp, old.revision
		if same(old.stored, t) {
			return *old, nil
		}
	}
	document, err := encode(t)
	if err != nil {
		return Entry{}, err
	}
	if dry {
		return c.dryEntry(document, old)
	}
	after, err := c.records.Put(ctx, string(t.Name), document, revision)
	if err != nil {
		c.reloadLocked(ctx, t.Name)
		return Entry{}, fmt.Errorf("store topic %q: %w", t.Name, lost(err, old == nil))
	}
	e, err := c.entry(document, after)
	if err != nil {
		return Entry{}, err
	}
	c.adoptLocked(t.Name, e)
	return *e, nil
}

// dryEntry is what would be stored. It has no version of its own yet.
func (c *Catalog) dryEntry(document []byte, old *Entry) (Entry, error) {
	e, err := c.entry(document, 0)
	if err != nil {
		return Entry{}, err
	}
	e.Version = ""
	if old != nil {
		e.Version = old.Version
	}
	return *e, nil
}

// lost names the race that a write lost: a store may call every one of them a conflict.
func lost(err error, creating bool) error {
	if creating && errors.Is(err, freshet.ErrConflict) {
		return fmt.Errorf("%w: %w", freshet.ErrExists, err)
	}
	return err
}

// same compares but for when.
func same(a, b freshet.Topic) bool {
	a.ModifyTimestamp = b.ModifyTimestamp
	x, errX := encode(a)
	y, errY := encode(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

func (c *Catalog) removeLocked(ctx context.Context, old *Entry) error {
	name := old.stored.Name
	if err := c.records.Delete(ctx, string(name), old.revision); err != nil {
		c.reloadLocked(ctx, name)
		return fmt.Errorf("delete topic %q: %w", name, err)
	}
	c.adoptLocked(name, nil)
	return nil
}

// Sync makes the topics of the configuration file, which are valid and have different names, those
// that it manages: new ones are stored, changed ones replaced, and those that left the file deleted.
// A topic of the API that the file names is the file's from now on. One of another kind than the file
// says is deleted and made anew.
//
// Before a topic is deleted, drop clears its history: should the process end in between, the next Sync
// finds the topic still there and does the rest. The changes that were made are returned, up to an error.
func (c *Catalog) Sync(ctx context.Context, topics []freshet.Topic, drop func(context.Context, freshet.TopicName) error) (made []Change, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	listed := map[freshet.TopicName]freshet.Kind{}
	for _, t := range topics {
		listed[t.Name] = t.Kind
	}
	anew := map[freshet.TopicName]*Entry{}
	for _, e := range c.all() {
		name, kind := e.stored.Name, listed[e.stored.Name]
		if kind == e.stored.Kind || kind == "" && e.stored.ManagedBy != byFile {
			continue
		}
		if err := drop(ctx, name); err != nil {
			return made, fmt.Errorf("clear the history of topic %q: %w", name, err)
		}
		if err := c.removeLocked(ctx, e); err != nil {
			return made, err
		}
		if kind == "" {
			made = append(made, Change{Old: e.whole()})
		}
		anew[name] = e
	}
	for _, t := range topics {
		old := c.find(t.Name)
		e, err := c.storeLocked(ctx, old, own(t), byFile, false)
		if err != nil {
			return made, err
		}
		if old == nil || old.Version != e.Version {
			made = append(made, Change{cmp.Or(old, anew[t.Name]).whole(), e.whole()})
		}
	}
	return made, nil
}
