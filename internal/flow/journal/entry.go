package journal

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"freshet"
)

// An Entry is an event as the log holds it.
type Entry struct {
	freshet.Event
	// Prev is the sequence of the topic's entry before, as its writer saw it; 0 for the first ever.
	Prev uint64
}

// headerEntry holds all that the journal knows of an entry beside its body.
const headerEntry = "Freshet-Entry"

// meta is what headerEntry says: one line of fields, so that it is read with one look-up.
type meta struct {
	kind  freshet.EventType
	rev   freshet.Revision
	tag   freshet.Tag
	prev  uint64 // of an entry: the sequence before; of a keyframe: the sequence it results from
	at    time.Time
	count uint64 // entries of this log so far, this one included; starts anew when the log was empty
	bytes uint64 // sizes of those
	size  uint64 // of the body
	parts int    // messages that hold the body; 0: it is in this one
	nonce string // tells this append from any other
}

const metaFields = 11

func (m meta) String() string {
	at := "-"
	if !m.at.IsZero() {
		at = strconv.FormatInt(m.at.UnixNano(), 10)
	}
	tag := "-"
	if m.tag != "" {
		tag = string(m.tag)
	}
	return fmt.Sprintf("%s %s %d %s %d %s %d %d %d %d %s",
		version, m.kind, m.rev, tag, m.prev, at, m.count, m.bytes, m.size, m.parts, m.nonce)
}

// parseMeta reads what String wrote. It accepts nothing else, so that damage does not pass for data.
func parseMeta(s string) (meta, error) {
	f := strings.Split(s, " ")
	if len(f) != metaFields || f[0] != version {
		return meta{}, fmt.Errorf("entry header %.200q is not of version %s", s, version)
	}
	var errs [6]error
	number := func(i int, s string) (n uint64) {
		n, errs[i] = strconv.ParseUint(s, 10, 64)
		return n
	}
	m := meta{
		kind: freshet.EventType(f[1]), rev: freshet.Revision(number(0, f[2])), tag: freshet.Tag(f[3]),
		prev: number(1, f[4]), count: number(2, f[6]), bytes: number(3, f[7]), size: number(4, f[8]), nonce: f[10],
	}
	if m.tag == "-" {
		m.tag = ""
	}
	if f[5] != "-" {
		nanos, err := strconv.ParseInt(f[5], 10, 64)
		m.at, errs[5] = time.Unix(0, nanos).UTC(), err
	}
	parts, err := strconv.ParseUint(f[9], 10, 16)
	m.parts = int(parts) //nolint:gosec // at most 16 bits
	if err := errors.Join(append(errs[:], err)...); err != nil {
		return meta{}, fmt.Errorf("entry header %.200q: %w", s, err)
	}
	if m.nonce == "" || m.kind == "" || m.String() != s {
		return meta{}, fmt.Errorf("entry header %.200q is not as it was written", s)
	}
	return m, nil
}

// position of the entry at seq.
func (m meta) position(seq uint64) freshet.Position {
	return freshet.Position{Revision: m.rev, Sequence: seq, Tag: m.tag}
}

// A message is one message of a stream.
type message struct {
	subject string
	seq     uint64
	header  nats.Header
	data    []byte
}

// meta reads the header; a message without a good one is damage.
func (m message) meta() (meta, error) {
	got, err := parseMeta(m.header.Get(headerEntry))
	if err != nil {
		return meta{}, fmt.Errorf("message %d of %s: %w: %w", m.seq, m.subject, err, ErrBroken)
	}
	if got.parts == 0 && got.size != uint64(len(m.data)) {
		return meta{}, fmt.Errorf("message %d of %s has %d bytes instead of %d: %w", m.seq, m.subject, len(m.data), got.size, ErrBroken)
	}
	return got, nil
}
