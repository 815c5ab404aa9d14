// Package source obtains the data of topics from upstream.
package source

import (
	"context"
	"fmt"
	"time"

	"freshet"
)

// A Source feeds one topic until ctx ends, then returns nil. It returns an error only when it can
// never work; whatever may pass it reports to the sink and tries again.
type Source interface {
	Run(ctx context.Context, to Sink) error
}

// A Poller is a Source that can be asked to look at its upstream now.
type Poller interface {
	// PollNow asks for a poll and returns when it may be at the earliest. It may be called from anywhere.
	PollNow() (notBefore time.Time)
}

// A Hooked is a Source that upstream may tell that there is news.
type Hooked interface {
	// HasHook says whether it was configured to take deliveries.
	HasHook() bool
	// Hook takes a delivery, if it proves where it comes from, and returns the body of the answer; nil: none.
	// The errors are those of a Verifier.
	Hook(d Delivery) (reply []byte, err error)
}

// A Sink takes what a source obtains. A source makes one call at a time.
type Sink interface {
	// Payload offers payloads, in their order; many at once are stored by one write. They are in the
	// journal when it returns nil. An error means that at least one was not taken. Where it is a
	// freshet.Fault those that it is about are at fault (not JSON, too deep) and will be next time, and the
	// others were stored: the sink has told the subscribers, and the source keeps nothing that would let
	// upstream answer "not modified" to the next request. With any other error none was stored, and a
	// source that would lose them offers them again.
	Payload(ctx context.Context, ps ...Payload) error
	// Unchanged says that upstream confirmed the last payload, or, of a source that is sent its data, that
	// the connection is there: what was wrong is not any more.
	Unchanged(ctx context.Context, at time.Time, took time.Duration)
	// Fault says that there is no payload now, and why.
	Fault(ctx context.Context, f freshet.Fault, took time.Duration)
	// Planned says when a source that polls will do so next. A plan that is overdue makes the topic stale.
	Planned(next time.Time)
	// Mark is the Mark of the last payload that is in the journal; "" where there is none.
	Mark(ctx context.Context) (string, error)
}

// A Payload is what a source hands over.
type Payload struct {
	Data []byte        // one JSON value, not checked yet; the sink may keep it
	Time time.Time     // when upstream answered
	Took time.Duration // how long the request took; 0 where there was none
	// Name is what it is called upstream, such as "the entry 5-0", for what is said of it; nil: it has no name.
	Name fmt.Stringer
	// Mark says where in its upstream the source is after this payload, such as an offset; at most 4 KiB.
	// It is stored with the payload, all or nothing, so that a source which starts at Sink.Mark misses
	// nothing. A payload that changes nothing is not stored, and its mark is with the next that is.
	Mark string
	// Missed says that upstream should have told of this payload by a hook, and did not.
	Missed bool
}
