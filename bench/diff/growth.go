package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"

	"freshet/jsonpatch"
)

// The sizes of arrays; each is twice the one before.
const smallest, largest = 781, 100_000

// growth prints how the time of a poll grows when an array doubles, and returns the worst.
func growth(w io.Writer) (worst float64, err error) {
	fmt.Fprint(w, "\nCPU ms per poll for an array of n, and how many times that of n/2.\n\n| n |")
	columns := 0
	for n := smallest; n <= largest; n *= 2 {
		fmt.Fprintf(w, " %d |", n)
		columns++
	}
	fmt.Fprintln(w, "\n|---|"+strings.Repeat("---:|", columns))
	for _, g := range []struct {
		name string
		make func(r *rand.Rand, n int) (from, to []byte)
	}{
		{"shuffled", func(r *rand.Rand, n int) (from, to []byte) { return records(upTo(n), 0), records(r.Perm(n), 0) }},
		{"reversed", func(_ *rand.Rand, n int) (from, to []byte) { return records(upTo(n), 0), records(reversed(n), 0) }},
		{"all changed", func(_ *rand.Rand, n int) (from, to []byte) { return records(upTo(n), 0), records(upTo(n), 1) }},
		{"duplicates", func(r *rand.Rand, n int) (from, to []byte) { return few(r, n), few(r, n) }},
		{"shifted duplicates", shifted},
	} {
		var tasks []*task
		for n := smallest; n <= largest; n *= 2 {
			// Several pairs of the same size, or the processor learns a small one by heart.
			var polls []func()
			for i := range min(32, largest/n) {
				poll, err := pollOf(g.make(rand.New(rand.NewPCG(1, uint64(i))), n))
				if err != nil {
					return 0, fmt.Errorf("%s: %w", g.name, err)
				}
				polls = append(polls, poll)
			}
			tasks = append(tasks, &task{call: func(k int) { polls[k%len(polls)]() }})
		}
		compare(tasks, 5)
		fmt.Fprintf(w, "| %s |", g.name)
		for i, t := range tasks {
			fmt.Fprintf(w, " %.2f", t.best.ns/1e6)
			if i > 0 {
				times := t.best.ns / tasks[i-1].best.ns
				worst = max(worst, times)
				fmt.Fprintf(w, " (×%.2f)", times)
			}
			fmt.Fprint(w, " |")
		}
		fmt.Fprintln(w)
	}
	return worst, head(w)
}

// head prints what an element inserted at the head of 10 000 costs.
func head(w io.Writer) error {
	from, to := records(upTo(10_000), 0), records(append([]int{10_000}, upTo(10_000)...), 0)
	patch, err := jsonpatch.Diff(from, to)
	if err != nil {
		return err
	}
	ops, err := countOps(patch)
	fmt.Fprintf(w, "\none inserted at the head of 10 000: %d operation, %d bytes\n", ops, len(patch))
	return err
}

func countOps(patch []byte) (int, error) {
	var ops []any
	err := useNumber(patch, &ops)
	return len(ops), err
}

func pollOf(from, to []byte) (func(), error) {
	old, err := jsonpatch.Parse(from, jsonpatch.Limits{})
	if err != nil {
		return nil, err
	}
	d, err := jsonpatch.NewDiffer(jsonpatch.Options{})
	var now jsonpatch.Document
	var patch []byte
	return func() {
		if err := now.Parse(to, old, jsonpatch.Limits{}); err != nil {
			panic(err) // a document made here
		}
		patch, _ = d.Append(patch[:0], old, &now)
	}, err
}

func upTo(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func reversed(n int) []int {
	s := upTo(n)
	for i := range s {
		s[i] = n - 1 - i
	}
	return s
}

func records(ids []int, version int) []byte {
	b := []byte{'['}
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"id":`+strconv.Itoa(1_000_000+id)+`,"name":"item `+strconv.Itoa(id)+`","qty":`+strconv.Itoa(id*7%1000+version)+`}`...)
	}
	return append(b, ']')
}

// few makes an array of few different values.
func few(r *rand.Rand, n int) []byte {
	b := []byte{'['}
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(r.IntN(3)), 10)
	}
	return append(b, ']')
}

// shifted makes runs of equal values in which some come and go all along.
func shifted(r *rand.Rand, n int) (from, to []byte) {
	a := few(r, n)
	b := []byte{'['}
	for i := 1; i < len(a)-1; i += 2 {
		switch r.IntN(20) {
		case 0:
		case 1:
			b = append(b, a[i], ',', '1', ',')
		default:
			b = append(b, a[i], ',')
		}
	}
	return a, append(b, "0]"...)
}
