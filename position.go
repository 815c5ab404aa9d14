package freshet

import (
	"fmt"
	"strconv"
	"strings"
)

// A Position is a place in the history of a topic: the revision that its reader holds there, where
// the journal keeps the event that led to it, and the tag of what it holds. The zero Position is
// before the first event.
type Position struct {
	Revision Revision
	Sequence uint64 // the event's number in the journal's store; has holes, only ever compared
	Tag      Tag
}

// maxTag bounds a tag, and with it an event id, which stays far below the 128 bytes that clients
// and proxies were seen to accept.
const maxTag = 16

// String is the event id of the position: revision, sequence and tag, joined by dashes. Clients
// treat it as opaque. It holds only [0-9a-z-], which no EventSource needs a CORS preflight for.
func (p Position) String() string {
	return strconv.FormatUint(uint64(p.Revision), 10) + "-" + strconv.FormatUint(p.Sequence, 36) + "-" + string(p.Tag)
}

// ParsePosition reads an event id. It accepts exactly what String makes.
func ParsePosition(id string) (Position, error) {
	rev, rest, ok := strings.Cut(id, "-")
	seq, tag, ok2 := strings.Cut(rest, "-")
	if !ok || !ok2 || len(tag) > maxTag {
		return Position{}, fmt.Errorf("event id %.64q is not one of ours", id)
	}
	r, err1 := strconv.ParseUint(rev, 10, 64)
	s, err2 := strconv.ParseUint(seq, 36, 64)
	p := Position{Revision(r), s, Tag(tag)}
	if err1 != nil || err2 != nil || strings.Trim(tag, "0123456789abcdefghijklmnopqrstuvwxyz") != "" || p.String() != id {
		return Position{}, fmt.Errorf("event id %.64q is not one of ours", id)
	}
	return p, nil
}
