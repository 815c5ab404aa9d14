// Package corpus makes the documents that the benchmarks compare: plausible API answers, each in
// several versions. The same seed gives the same bytes.
package corpus

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// A Corpus is a document in successive versions.
type Corpus struct {
	Name     string
	Versions [][]byte
	Shuffled bool // members come in random order each time
}

// versions is how many a corpus has: enough that no two changes in a row are the same.
const versions = 6

// All returns the 25 corpora.
func All() []Corpus {
	var all []Corpus
	for _, size := range []struct {
		name    string
		records int
	}{{"20K", 83}, {"50K", 207}, {"1M", 4140}} {
		all = append(all,
			quotes("stocks"+size.name+"-1%f", size.records, change{fields: 0.01}, style{}),
			quotes("stocks"+size.name+"-20%f", size.records, change{fields: 0.2}, style{}),
			quotes("stocks"+size.name+"-20%r", size.records, change{records: 0.2}, style{}),
			quotes("stocks"+size.name+"-100%", size.records, change{records: 1}, style{}))
	}
	return append(all,
		quotes("map50K-20%r", 200, change{records: 0.2}, style{keyed: true}),
		quotes("stamp50K", 207, change{}, style{stamp: true}),
		quotes("pretty50K-20%r", 150, change{records: 0.2}, style{pretty: true}),
		quotes("keyshuffle50K-0", 207, change{}, style{shuffled: true}),
		quotes("keyshuffle50K-20%r", 207, change{records: 0.2}, style{shuffled: true}),
		news(50), leaders(100), config(), items("array10k", 10_000), items("array500", 500),
		vehicles(300), series(1000), tags(800))
}

// A rng is a source of plausible values.
type rng struct{ *rand.Rand }

func newRand(name string) rng {
	h := uint64(14695981039346656037)
	for _, c := range []byte(name) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return rng{rand.New(rand.NewPCG(h, 1))}
}

func (r rng) text(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "abcdefghijklmnopqrstuvwxyz"[r.IntN(26)]
	}
	return string(b)
}

func (r rng) words(n int) string {
	s := ""
	for i := range n {
		if i > 0 {
			s += " "
		}
		s += r.text(2 + r.IntN(8))
	}
	return s
}

func (r rng) price() string { return strconv.FormatFloat(1+r.Float64()*900, 'f', 2, 64) }
func (r rng) count(n int) string {
	return strconv.Itoa(r.IntN(n))
}

// A field is a member with its value as JSON text.
type field struct{ name, value string }

func quoted(s string) string { return strconv.Quote(s) }

// object writes an object.
func object(dst []byte, fields []field) []byte {
	dst = append(dst, '{')
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, f.name...)
		dst = append(dst, '"', ':')
		dst = append(dst, f.value...)
	}
	return append(dst, '}')
}

func list(dst []byte, elements []string) []byte {
	dst = append(dst, '[')
	for i, e := range elements {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, e...)
	}
	return append(dst, ']')
}

func stamp(k int) string { return fmt.Sprintf("2026-11-23T10:%02d:%02d.000Z", k/60%60, k%60) }
