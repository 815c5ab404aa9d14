package journal_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"freshet"
	"freshet/internal/engine"
	"freshet/internal/flow/journal"
)

// lossy makes connections that break after a random number of reads or writes, so that requests
// are lost, and answers to requests that were carried out.
type lossy struct {
	e *engine.Engine

	mu  sync.Mutex
	rng *rand.Rand
	on  bool
}

func (l *lossy) InProcessConn() (net.Conn, error) {
	c, err := l.e.InProcessConn()
	return &lossyConn{c, l}, err
}

func (l *lossy) breaks() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.on && l.rng.IntN(500) == 0
}

type lossyConn struct {
	net.Conn
	l *lossy
}

func (c *lossyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.l.breaks() { // what was read is lost
		_ = c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

func (c *lossyConn) Write(b []byte) (int, error) {
	if c.l.breaks() {
		_ = c.Close()
		return 0, io.ErrClosedPipe
	}
	return c.Conn.Write(b)
}

// TestLostAnswers: an append whose answer is lost is neither lost nor doubled, and a tail over the
// same connection misses nothing.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	e := must(engine.Open(engine.Config{Dir: t.TempDir(), Sync: "1m"}))(t)
	defer func() { _ = e.Close() }()
	l := &lossy{e: e, rng: rand.New(rand.NewPCG(1, 2))}
	nc := must(nats.Connect("", nats.InProcessServer(l), nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond),
		nats.ReconnectJitter(0, 0), nats.ReconnectBufSize(-1), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})))(t)
	defer nc.Close()
	j := must(journal.Open(t.Context(), nc, journal.Config{Patience: 5 * time.Second}, nil))(t)
	l.mu.Lock()
	l.on = true
	l.mu.Unlock()
	id, records := journal.ID("a"), j.Records("a")
	var head freshet.Position
	var events []freshet.Event
	var rev uint64
	for n := range 250 {
		ev := patch(n+1, fmt.Sprintf("[%d]", n+1))
		if n == 20 {
			ev.Data = make([]byte, 5<<20)
		}
		ev.Position = must(j.AppendOne(t.Context(), id, head, ev))(t)
		head, events = ev.Position, append(events, ev)
		if n%10 == 0 {
			if err := j.PutKeyframe(t.Context(), id, ev); err != nil {
				t.Fatal(err)
			}
			rev = must(records.Put(t.Context(), "k", fmt.Append(nil, n), rev))(t)
		}
	}
	for _, read := range []func() ([]freshet.Event, error){
		func() ([]freshet.Event, error) { return collect(j.Read(t.Context(), id, 0)) },
		func() (got []freshet.Event, err error) {
			for ev, err := range j.Tail(t.Context(), id, 0) {
				if got = append(got, ev); err != nil || len(got) == len(events) {
					return got, err
				}
			}
			return got, nil
		},
	} {
		if got, err := read(); err != nil || !slices.EqualFunc(got, events, same) {
			t.Errorf("read %d entries, %v; want %d", len(got), err, len(events))
		}
	}
	if n := nc.Stats().Reconnects; n < 3 {
		t.Errorf("only %d connections were lost", n)
	}
}
