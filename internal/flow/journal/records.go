package journal

import (
	"cmp"
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"freshet"
)

const (
	headerDeleted = "Freshet-Deleted" // the record is gone since this message
	headerNonce   = "Freshet-Nonce"   // tells this write from any other

	// graveTime is how long the mark of a deleted record stays: longer than a reader may be away.
	graveTime = "168h"
	maxKey    = 512
)

// Records is a small keyed store with compare-and-set, in a bucket of its own.
type Records struct {
	j      *Journal
	bucket string
}

// A Record is a value with the revision that a change of it has to name.
type Record struct {
	Key      string
	Value    []byte
	Revision uint64 // rises with each change, of any record
}

// A Change is a record as it is now; a deleted one has no value.
type Change struct {
	Record
	Deleted bool
}

// Records is the bucket of that name, [a-z]+. It exists as soon as it holds something.
func (j *Journal) Records(bucket string) *Records { return &Records{j, bucket} }

// keyMark and keyEncoding make any key a subject token, the empty one too.
const keyMark = "x"

var keyEncoding = base32.HexEncoding.WithPadding(base32.NoPadding) //nolint:gochecknoglobals // as good as a constant

func (r *Records) subject(key string) string {
	return r.j.subject("r", r.bucket, keyMark+strings.ToLower(keyEncoding.EncodeToString([]byte(key))))
}

func (r *Records) stream() string { return r.j.name("REC") }

// key is the reverse of subject; false: the record is of another bucket.
func (r *Records) key(subject string) (string, bool) {
	token, ok := strings.CutPrefix(subject, r.j.subject("r", r.bucket, keyMark))
	if !ok {
		return "", false
	}
	key, err := keyEncoding.DecodeString(strings.ToUpper(token))
	return string(key), err == nil
}

// Get is the value of a key and its revision, as the leader of the store has it;
// freshet.ErrNotFound when there is none.
func (r *Records) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	msg, err := r.j.strong(ctx, r.stream(), query{Last: r.subject(key)})
	if errors.Is(err, errNone) || err == nil && msg.header.Get(headerDeleted) != "" {
		return nil, 0, fmt.Errorf("record %s %q: %w", r.bucket, key, freshet.ErrNotFound)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("record %s %q: %w", r.bucket, key, err)
	}
	return msg.data, msg.seq, nil
}

// Put stores a value if the record's revision is the given one, 0 for a record that must not exist,
// and returns the new revision. Errors: freshet.ErrExists for revision 0, freshet.ErrConflict for
// others; freshet.ErrTooLarge for a value beyond 4 MiB or what the server takes;
// freshet.ErrUnavailable or ctx's, when it is not known whether the value was stored.
func (r *Records) Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if len(value) > r.j.inline || len(key) > maxKey {
		return 0, fmt.Errorf("record %s %.100q: %w", r.bucket, key, freshet.ErrTooLarge)
	}
	msg := nats.NewMsg(r.subject(key))
	msg.Data = value
	seq, err := r.write(ctx, msg, revision)
	switch {
	case errors.Is(err, errWrongLast) && revision == 0:
		err = freshet.ErrExists
	case errors.Is(err, errWrongLast):
		err = freshet.ErrConflict
	}
	if err != nil {
		return 0, fmt.Errorf("record %s %q: %w", r.bucket, key, err)
	}
	return seq, nil
}

// Delete removes a record if its revision is the given one; 0 is whatever it is. Errors:
// freshet.ErrNotFound, freshet.ErrConflict; others as for Put.
func (r *Records) Delete(ctx context.Context, key string, revision uint64) error {
	_, now, err := r.Get(ctx, key)
	if err != nil {
		return err
	}
	if revision != 0 && revision != now {
		return fmt.Errorf("record %s %q: %w", r.bucket, key, freshet.ErrConflict)
	}
	msg := nats.NewMsg(r.subject(key))
	msg.Header.Set(headerDeleted, "1")
	msg.Header.Set(nats.MsgTTLHdr, graveTime)
	_, err = r.write(ctx, msg, now)
	if errors.Is(err, errWrongLast) {
		err = freshet.ErrConflict
	}
	if err != nil {
		return fmt.Errorf("record %s %q: %w", r.bucket, key, err)
	}
	return nil
}

// write stores a message of a record that has a revision, 0 for none or a deleted one.
func (r *Records) write(ctx context.Context, msg *nats.Msg, revision uint64) (uint64, error) {
	nonce := nuid.Next()
	msg.Header.Set(headerNonce, nonce)
	expect := revision
	settle := func(ctx context.Context) (uint64, error) {
		got, err := r.j.strong(ctx, r.stream(), query{Last: msg.Subject})
		switch {
		case err == nil && got.header.Get(headerNonce) == nonce:
			return got.seq, nil
		case err == nil && got.seq == expect:
			return 0, errNone
		case err == nil && revision == 0 && got.header.Get(headerDeleted) != "":
			expect = got.seq // the mark of a deleted record is in the way
			return 0, errWrongLast
		case err == nil, errors.Is(err, errNone) && expect != 0:
			return 0, errWrongLast
		}
		return 0, err
	}
	seq, err := r.j.storeEntry(ctx, msg, expect, settle)
	if errors.Is(err, errWrongLast) && expect != revision {
		return r.j.storeEntry(ctx, msg, expect, settle)
	}
	return seq, err
}

// List is all records of the bucket by key. It may lack what another node wrote just now.
func (r *Records) List(ctx context.Context) ([]Record, error) {
	all := map[string]Record{}
	w := watcher{r: r}
	if _, err := w.read(ctx, func(c Change) bool {
		if c.Deleted {
			delete(all, c.Key)
		} else {
			all[c.Key] = c.Record
		}
		return true
	}); err != nil {
		return nil, err
	}
	list := make([]Record, 0, len(all))
	for _, rec := range all {
		list = append(list, rec)
	}
	slices.SortFunc(list, func(a, b Record) int { return cmp.Compare(a.Key, b.Key) })
	return list, nil
}

// Watch yields each record as it is and then each change, in the order of their revisions, until ctx
// ends. A record that changes repeatedly may be seen in its last state only. The only error, which
// ends it, is that the connection is closed or a record cannot be read.
func (r *Records) Watch(ctx context.Context) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		live := make(chan *nats.Msg, tailBuffer)
		sub, err := r.j.nc.ChanSubscribe(r.j.subject("rl", ">"), live)
		if err != nil {
			yield(Change{}, fmt.Errorf("watch %s: %w: %w", r.bucket, err, freshet.ErrUnavailable))
			return
		}
		defer func() { _ = sub.Unsubscribe() }() // fails only when the connection has ended
		w := watcher{r: r}
		for {
			more, err := w.read(ctx, func(c Change) bool { return yield(c, nil) })
			switch {
			case ctx.Err() != nil:
				return
			case errors.Is(err, freshet.ErrUnavailable) && !r.j.nc.IsClosed():
				r.j.log.WarnContext(ctx, "the journal does not answer", "bucket", r.bucket, "err", err)
				continue
			case err != nil:
				yield(Change{}, err)
				return
			case !more || !w.follow(ctx, sub, live, yield):
				return
			}
		}
	}
}

// A watcher goes along all records by the sequence of the stream, which has no holes in what is
// live: that shows whether something was missed.
type watcher struct {
	r    *Records
	last uint64
	drops
}

// read yields what the store has after last; false: the caller is done.
func (w *watcher) read(ctx context.Context, yield func(Change) bool) (bool, error) {
	for more := true; more; {
		var page []message
		var err error
		page, more, err = w.r.j.page(ctx, w.r.stream(), query{Next: w.r.j.subject("r", ">"), Seq: w.last + 1})
		if err != nil {
			return false, fmt.Errorf("read records %s: %w", w.r.bucket, err)
		}
		for _, msg := range page {
			if !w.take(msg, yield) {
				return false, nil
			}
		}
	}
	return true, nil
}

func (w *watcher) take(msg message, yield func(Change) bool) bool {
	w.last = msg.seq
	key, ok := w.r.key(msg.subject)
	if !ok {
		return true
	}
	c := Change{Record{key, msg.data, msg.seq}, msg.header.Get(headerDeleted) != ""}
	return yield(c)
}

// follow yields live changes; true: the store has to be read, since one was missed or it is time.
func (w *watcher) follow(ctx context.Context, sub *nats.Subscription, live <-chan *nats.Msg, yield func(Change, error) bool) bool {
	check := time.NewTimer(tailCheck)
	defer check.Stop()
	for {
		if w.missed(sub, len(live)) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-check.C:
			return true
		case m := <-live:
			msg, err := received(m)
			switch {
			case err == nil && msg.seq <= w.last:
				continue
			case err != nil || msg.seq != w.last+1:
				return true
			case !w.take(msg, func(c Change) bool { return yield(c, nil) }):
				return false
			}
		}
	}
}
