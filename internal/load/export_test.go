package load

import "bytes"

// A SeenEvent is a copy of an event.
type SeenEvent struct {
	Name, Data, ID string
	Reset          bool
}

type seen []SeenEvent

func (s *seen) event(ev *event) {
	*s = append(*s, SeenEvent{string(ev.name), string(ev.data), string(ev.id), ev.reset})
}

// ReadAnswer reads an answer that comes in parts and returns its events, its status, and why it ended:
// nil is that there was no more.
func ReadAnswer(parts ...[]byte) (events []SeenEvent, status int, err error) {
	var a answer
	var s stream
	var to seen
	for _, b := range parts {
		b = bytes.Clone(b) // the buffer of a connection is used again
		for left := b; len(left) > 0; {
			var body []byte
			if body, left, err = a.next(left); err != nil {
				return to, a.status, err
			}
			if err = s.feed(body, &to); err != nil {
				return to, a.status, err
			}
		}
		for i := range b {
			b[i] = 'X'
		}
	}
	return to, a.status, nil
}

// FindStamp finds the stamp in a payload.
func FindStamp(data []byte) (at int64, number int, ok bool) {
	s, ok := findStamp(data)
	return s.at, s.number, ok
}

// Message is a message with a stamp.
func Message(at int64, number, size int) []byte { return message(stamp{at, number}, size) }

// Holds compares a document with the one that the origin handed over.
func (o *Origin) Holds(topic int, doc []byte) (right, known bool) { return o.ledger.holds(topic, doc) }

// A Receiver is a subscriber without a connection.
type Receiver struct{ s *subscriber }

// Receivers are subscribers of one topic.
func Receivers(n int) []Receiver {
	l := &loop{fleet: &Fleet{config: FleetConfig{Revisions: true}}, now: now(), tapes: map[int]*tape{}}
	l.tally.until = l.now
	var all []Receiver
	for range n {
		r := Receiver{&subscriber{loop: l, state: stateOpening}}
		r.Receive([]byte("HTTP/1.1 200 OK\r\n\r\n"))
		all = append(all, r)
	}
	return all
}

// Receive takes what came in one read.
func (r Receiver) Receive(b []byte) {
	if err := r.s.received(b); err != nil {
		panic(err)
	}
}

// Tally is what all receivers got, and ID the last id of this one.
func (r Receiver) Tally() *Tally { return &r.s.loop.tally }
func (r Receiver) ID() string    { return string(r.s.id) }

// Forget makes the next revision the first.
func (r Receiver) Forget() { r.s.revision = 0 }
