// Diff measures the change engine beside other libraries, all in one run: time, allocations and
// patch bytes on each corpus, and how time grows with the size. It prints the tables of
// docs/performance.md and writes out/diff.json.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"strings"

	"freshet/bench/corpus"
	"freshet/jsonpatch"
)

// A row is one engine on one corpus.
type row struct {
	Corpus     string  `json:"corpus"`
	Engine     string  `json:"engine"`
	NsPerOp    float64 `json:"ns_per_op"` // 0: not timed, too slow
	AllocsOp   float64 `json:"allocs_per_op"`
	PatchBytes float64 `json:"patch_bytes"` // on average
	Correct    bool    `json:"correct"`     // every patch led to the new document
}

func main() {
	rounds := flag.Int("rounds", 7, "rounds of which the best counts")
	only := flag.String("only", "", "corpora whose names contain this")
	fast := flag.Bool("fast", false, "leave out the engines that are slow on large documents")
	out := flag.String("o", "out/diff.json", "where to write the rows")
	flag.Parse()
	if err := run(*rounds, *only, *fast, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench-diff:", err)
		os.Exit(1)
	}
}

func run(rounds int, only string, fast bool, out string) error {
	var rows []row
	fmt.Println("CPU time per poll. x: how many times that of freshet.")
	fmt.Printf("%-20s %9s %9s | %9s %8s %7s %7s | %7s %7s %7s | %9s %9s %6s\n", "corpus", "doc B", "patch B", "valid us", "parse", "guided", "÷parse",
		"wI2L", "best", "gomod", "smallest", "by", "ratio")
	var ratios, best []float64
	for _, c := range corpus.All() {
		if !strings.Contains(c.Name, only) {
			continue
		}
		more, line, err := measure(c, rounds, fast)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		rows = append(rows, more...)
		fmt.Println(line.text)
		ratios, best = append(ratios, line.usual), append(best, line.best)
	}
	fmt.Printf("geometric means: wI2L UseNumber x%.1f, best set-up x%.1f\n", geomean(ratios), geomean(best))
	if only == "" || only == "growth" {
		if err := growth(os.Stdout); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(rows, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll("out", 0o755); err != nil {
		return err
	}
	return os.WriteFile(out, append(text, '\n'), 0o644)
}

type line struct {
	text        string
	usual, best float64
}

func measure(c corpus.Corpus, rounds int, fast bool) ([]row, line, error) {
	pairs := len(c.Versions) - 1
	large := len(c.Versions[0]) > 200_000
	var rows []row
	var tasks []*task
	for _, e := range engines() {
		if e.slow && large && fast {
			continue
		}
		p, err := e.prepare(c)
		if err != nil {
			return nil, line{}, fmt.Errorf("%s: %w", e.name, err)
		}
		r := row{Corpus: c.Name, Engine: e.name, Correct: true}
		n := pairs
		if e.slow && large {
			n = 1
		}
		for k := range n {
			patch, err := p(k)
			if err != nil {
				return nil, line{}, fmt.Errorf("%s: %w", e.name, err)
			}
			r.PatchBytes += float64(len(patch)) / float64(n)
			if err := leads(c.Versions[k], patch, c.Versions[k+1]); err != nil {
				r.Correct = false
			}
		}
		rows = append(rows, r)
		if !e.slow {
			tasks = append(tasks, &task{call: func(k int) {
				if _, err := p(k % pairs); err != nil {
					panic(err) // it worked before
				}
			}})
		}
	}
	var d jsonpatch.Document
	parse := &task{call: func(k int) {
		if err := d.Parse(c.Versions[k%len(c.Versions)], nil, jsonpatch.Limits{}); err != nil {
			panic(err)
		}
	}}
	valid := &task{call: func(k int) { json.Valid(c.Versions[k%len(c.Versions)]) }}
	compare(append(append([]*task(nil), tasks...), parse, valid), rounds)
	for i, t := range tasks { // those that are timed come first
		rows[i].NsPerOp, rows[i].AllocsOp = t.best.ns, t.best.allocs
	}
	l := summary(c, rows, parse.best.ns, valid.best.ns)
	return rows, l, nil
}

func summary(c corpus.Corpus, rows []row, parse, valid float64) line {
	by := map[string]row{}
	smallest := row{PatchBytes: math.Inf(1)}
	for _, r := range rows {
		by[r.Engine] = r
		if !strings.HasPrefix(r.Engine, ours) && r.Correct && r.PatchBytes < smallest.PatchBytes {
			smallest = r
		}
	}
	f := by[ours]
	usual, best := by["wI2L UseNumber"].NsPerOp/f.NsPerOp, by["wI2L stateful sonic UseNumber"].NsPerOp/f.NsPerOp
	wrong := ""
	for _, r := range rows {
		if !r.Correct {
			wrong += " WRONG: " + r.Engine
		}
	}
	if f.AllocsOp >= 0.5 {
		wrong += fmt.Sprintf(" ALLOCS: %.1f", f.AllocsOp)
	}
	return line{fmt.Sprintf("%-20s %9d %9.0f | %9.1f %8.2f %7.1f %7.2f | %7.1f %7.1f %7.1f | %9.0f %9s %6.3f%s", c.Name, len(c.Versions[0]), f.PatchBytes,
		valid/1e3, parse/valid, f.NsPerOp/1e3, f.NsPerOp/parse, usual, best, by["gomodules/v2"].NsPerOp/f.NsPerOp,
		smallest.PatchBytes, strings.TrimPrefix(smallest.Engine, "wI2L UseNumber "), f.PatchBytes/smallest.PatchBytes, wrong), usual, best}
}

func geomean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += math.Log(v)
	}
	return math.Exp(sum / float64(len(x)))
}
