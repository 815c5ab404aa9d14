package corpus

import (
	"bytes"
	"encoding/json"
)

// What changes from version to version, as shares.
type change struct {
	fields  float64 // of all mutable fields, scattered
	records float64 // of the records, in all of their mutable fields
}

type style struct{ keyed, stamp, pretty, shuffled bool }

// fixed is how many members of a quote never change; 11 do.
const fixed = 4

// quotes makes a list, or a map, of records of 15 members, as market data feeds have them.
func quotes(name string, n int, c change, s style) Corpus {
	r := newRand(name)
	records := make([][]field, n)
	for i := range records {
		records[i] = []field{
			{"symbol", quoted(r.text(4))},
			{"name", quoted(r.words(2))},
			{"exchange", quoted([]string{"XNAS", "XNYS", "XETR", "XPAR"}[r.IntN(4)])},
			{"currency", quoted([]string{"USD", "EUR"}[r.IntN(2)])},
			{"bid", ""},
			{"ask", ""},
			{"last", ""},
			{"open", ""},
			{"high", ""},
			{"low", ""},
			{"volume", ""},
			{"change", ""},
			{"changePct", ""},
			{"trades", ""},
			{"ts", ""},
		}
		for k := fixed; k < len(records[i]); k++ {
			records[i][k].value = r.mutable(records[i][k].name)
		}
	}
	corpus := Corpus{Name: name, Shuffled: s.shuffled}
	for v := range versions {
		if v > 0 {
			r.change(records, c)
		}
		corpus.Versions = append(corpus.Versions, r.writeQuotes(records, s, v))
	}
	return corpus
}

func (r rng) mutable(name string) string {
	switch name {
	case "volume", "trades":
		return r.count(1_000_000)
	case "ts":
		return "17637" + r.text10()
	case "change", "changePct":
		if p := r.price(); r.IntN(2) == 0 {
			return "-" + p
		}
	}
	return r.price()
}

func (r rng) text10() string {
	b := make([]byte, 8)
	for i := range b {
		b[i] = byte('0' + r.IntN(10))
	}
	return string(b)
}

func (r rng) change(records [][]field, c change) {
	for _, rec := range records {
		whole := r.Float64() < c.records
		for k := fixed; k < len(rec); k++ {
			if whole || r.Float64() < c.fields {
				rec[k].value = r.mutable(rec[k].name)
			}
		}
	}
}

func (r rng) writeQuotes(records [][]field, s style, version int) []byte {
	stamped := 0
	if s.stamp {
		stamped = version
	}
	doc := []byte(`{"generatedAt":` + quoted(stamp(stamped)) + `,"quotes":`)
	open, closing := byte('['), byte(']')
	if s.keyed {
		open, closing = '{', '}'
	}
	doc = append(doc, open)
	for i, rec := range records {
		if i > 0 {
			doc = append(doc, ',')
		}
		if s.keyed {
			doc = append(doc, rec[0].value...)
			doc = append(doc, ':')
		}
		if s.shuffled {
			rec = append([]field(nil), rec...)
			r.Shuffle(len(rec), func(i, j int) { rec[i], rec[j] = rec[j], rec[i] })
		}
		doc = object(doc, rec)
	}
	doc = append(doc, closing, '}')
	if s.pretty {
		var b bytes.Buffer
		if err := json.Indent(&b, doc, "", "  "); err != nil {
			panic(err) // what was just made is JSON
		}
		doc = b.Bytes()
	}
	return doc
}
