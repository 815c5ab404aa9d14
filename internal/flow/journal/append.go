package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"freshet"
)

// Append stores events after head, which is where the caller last saw the topic's end: the zero Position
// for the first event ever. Each follows the one before; all are stored or none. Their revisions and tags
// are the caller's; Append sets their sequences. When it returns, they are as durable as the store's sync
// setting makes them.
//
// Errors: ErrFenced when head is not the end, and nothing was stored; freshet.ErrTooLarge, also for what
// would not fit into one message together (Fits); ErrBroken when the store lost its end;
// freshet.ErrUnavailable, or ctx's, when the outcome is not known: if the events were stored after all the
// next Append is fenced, and Head shows it.
//
// The note, up to 3 KiB of printable ASCII, is kept with the events for as long as they are; Notes finds it.
func (j *Journal) Append(ctx context.Context, id freshet.TopicID, head freshet.Position, events []freshet.Event, note string) error {
	if err := j.append(ctx, id, head, events, note); err != nil {
		return fmt.Errorf("append to %s after %s: %w", id, head, err)
	}
	return nil
}

// Fits says whether so many events, of so many bytes together, can be appended at once.
func (j *Journal) Fits(events, bytes int) bool {
	return events == 1 || events <= maxBatch && bytes+events*100 <= j.inline // 100 for what stands before each
}

func (j *Journal) append(ctx context.Context, id freshet.TopicID, head freshet.Position, events []freshet.Event, note string) error {
	if !isNote(note) {
		return fmt.Errorf("the note %.100q cannot be stored", note)
	}
	size := 0
	for _, ev := range events {
		size += len(ev.Data)
		if len(events) > 1 && !inBatch(ev) {
			return fmt.Errorf("type %q or tag %q cannot be stored", ev.Type, ev.Tag)
		}
	}
	if int64(size) > j.largest || !j.Fits(len(events), size) {
		return fmt.Errorf("%d bytes, at most %d fit: %w", size, j.largest, freshet.ErrTooLarge)
	}
	err := j.appendOnce(ctx, id, head, events, note)
	if errors.Is(err, errWrongLast) {
		// Nothing follows head, yet head is not what the store has: retention took it since it was
		// remembered. The second try asks the store.
		err = j.appendOnce(ctx, id, head, events, note)
	}
	if errors.Is(err, errWrongLast) {
		err = ErrFenced
	}
	return err
}

func (j *Journal) appendOnce(ctx context.Context, id freshet.TopicID, head freshet.Position, events []freshet.Event, note string) error {
	end, err := j.end(ctx, id, head)
	if err != nil {
		return err
	}
	last := events[len(events)-1]
	body := last.Data
	if len(events) > 1 {
		body = encodeBatch(events)
	}
	size := uint64(len(body))
	m := meta{
		kind: last.Type, rev: last.Revision, tag: last.Tag, prev: head.Sequence, at: last.Time,
		count: end.count + uint64(len(events)), bytes: end.bytes + size, size: size, n: len(events), nonce: nuid.Next(), mark: last.Mark, note: note,
	}
	at := j.feed(id)
	seq, err := j.store(ctx, at, m, body, end.stored, func(ctx context.Context) (uint64, error) {
		return j.follower(ctx, at, head, end.stored, m.nonce)
	})
	if err != nil {
		j.forget(id)
		return err
	}
	if seq <= messageOf(head.Sequence) {
		// The store lost messages and gives their numbers out again. Readers could not tell the new
		// ones from those that they have, so this history ends here.
		return errors.Join(fmt.Errorf("message %d was given twice: %w", seq, ErrBroken), j.Delete(ctx, id))
	}
	j.remember(id, tail{head: sequence(seq, m.n), stored: seq, count: m.count, bytes: m.bytes, oldest: end.oldest})
	for i := range events {
		events[i].Sequence = sequence(seq, i+1)
	}
	return nil
}

// follower is the message that follows head, if it is the one with the nonce, or ErrFenced. errNone: there is
// none, yet. errWrongLast: there is none, nor will there be, as head is not the message that was expected.
func (j *Journal) follower(ctx context.Context, at place, head freshet.Position, expected uint64, nonce string) (uint64, error) {
	for {
		next, got, err := j.get(ctx, at.stream, query{Next: at.entry(), Seq: messageOf(head.Sequence) + 1})
		if err == nil && got.nonce != nonce {
			err = ErrFenced
		}
		if !errors.Is(err, errNone) {
			return next, err
		}
		last, _, err := j.last(ctx, at)
		switch {
		case errors.Is(err, errNone):
			last = 0
		case err != nil:
			return 0, err
		}
		switch {
		case last == expected:
			return 0, errNone
		case last <= messageOf(head.Sequence):
			return 0, errWrongLast
		} // it has come meanwhile
	}
}

// end finds what an append after head needs to know: from memory, or from the store.
func (j *Journal) end(ctx context.Context, id freshet.TopicID, head freshet.Position) (tail, error) {
	j.mu.Lock()
	t, ok := j.tails[id]
	j.mu.Unlock()
	if ok && t.head == head.Sequence {
		return t, nil
	}
	last, m, err := j.last(ctx, j.feed(id))
	switch {
	case err == nil && m.position(last) == head:
		return tail{head: head.Sequence, stored: last, count: m.count, bytes: m.bytes}, nil
	case err == nil:
		return tail{}, fmt.Errorf("it is at %s: %w", m.position(last), ErrFenced)
	case !errors.Is(err, errNone):
		return tail{}, err
	}
	// The log is empty: nothing was appended ever, or retention took all of it, and then the keyframe
	// says where it ended. The store expects 0 either way.
	_, m, err = j.last(ctx, j.snap(id))
	switch {
	case errors.Is(err, errNone) && head == freshet.Position{}:
		return tail{}, nil
	case errors.Is(err, errNone):
		return tail{}, fmt.Errorf("it is empty: %w", ErrFenced)
	case err != nil:
		return tail{}, err
	case m.result() != head:
		return tail{}, fmt.Errorf("it is at %s: %w", m.result(), ErrFenced)
	}
	return tail{head: head.Sequence}, nil
}

// last is the sequence and header of the last entry, or the keyframe, at a place.
func (j *Journal) last(ctx context.Context, at place) (uint64, meta, error) {
	return j.get(ctx, at.stream, query{Last: at.entry()})
}

func (j *Journal) get(ctx context.Context, stream string, q query) (uint64, meta, error) {
	msg, err := j.strong(ctx, stream, q)
	if err != nil {
		return 0, meta{}, err
	}
	m, err := msg.meta()
	return msg.seq, m, err
}

func (j *Journal) remember(id freshet.TopicID, t tail) {
	j.mu.Lock()
	j.tails[id] = t
	j.mu.Unlock()
}

func (j *Journal) forget(id freshet.TopicID) {
	j.mu.Lock()
	delete(j.tails, id)
	j.mu.Unlock()
}

// store puts a body with its header at a place if the last message there is expect, and returns its
// sequence, or errWrongLast. settle finds out what became of an attempt without an answer, or refused: the
// sequence, ErrFenced if another's message is there, errWrongLast if the last message is not expect for
// another reason, or errNone if it still is.
func (j *Journal) store(ctx context.Context, at place, m meta, body []byte, expect uint64, settle func(context.Context) (uint64, error)) (uint64, error) {
	if !m.storable() {
		return 0, fmt.Errorf("type %q or tag %q cannot be stored", m.kind, m.tag)
	}
	msg := nats.NewMsg(at.entry())
	msg.Data = body
	if len(body) > j.inline {
		var err error
		if m.parts, err = j.storeParts(ctx, at, m.nonce, body); err != nil {
			return 0, err
		}
		msg.Data = nil
	}
	msg.Header.Set(headerEntry, m.String())
	if m.mark != "" {
		msg.Header.Set(headerMark, strconv.QuoteToASCII(m.mark))
	}
	if m.note != "" {
		msg.Header.Set(headerNote, m.note)
	}
	seq, err := j.storeEntry(ctx, msg, expect, settle)
	if m.parts > 0 && (errors.Is(err, ErrFenced) || errors.Is(err, errWrongLast)) {
		err = errors.Join(err, j.purge(ctx, at.stream, at.parts(m.nonce), 0))
	}
	return seq, err
}

func (j *Journal) storeEntry(ctx context.Context, msg *nats.Msg, expect uint64, settle func(context.Context) (uint64, error)) (uint64, error) {
	for deadline := time.Now().Add(j.patience); ; {
		try, cancel := context.WithTimeout(ctx, j.attempt)
		seq, err := j.publish(try, msg, expect)
		cancel()
		refused := errors.Is(err, errWrongLast)
		if err == nil || !refused && !passing(err) && ctx.Err() == nil {
			return seq, err
		}
		// An attempt without an answer may have been stored, and this one been refused for it: also before
		// that can be seen, while a cluster still agrees on it. So a refusal alone decides nothing.
		seq, found := settle(ctx)
		if refused { // the caller must not take it for the last word
			err = fmt.Errorf("%w: %v", errRetry, err) //nolint:errorlint // for that
		}
		switch {
		case !errors.Is(found, errNone):
			return seq, found
		case ctx.Err() != nil:
			return 0, fmt.Errorf("%w (last: %w)", context.Cause(ctx), err)
		case j.nc.IsClosed() || time.Now().After(deadline):
			return 0, fmt.Errorf("%w: %w", err, freshet.ErrUnavailable)
		}
		wait(ctx)
	}
}

// storeParts stores a body in as many messages as it needs, and returns how many. They come right
// before the entry that names them, so that retention can tell from the sequence whose they are.
func (j *Journal) storeParts(ctx context.Context, at place, nonce string, body []byte) (n int, err error) {
	for part := range slices.Chunk(body, j.inline) {
		msg := nats.NewMsg(at.part(nonce, n))
		msg.Data = part
		err := j.retry(ctx, func(ctx context.Context) error {
			_, err := j.publish(ctx, msg, 0)
			if errors.Is(err, errWrongLast) {
				return nil // stored by an attempt before, whose answer was lost
			}
			return err
		})
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// body is what an entry, or a keyframe, holds; errParts when parts of it are gone.
func (j *Journal) body(ctx context.Context, at place, msg message, m meta) ([]byte, error) {
	if m.parts == 0 {
		if len(msg.data) == 0 {
			return nil, nil
		}
		return msg.data, nil
	}
	body := make([]byte, 0, m.size)
	for next, more := uint64(0), true; more; {
		var parts []message
		var err error
		if parts, more, err = j.page(ctx, at.stream, query{Next: at.parts(m.nonce), Seq: next}); err != nil {
			return nil, err
		}
		for _, p := range parts {
			body = append(body, p.data...)
			next = p.seq + 1
		}
	}
	if uint64(len(body)) != m.size {
		return nil, fmt.Errorf("%d of %d bytes are left of message %d of %s: %w", len(body), m.size, msg.seq, msg.subject, errParts)
	}
	return body, nil
}

// entries are those that the message holds; errParts when parts of it are gone.
func (j *Journal) entries(ctx context.Context, at place, msg message) ([]Entry, error) {
	m, err := msg.meta()
	if err != nil {
		return nil, err
	}
	body, err := j.body(ctx, at, msg, m)
	if err != nil {
		return nil, err
	}
	if m.n == 1 {
		return []Entry{{freshet.Event{Position: m.position(msg.seq), Type: m.kind, Time: m.at, Data: body, Mark: m.mark}, m.prev}}, nil
	}
	events, err := parseBatch(body)
	if err == nil && len(events) != m.n {
		err = fmt.Errorf("%d entries instead of %d", len(events), m.n)
	}
	if err != nil {
		return nil, fmt.Errorf("message %d of %s: %w: %w", msg.seq, msg.subject, err, ErrBroken)
	}
	all := make([]Entry, m.n)
	prev := m.prev
	for i, ev := range events {
		ev.Sequence = sequence(msg.seq, i+1)
		all[i], prev = Entry{ev, prev}, ev.Sequence
	}
	all[m.n-1].Mark = m.mark
	return all, nil
}
