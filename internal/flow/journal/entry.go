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

// A message holds one entry or, when several were appended at once, up to maxBatch: one write to the disk
// then makes all of them durable. So an entry's sequence has two parts: the message's number in its
// stream, and below that the entry's place in the message.
const (
	placeBits = 10
	maxBatch  = 1 << placeBits
)

// FirstSequence is the least that an entry can have: JetStream counts messages from 1.
const FirstSequence = maxBatch

// sequence of the last of n entries of a message.
func sequence(message uint64, n int) uint64 { return message<<placeBits + uint64(n) - 1 } //nolint:gosec // 1 to maxBatch

// messageOf is the number of the message that the entry with a sequence is in.
func messageOf(sequence uint64) uint64 { return sequence >> placeBits }

// headerEntry holds all that the journal knows of a message's entries beside their bodies.
const headerEntry = "Freshet-Entry"

// headerMark holds the mark of a message's last entry, quoted; messages without a mark have none.
const headerMark = "Freshet-Mark"

// meta is what headerEntry says: one line of fields, so that it is read with one look-up. Of a message of
// several entries it says what the last one is.
type meta struct {
	kind  freshet.EventType
	rev   freshet.Revision
	tag   freshet.Tag
	prev  uint64 // of an entry: the sequence before the message's first; of a keyframe: the sequence it results from
	at    time.Time
	count uint64 // entries of this log so far, these included; starts anew when the log was empty
	bytes uint64 // sizes of those
	size  uint64 // of the body
	parts int    // messages that hold the body; 0: it is in this one
	n     int    // entries in the message, 1 to maxBatch
	nonce string // tells this append from any other
	mark  string // freshet.Event.Mark of the last entry; in headerMark
	note  string // of the writer; stored beside this
}

const metaFields = 12

func (m meta) String() string {
	b := make([]byte, 0, 160)
	b = append(append(append(b, version...), ' '), m.kind...)
	b = strconv.AppendUint(append(b, ' '), uint64(m.rev), 10)
	if b = append(b, ' '); m.tag != "" {
		b = append(b, m.tag...)
	} else {
		b = append(b, '-')
	}
	b = strconv.AppendUint(append(b, ' '), m.prev, 10)
	if b = append(b, ' '); !m.at.IsZero() {
		b = strconv.AppendInt(b, m.at.UnixNano(), 10)
	} else {
		b = append(b, '-')
	}
	for _, n := range [...]uint64{m.count, m.bytes, m.size} {
		b = strconv.AppendUint(append(b, ' '), n, 10)
	}
	for _, n := range [...]int{m.parts, m.n} {
		b = strconv.AppendInt(append(b, ' '), int64(n), 10)
	}
	return string(append(append(b, ' '), m.nonce...))
}

// storable says whether parseMeta reads what String writes as the same.
func (m meta) storable() bool {
	return m.kind != "" && m.tag != "-" && !strings.ContainsAny(string(m.kind), " \r\n") && !strings.ContainsAny(string(m.tag), " \r\n")
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
		prev: number(1, f[4]), count: number(2, f[6]), bytes: number(3, f[7]), size: number(4, f[8]), nonce: f[11],
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
	n, err2 := strconv.ParseUint(f[10], 10, placeBits+1)
	m.n = int(n) //nolint:gosec // as few
	if err := errors.Join(append(errs[:], err, err2)...); err != nil {
		return meta{}, fmt.Errorf("entry header %.200q: %w", s, err)
	}
	if m.nonce == "" || m.kind == "" || m.n < 1 || m.n > maxBatch || m.String() != s {
		return meta{}, fmt.Errorf("entry header %.200q is not as it was written", s)
	}
	return m, nil
}

// position of the last entry of a message.
func (m meta) position(message uint64) freshet.Position {
	return freshet.Position{Revision: m.rev, Sequence: sequence(message, m.n), Tag: m.tag}
}

// result is the position that a keyframe results from.
func (m meta) result() freshet.Position {
	return freshet.Position{Revision: m.rev, Sequence: m.prev, Tag: m.tag}
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
	if quoted := m.header.Get(headerMark); quoted != "" {
		if got.mark, err = strconv.Unquote(quoted); err != nil {
			return meta{}, fmt.Errorf("message %d of %s has the mark %.200q: %w", m.seq, m.subject, quoted, ErrBroken)
		}
	}
	return got, nil
}
