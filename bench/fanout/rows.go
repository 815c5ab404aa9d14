package main

import (
	"slices"
	"time"

	"freshet/internal/load"
)

// A row is one load that contenders are put under.
type row struct {
	name     string // by which --only chooses, and the targets refer to it
	scenario string // of package load
	params   load.Params
	control  func(p *load.Params) // makes of them those of a run before, on a server of its own, whose growth is taken away
	quick    func(p *load.Params) // what --quick makes of it; nil: a shorter time
	history  bool                 // contenders keep what was published
	tls      bool                 // HTTPS
	socket   bool                 // over WebSocket
	against  []string             // contenders; nil: all
	key      string               // the figure whose median decides which run is shown
}

// many is how many connections stand for ten thousand: as many as a process may have.
func rows(many int) []row {
	ours := []string{freshetName}
	idle := func(p *load.Params) { p.Duration = 3 * time.Second }
	fifth := func(p *load.Params) { p.Subscribers, p.Duration = p.Subscribers/5, 2*time.Second }
	r := []row{
		{name: "idle-1k", scenario: "idle", params: load.Params{Subscribers: 1000, Duration: 10 * time.Second}, quick: idle, key: "memoryPerConnection"},
		{name: "idle-10k", scenario: "idle", params: load.Params{Subscribers: many, Duration: 15 * time.Second}, quick: idle, key: "memoryPerConnection"},
		{name: "idle-10k-tls", scenario: "idle", params: load.Params{Subscribers: many, Duration: 15 * time.Second}, quick: idle, tls: true, against: ours, key: "memoryPerConnection"},
		{name: "saturate-1k", scenario: "saturate", params: load.Params{Subscribers: 1000, Size: 100, Publishers: 128, Batch: 64, Duration: 2 * time.Second}, quick: func(p *load.Params) { p.Duration = time.Second }, key: "eventsPerSecond"},
		{name: "unbatched", scenario: "fixed", params: load.Params{Subscribers: 1000, Size: 100, Rate: 100, Duration: 10 * time.Second}, key: "cpuPerEvent"},
		{name: "saturate-10k", scenario: "saturate", params: load.Params{Subscribers: many, Size: 100, Rate: 2, Duration: 3 * time.Second}, quick: func(p *load.Params) { p.Subscribers, p.Duration = p.Subscribers/4, time.Second }, key: "eventsPerSecond"},
		{name: "burst-10k", scenario: "burst", params: load.Params{Subscribers: many, Size: 100}, key: "burst"},
		{name: "headline", scenario: "poll", params: load.Params{Duration: 30 * time.Second}, quick: func(p *load.Params) { p.Duration = 4 * time.Second }, against: ours, key: "cpuPerEvent"},
		{name: "headline-posted", scenario: "fixed", params: load.Params{Subscribers: 3000, Topics: 100, Size: 50_000, Rate: 200, Duration: 10 * time.Second}, against: []string{bareName, plainName, nchanName, mercureName, centrifugoName}, key: "cpuPerEvent"},
		{name: "resume", scenario: "resume", params: load.Params{Subscribers: 1000, Size: 1000, Behind: 100}, history: true, key: "eventsPerSecond"},
		{name: "storm", scenario: "storm", params: load.Params{Subscribers: many}, quick: fifth, against: ours, key: "back"},
		{name: "slow", scenario: "slow", params: load.Params{Subscribers: 1000, Slow: 0.05}, control: oneSlow, quick: func(p *load.Params) { p.Duration = 5 * time.Second }, against: ours, key: "p99"},
		{name: "topics-10k", scenario: "topics", params: load.Params{Topics: 10_000}, quick: func(p *load.Params) { p.Topics = 1000 }, against: ours, key: "memoryPerTopic"},
	}
	return append(append(r, sockets(r)...), growth(many)...)
}

// sockets are some of the rows over WebSocket, with those that have it.
func sockets(of []row) (all []row) {
	for _, r := range of {
		if slices.Contains([]string{"idle-10k", "saturate-1k", "unbatched"}, r.name) {
			r.name, r.socket, r.against = r.name+"-websocket", true, []string{freshetName, centrifugoName}
			all = append(all, r)
		}
	}
	return all
}

// oneSlow leaves one of the slow readers.
func oneSlow(p *load.Params) { p.Slow = 1 / float64(p.Subscribers) }

// growth puts the same number of events through more connections; and, with the same number of
// connections, posts and events, through more topics of ten followers each.
func growth(many int) []row {
	ours := []string{freshetName}
	fixed := func(name string, p load.Params) row {
		p.Size, p.Duration = 100, 10*time.Second
		return row{name: name, scenario: "fixed", params: p, against: ours, key: "cpuPerEvent"}
	}
	return []row{
		fixed("growth-connections-1k", load.Params{Subscribers: 1000, Rate: 50}),
		fixed("growth-connections-10k", load.Params{Subscribers: many, Rate: 50_000 / float64(many)}),
		fixed("growth-topics-1", load.Params{Subscribers: 10, Quiet: many - 10, Topics: 1, Rate: 500}),
		fixed("growth-topics-1k", load.Params{Subscribers: many, Topics: many / 10, Rate: 500}),
		{
			name: "growth-idle-topics-1k", scenario: "idle", params: load.Params{Subscribers: many, Topics: many / 10, Duration: 15 * time.Second},
			quick: func(p *load.Params) { p.Duration = 3 * time.Second }, against: ours, key: "memoryPerConnection",
		},
	}
}
