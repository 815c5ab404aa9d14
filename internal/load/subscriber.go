package load

import (
	"bytes"
	"errors"
	"time"

	"freshet/jsonpatch"
)

// A subscriber is one connection and what its client knows. It belongs to its loop.
type subscriber struct {
	loop   *loop
	index  int
	topic  int
	link   link // what the network keeps of the connection
	state  state
	slow   bool // one of those that stop reading when told to
	verify bool // keeps the document and compares it

	answer   answer
	stream   stream
	began    int64 // when the connection was begun, ns
	opened   int64 // when its header had come, ns
	got      int   // events on this connection
	revision int   // last seen; 0: none
	id       []byte
	doc      []byte
}

type state uint8

const (
	stateIdle    state = iota // not connected, and nothing under way
	stateWaiting              // for its turn to connect
	stateOpening              // connecting, or the header has not come
	stateOpen
)

// event counts what came, and checks its order.
func (s *subscriber) event(ev *event) {
	t := &s.loop.tally
	t.Events++
	s.got++
	if len(ev.id) > 0 {
		s.id = append(s.id[:0], ev.id...)
	}
	if string(ev.name) == "error" {
		t.Faults++
		t.lastFault = append(t.lastFault[:0], ev.data...)
		return
	}
	st, _ := findStamp(ev.data)
	if st.at >= t.since && st.at < t.until {
		t.Stamped++
		t.Latency.Record(time.Duration(s.loop.now - st.at))
		t.last = s.loop.now
	}
	if s.loop.fleet.config.Revisions {
		s.order(ev, st.at)
	}
	if s.verify {
		s.apply(ev)
	}
	if want := s.loop.fleet.config.Want; want > 0 && s.got == want {
		t.Completion.Record(time.Duration(s.loop.now - s.began))
		s.loop.admit()
	}
}

// order compares the revision of an event with the one before: messages come one by one, while a
// reader of a document may skip revisions where it was slow.
func (s *subscriber) order(ev *event, at int64) {
	t := &s.loop.tally
	rev, n := digits(ev.id)
	if n == 0 {
		return
	}
	switch step := rev - s.revision; {
	case s.revision == 0 || ev.reset:
		if ev.reset {
			t.Resets++
		}
	case step <= 0:
		t.Repeats++
	case step == 1:
		if string(ev.name) == "event" {
			s.loop.tape(s.topic).add(rev, ev, at)
		}
	case string(ev.name) == "event":
		t.Gaps += int64(step - 1)
	default:
		t.Skipped += int64(step - 1)
	}
	s.revision = rev
}

var errNoDocument = errors.New("a patch came without a document before it")

// apply brings the document up to date and compares it with the one that was handed over.
func (s *subscriber) apply(ev *event) {
	t, book := &s.loop.tally, s.loop.fleet.config.ledger
	var err error
	switch string(ev.name) {
	case "snapshot":
		s.doc = bytes.Clone(ev.data)
	case "patch":
		if s.doc == nil {
			err = errNoDocument
		} else {
			s.doc, err = jsonpatch.Apply(s.doc, ev.data)
		}
	default:
		return
	}
	if err != nil {
		t.Wrong++
		t.failure = err
		return
	}
	if book == nil {
		return
	}
	if right, known := book.holds(s.topic, s.doc); right {
		t.Verified++
	} else if known {
		t.Wrong++
	}
}

// received handles what came in one read.
func (s *subscriber) received(b []byte) error {
	s.loop.tally.Bytes += int64(len(b))
	for len(b) > 0 {
		body, rest, err := s.answer.next(b)
		if err != nil {
			return err
		}
		if s.state == stateOpening && s.answer.open() {
			if err := s.start(rest); err != nil {
				return err
			}
		}
		if body = s.known(body); len(body) > 0 {
			if err := s.stream.feed(body, s); err != nil {
				return err
			}
			if s.stream.pong != nil {
				s.loop.network.send(s, s.stream.pong)
				s.stream.pong = nil
			}
		}
		b = rest
	}
	if s.answer.at == atEnd {
		return errEndOfBody // though the connection may be kept
	}
	return nil
}

// start is called once the header has come, with what came after it.
func (s *subscriber) start(after []byte) error {
	if s.answer.status != s.loop.fleet.opened() {
		return &statusError{s.answer.status, s.answer.said(after)}
	}
	t := &s.loop.tally
	s.state, s.opened = stateOpen, s.loop.now
	t.Open++
	t.Opening.Record(time.Duration(s.loop.now - s.began))
	if s.loop.fleet.config.Want == 0 {
		s.loop.admit()
	}
	return nil
}
