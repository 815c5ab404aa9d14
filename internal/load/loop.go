package load

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// A loop owns a part of the subscribers. All of it is used only where its network runs what it is
// told to do, one thing after the other.
type loop struct {
	fleet       *Fleet
	network     network
	subscribers []*subscriber
	waiting     []*subscriber
	opening     int
	atATime     int
	tally       Tally
	tapes       map[int]*tape // by topic
	now         int64         // when the last read returned, ns
}

// A network moves the bytes of a loop's subscribers: it calls received with what comes, and lost when
// a connection ends by itself, never from within open. The loop calls the others.
type network interface {
	open(s *subscriber, request []byte)
	drop(s *subscriber)
	send(s *subscriber, b []byte) // a few bytes
	pause(s *subscriber, on bool)
	do(fn func()) bool // runs fn where the loop runs, soon; false, and not at all, once closed
	close() error
}

func (l *loop) tape(topic int) *tape {
	t := l.tapes[topic]
	if t == nil {
		t = &tape{}
		l.tapes[topic] = t
	}
	return t
}

// A statusError is an answer that is no stream.
type statusError struct {
	status int
	text   string // what the answer says, "" if that is nothing
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("the server answers with status %d", e.status)
	if e.text != "" {
		text += ": " + e.text
	}
	return text
}

// errTurnedAway is a stream that ended before it brought anything.
var errTurnedAway = errors.New("it ends streams as soon as they have begun, as Freshet does over limits.connections, limits.perTopic or limits.perAddress")

// turned is how soon a stream that brought nothing must end to count as refused, rather than as lost.
const turned = time.Second

// connect lets a subscriber connect when it is its turn.
func (l *loop) connect(s *subscriber) {
	if s.state != stateIdle {
		return
	}
	s.state = stateWaiting
	l.waiting = append(l.waiting, s)
	l.next()
}

// admit is called when a subscriber does not count as connecting any more.
func (l *loop) admit() {
	l.opening--
	l.next()
}

func (l *loop) next() {
	for l.opening < l.atATime && len(l.waiting) > 0 {
		s := l.waiting[0]
		l.waiting = l.waiting[1:]
		if s.state != stateWaiting {
			continue
		}
		l.opening++
		s.state, s.answer, s.got, s.began = stateOpening, answer{}, 0, now()
		s.stream = stream{socket: l.fleet.config.WebSocket, retry: s.stream.retry}
		l.network.open(s, l.fleet.config.Request(s.topic, string(s.id)))
	}
}

// lost is called when a connection ended, or did not come about, for a reason. It comes back.
func (l *loop) lost(s *subscriber, err error) {
	before := s.state
	if before == stateOpen && s.got == 0 && now()-s.opened < int64(turned) {
		before, err = stateOpening, errTurnedAway
	}
	l.drop(s)
	if before == stateOpen {
		l.tally.Lost++
	} else {
		l.tally.Refused++
		l.tally.refusal = err
	}
	if !errors.Is(err, errEndOfBody) {
		l.tally.failure = err
	}
	wait := 200 + rand.IntN(300) //nolint:gosec // no secret
	if s.stream.retry > 0 {
		wait = min(s.stream.retry, 5000)
	}
	l.later(s, time.Duration(wait)*time.Millisecond)
}

// drop ends a connection, whatever state it is in.
func (l *loop) drop(s *subscriber) {
	before := s.state
	s.state = stateIdle
	if before == stateOpening || before == stateOpen {
		l.network.drop(s)
	}
	want := l.fleet.config.Want
	if before == stateOpen {
		l.tally.Open--
	}
	if before == stateOpening || before == stateOpen && want > 0 && s.got < want {
		l.admit()
	}
}

func (l *loop) later(s *subscriber, d time.Duration) {
	time.AfterFunc(d, func() { _ = l.network.do(func() { l.connect(s) }) })
}
