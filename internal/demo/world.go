package demo

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// A world is the randomness of one document: everything in it follows from the seed.
type world struct{ seed uint64 }

// mix hashes numbers into one whose bits are all as good (the finalizer of SplitMix64).
func mix(parts ...uint64) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, p := range parts {
		h += p + 0x9e3779b97f4a7c15
		h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
		h = (h ^ h>>27) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return h
}

// hash is a random number for a purpose, an item and a time.
func (w world) hash(purpose string, item int, at int64) uint64 {
	h := w.seed
	for _, b := range []byte(purpose) {
		h = mix(h, uint64(b))
	}
	return mix(h, uint64(item), uint64(at)) //nolint:gosec // a hash
}

// pick is a random number from 0 to n-1.
func (w world) pick(purpose string, item int, at int64, n int) int {
	return int(w.hash(purpose, item, at) % uint64(n)) //nolint:gosec // less than n
}

// between is a random constant of an item.
func (w world) between(purpose string, item int, low, high float64) float64 {
	return low + (high-low)*float64(w.hash(purpose, item, 0)>>11)/(1<<53)
}

// wave is a value from about -1 to 1 that wanders smoothly with time, one wander taking about scale
// steps: noise of four octaves.
func (w world) wave(purpose string, item int, at int64, scale float64) float64 {
	sum, size := 0.0, 0.5
	for octave := range 4 {
		x := float64(at) / scale * float64(int(1)<<octave)
		cell, part := math.Floor(x), x-math.Floor(x)
		from := w.corner(purpose, item, octave, int64(cell))
		to := w.corner(purpose, item, octave, int64(cell)+1)
		sum += size * (from + (to-from)*part*part*(3-2*part))
		size /= 2
	}
	return sum
}

func (w world) corner(purpose string, item, octave int, cell int64) float64 {
	return float64(w.hash(purpose, item*4+octave, cell)>>11)/(1<<52) - 1
}

// updated is the last step up to now in which an item changed, and how many times it has changed by
// then: once in every so many steps, at a random one of them.
func (w world) updated(item int, now, every int64) (at, count int64) {
	block := now / every
	if at = block*every + w.moment(item, block, every); at <= now {
		return at, block
	}
	return (block-1)*every + w.moment(item, block-1, every), block - 1
}

func (w world) moment(item int, block, every int64) int64 {
	return int64(w.pick("moment", item, block, int(every)))
}

// decimal writes a number with so many places, 1.0 as 1.0: what real APIs do, and what must survive.
func decimal(v float64, places int) json.Number {
	if v = math.Round(v*math.Pow10(places)) / math.Pow10(places); v == 0 {
		v = 0 // not -0
	}
	return json.Number(strconv.FormatFloat(v, 'f', places, 64))
}

// stamp is a step as a time.
func stamp(at int64) string { return time.Unix(at, 0).UTC().Format(time.RFC3339) }
