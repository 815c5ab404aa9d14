package load_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"freshet/internal/load"
)

// blockOf is n messages of 100 bytes as they come from a server, the first with a revision.
func blockOf(first, n int) (block []byte) {
	for i := range n {
		block = append(block, "event: event\ndata: "...)
		block = append(block, load.Message(1732520123456789012, first+i, 100)...)
		block = fmt.Appendf(block, "\nid: %d-1k3-9f86d081\n\n", first+i)
	}
	return block
}

// Subscribers of one topic count the same, however what they get is cut, and whoever is first.
func TestManyReceive(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	const n, messages = 7, 400
	all := load.Receivers(n)
	text := append(blockOf(1, messages), ":\n"...)
	missed := append(blockOf(messages+1, 1), blockOf(messages+4, 2)...) // two are missing
	again := blockOf(messages+5, 1)
	text = append(append(text, missed...), again...)
	for i, left := 0, make([][]byte, n); i < n; i++ {
		left[i] = text
		for j := 0; j <= i; j++ { // turns of those that have begun
			for len(left[j]) > 0 && (i == n-1 || rng.IntN(20) > 0) {
				k := min(1+rng.IntN(2000), len(left[j]))
				all[j].Receive(left[j][:k])
				left[j] = left[j][k:]
			}
		}
	}
	tally := all[0].Tally()
	if tally.Events != n*(messages+4) || tally.Stamped != tally.Events || tally.Gaps != 2*n || tally.Repeats != n {
		t.Errorf("%d events, %d stamped, %d gaps, %d repeats; want %d, %[5]d, %[6]d, %[7]d", tally.Events, tally.Stamped, tally.Gaps, tally.Repeats, n*(messages+4), 2*n, n)
	}
	for i, r := range all {
		if want := fmt.Sprintf("%d-1k3-9f86d081", messages+5); r.ID() != want {
			t.Errorf("subscriber %d ends with id %s; want %s", i, r.ID(), want)
		}
	}
}

// What one core can count, joined messages of 100 bytes as they come from a busy server.
func BenchmarkReceive(b *testing.B) {
	const messages, subscribers = 500, 100
	block := blockOf(1, messages)
	for name, forget := range map[string]int{"one": 1, "hundred": subscribers} {
		b.Run(name, func(b *testing.B) {
			all := load.Receivers(forget)
			b.SetBytes(int64(len(block)))
			for i := 0; b.Loop(); i++ {
				r := all[i%len(all)]
				r.Forget()
				r.Receive(block)
			}
			b.ReportMetric(messages*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// A message that differs from what another subscriber got under the same revision is taken as it is.
func TestReceiveOthers(t *testing.T) {
	block := string(blockOf(1, 3))
	for _, tt := range []struct {
		name, other, id string
		stamped         int64
	}{
		{"at its end", strings.Replace(block, "id: 2-1k3-9f86d081", "id: 2-1k3-00000000", 1), "2-1k3-00000000", 5},
		{"at its start", strings.Replace(block, `"@1732520123456789012.2"`, `"@9732520123456789012.2"`, 1), "2-1k3-9f86d081", 4}, // outside the window
	} {
		second, third := len(block)/3, len(block)*2/3
		for _, cut := range []int{0, second, second + 60, second + 130} {
			all := load.Receivers(2)
			all[0].Receive([]byte(block))
			all[1].Receive([]byte(tt.other[:cut]))
			all[1].Receive([]byte(tt.other[cut : third+5]))
			if tally := all[0].Tally(); tally.Stamped != tt.stamped || tally.Events != 5 || all[1].ID() != tt.id {
				t.Errorf("different %s, cut at %d: %d of %d events stamped, id %s; want %d of 5, %s", tt.name, cut, tally.Stamped, tally.Events, all[1].ID(), tt.stamped, tt.id)
			}
		}
	}
}
