package flow

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"freshet"
	"freshet/internal/flow/journal"
)

// ErrKeyReused says that a post has the key of another one.
var ErrKeyReused = errors.New("the key is that of another post")

const (
	keyAge   = 24 * time.Hour // how long a key is remembered at most
	mostKeys = 16 << 10       // of a topic
	// After a restart keys are found in that much of a topic's history.
	keyHistory = 64 << 20
	// So many keys fit into the note of one message.
	mostKeysAtOnce = 40
)

// A digest tells keys, and bodies, apart.
type digest [12]byte

func digestOf(kind string, data []byte) (d digest) {
	h := sha256.New()
	_, _ = h.Write([]byte(kind)) // never fails
	_, _ = h.Write(data)
	var sum [sha256.Size]byte
	copy(d[:], h.Sum(sum[:0]))
	return d
}

func (d digest) append(b []byte) []byte { return base64.RawURLEncoding.AppendEncode(b, d[:]) }

func parseDigest(s string) (d digest, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return d, err == nil && copy(d[:], b) == len(d) && len(b) == len(d)
}

// A key is what a post is known by when it comes again, and what came of it.
type key struct {
	id, body digest
	receipt  Receipt // without the number of payloads, where it was read from the journal
	at       time.Time
}

func newKey(p Post) *key {
	kind := "one "
	if p.Lines {
		kind = "lines "
	}
	body := p.Body
	if p.proven { // with the same proof it is the same, even where its sender puts it in other words
		body = nil
	}
	return &key{id: digestOf("", []byte(p.Key)), body: digestOf(kind, body)}
}

// noteOf is what the journal keeps with events so that the keys of the posts that led to them outlast a
// restart: of each post with a key which of the events is its last, and how much of it is settled with that.
func noteOf(changes []change) string {
	var b []byte
	for i, c := range changes {
		k := c.push.key
		if k == nil || i+1 < len(changes) && changes[i+1].push == c.push {
			continue
		}
		of := 1 // its changes stand together
		for of <= i && changes[i-of].push == c.push {
			of++
		}
		if len(b) > 0 {
			b = append(b, ' ')
		}
		b = append(strconv.AppendInt(b, int64(i), 10), ',')
		b = append(k.id.append(b), ',')
		b = append(k.body.append(b), ',')
		b = append(strconv.AppendInt(b, int64(k.receipt.Settled+c.upTo), 10), ',')
		b = strconv.AppendInt(b, int64(k.receipt.Changed+of), 10)
	}
	return string(b)
}

// keysOf reads a note. What is none of ours is left out.
func keysOf(n journal.Note) (keys []key) {
	for field := range strings.SplitSeq(n.Text, " ") {
		f := strings.Split(field, ",")
		if len(f) != 5 {
			continue
		}
		at, err1 := strconv.Atoi(f[0])
		settled, err2 := strconv.Atoi(f[3])
		changed, err3 := strconv.Atoi(f[4])
		id, ok1 := parseDigest(f[1])
		body, ok2 := parseDigest(f[2])
		if errors.Join(err1, err2, err3) != nil || !ok1 || !ok2 || at < 0 || at >= len(n.Events) {
			continue
		}
		ev := n.Events[at]
		keys = append(keys, key{id, body, Receipt{Settled: settled, Changed: changed, Last: ev.Position}, ev.Time})
	}
	return keys
}

// A keyring remembers the keys of a topic's posts: those that led to events by the journal, others as long as
// the process runs.
type keyring struct {
	store Journal
	topic freshet.TopicID

	mu      sync.Mutex
	posting map[digest]chan struct{} // closed when the post with that key is done
	known   map[digest]key
	order   []digest // of known, the oldest first
	read    bool     // what the journal has is known
}

func newKeyring(store Journal, topic freshet.TopicID) *keyring {
	return &keyring{store: store, topic: topic, posting: map[digest]chan struct{}{}, known: map[digest]key{}}
}

// hold waits until no other post with the key is under way, and keeps others waiting until it is released.
func (k *keyring) hold(ctx context.Context, id digest) (release func(), err error) {
	for {
		k.mu.Lock()
		other, busy := k.posting[id]
		if !busy {
			done := make(chan struct{})
			k.posting[id] = done
			k.mu.Unlock()
			return func() {
				k.mu.Lock()
				delete(k.posting, id)
				k.mu.Unlock()
				close(done)
			}, nil
		}
		k.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// find is what is known of a key; nil: nothing.
func (k *keyring) find(ctx context.Context, id digest) (*key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.read {
		for n, err := range k.store.Notes(ctx, k.topic, mostKeys, keyHistory) {
			if err != nil {
				return nil, fmt.Errorf("find the keys of posts: %w", err)
			}
			for _, had := range keysOf(n) {
				if known, ok := k.known[had.id]; !ok || known.body != had.body || known.receipt.Settled < had.receipt.Settled {
					k.putLocked(had)
				}
			}
		}
		k.read = true
	}
	if had, ok := k.known[id]; ok && time.Since(had.at) < keyAge {
		return &had, nil
	}
	return nil, nil //nolint:nilnil // nothing is known, and nothing is wrong
}

func (k *keyring) put(n key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.putLocked(n)
}

func (k *keyring) putLocked(n key) {
	if _, ok := k.known[n.id]; !ok {
		k.order = append(k.order, n.id)
	}
	k.known[n.id] = n
	for len(k.order) > mostKeys || time.Since(k.known[k.order[0]].at) > keyAge {
		delete(k.known, k.order[0])
		if k.order = k.order[1:]; len(k.order) == 0 {
			return
		}
	}
}

// doubt has the journal read again before anything is found.
func (k *keyring) doubt() {
	k.mu.Lock()
	k.read = false
	k.mu.Unlock()
}
