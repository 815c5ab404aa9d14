package nats_test

import (
	"math/rand/v2"
	"testing"

	"freshet/internal/flow/source/nats"
)

func TestPlaceInOrder(t *testing.T) {
	var p nats.Place
	if next, lost := p.Begin("", "s", "", 1, 10, 0); next != 0 || lost != 0 {
		t.Errorf("%d, %d lost", next, lost)
	}
	if !p.InOrder(11, 1) || !p.InOrder(14, 2) || p.InOrder(16, 4) {
		t.Error("what is missing between 14 and 16 is not noticed, or something else")
	}
	mark := p.Mark()
	for _, tt := range []struct {
		name        string
		stream      string
		first, last uint64
		next, lost  uint64
	}{
		{"the same", "s", 1, 20, 15, 0},
		{"nothing new", "s", 1, 14, 15, 0},
		{"messages dropped", "s", 18, 20, 18, 3},
		{"all dropped", "s", 21, 20, 21, 6},
		{"made anew", "x", 1, 20, 1, 0},
		{"made anew, and dropped", "x", 5, 20, 5, 4},
		{"its end lost", "s", 1, 12, 13, 0},
	} {
		var p nats.Place
		if next, lost := p.Begin(mark, tt.stream, "", tt.first, tt.last, 0); next != tt.next || lost != tt.lost {
			t.Errorf("%s: next is %d and %d are lost; want %d and %d", tt.name, next, lost, tt.next, tt.lost)
		}
	}
	for _, mark := range []string{"s", "s ä", "{}", "s 1 c -", "s 1 c 1-3w5e11264sgsf 3w5e11264sgsf"} {
		var p nats.Place
		if next, _ := p.Begin(mark, "s", "", 1, 10, 0); next != 0 {
			t.Errorf("%q: next is %d", mark, next)
		}
	}
}

// A server that sends again what was not acknowledged, forgets acknowledgements when it is killed, and shares
// the consumer with others: whatever happens, what was handed over is known, and nothing else is.
func TestPlaceOfDurableConsumer(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		var p nats.Place
		mark, handed := "", map[uint64]bool{}
		next, delivered := uint64(1), uint64(0)
		var pending []uint64
		for range 20 {
			if r.IntN(3) == 0 {
				p = nats.Place{} // a restart
			}
			p.Begin(mark, "s", "c", 1, 1<<40, 0)
			for range r.IntN(30) {
				number, times := uint64(0), uint64(1)
				if len(pending) > 0 && r.IntN(2) == 0 {
					i := r.IntN(len(pending))
					number, times = pending[i], 2
					if r.IntN(2) == 0 {
						pending = append(pending[:i], pending[i+1:]...) // acknowledged
					}
				} else {
					next += 1 + r.Uint64N(3) // what is between has another subject
					number = next
				}
				delivered++
				if r.IntN(5) == 0 { // to somebody else, who may not acknowledge it
					if r.IntN(2) == 0 {
						pending = append(pending, number)
					}
					continue
				}
				if r.IntN(3) == 0 {
					pending = append(pending, number)
				}
				if got := p.Anew(number, delivered, times); got == handed[number] {
					t.Fatalf("seed %d: message %d is new: %v; want %v", seed, number, got, !got)
				}
				handed[number] = true
				mark = p.Mark()
			}
			// The connection breaks: some on its way are sent again.
			for range r.IntN(5) {
				next += 1 + r.Uint64N(3)
				delivered++
				pending = append(pending, next)
			}
			if r.IntN(4) == 0 { // the server is killed, and knows less
				for number := range handed {
					if number+10 > next {
						pending = append(pending, number)
					}
				}
			}
			if len(mark) > 4096 {
				t.Fatalf("seed %d: a mark of %d bytes", seed, len(mark))
			}
		}
	}
}

// What is acknowledged for long is not kept.
func TestPlaceForgets(t *testing.T) {
	var p nats.Place
	mark := ""
	for i := range uint64(1000) {
		p.Begin(mark, "s", "c", 1, 1<<40, 10*i)
		p.Anew(10*i+1, 2*i, 1)
		p.Anew(10*i+3, 2*i+1, 1)
		mark = p.Mark()
	}
	if len(mark) > 100 {
		t.Error(mark)
	}
	if p.Anew(9991, 1, 2) {
		t.Error("the last is not known")
	}
	mark = ""
	p = nats.Place{}
	for i := range uint64(5000) { // nothing is ever acknowledged
		p.Begin(mark, "s", "c", 1, 1<<40, 0)
		p.Anew(i<<30, 1, 1)
		if mark = p.Mark(); len(mark) > 4096 {
			t.Fatalf("a mark of %d bytes", len(mark))
		}
	}
	p.Begin(mark, "s", "another", 1, 1<<40, 0)
	if !p.Anew(4999<<30, 1, 1) {
		t.Error("another consumer's message is taken for one of this")
	}
}

// FuzzMark: a mark is read as it was written, and what is none breaks nothing.
func FuzzMark(f *testing.F) {
	f.Add("abc 1z c 1-5 3 7-2")
	f.Fuzz(func(t *testing.T, mark string) {
		var p, q nats.Place
		p.Begin(mark, "s", "c", 1, 1<<50, 0)
		first := p.Mark()
		q.Begin(first, "s", "c", 1, 1<<50, 0)
		if second := q.Mark(); second != first {
			t.Errorf("%q is %q is %q", mark, first, second)
		}
	})
}
