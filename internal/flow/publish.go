package flow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/jsonpatch"
)

const (
	// MaxLines bounds a batch.
	MaxLines = 10_000
	// A batch is stored in pieces of so many bytes, unless one payload is larger, so that what a feed keeps for
	// its readers (a mebibyte) holds several of them.
	pieceBytes = 128 << 10
	// Between pieces readers get the time to be written to, or a long batch would run away from all of them: two
	// passes of the loops that write, and what the bytes take, to so many readers.
	piecePause   = 3 * time.Millisecond
	bytesPerNano = 2
	longestPause = 100 * time.Millisecond
	// So many mistakes of a batch are told.
	mostMistakes = 100
)

// A Post is what is published at once.
type Post struct {
	Body  []byte
	Lines bool   // each line of the body that is not blank is a payload; else the body is one
	Key   string // by which it is known when it comes again; empty: by nothing
	// Header is what came with it, for topics that take only what proves where it comes from.
	Header http.Header

	proven   bool                // the key is that of a proof
	envelope func([]byte) []byte // what is stored of each payload; nil: the payload
}

// A Receipt says what came of a post.
type Receipt struct {
	Payloads int              // that were posted
	Settled  int              // of those, from the first: in the journal, or no change; all, unless there is an error
	Changed  int              // of those, how many led to an event
	Last     freshet.Position // of the last of these events; zero: there is none
	Repeated bool             // it came before, and nothing was stored now
	Reply    string           // JSON to be answered, and nothing was stored; empty: the receipt is
}

// What a topic says that takes only what proves where it comes from.
var (
	ErrUnproven = source.ErrUnproven
	ErrReplayed = source.ErrReplayed
)

// BadLines are the lines of a batch that are no payloads, for which all of it was refused.
type BadLines []BadLine

// A BadLine is one of them.
type BadLine struct {
	Line  int // 1 is the first, blank ones included
	Fault freshet.Fault
}

func (b BadLines) Error() string {
	texts := make([]string, len(b))
	for i, l := range b {
		texts[i] = fmt.Sprintf("line %d: %s", l.Line, l.Fault.Message)
	}
	return strings.Join(texts, "; ")
}

// Publish hands a post to a topic that takes posts. Its events are in the journal when it returns nil.
//
// Errors: freshet.ErrNotAllowed: the topic's source is of another kind; freshet.ErrInactive: nobody follows the
// topic and it is not always on; a freshet.Fault: the payload is refused; BadLines: a batch is, and
// freshet.ErrTooLarge, since it has more than MaxLines; ErrKeyReused; ErrUnproven and ErrReplayed. Nothing is stored then. Others may come
// amid a batch: the receipt says how much of it is settled. Of what comes next it is not known whether it was
// stored, but a post that has a key can be repeated, and goes on there.
func (f *Flow) Publish(ctx context.Context, name freshet.TopicName, post Post) (Receipt, error) {
	t, err := f.topic(name)
	if err != nil {
		return Receipt{}, err
	}
	if v := t.verifier(); v != nil {
		return t.publishProven(ctx, v, post)
	}
	return t.publishPost(ctx, post)
}

// verifier is what judges the topic's posts; nil: nothing does.
func (t *topic) verifier() source.Verifier {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, _ := t.source.(source.Verifier)
	return v
}

// publishProven publishes a post if it proves where it comes from. It is known by what proves that, not by a key
// that somebody else may have chosen.
func (t *topic) publishProven(ctx context.Context, v source.Verifier, post Post) (Receipt, error) {
	a, err := v.Verify(source.Delivery{Header: post.Header, Body: post.Body})
	switch {
	case err != nil:
		return Receipt{}, fmt.Errorf("%s: %w", t.name, err)
	case a.Reply != nil:
		return Receipt{Reply: string(a.Reply)}, nil
	}
	post.envelope = a.Envelope
	if post.Key = a.Key; a.Key != "" {
		post.Key, post.proven = "proven "+a.Key, true
	}
	got, err := t.publishPost(ctx, post)
	switch {
	case err != nil && a.Failed != nil:
		a.Failed()
	case err == nil && got.Repeated && a.Once:
		return got, fmt.Errorf("%s: %w", t.name, ErrReplayed)
	}
	return got, err
}

func (t *topic) publishPost(ctx context.Context, post Post) (Receipt, error) {
	r, err := t.taker()
	if err != nil {
		return Receipt{}, err
	}
	payloads := [][]byte{post.Body}
	if post.Lines {
		if payloads, err = linesOf(post.Body, r.limits); err != nil {
			return Receipt{}, err
		}
		ctx = context.WithoutCancel(ctx) // who goes away does not leave half a batch behind
	}
	if post.envelope != nil {
		for i, payload := range payloads {
			payloads[i] = post.envelope(payload)
		}
	}
	if post.Key != "" {
		return t.publishOnce(ctx, payloads, post)
	}
	got := Receipt{Payloads: len(payloads)}
	err = t.publish(ctx, payloads, nil, &got)
	return got, err
}

// taker is the topic's runner, if it takes posts now.
func (t *topic) taker() (*runner, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !t.flow.isPushed(t.conf.Source.Type):
		return nil, fmt.Errorf("%w: the source of %s is %s", freshet.ErrNotAllowed, t.name, t.conf.Source.Type)
	case t.running == nil:
		return nil, fmt.Errorf("%w: nobody follows %s and it is not always on", freshet.ErrInactive, t.name)
	}
	return t.runnerLocked(), nil
}

// linesOf are the payloads of a batch.
func linesOf(body []byte, limits jsonpatch.Limits) (payloads [][]byte, err error) {
	var bad BadLines
	var scratch jsonpatch.Document
	n := 0
	for line := range bytes.Lines(body) {
		n++
		if line = bytes.Trim(line, " \t\r\n"); len(line) == 0 {
			continue
		}
		if len(payloads) == MaxLines {
			return nil, fmt.Errorf("a batch may have %d lines: %w", MaxLines, freshet.ErrTooLarge)
		}
		payloads = append(payloads, line)
		if err := scratch.Parse(line, nil, limits); err != nil && len(bad) < mostMistakes {
			bad = append(bad, BadLine{n, formatFault(err, limits, nil)})
		}
	}
	switch {
	case len(bad) > 0:
		return nil, bad
	case len(payloads) == 0:
		return nil, freshet.NewFault(freshet.FaultFormat, "the batch has no payload")
	}
	return payloads, nil
}

// publish stores payloads after those that are settled, piece by piece, and keeps the receipt up to date.
func (t *topic) publish(ctx context.Context, payloads [][]byte, k *key, got *Receipt) error {
	for pause := time.Duration(0); got.Settled < got.Payloads; {
		if pause > 0 {
			<-time.After(pause)
		}
		r, readers, err := t.current()
		if err != nil {
			return err
		}
		piece, size := r.piece(payloads[got.Settled:])
		pause = min(longestPause, piecePause+time.Duration(readers*size/bytesPerNano))
		p := &push{payload: source.Payload{Data: piece[0], Time: time.Now().UTC()}, more: piece[1:], key: k}
		r.take(ctx, p)
		got.Settled += p.settled
		if got.Changed += p.changed; p.changed > 0 {
			got.Last = p.last
		}
		if k != nil {
			k.receipt = *got
		}
		if p.err != nil {
			return p.err
		}
	}
	return nil
}

// current is the topic's runner, which is another once the topic was configured anew, and how many read it.
func (t *topic) current() (r *runner, readers int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.removed {
		return nil, 0, fmt.Errorf("%w: %s was deleted", freshet.ErrNotFound, t.name)
	}
	return t.runnerLocked(), t.followers, nil
}

// piece is what of the payloads is stored at once, and its size in bytes.
func (r *runner) piece(payloads [][]byte) (piece [][]byte, size int) {
	n, size := 1, len(payloads[0])
	for n < min(len(payloads), mostAtOnce) {
		more := len(payloads[n])
		if size+more > pieceBytes || !r.store.Fits(n+1, size+more) {
			break
		}
		n, size = n+1, size+more
	}
	return payloads[:n], size
}

// publishOnce is publish of a post that has a key, unless it was published before.
func (t *topic) publishOnce(ctx context.Context, payloads [][]byte, post Post) (Receipt, error) {
	ring := t.keyring()
	k := newKey(post)
	release, err := ring.hold(ctx, k.id)
	if err != nil {
		return Receipt{}, err
	}
	defer release()
	had, err := ring.find(ctx, k.id)
	switch {
	case err != nil:
		return Receipt{}, err
	case had != nil && had.body != k.body:
		return Receipt{}, fmt.Errorf("%w: %q", ErrKeyReused, post.Key)
	case had != nil:
		k.receipt = had.receipt
	}
	got := k.receipt
	if got.Payloads = len(payloads); got.Settled >= got.Payloads {
		got.Settled, got.Repeated = got.Payloads, true
		return got, nil
	}
	k.receipt.Payloads = got.Payloads
	err = t.publish(ctx, payloads, k, &got)
	if got.Settled > 0 {
		k.at = time.Now()
		ring.put(*k)
	}
	if _, refused := errors.AsType[freshet.Fault](err); err != nil && !refused {
		ring.doubt() // it may be in the journal
	}
	return got, err
}

// keyring is made when the first post with a key comes.
func (t *topic) keyring() *keyring {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.keys == nil {
		t.keys = newKeyring(t.flow.Journal, t.id)
	}
	return t.keys
}
