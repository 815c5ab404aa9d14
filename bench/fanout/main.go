// Fanout measures Freshet's fan-out beside other servers, all in one run: idle memory, saturation,
// CPU per event, bursts, polling, resumption, storms and slow readers. The server is pinned to one
// processor and the load to another. It prints what must be shown with what was, and writes
// out/fanout.json, and the tables of docs/performance.md to out/fanout.md.
//
// It installs nothing, and ends the processes that it starts, no others.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"freshet/bench/fanout/bare"
	"freshet/bench/fanout/plain"
	"freshet/internal/load"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "serve" {
		fatal(serve(os.Args[2], os.Args[3]))
	}
	var o options
	flag.IntVar(&o.runs, "runs", 3, "runs of which the median counts")
	flag.StringVar(&o.only, "only", "", "rows whose names contain one of these, separated by commas")
	flag.StringVar(&o.against, "against", "", "contenders whose names contain one of these, separated by commas")
	flag.BoolVar(&o.quick, "quick", false, "one short run, to see that it works")
	flag.StringVar(&o.sync, "sync", "always", "Freshet's journal.sync")
	flag.StringVar(&o.out, "o", "out/fanout.json", "where to write the reports")
	flag.Parse()
	pin, err := pinned()
	fatal(err)
	o.pin = pin
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fatal(run(ctx, o))
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-fanout:", err)
		os.Exit(1)
	}
}

// serve is one of the servers that this program has in it.
func serve(kind, addr string) error {
	if kind == "bare" {
		return bare.Serve(addr)
	}
	l, err := net.Listen("tcp", addr) //nolint:noctx // until the process ends
	if err != nil {
		return err
	}
	return plain.Serve(l)
}

type options struct {
	runs                     int
	only, against, sync, out string
	quick, pin               bool
}

// picked says whether a name contains one of some words; no words pick all.
func picked(name, words string) bool {
	return words == "" || slices.ContainsFunc(strings.Split(words, ","), func(w string) bool { return strings.Contains(name, w) })
}

// An entry is what one run of one row showed of one contender.
type entry struct {
	Row       string       `json:"row"`
	Contender string       `json:"contender"`
	Run       int          `json:"run"`
	Report    *load.Report `json:"report,omitempty"`
	Error     string       `json:"error,omitempty"`
}

func run(ctx context.Context, o options) (err error) {
	if o.quick {
		o.runs = 1
	}
	many, err := connections()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "fanout-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	all := contenders(o.sync)
	defer func() {
		for _, c := range all {
			if c.clean != nil {
				err = errors.Join(err, c.clean())
			}
		}
	}()
	for _, c := range all {
		if !picked(c.name, o.against) {
			c.skip = "not asked for"
			continue
		}
		if err := c.prepare(ctx, dir); err != nil {
			c.skip = err.Error()
		}
		fmt.Printf("%-12s %s%s\n", c.name, c.version, because(c.skip))
	}
	var entries []entry
	for _, r := range rows(many) {
		if !picked(r.name, o.only) {
			continue
		}
		entries = append(entries, r.measure(ctx, all, o)...)
		if err := ctx.Err(); err != nil {
			return errors.New("interrupted")
		}
	}
	medians := median(entries, rows(many))
	targets := judged(medians)
	printTargets(targets, o)
	tables := markdown(targets, medians, rows(many), all)
	return errors.Join(write(o, many, all, entries, targets), os.WriteFile(strings.TrimSuffix(o.out, ".json")+".md", []byte(tables), 0o600))
}

func because(skip string) string {
	if skip == "" {
		return ""
	}
	return "  NOT MEASURED: " + skip
}

// connections is how many subscribers stand for ten thousand, given what a process may open.
func connections() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil { // Go does so by itself, but not for children
		return 0, err
	}
	return int(min(limit.Max-500, 10_000)) / 1000 * 1000, nil //nolint:gosec // a small number
}

// measure puts the contenders under the load of a row in turn, as many times as there are runs, so
// that a disturbance meets all of them.
func (r row) measure(ctx context.Context, all []*contender, o options) (entries []entry) {
	p := r.params
	if o.quick && r.quick != nil {
		r.quick(&p)
	} else if o.quick {
		p.Duration = 2 * time.Second
	}
	for n := range o.runs {
		for _, c := range all {
			if c.skip != "" || r.against != nil && !slices.Contains(r.against, c.name) || ctx.Err() != nil {
				continue
			}
			e := entry{Row: r.name, Contender: c.name, Run: n + 1}
			var err error
			if e.Report, err = r.controlled(ctx, c, p, o.pin); err != nil {
				e.Error = err.Error()
			}
			entries = append(entries, e)
			e.print()
		}
	}
	return entries
}

// controlled is once, less what the control shows, if the row has one.
func (r row) controlled(ctx context.Context, c *contender, p load.Params, pin bool) (*load.Report, error) {
	if r.control == nil {
		return r.once(ctx, c, p, pin)
	}
	q := p
	r.control(&q)
	control, err := r.once(ctx, c, q, pin)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	report, err := r.once(ctx, c, p, pin)
	if report != nil {
		less(report, control, int(p.Slow*float64(p.Subscribers))-1)
	}
	return report, err
}

// less takes from what so many slow readers more than the control's cost what the server grows by
// without them, such as its store's caches. What is left may be less than nothing.
func less(r, control *load.Report, more int) {
	r.MemoryControl = control.Memory - control.MemoryBase
	r.MemoryPerSlow = float64(r.Memory-r.MemoryBase-r.MemoryControl) / float64(max(more, 1))
	r.Notes = nil // of a growth that was no growth
}

// once starts a contender for one run.
func (r row) once(ctx context.Context, c *contender, p load.Params, pin bool) (report *load.Report, err error) {
	scenario, ok := load.Find(r.scenario)
	if !ok {
		return nil, fmt.Errorf("there is no scenario %s", r.scenario)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	server, err := c.start(ctx, pin, r)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	runtime.GC() // of the run before
	return load.Run(ctx, server.server, scenario, p)
}

func write(o options, many int, all []*contender, entries []entry, targets []target) error {
	type version struct{ Name, Version, Skipped string }
	var versions []version
	for _, c := range all {
		versions = append(versions, version{c.name, c.version, c.skip})
	}
	text, err := json.MarshalIndent(map[string]any{
		"time": time.Now().UTC().Format(time.RFC3339), "machine": machine(), "go": runtime.Version(), "pinned": o.pin, "quick": o.quick,
		"runs": o.runs, "connections": many, "contenders": versions, "entries": entries, "targets": targets,
	}, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll("out", 0o750); err != nil {
		return err
	}
	return os.WriteFile(o.out, append(text, '\n'), 0o600)
}
