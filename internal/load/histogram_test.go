package load_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"freshet/internal/load"
)

// A quantile is never below the true one, and above it by 1/64 and a microsecond at most.
func TestHistogram(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, longest := range []time.Duration{100 * time.Microsecond, 10 * time.Millisecond, time.Second, 100 * time.Hour} {
		var all []time.Duration
		var halves [2]load.Histogram
		for i := range 10_001 {
			d := time.Duration(rng.Int64N(int64(longest)))
			all = append(all, d)
			halves[i%2].Record(d)
		}
		slices.Sort(all)
		h := halves[0]
		h.Add(&halves[1])
		for _, q := range []float64{0.0001, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
			exact := all[max(int(q*10_001+0.9999)-1, 0)].Truncate(time.Microsecond)
			if got := h.Quantile(q); got < exact || got > exact+exact/64+time.Microsecond {
				t.Errorf("up to %s: quantile %g is %s; exact %s", longest, q, got, exact)
			}
		}
		if want := all[10_000].Truncate(time.Microsecond); h.Max() != want || h.Count() != 10_001 {
			t.Errorf("up to %s: max %s of %d; want %s of 10001", longest, h.Max(), h.Count(), want)
		}
	}
	var none load.Histogram
	if none.Quantile(0.99) != 0 || none.Max() != 0 {
		t.Error("nothing recorded, and yet there is a quantile")
	}
	none.Record(-time.Second) // the clocks of two processes
	if none.Quantile(1) != 0 || none.Count() != 1 {
		t.Error("less than nothing does not count as nothing")
	}
}
