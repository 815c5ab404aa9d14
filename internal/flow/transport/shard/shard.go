// Package shard writes the streams of plain TCP connections from a few loops, one per processor.
//
// A connection here costs no goroutine, no buffer, no channel and no timer: it is a descriptor and a
// cursor. When a feed changes, each loop asks once what readers at the same place lack, and writes the
// same bytes to all of them. A socket that is full parks its connection alone; when it takes bytes again
// the cursor says what the reader lacks by then.
//
// A loop's pass over a feed follows its last one after a millisecond at the earliest, or as long as that one
// took, so that events which come thick and fast are joined into one write and the loops leave half of a
// processor to who publishes. The first event after a silence leaves at once.
package shard

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"freshet"
	"freshet/internal/flow/fanout"
)

// A Protocol is how a transport writes to its connections. One is shared by all connections that are
// written alike.
type Protocol struct {
	Form      fanout.Form
	Encode    func(freshet.Event) []byte
	Inner     *Protocol                             // how events are written that share one Wrap; nil: each is written by itself
	Wrap      func(size int) (before, after string) // around so many bytes that several events are, as Inner has them
	Greet     func(reset string) []byte             // before the first event, inside its frame; and before one that is a reset
	Beat      []byte                                // after a silence of Heartbeat
	Answered  bool                                  // the reader answers a Beat: it gets one each Heartbeat, and is cut where it said nothing since the last
	End       func(cause error) []byte              // the last that a reader is sent
	Heartbeat time.Duration
	Stalled   time.Duration // a reader that takes nothing for so long is cut
}

// A Reader is who is at the other end, for those who count.
type Reader interface {
	// Sent takes note of a batch that was written to so many readers like this one, of so many bytes
	// in all.
	Sent(b fanout.Batch, bytes, readers int)
	// Left is called once the connection is closed. It must not block.
	Left(cause error)
}

// An Ear is a Reader that may say something. To others nobody listens.
type Ear interface {
	Reader
	// Hear takes what came, in whatever pieces, and gives what is to be answered; of answers that could not be
	// written yet the last one counts. After an error the connection ends with its answer; where the error is
	// io.EOF the reader expects no more, else it may say its last. Hear must not block, nor keep b.
	Hear(b []byte) (answer []byte, err error)
}

// ErrSilent is why a reader is cut that answers nothing.
var ErrSilent = errors.New("the reader does not answer")

// partingTakes is how long a reader that has got its last bytes may take to say its last.
const partingTakes = 2 * time.Second

// A Solitary is a Reader that wants to be told of its own connection's batches, one by one. No loop writes it.
type Solitary interface {
	Reader
	Solitary()
}

// A reading is where a connection is with its reader.
type reading struct {
	cursor  fanout.Cursor
	pending []byte // the rest of what was being written; shared, so never written to
	then    []byte // what is to be written after that; shared as well
	greeted bool   // the reader has got its first event
	proto   *Protocol
	reader  Reader
	ear     Ear // the same, where it is one
}

// The least time between two passes over a feed, and the longest that it becomes where passes take long. A
// write costs as much as some thousand bytes more in it.
const (
	linger     = time.Millisecond
	mostLinger = 5 * time.Millisecond
)

// Shards are the loops. Close them.
type Shards struct {
	loops []*loop
	next  atomic.Uint64
	once  sync.Once
}

// New starts a loop for each processor that Go uses.
func New() (*Shards, error) {
	s := &Shards{}
	for range runtime.GOMAXPROCS(0) {
		l, err := newLoop()
		if err != nil {
			s.Close(context.Background())
			return nil, err
		}
		s.loops = append(s.loops, l)
	}
	return s, nil
}

// Adopt takes a connection over: head is written first, then what the cursor says, which must be live.
// greeted says that the reader has got its first event. False: this kind of connection cannot be taken,
// and is still the caller's.
func (s *Shards) Adopt(conn net.Conn, head []byte, greeted bool, cursor fanout.Cursor, p *Protocol, r Reader) bool {
	if s == nil || len(s.loops) == 0 {
		return false
	}
	ear, _ := r.(Ear)
	return s.loops[s.next.Add(1)%uint64(len(s.loops))].adopt(conn, reading{greeted: greeted, cursor: cursor, pending: head, proto: p, reader: r, ear: ear})
}

// Close ends the loops, at the latest when ctx does. Feeds should have ended before, so that readers have
// got their last bytes; connections that are still open are closed.
func (s *Shards) Close(ctx context.Context) {
	s.once.Do(func() {
		for _, l := range s.loops {
			l.close(ctx)
		}
	})
}
