package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"freshet/internal/load"
)

// print writes a line for each run as it ends.
func (e entry) print() {
	head := fmt.Sprintf("%-24s %-10s %d  ", e.Row, e.Contender, e.Run)
	if e.Report == nil {
		fmt.Printf("%sno figures: %.300s\n", head, e.Error)
		return
	}
	r := e.Report
	var b strings.Builder
	add := func(show bool, format string, args ...any) {
		if show {
			fmt.Fprintf(&b, format+"  ", args...)
		}
	}
	add(r.EventsPerSecond > 0, "%9.0f events/s", r.EventsPerSecond)
	add(r.Max > 0, "p50 %6.2f p99 %6.2f max %6.1f ms", r.P50, r.P99, r.Max)
	if n := len(r.Steps); n > 0 && r.EventsPerSecond == 0 {
		add(true, "no rate under 100 ms; p99 %.1f ms at %.0f events/s", r.Steps[n-1].P99, r.Steps[n-1].EventsPerSecond)
	}
	add(r.P99Before > 0, "(p99 before %.2f)", r.P99Before)
	add(r.CPUPerEvent > 0, "%6.2f us/event", r.CPUPerEvent)
	add(r.BytesPerEvent > 0, "%6.0f B/event", r.BytesPerEvent)
	add(r.MemoryPerConnection != 0, "%6.2f KB/connection", r.MemoryPerConnection/1024)
	add(r.ConnectsPerSecond > 0, "%.0f connects/s of %.0f us", r.ConnectsPerSecond, r.CPUPerConnect)
	add(r.Burst > 0, "burst %.1f ms", r.Burst)
	add(r.Back > 0, "all back in %.2f s", r.Back)
	add(r.MemoryPerSlow != 0, "%.1f KB/slow reader (grew by %.1f MB, with one slow reader by %.1f MB)", r.MemoryPerSlow/1024, grown(r), float64(r.MemoryControl)/1e6)
	add(r.MemoryPerTopic != 0, "%.2f KB/topic", r.MemoryPerTopic/1024)
	add(r.Verified > 0, "%d verified", r.Verified)
	add(r.Final > 0, "%d end right", r.Final)
	add(r.Missing+r.Gaps+r.Repeats > 0, "MISSING %d GAPS %d REPEATS %d", r.Missing, r.Gaps, r.Repeats)
	add(r.Wrong+int64(r.FinalWrong) > 0, "WRONG %d", r.Wrong+int64(r.FinalWrong))
	add(r.Lost+r.Refused+r.Faults > 0, "lost %d refused %d faults %d", r.Lost, r.Refused, r.Faults)
	add(e.Error != "", "BUT %.200s", e.Error)
	fmt.Println(head + b.String())
}

// grown is by how many MB the server's memory grew.
func grown(r *load.Report) float64 { return float64(r.Memory-r.MemoryBase) / 1e6 }

// median picks of each contender's runs of a row the one in the middle by the row's key figure; a run
// that lost something is the last of all.
func median(entries []entry, rows []row) results {
	key := map[string]string{}
	for _, r := range rows {
		key[r.name] = r.key
	}
	groups := map[[2]string][]*load.Report{}
	for _, e := range entries {
		if e.Report != nil {
			groups[[2]string{e.Row, e.Contender}] = append(groups[[2]string{e.Row, e.Contender}], e.Report)
		}
	}
	found := results{}
	for at, reports := range groups {
		slices.SortFunc(reports, func(a, b *load.Report) int {
			x, y := figure(a, key[at[0]]), figure(b, key[at[0]])
			switch {
			case x < y:
				return -1
			case x > y:
				return 1
			}
			return 0
		})
		if found[at[0]] == nil {
			found[at[0]] = map[string]*load.Report{}
		}
		found[at[0]][at[1]] = reports[len(reports)/2]
	}
	return found
}

func figure(r *load.Report, key string) float64 {
	switch key {
	case "cpuPerEvent":
		return r.CPUPerEvent
	case "memoryPerConnection":
		return r.MemoryPerConnection
	case "memoryPerTopic":
		return r.MemoryPerTopic
	case "burst":
		return r.Burst
	case "back":
		return r.Back
	case "p99":
		return r.P99
	}
	return r.EventsPerSecond
}

func printTargets(targets []target, o options) {
	fmt.Printf("\n%-16s %-46s %-20s %12s\n", "row", "figure", "wanted", "shown")
	for _, t := range targets {
		verdict, value := "not measured", "-"
		if t.Known {
			verdict, value = "MISSED", short(t.Value)
			if t.Met {
				verdict = "met"
			}
		}
		fmt.Printf("%-16s %-46s %-20s %12s  %s\n", t.Row, t.Figure, t.Wanted, value, verdict)
	}
	fmt.Printf("\nmedians of %d; %s; %s\n", o.runs, machine(), runtime.Version())
	if !o.pin {
		fmt.Println("NOT PINNED: there is one processor only, or no taskset: server and load disturb each other.")
	}
	if o.quick {
		fmt.Println("QUICK: one short run, which shows that it works and little else.")
	}
}

// machine names the processor, as Linux knows it.
func machine() string {
	name := runtime.GOARCH
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if _, v, ok := strings.Cut(lines.Text(), "model name\t: "); ok {
				name = v
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d processors", name, cpus())
}

// cpus is how many there are, not how many this process is pinned to.
func cpus() int {
	text, err := os.ReadFile("/proc/cpuinfo")
	if n := strings.Count(string(text), "processor\t:"); err == nil && n > 0 {
		return n
	}
	return runtime.NumCPU()
}
