package main

import (
	"fmt"
	"math"
	"strings"

	"freshet/bench/corpus"
)

// A summary is what a corpus says about us.
type summary struct {
	corpus      corpus.Corpus
	poll, parse float64 // ns
	valid       float64 // ns of json.Valid
	usual, best float64 // times our time
	third       float64
	patch       float64 // bytes
	smallest    row     // correct patches of others
	ratio       float64 // patch bytes ÷ smallest; of the first patch alone where some engines were asked for no more
	allocs      float64
	over        float64
	wrong       []string // engines with a patch that does not lead to the new document
}

func summarize(c corpus.Corpus, rows []row, parse, valid float64) summary {
	by := map[string]row{}
	s := summary{corpus: c, parse: parse, valid: valid}
	mine, least := 0.0, math.Inf(1)
	for _, r := range rows {
		by[r.Engine] = r
		bytes := r.PatchBytes
		if large(c) {
			bytes = r.first
		}
		if r.Engine == ours {
			mine = bytes
		} else if !strings.HasPrefix(r.Engine, ours) && r.Correct && bytes < least {
			s.smallest, least = r, bytes
		}
		if !r.Correct {
			s.wrong = append(s.wrong, r.Engine)
		}
	}
	s.ratio = mine / least
	f := by[ours]
	s.poll, s.patch, s.allocs, s.over = f.NsPerOp, f.PatchBytes, f.AllocsOp, f.over
	s.usual, s.best, s.third = by[usual].NsPerOp/s.poll, by[bestSetUp].NsPerOp/s.poll, by["gomodules/v2"].NsPerOp/s.poll
	return s
}

func (s summary) String() string {
	text := fmt.Sprintf("| %s | %d | %.1f | %.2f | %.1f | %.2f | %.1f | %.1f | %.1f | %.0f | %.0f | %s | %.3f |", s.corpus.Name, len(s.corpus.Versions[0]),
		s.valid/1e3, s.parse/s.valid, s.poll/1e3, s.poll/s.parse, s.usual, s.best, s.third, s.patch, s.smallest.PatchBytes, strings.Replace(s.smallest.Engine, " UseNumber", "", 1), s.ratio)
	if len(s.wrong) > 0 {
		text += " WRONG: " + strings.Join(s.wrong, ", ")
	}
	return text
}

// gates prints what was set out to be reached beside what was.
func gates(all []summary, worstGrowth float64) {
	fmt.Print("\n| what | wanted | measured | |\n|---|---:|---:|---|\n")
	gate := func(what string, wanted, measured float64, atLeast bool) {
		sign, ok := "≤", measured <= wanted
		if atLeast {
			sign, ok = "≥", measured >= wanted
		}
		verdict := "reached"
		if !ok {
			verdict = "MISSED"
		}
		fmt.Printf("| %s | %s %.2f | %.2f | %s |\n", what, sign, wanted, measured, verdict)
	}
	lowest := func(shuffled bool, of func(summary) float64) float64 {
		low := math.Inf(1)
		for _, s := range all {
			if s.corpus.Shuffled == shuffled {
				low = min(low, of(s))
			}
		}
		return low
	}
	highest := func(of func(summary) float64) float64 {
		high := math.Inf(-1)
		for _, s := range all {
			high = max(high, of(s))
		}
		return high
	}
	versusUsual, versusBest := func(s summary) float64 { return s.usual }, func(s summary) float64 { return s.best }
	gate("wI2L with UseNumber ÷ freshet, every corpus that is not shuffled", 25, lowest(false, versusUsual), true)
	gate("the same, shuffled", 8, lowest(true, versusUsual), true)
	sum := 0.0
	for _, s := range all {
		sum += math.Log(s.usual)
	}
	gate("the same, geometric mean of all", 40, math.Exp(sum/float64(len(all))), true)
	gate("best set-up ÷ freshet, every corpus that is not shuffled", 10, lowest(false, versusBest), true)
	gate("the same, shuffled", 4, lowest(true, versusBest), true)
	for _, s := range all {
		limit := map[string]float64{"stamp50K": 0.25, "stocks50K-1%f": 0.4, "stocks50K-20%r": 0.7, "stocks50K-20%f": 1.3, "stocks50K-100%": 2}[s.corpus.Name]
		if limit > 0 {
			gate("guided poll ÷ our parse, "+s.corpus.Name, limit, s.poll/s.parse, false)
		}
	}
	gate("our parse ÷ json.Valid, worst", 0.7, highest(func(s summary) float64 { return s.parse / s.valid }), false)
	gate("allocations per poll, worst", 0, highest(func(s summary) float64 { return math.Floor(s.allocs + 0.5) }), false)
	gate("patch bytes ÷ smallest correct of others, worst", 1.01, highest(func(s summary) float64 { return s.ratio }), false)
	gate("patch bytes over those of the document, worst", 40, highest(func(s summary) float64 { return s.over }), false)
	gate("growth of time per doubling, worst", 2.6, worstGrowth, false)
	gate("engines with a wrong patch that are ours", 0, highest(func(s summary) float64 {
		for _, name := range s.wrong {
			if strings.HasPrefix(name, ours) {
				return 1
			}
		}
		return 0
	}), false)
}
