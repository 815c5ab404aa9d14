// Package source obtains the data of topics from upstream.
package source

import (
	"context"
	"time"

	"freshet"
)

// A Source feeds one topic until ctx ends, then returns nil. It returns an error only when it can
// never work; whatever may pass it reports to the sink and tries again.
type Source interface {
	Run(ctx context.Context, to Sink) error
}

// A Sink takes what a source obtains. A source makes one call at a time.
type Sink interface {
	// Payload offers one payload. An error means that it was not taken. It is a freshet.Fault where
	// the payload is at fault (not JSON, too deep): the sink has told the subscribers, and the source
	// keeps nothing that would let upstream answer "not modified" to the next request.
	Payload(ctx context.Context, p Payload) error
	// Unchanged says that upstream confirmed the last payload.
	Unchanged(ctx context.Context, at time.Time, took time.Duration)
	// Fault says that there is no payload now, and why.
	Fault(ctx context.Context, f freshet.Fault, took time.Duration)
}

// A Payload is what a source hands over.
type Payload struct {
	Data []byte        // one JSON value, not checked yet; the sink may keep it
	Time time.Time     // when upstream answered
	Took time.Duration // how long the request took
}
