// Package redis reads the entries of a stream of Redis.
package redis

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/settings"
)

type config struct {
	Address  string          `json:"address" required:"true" address:"true" doc:"The server, as host:port"`
	Stream   string          `json:"stream" required:"true" range:"1..1024" doc:"The key of the stream"`
	Field    string          `json:"field" doc:"The field of an entry whose value is the payload, JSON. Without it the payload is an object with all fields of the entry, as text"`
	ReadFrom string          `json:"readFrom" default:"latest" oneof:"earliest,latest" doc:"Where to begin the first time: with the oldest entry that is kept, or with what comes from then on"`
	Username string          `json:"username" doc:"The user (ACL); without one the default user"`
	Password settings.Secret `json:"password" doc:"The user's password"`
	DB       int             `json:"db" range:"0..1000000" doc:"The number of the database"`
	TLS      source.TLS      `json:"tls" doc:"How the connection is protected"`
}

// Check is what the tags cannot say.
func (c *config) Check(v *settings.Verdict) {
	c.TLS.CheckUse(v)
	if c.Address == "" {
		return
	}
	host, port, err := net.SplitHostPort(c.Address)
	if n, err2 := strconv.ParseUint(port, 10, 16); err != nil || err2 != nil || n == 0 || host == "" {
		v.Say("/address", "%.80q is not host:port, such as redis.example.com:6379", c.Address)
	}
	if c.Username != "" && c.Password == "" {
		v.Say("/password", "a user has a password")
	}
}

const notes = `Each entry is one payload, in the order of the stream. One that lacks ` + "`field`" + `, or is not JSON there, is told as a fault, and the next is read.

**Where it reads on.** The id of the entry is stored with the payload, in the same write, so that a restart, also after a crash, misses nothing and repeats nothing. ` + "`readFrom`" + ` counts only where no entry was stored yet. Where entries may have been deleted from the stream before they were read (` + "`XDEL`, `XTRIM`, `MAXLEN`" + `), that is told as a fault. No consumer group is needed, and nothing is written to the server.

One server is read: of a cluster the one that has the stream, which is not followed when it moves.`

// Kind is the type redis-streams.
func Kind() source.Kind {
	return source.Kind{
		Name:    "redis-streams",
		Summary: "Reads the entries of a stream of Redis.",
		Notes:   notes,
		Feeds:   []freshet.Kind{freshet.KindSnapshot, freshet.KindEvent},
		Config:  config{},
		Check:   source.Check[config],
		New: func(conf json.RawMessage, env source.Env) (source.Source, error) {
			silence()
			r := &reader{env: env, limit: int(cmp.Or(env.Limit, freshet.DefaultPayload)), log: cmp.Or(env.Log, slog.New(slog.DiscardHandler))}
			if wrong := settings.Read(conf, &r.config); wrong != nil {
				return nil, wrong
			}
			return r, nil
		},
	}
}

// silence keeps the library from writing to the standard error; what goes wrong it also returns.
var silence = sync.OnceFunc(func() { redis.SetLogger(nobody{}) }) //nolint:gochecknoglobals // the library's logger is one too

type nobody struct{}

func (nobody) Printf(context.Context, string, ...any) {}

// A reader is the Source of the type redis-streams.
type reader struct {
	config
	env   source.Env
	limit int // bytes of a payload
	log   *slog.Logger
	last  string // the id of the entry that was handed over last; "": not known yet
}

// Run reads until ctx ends.
func (r *reader) Run(ctx context.Context, to source.Sink) error {
	source.Stay(ctx, to, r.log, func(ctx context.Context, up func()) error {
		client, err := r.connect()
		if err != nil {
			return err
		}
		// A read that waits for entries does not heed ctx.
		stop := context.AfterFunc(ctx, func() { _ = client.Close() })
		defer func() {
			if stop() {
				_ = client.Close()
			}
		}()
		return explain(r.follow(ctx, client, to, up))
	})
	return nil
}

func (r *reader) connect() (*redis.Client, error) {
	password, err := r.env.Secrets.Reveal(r.Password)
	if err != nil {
		return nil, source.Faultf(freshet.FaultConfig, "password: %v", err)
	}
	var secure *tls.Config
	if r.TLS.Enabled {
		if secure, err = r.TLS.Config(r.env.Secrets); err != nil {
			return nil, source.Faultf(freshet.FaultConfig, "%v", err)
		}
		if secure.ServerName == "" {
			secure.ServerName, _, _ = net.SplitHostPort(r.Address) // checked
		}
	}
	return redis.NewClient(&redis.Options{
		Addr: r.Address, Username: r.Username, Password: password, DB: r.DB, MaxRetries: -1, PoolSize: 1,
		DialerRetries: 1, DisableIdentity: true, ClientName: "freshet-" + string(r.env.Topic),
		Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := r.env.Dial(ctx, network, address)
			if err != nil || secure == nil {
				return conn, err
			}
			over := tls.Client(conn, secure)
			if err := over.HandshakeContext(ctx); err != nil {
				_ = conn.Close()
				return nil, err
			}
			return over, nil
		},
	}), nil
}

const (
	// blocks is how long a read waits for entries: how soon a connection that died without a word is noticed.
	blocks = 10 * time.Second
	atOnce = source.BatchPayloads
)

// follow hands over the entries after the last one until the connection ends.
func (r *reader) follow(ctx context.Context, client *redis.Client, to source.Sink, up func()) error {
	if err := client.Ping(ctx).Err(); err != nil {
		return err
	}
	if err := r.begin(ctx, client, to); err != nil {
		return err
	}
	up()
	for {
		found, err := client.XRead(ctx, &redis.XReadArgs{Streams: []string{r.Stream, r.last}, Count: atOnce, Block: blocks}).Result()
		if errors.Is(err, redis.Nil) {
			continue // none came
		}
		if err != nil {
			return err
		}
		for _, stream := range found {
			if !source.Deliver(ctx, to, r.items(stream.Messages)) {
				return ctx.Err()
			}
			r.last = stream.Messages[len(stream.Messages)-1].ID
		}
	}
}

// begin finds the entry after which to read.
func (r *reader) begin(ctx context.Context, client *redis.Client, to source.Sink) error {
	if r.last == "" {
		mark, err := to.Mark(ctx)
		if err != nil {
			return fmt.Errorf("where to read on: %w", err)
		}
		r.last = mark
	}
	about, err := client.XInfoStream(ctx, r.Stream).Result()
	if err != nil && !isMissing(err) {
		return err
	}
	switch {
	case r.last == "" && r.ReadFrom == "earliest", r.last == "" && err != nil:
		r.last = "0-0"
	case r.last == "":
		r.last = about.LastGeneratedID
	case err == nil && after(r.last, about.LastGeneratedID):
		to.Fault(ctx, source.Faultf(freshet.FaultPublication, "the stream was begun anew: it is read from its beginning"), 0)
		r.last = "0-0"
	case err == nil:
		return r.missed(ctx, client, to, about)
	}
	return nil
}

// missed tells when entries may have been deleted before they were read: one that was deleted by itself is
// known to the server, but what was trimmed is not. It shows in that the last one that was read is gone, and
// others are there.
func (r *reader) missed(ctx context.Context, client *redis.Client, to source.Sink, about *redis.XInfoStream) error {
	gone := after(about.MaxDeletedEntryID, r.last)
	if !gone && about.Length > 0 && after(about.FirstEntry.ID, r.last) && r.last != "0-0" {
		last, err := client.XRangeN(ctx, r.Stream, r.last, r.last, 1).Result()
		if err != nil {
			return err
		}
		gone = len(last) == 0
	}
	if gone {
		to.Fault(ctx, source.Faultf(freshet.FaultPublication, "entries may have been deleted from the stream before they were read"), 0)
	}
	return nil
}

// isMissing says that there is no such key.
func isMissing(err error) bool { return strings.Contains(err.Error(), "no such key") }

// after says whether one id comes after another.
func after(a, b string) bool {
	ams, aseq := parts(a)
	bms, bseq := parts(b)
	return ams > bms || ams == bms && aseq > bseq
}

func parts(id string) (ms, seq uint64) {
	one, two, _ := strings.Cut(id, "-")
	ms, _ = strconv.ParseUint(one, 10, 64) // the server made it; nothing is 0
	seq, _ = strconv.ParseUint(two, 10, 64)
	return ms, seq
}

// items are entries as the sink takes them.
func (r *reader) items(entries []redis.XMessage) []source.Item {
	now := time.Now()
	items := make([]source.Item, len(entries))
	for i, e := range entries {
		data, fault := r.payload(e)
		items[i] = source.Item{Payload: source.Payload{Data: data, Time: now, Mark: e.ID, Name: entryName(e.ID)}, Fault: fault}
	}
	return items
}

// entryName is the id of an entry.
type entryName string

// String is what the entry is called in faults.
func (n entryName) String() string { return "the entry " + string(n) }

func (r *reader) payload(e redis.XMessage) ([]byte, *freshet.Fault) {
	var data []byte
	if r.Field == "" {
		data, _ = json.Marshal(e.Values) // texts by their names can be written
	} else {
		text, ok := e.Values[r.Field].(string)
		if !ok {
			f := source.Faultf(freshet.FaultFormat, "%v has no field %.60q", entryName(e.ID), r.Field)
			return nil, &f
		}
		data = []byte(text)
	}
	if len(data) > r.limit {
		f := source.Faultf(freshet.FaultSize, "%v is larger than limits.payload, %v", entryName(e.ID), freshet.Bytes(r.limit))
		return nil, &f
	}
	return data, nil
}

// explain makes what the server says one of the faults that subscribers are told.
func explain(err error) error {
	if err == nil {
		return nil
	}
	said := func(words ...string) bool {
		for _, w := range words {
			if strings.HasPrefix(err.Error(), w) {
				return true
			}
		}
		return false
	}
	switch {
	case said("NOAUTH", "WRONGPASS", "ERR AUTH", "ERR invalid password"):
		return fmt.Errorf("%w (%w)", source.Faultf(freshet.FaultHTTP+401, "the server does not accept the user and password"), err)
	case said("NOPERM"):
		return fmt.Errorf("%w (%w)", source.Faultf(freshet.FaultHTTP+403, "the user may not read the stream"), err)
	case said("WRONGTYPE"):
		return fmt.Errorf("%w (%w)", source.Faultf(freshet.FaultConfig, "the key is not a stream"), err)
	case said("MOVED"):
		return fmt.Errorf("%w (%w)", source.Faultf(freshet.FaultConfig, "the stream is on another server of the cluster"), err)
	case said("LOADING", "MASTERDOWN", "CLUSTERDOWN"):
		return fmt.Errorf("%w (%w)", source.Faultf(freshet.FaultHTTP+503, "the server is not ready"), err)
	}
	return err
}
