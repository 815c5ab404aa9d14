package load

import (
	"math"
	"math/bits"
	"time"
)

// A Histogram counts durations in buckets whose width is at most 1/64 of what they hold, from 1 µs
// to years. Its zero value is empty. It is not safe for concurrent use.
type Histogram struct {
	counts [buckets]uint64
	total  uint64
	max    int64 // µs
}

const (
	subBits = 6 // each power of two is cut into 64
	buckets = (40 - subBits) << subBits
)

// Record adds one duration. What is below zero, which clocks of two processes allow, counts as zero.
func (h *Histogram) Record(d time.Duration) {
	us := max(int64(d/time.Microsecond), 0)
	h.counts[bucketOf(us)]++
	h.total++
	h.max = max(h.max, us)
}

func bucketOf(us int64) int {
	shift := max(bits.Len64(uint64(us))-subBits-1, 0)
	return min(shift<<subBits+int(us>>shift), buckets-1)
}

// upper is the largest number of microseconds in a bucket.
func upper(bucket int) int64 {
	if bucket < 2<<subBits {
		return int64(bucket)
	}
	shift := bucket>>subBits - 1
	return int64(bucket-shift<<subBits+1)<<shift - 1
}

// Count is how many durations were recorded.
func (h *Histogram) Count() int64 { return int64(h.total) }

// Quantile is the duration that a share q of what was recorded does not exceed; zero of nothing.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.total)))
	seen := uint64(0)
	for i, n := range h.counts {
		if seen += n; n > 0 && seen >= rank {
			return time.Duration(min(upper(i), h.max)) * time.Microsecond
		}
	}
	return 0
}

// Max is the longest duration recorded, to the microsecond.
func (h *Histogram) Max() time.Duration { return time.Duration(h.max) * time.Microsecond }

// Add takes over what another histogram counted.
func (h *Histogram) Add(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.max = max(h.max, o.max)
}
