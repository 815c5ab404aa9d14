package load

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Report is what a scenario showed. Times are milliseconds unless named otherwise; a field that a
// scenario does not measure is zero.
type Report struct {
	Scenario    string `json:"scenario"`
	Subscribers int    `json:"subscribers"`
	Topics      int    `json:"topics"`
	Quiet       int    `json:"quiet,omitzero"` // further connections, of a topic to which nothing is published
	Size        int    `json:"size"`           // of a message or document, bytes

	Seconds         float64 `json:"seconds"`
	Published       int64   `json:"published"`
	Unpublished     int64   `json:"unpublished,omitzero"` // posts that failed
	Expected        int64   `json:"expected,omitzero"`    // deliveries
	Delivered       int64   `json:"delivered"`
	Missing         int64   `json:"missing"`
	EventsPerSecond float64 `json:"eventsPerSecond"`
	P50             float64 `json:"p50"`
	P99             float64 `json:"p99"`
	P999            float64 `json:"p999"`
	Max             float64 `json:"max"`

	Gaps     int64 `json:"gaps"`
	Repeats  int64 `json:"repeats"`
	Skipped  int64 `json:"skipped,omitzero"` // revisions combined for slow readers
	Resets   int64 `json:"resets,omitzero"`
	Faults   int64 `json:"faults,omitzero"`
	Lost     int64 `json:"lost"`             // connections
	Refused  int64 `json:"refused,omitzero"` // connections
	Verified int64 `json:"verified,omitzero"`
	Wrong    int64 `json:"wrong"`

	BytesPerEvent       float64 `json:"bytesPerEvent,omitzero"`
	CPUPerEvent         float64 `json:"cpuPerEvent,omitzero"` // µs of the server
	Memory              int64   `json:"memory,omitzero"`      // of the server, bytes
	MemoryBase          int64   `json:"memoryBase,omitzero"`  // before
	MemoryPerConnection float64 `json:"memoryPerConnection,omitzero"`
	ConnectsPerSecond   float64 `json:"connectsPerSecond,omitzero"`
	CPUPerConnect       float64 `json:"cpuPerConnect,omitzero"` // µs of the server
	IdleCPU             float64 `json:"idleCPU,omitzero"`       // per cent of a core

	Burst          float64 `json:"burst,omitzero"`     // until the last subscriber had it; the median
	Back           float64 `json:"back,omitzero"`      // seconds until everybody was connected again
	P99Before      float64 `json:"p99Before,omitzero"` // while everybody read
	MemoryPerSlow  float64 `json:"memoryPerSlow,omitzero"`
	MemoryControl  int64   `json:"memoryControl,omitzero"` // what a server's memory grew by with one slow reader
	MemoryPerTopic float64 `json:"memoryPerTopic,omitzero"`
	Final          int     `json:"final,omitzero"`      // verifying subscribers that ended with the newest document
	FinalWrong     int     `json:"finalWrong,omitzero"` // and those that did not

	Steps []Step   `json:"steps,omitempty"`
	Notes []string `json:"notes,omitempty"` // why a figure is not there
}

// A Step is one rate of a scenario in which it rises.
type Step struct {
	Rate            float64 `json:"rate"` // messages/s
	EventsPerSecond float64 `json:"eventsPerSecond"`
	P99             float64 `json:"p99"`
	Good            bool    `json:"good"`
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func (r *Report) count(t *Tally) {
	r.Gaps, r.Repeats, r.Skipped, r.Resets, r.Faults = t.Gaps, t.Repeats, t.Skipped, t.Resets, t.Faults
	r.Lost, r.Refused, r.Verified, r.Wrong = t.Lost, t.Refused, t.Verified, t.Wrong
}

func (r *Report) quantiles(h *Histogram) {
	r.P50, r.P99, r.P999, r.Max = ms(h.Quantile(0.5)), ms(h.Quantile(0.99)), ms(h.Quantile(0.999)), ms(h.Max())
}

// rates reports events that came in a time, and what they cost. The bytes are those of all events of t,
// stamped in the window or not.
func (r *Report) rates(t *Tally, events int64, d, cpu time.Duration) {
	r.Seconds = d.Seconds()
	if t.Events > 0 {
		r.BytesPerEvent = float64(t.Bytes) / float64(t.Events)
	}
	if events == 0 {
		return
	}
	if d > 0 {
		r.EventsPerSecond = float64(events) / d.Seconds()
	}
	r.CPUPerEvent = us(cpu) / float64(events)
}

// delivery reports what came of what was published in a time.
func (r *Report) delivery(t *Tally, expected int64, d, cpu time.Duration) {
	r.count(t)
	r.quantiles(&t.Latency)
	r.Expected, r.Delivered, r.Missing = expected, t.Stamped, max(expected-t.Stamped, 0)
	r.rates(t, t.Stamped, d, cpu)
}

// each is what one of so many cost the server, of what its memory grew by. Where that cannot be told it
// is 0, and a note says why.
func (r *run) each(what string, grown int64, n int) float64 {
	switch {
	case len(r.server.Processes) == 0:
		r.report.Notes = append(r.report.Notes, "memory per "+what+" is measured only where --server-pid names the server's process")
	case grown <= 0:
		r.report.Notes = append(r.report.Notes, fmt.Sprintf("memory per %s cannot be told: with %s more the server's memory changed by %.1f MB, which it does by itself; take more", what, count(n, what), float64(grown)/1e6))
	default:
		return float64(grown) / float64(n)
	}
	return 0
}

// A Line is one figure for people.
type Line struct{ Name, Value string }

// Lines are the figures of the report that say something.
func (r *Report) Lines() []Line {
	var lines []Line
	add := func(show bool, name, format string, args ...any) {
		if show {
			lines = append(lines, Line{name, fmt.Sprintf(format, args...)})
		}
	}
	add(true, "load", "%s", r.load())
	add(r.Delivered > 0 && r.EventsPerSecond > 0, "events", "%s/s (%s delivered in %.1f s)", thousands(int(r.EventsPerSecond)), thousands(int(r.Delivered)), r.Seconds)
	add(r.Max > 0, "latency", "p50 %.1f ms, p99 %.1f ms, p99.9 %.1f ms, max %.1f ms", r.P50, r.P99, r.P999, r.Max)
	add(r.P99Before > 0, "before", "p99 %.1f ms while everybody read", r.P99Before)
	add(r.Burst > 0, "burst", "%.1f ms until the last one had it (median)", r.Burst)
	add(r.Back > 0, "back", "%.2f s until everybody was connected again", r.Back)
	add(r.Delivered > 0, "order", "%d missing, %d gaps, %d repeats, %d resets", r.Missing, r.Gaps, r.Repeats, r.Resets)
	add(r.Skipped > 0, "combined", "%s revisions, for readers that were slow", thousands(int(r.Skipped)))
	add(r.Verified+r.Wrong > 0, "verified", "%s documents right, %d wrong", thousands(int(r.Verified)), r.Wrong)
	add(r.Final+r.FinalWrong > 0, "in the end", "%d hold the newest document, %d do not", r.Final, r.FinalWrong)
	add(r.Lost+r.Refused+r.Faults+r.Unpublished > 0, "trouble", "%d connections lost, %d refused, %d error events, %d posts failed", r.Lost, r.Refused, r.Faults, r.Unpublished)
	add(r.BytesPerEvent > 0, "wire", "%s bytes per event", thousands(int(r.BytesPerEvent)))
	add(r.CPUPerEvent > 0, "server CPU", "%.2f µs per event", r.CPUPerEvent)
	add(r.ConnectsPerSecond > 0 && r.Memory == 0, "connects", "%s/s", thousands(int(r.ConnectsPerSecond)))
	add(r.ConnectsPerSecond > 0 && r.Memory > 0, "connects", "%s/s, %.0f µs of server CPU each, %.1f %% of a core when idle", thousands(int(r.ConnectsPerSecond)), r.CPUPerConnect, r.IdleCPU)
	add(r.Memory > 0, "memory", "%.1f MB", float64(r.Memory)/1e6)
	add(r.MemoryPerConnection > 0, "per connection", "%.2f KB over %.1f MB", r.MemoryPerConnection/1024, float64(r.MemoryBase)/1e6)
	add(r.MemoryPerTopic > 0, "per topic", "%.2f KB over %.1f MB", r.MemoryPerTopic/1024, float64(r.MemoryBase)/1e6)
	add(r.MemoryPerSlow > 0, "per slow reader", "%.1f KB, with what the server's caches grew by meanwhile (take away what it is with one slow reader)", r.MemoryPerSlow/1024)
	for _, note := range r.Notes {
		add(true, "note", "%s", note)
	}
	return lines
}

// load is what the server had to do with.
func (r *Report) load() string {
	parts := []string{}
	for _, p := range []struct {
		n    int
		unit string
	}{{r.Subscribers, "subscriber"}, {r.Quiet, "quiet connection"}, {r.Topics, "topic"}, {r.Size, "byte"}} {
		if p.n > 0 {
			parts = append(parts, count(p.n, p.unit))
		}
	}
	return r.Scenario + ": " + strings.Join(parts, ", ")
}

// count writes how many of something there are.
func count(n int, unit string) string {
	if n != 1 {
		unit += "s"
	}
	return thousands(n) + " " + unit
}

// thousands writes a number with its digits in groups.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}
