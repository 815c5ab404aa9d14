// Package journal keeps the history of topics: durable, ordered, bounded, and linear whoever writes.
//
// It needs a connection to NATS JetStream (2.11 or later) and nothing else, so that the server may
// run in this process or be a cluster elsewhere. Topics share a fixed number of streams, since
// streams are expensive and subjects are not:
//
//	FR_FEED_SS  fr.f.SS.T.e      the entries of topic T of shard SS
//	            fr.f.SS.T.p.N.I  parts of an entry too large for one message, N its nonce
//	            fr.l.SS.T        each entry once more as it is stored, for who listens (not stored)
//	FR_SNAP_K   fr.k.K.T.e       the keyframes of topic T; their parts as above
//	FR_REC      fr.r.B.KEY       keyed records of bucket B
//
// There are no JetStream consumers: live is a plain subscription, history is Direct Get. Every
// append states the entry it follows, which the store checks (the fence), and carries it (the
// chain), by which every reader sees a gap by itself.
//
// A store that does not answer is tried again for Config.Patience, then the error is
// freshet.ErrUnavailable. The package starts no goroutines.
package journal

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"freshet"
)

// The errors of the journal beside those of the vocabulary.
var (
	// ErrFenced: another writer is ahead; take the head from the journal before writing again.
	ErrFenced = errors.New("the journal has moved on")
	// ErrBroken: the stored history contradicts itself, as after damage to the disk. What is left
	// cannot be continued: Delete it and begin anew.
	ErrBroken = errors.New("the history is damaged")
)

const (
	shards    = 16 // fixed when a store is made
	snapshots = 4  // streams of keyframes

	// maxInline is the largest body kept in one message, if the server allows that. It is half of
	// what the embedded server takes, since a read from the leader comes as base64 in JSON.
	maxInline  = 4 << 20
	headerRoom = 4 << 10 // for headers and subjects beside a body

	// hardCap bounds the entries of one topic when nobody trims it: more than any topic may ask for.
	hardCap = 1 << 20

	// openTakes is how long the streams may take to be made, which a busy disk makes long.
	openTakes = 2 * time.Minute

	minShard = 16 << 20 // bytes; less would not hold a history worth the name

	version = "2" // of the layout
)

// Config says where in JetStream the journal lives and how durable it is.
type Config struct {
	// Prefix begins all subjects, and in upper case the names of all streams; letters only, "fr" by
	// default. Journals that share a cluster need different ones.
	Prefix string
	// Replicas of each stream, 1 by default; 3 in a cluster.
	Replicas int
	// MaxBytes is the disk budget (engine.Budget). Beyond it the oldest entries go, whatever their
	// topics are allowed, rather than new ones be refused; each shard of the topics has a sixteenth.
	// Two fifths of it are for entries, since their files take up to 2.2 times as much while old
	// ones are removed all over them; the rest is for that, keyframes and records. Zero is no bound.
	MaxBytes int64
	// Settle makes the creation of streams durable where writes alone do not (engine.SyncDirs).
	// It is called after streams were made or changed. Nil does nothing.
	Settle func() error
	// Patience is how long a call without an earlier deadline tries before it gives up on a store
	// that does not answer; 10 s by default.
	Patience time.Duration
}

// A Journal is the history of all topics. It is safe for concurrent use.
type Journal struct {
	js       jetstream.JetStream
	nc       *nats.Conn
	prefix   string
	replicas int
	patience time.Duration
	attempt  time.Duration // how long one answer may take
	inline   int           // largest body of one message
	largest  int64         // body that a shard has room for
	pages    chan struct{} // a token for each page of history under way, which bounds memory
	log      *slog.Logger
	feeds    [shards]place // the subjects lack the topic's id

	mu    sync.Mutex
	tails map[freshet.TopicID]tail // the ends of the logs that this process appends to
}

// A tail is what the journal remembers of the end of a log, to append without reading it first.
type tail struct {
	head   uint64 // sequence of the last entry, or of the keyframe when the log is empty
	stored uint64 // number of the message that the store has last: 0 when the log is empty
	count  uint64
	bytes  uint64
	oldest origin // first entry kept, when that is known
}

// ID is the topic id of a name: the same for ever, safe as a subject token, in [a-z2-7].
func ID(name freshet.TopicName) freshet.TopicID {
	sum := sha256.Sum256([]byte(name))
	return freshet.TopicID(strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16])))
}

// Open makes the streams that are missing, or adjusts them, and checks that the store is one that
// this version understands. The connection stays the caller's, and must outlive the journal's use.
func Open(ctx context.Context, nc *nats.Conn, c Config, log *slog.Logger) (*Journal, error) {
	c.Prefix = cmp.Or(c.Prefix, "fr")
	if strings.Trim(c.Prefix, "abcdefghijklmnopqrstuvwxyz") != "" {
		return nil, fmt.Errorf("journal prefix %q: only a-z is allowed", c.Prefix)
	}
	if v := nc.ConnectedServerVersion(); !atLeast(v, 2, 11) {
		return nil, fmt.Errorf("the NATS server has version %s; the journal needs 2.11 or later", v)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	j := &Journal{
		js: js, nc: nc, prefix: c.Prefix, replicas: max(c.Replicas, 1),
		patience: cmp.Or(c.Patience, 10*time.Second),
		inline:   int(min(maxInline, nc.MaxPayload())) - headerRoom,
		pages:    make(chan struct{}, 8),
		log:      cmp.Or(log, slog.New(slog.DiscardHandler)),
		tails:    map[freshet.TopicID]tail{},
	}
	for n := range j.feeds {
		j.feeds[n] = place{j.name("FEED_" + shardName(n)), j.subject("f", shardName(n), "")}
	}
	j.attempt = min(2*time.Second, j.patience/5)
	if j.inline < headerRoom {
		return nil, fmt.Errorf("the NATS server's max_payload of %d bytes is too small", nc.MaxPayload())
	}
	shardBytes := int64(-1)
	j.largest = freshet.MaxPayload
	if c.MaxBytes > 0 {
		shardBytes = max(c.MaxBytes/5*2/shards, minShard)
		j.largest = min(j.largest, shardBytes/2)
	}
	ctx, cancel := context.WithTimeout(ctx, openTakes)
	defer cancel()
	changed := false
	for _, s := range j.streams(shardBytes) {
		made, err := j.ensure(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("open the journal: stream %s: %w", s.Name, err)
		}
		changed = changed || made
	}
	if changed && c.Settle != nil {
		if err := c.Settle(); err != nil {
			return nil, fmt.Errorf("open the journal: %w", err)
		}
	}
	return j, nil
}

// atLeast compares a version such as 2.11.3-beta.
func atLeast(v string, major, minor int) bool {
	parts := strings.SplitN(strings.TrimPrefix(v, "v"), ".", 3)
	if len(parts) < 2 {
		return false
	}
	a, err1 := strconv.Atoi(parts[0])
	b, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && (a > major || a == major && b >= minor)
}

// streams is the layout.
func (j *Journal) streams(shardBytes int64) []jetstream.StreamConfig {
	base := jetstream.StreamConfig{
		Replicas: j.replicas, Storage: jetstream.FileStorage, Discard: jetstream.DiscardOld,
		AllowDirect: true, AllowMsgTTL: true, MaxBytes: -1, MaxConsumers: -1,
		Metadata: map[string]string{"freshet-layout": version, "freshet-shards": strconv.Itoa(shards)},
	}
	var all []jetstream.StreamConfig
	for n := range shards {
		s := base
		shard := shardName(n)
		s.Name = j.name("FEED_" + shard)
		s.Subjects = []string{j.subject("f", shard, ">")}
		s.MaxMsgsPerSubject = hardCap
		s.RePublish = &jetstream.RePublish{Source: j.subject("f", shard, "*", "e"), Destination: j.subject("l", shard, "{{wildcard(1)}}")}
		s.MaxBytes = shardBytes
		all = append(all, s)
	}
	for n := range snapshots {
		s := base
		s.Name = j.name("SNAP_" + strconv.Itoa(n))
		s.Subjects = []string{j.subject("k", strconv.Itoa(n), ">")}
		s.MaxMsgsPerSubject = hardCap
		all = append(all, s)
	}
	s := base
	s.Name = j.name("REC")
	s.Subjects = []string{j.subject("r", ">")}
	s.MaxMsgsPerSubject = 1
	s.RePublish = &jetstream.RePublish{Source: j.subject("r", ">"), Destination: j.subject("rl", ">")}
	return append(all, s)
}

// ensure makes the stream, or changes it where it differs, and says whether it did either. A
// cluster without a leader drops requests: they are made again.
func (j *Journal) ensure(ctx context.Context, want jetstream.StreamConfig) (changed bool, err error) {
	for {
		try, cancel := context.WithTimeout(ctx, 3*j.attempt)
		changed, err = j.tryEnsure(try, want)
		cancel()
		lost := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders)
		if !lost && !forming(err) || ctx.Err() != nil {
			return changed, err
		}
		wait(ctx)
	}
}

// forming says that a cluster refuses for now, as it has no leader, or not as many servers as it will have.
func forming(err error) bool {
	refused, ok := errors.AsType[*jetstream.APIError](err)
	if !ok {
		return false
	}
	switch refused.ErrorCode {
	case 10004, // incomplete results
		10005, // no suitable peers for placement, such as "peer offline"
		10008, // temporarily unavailable
		10009: // not the leader
		return true
	}
	return false
}

func (j *Journal) tryEnsure(ctx context.Context, want jetstream.StreamConfig) (changed bool, err error) {
	s, err := j.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		// A stream whose description was lost is found again here with all that it held.
		_, err = j.js.CreateStream(ctx, want)
		return err == nil, err
	}
	if err != nil {
		return false, err
	}
	have := s.CachedInfo().Config
	if v := have.Metadata["freshet-layout"]; v != version {
		return false, fmt.Errorf("has layout %q, and this version of Freshet knows only %q: use the version that wrote it, or another data directory", v, version)
	}
	if have.Replicas == want.Replicas && have.MaxBytes == want.MaxBytes && have.MaxMsgsPerSubject == want.MaxMsgsPerSubject {
		return false, nil
	}
	_, err = j.js.UpdateStream(ctx, want)
	return err == nil, err
}

func (j *Journal) name(rest string) string {
	return strings.ToUpper(j.prefix) + "_" + rest
}

func (j *Journal) subject(tokens ...string) string {
	return j.prefix + "." + strings.Join(tokens, ".")
}

// A place is where something of one topic is kept: a stream, and the subjects in it.
type place struct {
	stream  string
	subject string // of the topic; what it holds is at subject + ".e" and below subject + ".p."
}

func (p place) entry() string             { return p.subject + ".e" }
func (p place) all() string               { return p.subject + ".>" }
func (p place) parts(nonce string) string { return p.subject + ".p." + nonce + ".*" }
func (p place) part(nonce string, i int) string {
	return p.subject + ".p." + nonce + "." + strconv.Itoa(i)
}

func shard(id freshet.TopicID) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	return int(h.Sum32() % shards)
}

// feed is where the entries of a topic are.
func (j *Journal) feed(id freshet.TopicID) place {
	p := j.feeds[shard(id)]
	p.subject += string(id)
	return p
}

// live is the subject on which a topic's entries appear as they are stored.
func (j *Journal) live(id freshet.TopicID) string {
	return j.subject("l", shardName(shard(id)), string(id))
}

// snap is where the keyframe of a topic is.
func (j *Journal) snap(id freshet.TopicID) place {
	n := strconv.Itoa(shard(id) % snapshots)
	return place{j.name("SNAP_" + n), j.subject("k", n, string(id))}
}

func shardName(n int) string { return fmt.Sprintf("%02d", n) }
