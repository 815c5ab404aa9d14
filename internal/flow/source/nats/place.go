package nats

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// A place is where a source is in its stream. Messages of a stream have sequence numbers, 1, 2, 3 …, of
// which those of other subjects are holes to us.
//
// Without a durable consumer, all before next is done with. With one, the server knows what was acknowledged,
// and sends again what was not: some of that the journal has, as its acknowledgement was lost, by the network
// or by a server that was killed, and some not. Which it has, spans say.
type place struct {
	stream    string // which stream it is, by when it was made; empty: it was not looked at yet
	next      uint64 // the number of the message to read on with; 0: it is not known
	last      uint64 // the number of the stream's last message, when the connection was made
	delivered uint64 // the number that the consumer gave its last message on this connection

	consumer string // which durable consumer it was that spans are of, by when it was made

	old []span // of earlier connections, and of messages that were sent again: sorted, apart from each other
	now span   // of this connection
}

// A span is of messages that were handed over: all those from one number to another which the consumer has.
// Zero: of none.
type span struct{ from, to uint64 }

// maxSpans bounds a mark. The server wants an acknowledgement for fewer messages than that.
const maxSpans = 300

// keptSpans are those kept although they were acknowledged.
const keptSpans = 8

// begin begins a connection, the first one where a mark says. It returns how many messages the stream has
// dropped since.
func (p *place) begin(mark, stream string, state jetstream.StreamState) (lost uint64) {
	if p.stream == "" {
		p.recall(mark)
	}
	p.add(p.now)
	p.now, p.delivered, p.last = span{}, 0, state.LastSeq
	if p.stream != "" && p.stream != stream {
		*p = place{next: 1, last: state.LastSeq} // one that was made anew, which has nothing that was read
	}
	p.stream = stream
	if p.next > state.LastSeq+1 { // its end is lost, and the numbers are given again
		p.next, p.old = state.LastSeq+1, nil
	}
	if p.next > 0 && p.next < state.FirstSeq {
		lost, p.next = state.FirstSeq-p.next, state.FirstSeq
	}
	return lost
}

// of says which durable consumer the connection has, and up to where all was acknowledged. Spans are
// kept beyond that, but not all of them: a server that is killed forgets the latest acknowledgements.
func (p *place) of(consumer string, acknowledged uint64) {
	if p.consumer != consumer {
		p.consumer, p.old = consumer, nil
	}
	for len(p.old) > keptSpans && p.old[0].to <= acknowledged {
		p.old = p.old[1:]
	}
}

// inOrder takes note of a message of a consumer without acknowledgements. False: one before it did not arrive.
func (p *place) inOrder(number, delivered uint64) bool {
	if delivered != p.delivered+1 {
		return false
	}
	p.delivered, p.next = delivered, number+1
	return true
}

// anew takes note of a message of a durable consumer. False: it was handed over before. times is how often it
// was sent.
func (p *place) anew(number, delivered, times uint64) bool {
	if delivered != p.delivered+1 { // what is between may have gone to others who share the consumer
		p.add(p.now)
		p.now = span{}
	}
	p.delivered = delivered
	if p.has(number) {
		return false
	}
	p.next = max(p.next, number+1)
	switch {
	case times > 1:
		p.add(span{number, number})
	case p.now != span{} && number > p.now.to:
		p.now.to = number
	default:
		p.add(p.now)
		p.now = span{number, number}
	}
	return true
}

func (p *place) has(number uint64) bool {
	in := func(s span) bool { return s.from <= number && number <= s.to }
	return in(p.now) || slices.ContainsFunc(p.old, in)
}

// add keeps the old spans sorted, and joins those that touch.
func (p *place) add(s span) {
	if s == (span{}) {
		return
	}
	at, _ := slices.BinarySearchFunc(p.old, s, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	p.old = slices.Insert(p.old, at, s)
	joined := p.old[:1]
	for _, s := range p.old[1:] {
		if end := &joined[len(joined)-1]; s.from <= end.to+1 {
			end.to = max(end.to, s.to)
		} else {
			joined = append(joined, s)
		}
	}
	p.old = joined[max(0, len(joined)-maxSpans):]
}

// mark is the place as a text: the stream, the next number, and of a durable consumer when it was made and
// the spans, as distances and lengths.
func (p *place) mark() string {
	b := append(make([]byte, 0, 64), p.stream...)
	b = strconv.AppendUint(append(b, ' '), p.next, 36)
	if p.consumer == "" {
		return string(b)
	}
	b = append(append(b, ' '), p.consumer...)
	before := uint64(0)
	spans := p.old
	if p.now != (span{}) {
		spans = append(slices.Clip(spans), p.now)
		slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	}
	for _, s := range spans {
		if s.to < before {
			continue // is within the one before
		}
		b = strconv.AppendUint(append(b, ' '), max(s.from, before)-before, 36)
		if s.to > s.from {
			b = strconv.AppendUint(append(b, '-'), s.to-max(s.from, before), 36)
		}
		before = s.to
	}
	return string(b)
}

// recall reads a mark; of what is none, nothing is known.
func (p *place) recall(mark string) {
	words := strings.Fields(mark)
	if len(words) < 2 {
		return
	}
	next, err := strconv.ParseUint(words[1], 36, 64)
	if err != nil {
		return
	}
	got := place{stream: words[0], next: next}
	if len(words) > 2 {
		got.consumer = words[2]
	}
	before := uint64(0)
	for _, word := range words[min(3, len(words)):] {
		distance, length, _ := strings.Cut(word, "-")
		d, err1 := strconv.ParseUint(distance, 36, 64)
		n, err2 := strconv.ParseUint(cmp.Or(length, "0"), 36, 64)
		if err1 != nil || err2 != nil || before+d < before || before+d+n < before+d {
			return
		}
		s := span{before + d, before + d + n}
		got.add(s)
		before = s.to
	}
	*p = got
}
