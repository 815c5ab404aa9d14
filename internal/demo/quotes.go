package demo

import (
	"encoding/json"
	"math"
	"strings"
)

type quote struct {
	ID     uint64  `json:"id"` // larger than a double can hold
	Symbol string  `json:"symbol"`
	Name   string  `json:"name"`
	Bid    level   `json:"bid"`
	Ask    level   `json:"ask"`
	Last   trade   `json:"last"`
	Day    session `json:"day"`
}

type level struct {
	Price json.Number `json:"price"`
	Size  int         `json:"size"`
}

type trade struct {
	Price json.Number `json:"price"`
	Size  int         `json:"size"`
	Time  string      `json:"time"`
}

type session struct {
	Open   json.Number `json:"open"`
	Change json.Number `json:"changePercent"`
	Volume int64       `json:"volume"`
	Traded int64       `json:"trades"`
}

func quotes(w world, now int64) any {
	names := []string{
		"Almond", "Birch", "Cobalt", "Dune", "Ember", "Fjord", "Granite", "Harbour", "Iris", "Juniper",
		"Kestrel", "Lumen", "Meridian", "Nordwind", "Opal", "Pylon", "Quarry", "Rowan", "Saffron", "Tidal",
	}
	trades := []string{"Energy", "Foods", "Logistics", "Systems", "Métaux", "Bank", "Pharma", "Rail"}
	const day = 24 * 60 * 60
	all := make([]quote, 2*len(names))
	for i := range all {
		every := int64(12)
		if i == 0 {
			every = 1 // one share is traded all the time, so that there is always something to see
		}
		at, count := w.updated(i, now, every)
		open := now - now%day
		price, opened := w.price(i, at), w.price(i, open)
		spread := math.Max(0.01, price*0.0004)
		name := names[i%len(names)]
		second := trades[(i+i/len(names)*3)%len(trades)]
		all[i] = quote{
			ID:     10_000_000_000_000_000_000 + w.hash("id", i, 0)%1_000_000_000_000_000_000,
			Symbol: strings.ToUpper(name[:2]) + second[:1] + "ABCDEFGHIJKLMNOPQRST"[i%len(names):][:1],
			Name:   name + " " + second,
			Bid:    level{decimal(price-spread, 2), 100 * (1 + w.pick("bid", i, at, 40))},
			Ask:    level{decimal(price+spread, 2), 100 * (1 + w.pick("ask", i, at, 40))},
			Last:   trade{decimal(price, 2), 10 * (1 + w.pick("size", i, at, 60)), stamp(at)},
			Day: session{
				Open:   decimal(opened, 2),
				Change: decimal(100*(price/opened-1), 2),
				Volume: max(0, at-open)*50 + int64(w.pick("volume", i, at, 50)),
				Traded: max(0, count-open/every),
			},
		}
	}
	return map[string]any{"market": "XDMO", "currency": "EUR", "tick": decimal(0.01, 2), "factor": decimal(1, 1), "quotes": all}
}

// price wanders over hours, and a little within minutes.
func (w world) price(i int, at int64) float64 {
	base := math.Exp(w.between("base", i, 1.5, 6))
	return base * math.Exp(0.12*w.wave("trend", i, at, 4*3600)+0.006*w.wave("noise", i, at, 90))
}
