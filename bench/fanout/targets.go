package main

import (
	"fmt"
	"math"

	"freshet/internal/load"
)

// results are the medians, by row and contender.
type results map[string]map[string]*load.Report

// A target is a figure of the table that must be shown, and what was.
type target struct {
	Row     string  `json:"row"`
	Figure  string  `json:"figure"`
	Wanted  string  `json:"wanted"`
	Value   float64 `json:"value"` // NaN is written as null: not measured
	Known   bool    `json:"known"`
	Met     bool    `json:"met"`
	Comment string  `json:"comment,omitempty"`
}

type judge struct {
	results results
	targets []target
}

// of is a figure of a contender; NaN where it was not measured.
func (j *judge) of(row, contender string, figure func(*load.Report) float64) float64 {
	if r := j.results[row][contender]; r != nil {
		return figure(r)
	}
	return math.NaN()
}

func (j *judge) most(row, figure string, value, limit float64, unit string) {
	j.add(row, figure, fmt.Sprintf("at most %s %s", short(limit), unit), value, value <= limit)
}

func (j *judge) least(row, figure string, value, limit float64, unit string) {
	j.add(row, figure, fmt.Sprintf("at least %s %s", short(limit), unit), value, value >= limit)
}

func (j *judge) add(row, figure, wanted string, value float64, met bool) {
	known := !math.IsNaN(value) && !math.IsInf(value, 0)
	t := target{Row: row, Figure: figure, Wanted: wanted, Known: known, Met: known && met}
	if known {
		t.Value = value
	}
	j.targets = append(j.targets, t)
}

func rate(r *load.Report) float64   { return r.EventsPerSecond }
func cpu(r *load.Report) float64    { return r.CPUPerEvent }
func p99(r *load.Report) float64    { return r.P99 }
func memory(r *load.Report) float64 { return r.MemoryPerConnection / 1024 }
func faults(r *load.Report) float64 {
	return float64(r.Missing + r.Gaps + r.Repeats + r.Wrong + r.Lost)
}

// judged compares the medians with what must be shown.
func judged(r results) []target {
	j := &judge{results: r}
	j.most("idle-10k", "memory per connection", j.of("idle-10k", freshetName, memory), 2, "KB")
	j.most("idle-10k-tls", "memory per connection over TLS", j.of("idle-10k-tls", freshetName, memory), 30, "KB")
	top := j.of("saturate-1k", freshetName, rate)
	j.least("saturate-1k", "events/s ÷ nchan's", top/j.of("saturate-1k", nchanName, rate), 5, "")
	j.least("saturate-1k", "events/s ÷ mercure's", top/j.of("saturate-1k", mercureName, rate), 10, "")
	j.least("saturate-1k", "events/s ÷ centrifugo's", top/j.of("saturate-1k", centrifugoName, rate), 10, "")
	j.least("saturate-1k", "events/s ÷ a bare epoll writer's", top/j.of("saturate-1k", bareName, rate), 0.7, "")
	cost := j.of("unbatched", freshetName, cpu)
	j.most("unbatched", "CPU per event ÷ net/http's", cost/j.of("unbatched", plainName, cpu), 0.6, "")
	j.most("unbatched", "CPU per event ÷ mercure's", cost/j.of("unbatched", mercureName, cpu), 0.4, "")
	j.most("unbatched", "CPU per event ÷ centrifugo's", cost/j.of("unbatched", centrifugoName, cpu), 0.4, "")
	j.least("saturate-10k", "events/s at p99 under 100 ms", j.of("saturate-10k", freshetName, rate), 150_000, "")
	j.most("burst-10k", "one burst to all", j.of("burst-10k", freshetName, func(r *load.Report) float64 { return r.Burst }), 65, "ms")
	j.sockets()
	j.headline()
	j.least("resume", "events/s", j.of("resume", freshetName, rate), 350_000, "")
	j.most("resume", "p99 of completion", j.of("resume", freshetName, p99), 60, "ms")
	j.most("storm", "all back", j.of("storm", freshetName, func(r *load.Report) float64 { return r.Back }), 5, "s")
	j.most("storm", "events lost or repeated", j.of("storm", freshetName, func(r *load.Report) float64 {
		return float64(r.Missing + r.Gaps + r.Repeats)
	}), 0, "")
	j.most("slow", "the others' p99 ÷ before", j.of("slow", freshetName, func(r *load.Report) float64 { return r.P99 / r.P99Before }), 1.1, "")
	j.most("slow", "memory per slow reader, less the control's growth", j.of("slow", freshetName, func(r *load.Report) float64 { return r.MemoryPerSlow / 1024 }), 64, "KB")
	j.most("slow", "slow readers that end with another document", j.of("slow", freshetName, func(r *load.Report) float64 {
		return float64(r.FinalWrong) + float64(r.Wrong)
	}), 0, "")
	j.growth()
	return j.targets
}

func (j *judge) sockets() {
	j.most("idle-10k-websocket", "memory per connection", j.of("idle-10k-websocket", freshetName, memory), 4, "KB")
	of := func(row, contender string, f func(*load.Report) float64) float64 {
		return j.of(row+"-websocket", contender, f)
	}
	j.least("saturate-1k-websocket", "events/s ÷ centrifugo's", of("saturate-1k", freshetName, rate)/of("saturate-1k", centrifugoName, rate), 5, "")
	j.most("unbatched-websocket", "CPU per event ÷ centrifugo's", of("unbatched", freshetName, cpu)/of("unbatched", centrifugoName, cpu), 0.5, "")
}

func (j *judge) headline() {
	of := func(f func(*load.Report) float64) float64 { return j.of("headline", freshetName, f) }
	j.least("headline", "share of the events that came", of(func(r *load.Report) float64 { return float64(r.Delivered) / float64(r.Expected) }), 1, "")
	j.least("headline", "events/s, of 6000 but for the edges of the run", of(rate), 5970, "")
	j.most("headline", "p99 from the origin's answer", of(p99), 5, "ms")
	j.most("headline", "CPU per event", of(cpu), 25, "µs")
	j.most("headline", "on the wire per event", of(func(r *load.Report) float64 { return r.BytesPerEvent / 1000 }), 11, "KB")
	j.most("headline", "wrong documents", of(faults), 0, "")
	j.least("headline", "verified documents", of(func(r *load.Report) float64 { return float64(r.Verified) }), 1, "")
}

func (j *judge) growth() {
	ratio := func(small, large string, f func(*load.Report) float64) float64 {
		r := j.of(large, freshetName, f) / j.of(small, freshetName, f)
		if r == 0 { // no figure: the server did not grow
			return math.NaN()
		}
		return r
	}
	j.most("growth", "CPU per event, 10 000 connections ÷ 1000", ratio("growth-connections-1k", "growth-connections-10k", cpu), 1.15, "")
	j.most("growth", "memory per connection, 10 000 ÷ 1000", ratio("idle-1k", "idle-10k", memory), 1.15, "")
	j.most("growth", "memory per connection, 1000 topics ÷ 1", ratio("idle-10k", "growth-idle-topics-1k", memory), 1.15, "")
	j.most("growth", "CPU per event, 1000 topics ÷ 1", ratio("growth-topics-1", "growth-topics-1k", cpu), 1.15, "")
	j.most("topics-10k", "memory per idle topic", j.of("topics-10k", freshetName, func(r *load.Report) float64 { return r.MemoryPerTopic / 1024 }), 3, "KB")
}

// short writes a figure with as many digits as say something.
func short(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
