// Diff measures the change engine beside other libraries, all in one run: time, allocations and
// patch bytes on each corpus, and how time grows with the size. It prints the tables of
// docs/performance.md and writes out/diff.json.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
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
	first      float64 // bytes of the first patch
	over       float64 // bytes by which a patch was larger than the new document, at most
}

func main() {
	rounds := flag.Int("rounds", 9, "rounds of which the best counts")
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
	fmt.Println("CPU time per poll; ×: how many times that of freshet; smallest: of the correct patches of others.")
	fmt.Println()
	fmt.Println("| corpus | doc B | json.Valid µs | parse ÷ Valid | poll µs | poll ÷ parse | wI2L × | best set-up × | gomodules × | patch B | smallest B | by | ratio |")
	fmt.Println("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|---:|")
	var all []summary
	for _, c := range corpus.All() {
		if !strings.Contains(c.Name, only) {
			continue
		}
		more, s, err := measure(c, rounds, fast)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		rows, all = append(rows, more...), append(all, s)
		fmt.Println(s)
	}
	if only == "" || only == "growth" {
		worst, err := growth(os.Stdout)
		if err != nil {
			return err
		}
		if only == "" {
			gates(all, worst)
		}
	}
	text, err := json.MarshalIndent(rows, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o750); err != nil {
		return err
	}
	return os.WriteFile(out, append(text, '\n'), 0o600)
}

// large says whether slow engines take seconds for a patch.
func large(c corpus.Corpus) bool { return len(c.Versions[0]) > 200_000 }

func measure(c corpus.Corpus, rounds int, fast bool) ([]row, summary, error) {
	pairs := len(c.Versions) - 1
	var rows []row
	var tasks []*task
	for _, e := range engines() {
		if e.slow && large(c) && fast {
			continue
		}
		p, err := e.prepare(c)
		if err != nil {
			return nil, summary{}, fmt.Errorf("%s: %w", e.name, err)
		}
		r := row{Corpus: c.Name, Engine: e.name, Correct: true}
		n := pairs
		if e.slow && large(c) {
			n = 1
		}
		for k := range n {
			patch, err := p(k)
			if err != nil {
				return nil, summary{}, fmt.Errorf("%s: %w", e.name, err)
			}
			r.PatchBytes += float64(len(patch)) / float64(n)
			if k == 0 {
				r.first = float64(len(patch))
			}
			r.over = max(r.over, float64(len(patch)-len(c.Versions[k+1])))
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
	return rows, summarize(c, rows, parse.best.ns, valid.best.ns), nil
}
