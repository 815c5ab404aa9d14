package main

import (
	"fmt"
	"strings"

	"freshet/internal/load"
)

// markdown writes the tables of docs/performance.md.
func markdown(targets []target, medians results, order []row, all []*contender) string {
	var b strings.Builder
	b.WriteString("| row | figure | wanted | shown | |\n|---|---|---|---:|---|\n")
	for _, t := range targets {
		verdict, value := "not measured", ""
		if t.Known {
			verdict, value = "**missed**", short(t.Value)
			if t.Met {
				verdict = "met"
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", t.Row, t.Figure, strings.TrimSpace(t.Wanted), value, verdict)
	}
	b.WriteString("\n| row | server | events/s | p50 ms | p99 ms | max ms | CPU µs/event | B/event | other |\n|---|---|---:|---:|---:|---:|---:|---:|---|\n")
	for _, r := range order {
		for _, c := range all {
			if m := medians[r.name][c.name]; m != nil {
				fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", r.name, c.name, cell(m.EventsPerSecond), cell(m.P50), cell(m.P99), cell(m.Max),
					cell(m.CPUPerEvent), cell(m.BytesPerEvent), other(m))
			}
		}
	}
	return b.String()
}

// cell leaves a figure out that was not measured.
func cell(v float64) string {
	if v == 0 {
		return ""
	}
	return short(v)
}

// other are the figures that only some rows have.
func other(r *load.Report) string {
	var parts []string
	add := func(show bool, format string, args ...any) {
		if show {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(r.MemoryPerConnection != 0, "%.2f KB per connection", r.MemoryPerConnection/1024)
	add(r.CPUPerConnect > 0, "%.0f µs per connect", r.CPUPerConnect)
	add(r.MemoryPerTopic != 0, "%.2f KB per topic", r.MemoryPerTopic/1024)
	add(r.Burst > 0, "burst %.1f ms", r.Burst)
	add(r.Back > 0, "all back in %.2f s", r.Back)
	add(r.P99Before > 0, "p99 %.2f ms before", r.P99Before)
	add(r.MemoryPerSlow != 0, "%.1f KB per slow reader (grew by %.1f MB, the control with one slow reader by %.1f MB)", r.MemoryPerSlow/1024, grown(r), float64(r.MemoryControl)/1e6)
	add(r.Verified > 0, "%d documents right", r.Verified)
	add(r.Wrong > 0, "%d WRONG", r.Wrong)
	add(r.Missing+r.Gaps+r.Repeats > 0, "%d missing, %d gaps, %d repeats", r.Missing, r.Gaps, r.Repeats)
	add(len(r.Steps) > 0 && r.EventsPerSecond == 0, "no rate under 100 ms")
	return strings.Join(parts, ", ")
}
