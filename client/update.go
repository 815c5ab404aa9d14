package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"freshet"
	"freshet/client/internal/sse"
	"freshet/jsonpatch"
)

// An Update is one event of a topic as Follow yields it. Its byte slices never change; they may be
// kept, and must not be written to.
type Update struct {
	ID       string            // opaque: where to resume once the update is handled
	Type     freshet.EventType // snapshot, patch, merge-patch, changes, event, error, recovered or status
	Revision freshet.Revision  // as of ID; 0 if that is not one of Freshet's
	Time     time.Time         // when it arrived
	Data     []byte            // what Type says: the document, a patch (RFC 6902 or 7396), changes of items, a message, a fault, when it was over
	Bytes    int               // its length on the wire, with all field names; compressed, if the stream is

	// Doc is the document after the update and Before the one held before it; both are nil for event
	// topics and as long as no snapshot came. In the mode changes the items of its arrays may stand in
	// another order than the source has them in.
	Doc, Before []byte

	// Reset says why Doc does not follow from Before, where it does not: history-expired or id-unknown
	// from the server, patch-mismatch from Follow. Changes in between were not seen.
	Reset string

	// Fault is set of an error: the topic cannot be kept up to date, and Doc is the last good one until
	// an update of another type comes; recovered if nothing changed meanwhile.
	Fault *freshet.Fault

	// Freshness is set of a status, which FollowOptions.Status asks for.
	Freshness *freshet.Freshness
}

// ResetMismatch is the Reset of a document that was fetched again because a patch did not fit.
const ResetMismatch = "patch-mismatch"

// state is what is held of a topic from one connection to the next.
type state struct {
	id   string // of the last event applied
	doc  []byte
	lost bool // a patch did not fit: only a snapshot helps

	doubtful bool // none fitted since: the server's patches may never do
}

// apply takes an event over. It is not ok if the event is of a type that came after this client. It
// fails if the event is a patch that does not fit; the state is then such that the next connection
// starts afresh.
func (s *state) apply(e sse.Event) (u Update, ok bool, err error) {
	at, errID := freshet.ParsePosition(e.ID)
	held, errHeld := freshet.ParsePosition(s.id)
	u = Update{
		ID: e.ID, Type: freshet.EventType(e.Name), Revision: at.Revision, Time: time.Now(), Data: e.Data,
		Doc: s.doc, Before: s.doc, Reset: reset(e.Comments),
	}
	switch u.Type {
	case freshet.TypeSnapshot:
		u.Doc = e.Data
		if s.lost {
			u.Reset, s.lost = ResetMismatch, false
		}
	case freshet.TypePatch, freshet.TypeMergePatch, freshet.TypeChanges:
		if s.lost || errID == nil && errHeld == nil && at.Revision <= held.Revision {
			return Update{}, false, s.mismatch(fmt.Errorf("a patch to revision %d came where %d was held", at.Revision, held.Revision))
		}
		if s.doc == nil {
			break // resumed without the document
		}
		if u.Doc, err = applied(u.Type, s.doc, e.Data); err != nil {
			return Update{}, false, s.mismatch(fmt.Errorf("the patch to revision %d does not fit: %w", at.Revision, err))
		}
		s.doubtful = false
	case freshet.TypeEvent:
		u.Doc, u.Before = nil, nil
	case freshet.TypeStatus:
		u.Freshness = &freshet.Freshness{}
		if err := json.Unmarshal(e.Data, u.Freshness); err != nil {
			return Update{}, false, fmt.Errorf("a status cannot be read: %w", err)
		}
	case freshet.TypeRecovered: // nothing changed meanwhile
	case freshet.TypeError:
		u.Fault = &freshet.Fault{}
		if err := json.Unmarshal(e.Data, u.Fault); err != nil {
			u.Fault.Message = string(e.Data)
		}
	default:
		s.id = e.ID
		return Update{}, false, nil
	}
	s.id, s.doc = e.ID, u.Doc
	return u, true, nil
}

// applied is the document after an event that says what changed.
func applied(t freshet.EventType, doc, data []byte) ([]byte, error) {
	switch t {
	case freshet.TypeMergePatch:
		return jsonpatch.ApplyMerge(doc, data)
	case freshet.TypeChanges:
		return jsonpatch.ApplyChanges(doc, data)
	}
	return jsonpatch.Apply(doc, data)
}

func (s *state) mismatch(err error) error {
	s.id, s.lost, s.doubtful = "", true, true
	return err
}

// reset finds the comment by which the server marks a snapshot that does not follow from the id sent.
func reset(comments []string) string {
	for _, c := range comments {
		if reason, ok := strings.CutPrefix(c, "reset "); ok {
			return reason
		}
	}
	return ""
}

// A Change is one operation of a patch with the value that it found.
type Change struct {
	Op    string          `json:"op"` // add, remove, replace, move, copy or test
	Path  string          `json:"path"`
	From  string          `json:"from,omitempty"`
	Value json.RawMessage `json:"value,omitempty"`
	Old   json.RawMessage `json:"old,omitempty"` // what was at Path, if anything was
}

// Changes lists what the update changed, operation by operation. Unless it is a patch it compares Doc with
// Before, if there are both. The list as JSON is a patch still: members that are not defined are
// ignored (RFC 6902 section 4).
func (u Update) Changes() ([]Change, error) {
	switch {
	case u.Type == freshet.TypePatch:
		return changes(u.Before, u.Data)
	case u.Before != nil && u.Doc != nil && (u.Type == freshet.TypeSnapshot || u.Type == freshet.TypeMergePatch || u.Type == freshet.TypeChanges):
		patch, err := jsonpatch.Diff(u.Before, u.Doc)
		if err != nil {
			return nil, fmt.Errorf("compare with the document before: %w", err)
		}
		return changes(u.Before, patch)
	}
	return nil, nil
}

// maxReplay bounds the bytes that are copied to find old values. A patch that removes a thousand
// items of a large array would otherwise cost a thousand documents.
const maxReplay = 256 << 20

func changes(doc, patch []byte) ([]Change, error) {
	var ops []json.RawMessage
	if err := json.Unmarshal(patch, &ops); err != nil {
		return nil, fmt.Errorf("the patch is not a list: %w", err)
	}
	list := make([]Change, len(ops))
	budget, applied, pending := maxReplay, 0, touched{}
	for i, op := range ops {
		c := &list[i]
		if err := json.Unmarshal(op, c); err != nil {
			return nil, fmt.Errorf("operation %d: %w", i, err)
		}
		c.Old = nil // not ours if it was sent
		if c.Op != "replace" && c.Op != "remove" || doc == nil {
			pending.add(*c)
			continue
		}
		if pending.concern(c.Path) {
			if budget -= len(doc); budget < 0 {
				doc = nil
				continue
			}
			after, err := jsonpatch.Apply(doc, join(ops[applied:i]))
			if err != nil {
				return nil, err
			}
			doc, applied, pending = after, i, touched{}
		}
		pending.add(*c)
		old, err := jsonpatch.Lookup(doc, c.Path)
		if err != nil && !errors.Is(err, jsonpatch.ErrPath) {
			return nil, err
		}
		c.Old = old
	}
	return list, nil
}

// touched is which values some operations changed.
type touched struct {
	all   bool            // any may be another: items of an array moved
	paths map[string]bool // true: changed itself; false: something below it did
}

func (t *touched) add(c Change) {
	last := c.Path[strings.LastIndexByte(c.Path, '/')+1:]
	if c.Op == "move" || c.Op == "copy" || c.Op != "replace" && strings.Trim(last, "0123456789-") == "" {
		t.all = true
	}
	if t.all {
		return
	}
	if t.paths == nil {
		t.paths = map[string]bool{}
	}
	t.paths[c.Path] = true
	for at := range parents(c.Path) {
		if _, known := t.paths[at]; known {
			break
		}
		t.paths[at] = false
	}
}

// concern says whether what path leads to may not be what it was.
func (t *touched) concern(path string) bool {
	if _, at := t.paths[path]; at || t.all {
		return true
	}
	for at := range parents(path) {
		if t.paths[at] {
			return true
		}
	}
	return false
}

// parents yields the pointers of what holds a value, innermost first.
func parents(pointer string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for end := strings.LastIndexByte(pointer, '/'); end >= 0 && yield(pointer[:end]); {
			end = strings.LastIndexByte(pointer[:end], '/')
		}
	}
}

func join(ops []json.RawMessage) []byte {
	patch := []byte{'['}
	for i, op := range ops {
		if i > 0 {
			patch = append(patch, ',')
		}
		patch = append(patch, op...)
	}
	return append(patch, ']')
}
