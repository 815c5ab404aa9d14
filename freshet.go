// Package freshet is the vocabulary of Freshet: the words that its code, its API, its documentation
// and its clients share. It holds types and sentinel errors, no machinery, and imports only the
// standard library.
//
// A topic is a named feed with one source. A snapshot topic is a JSON document that changes; each
// change is a revision. An event topic is a stream of JSON messages. What happens to a topic is
// kept in its journal as events, each at a position that a client may resume from.
package freshet

import (
	"errors"
	"time"
)

// The errors that cross package boundaries, and the wire: the HTTP API answers each with the
// RFC 9457 problem type of the same meaning, and the client turns that back into the sentinel, so
// that errors.Is holds on both sides.
var (
	ErrNotFound    = errors.New("topic not found")
	ErrExists      = errors.New("topic exists already")
	ErrConflict    = errors.New("changed by someone else in between")
	ErrManaged     = errors.New("managed by the configuration file")
	ErrGone        = errors.New("no longer in the history")
	ErrMode        = errors.New("subscription mode not allowed")
	ErrTooLarge    = errors.New("larger than the limit")
	ErrFormat      = errors.New("not one complete JSON value")
	ErrNotAllowed  = errors.New("not allowed")
	ErrUnavailable = errors.New("not available now")
	ErrInactive    = errors.New("topic not active")
)

// A Kind says what a topic carries. It never changes during the life of a topic.
type Kind string

// The kinds of topic.
const (
	KindSnapshot Kind = "snapshot" // a JSON document that changes; changes are computed
	KindEvent    Kind = "event"    // JSON messages, each passed on as it is
)

// A Mode says what a subscriber of a topic is sent.
type Mode string

// The subscription modes.
const (
	ModeSnapshotPatch Mode = "snapshot-patch" // the document once, then RFC 6902 patches
	ModeSnapshotOnly  Mode = "snapshot-only"  // the whole document at each change
	ModeMergePatch    Mode = "merge-patch"    // the document once, then RFC 7396 merge patches
	ModeChanges       Mode = "changes"        // the document once, then which items were created, updated and deleted
	ModeEvent         Mode = "event"          // each message as it is
)

// Modes lists the modes that a kind of topic can serve; the first is the default.
func (k Kind) Modes() []Mode {
	switch k {
	case KindSnapshot:
		return []Mode{ModeSnapshotPatch, ModeSnapshotOnly, ModeMergePatch, ModeChanges}
	case KindEvent:
		return []Mode{ModeEvent}
	}
	return nil
}

// A Revision is the version of a document, 1, 2, 3 … without holes; for an event topic it counts
// the messages. Zero is "nothing yet".
type Revision uint64

// A Tag is a short hash of what a revision holds. It exposes a history that was replaced under the
// same numbers: a topic made again, a store restored or damaged.
type Tag string

// An EventType says what an entry of a journal is.
type EventType string

// The types of event. They are also the names of the SSE events.
const (
	TypeSnapshot   EventType = "snapshot"    // data is the document
	TypePatch      EventType = "patch"       // data is an RFC 6902 patch from the revision before
	TypeMergePatch EventType = "merge-patch" // data is an RFC 7396 merge patch from what its reader has. Not in the history
	TypeChanges    EventType = "changes"     // data says what became of which items, from what its reader has. Not in the history
	TypeEvent      EventType = "event"       // data is a message
	TypeError      EventType = "error"       // data is a Fault; the revision stays what it was
	TypeStatus     EventType = "status"      // how fresh the topic is; data is a Freshness. Not in the history, and without an id
	TypeRecovered  EventType = "recovered"   // the fault before it is over, though nothing changed; data is {"datetime"}
)

// An Event is one entry of a topic's journal.
type Event struct {
	Position           // what its reader holds once the event is applied
	Type     EventType // what Data is
	Time     time.Time // when the source obtained it
	Data     []byte    // one compact JSON value; never changed once made
	// Mark says where in its upstream the topic's source is after the event; for the source alone. Of events
	// that were stored together the last has it.
	Mark string
}

// ID is the event's id on the wire, where a client may resume.
func (e Event) ID() string { return e.Position.String() }
