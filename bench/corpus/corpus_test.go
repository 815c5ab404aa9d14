package corpus_test

import (
	"encoding/json"
	"testing"

	"freshet/bench/corpus"
	"freshet/jsonpatch"
)

// BenchmarkPoll is one poll of our engine: parse guided by the version before, diff, bytes.
func BenchmarkPoll(b *testing.B) {
	for _, c := range corpus.All() {
		b.Run(c.Name, func(b *testing.B) {
			olds := make([]jsonpatch.Document, len(c.Versions))
			for i, v := range c.Versions {
				if err := olds[i].Parse(v, nil, jsonpatch.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
			d, err := jsonpatch.NewDiffer(jsonpatch.Options{})
			if err != nil {
				b.Fatal(err)
			}
			var now jsonpatch.Document
			var patch []byte
			bytes := 0
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				k := i % (len(c.Versions) - 1)
				if err := now.Parse(c.Versions[k+1], &olds[k], jsonpatch.Limits{}); err != nil {
					b.Fatal(err)
				}
				patch, _ = d.Append(patch[:0], &olds[k], &now)
				bytes += len(patch)
			}
			b.ReportMetric(float64(bytes)/float64(b.N), "patch-B")
			b.ReportMetric(float64(len(c.Versions[1])), "doc-B")
		})
	}
}

// BenchmarkParse is our plain parse.
func BenchmarkParse(b *testing.B) {
	for _, c := range corpus.All() {
		b.Run(c.Name, func(b *testing.B) {
			var now jsonpatch.Document
			for i := 0; b.Loop(); i++ {
				if err := now.Parse(c.Versions[i%len(c.Versions)], nil, jsonpatch.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkValid is what the standard library takes to say yes.
func BenchmarkValid(b *testing.B) {
	for _, c := range corpus.All() {
		b.Run(c.Name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if !json.Valid(c.Versions[i%len(c.Versions)]) {
					b.Fatal("not valid")
				}
			}
		})
	}
}
