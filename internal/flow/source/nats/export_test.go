package nats

import "github.com/nats-io/nats.go/jetstream"

// A Place is a place, for a look at what it says.
type Place struct{ place }

// Begin begins a connection to a stream that has messages from first to last.
func (p *Place) Begin(mark, stream, consumer string, first, last, acknowledged uint64) (next, lost uint64) {
	lost = p.begin(mark, stream, jetstream.StreamState{FirstSeq: first, LastSeq: last})
	if consumer != "" {
		p.of(consumer, acknowledged)
	}
	return p.next, lost
}

// Anew, InOrder and Mark are those of a place.
func (p *Place) Anew(number, delivered, times uint64) bool { return p.anew(number, delivered, times) }
func (p *Place) InOrder(number, delivered uint64) bool     { return p.inOrder(number, delivered) }
func (p *Place) Mark() string                              { return p.mark() }
