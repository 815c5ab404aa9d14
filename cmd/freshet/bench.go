package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"freshet/internal/load"
)

func (c *cli) benchCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench [SCENARIO]",
		Short: "Put a server under load and measure what its subscribers get",
		Long: `Put a running server under load: topics whose names begin with bench-, which it
makes and removes, thousands of subscribers, publishers, and a synthetic API for
the server to poll. It measures what the subscribers get: events per second,
latency from end to end, what was missed or came twice, bytes on the wire, and
with --server-pid what it cost the server.

` + scenarioList() + `
A scenario has defaults for what the flags leave open, and stops by itself. The
figures are only worth something when nothing else runs; let the server have its
own processors (taskset). To poll the synthetic API the server must be allowed to
reach loopback: freshet dev, or egress.allow [127.0.0.0/8].

With --json the report is one line: times are in milliseconds (seconds, back: in
seconds; cpuPerEvent, cpuPerConnect: in µs), sizes and memory in bytes, idleCPU in
per cent of a core. docs/performance.md has a table of its members.`,
		Example: `  freshet bench --server-pid $(pidof freshet)
  freshet bench saturate -n 1000 --size 100
  freshet bench poll -n 3000 --topics 100 --size 50KB --period PT0.5S --verify 0.01
  freshet bench idle -n 10000 --duration 30s --json`,
		Args:      needs(0, 1, "one scenario"),
		ValidArgs: scenarioNames(),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := "fixed"
			if len(args) == 1 {
				name = args[0]
			}
			return c.bench(cmd.Context(), name, cmd.Flags(), f)
		},
	}
	c.serverFlag(cmd)
	c.jsonFlag(cmd)
	f.register(cmd.Flags())
	return cmd
}

func scenarioNames() (names []string) {
	for _, s := range load.Scenarios() {
		names = append(names, s.Name)
	}
	return names
}

func scenarioList() string {
	var b strings.Builder
	for _, s := range load.Scenarios() {
		fmt.Fprintf(&b, "  %-9s %s\n", s.Name, s.Summary)
	}
	return b.String()
}

func (c *cli) bench(ctx context.Context, name string, given *pflag.FlagSet, f benchFlags) error {
	scenario, ok := load.Find(name)
	if !ok {
		return usageError{fmt.Errorf("there is no scenario %q: use one of %s", name, strings.Join(scenarioNames(), ", "))}
	}
	if err := f.check(scenario, given); err != nil {
		return usageError{err}
	}
	address := withScheme(c.address())
	if !f.remote {
		if err := onThisMachine(ctx, address); err != nil {
			return err
		}
	}
	roots, err := c.roots()
	if err != nil {
		return err
	}
	cl, err := c.trusting(roots)
	if err != nil {
		return err
	}
	server, err := load.Freshet(address, cl, roots, f.pids)
	if err != nil {
		return usageError{err}
	}
	server.WebSocket = f.transport == "websocket"
	if err := server.Check(); err != nil {
		return usageError{fmt.Errorf("--server-pid: %w", err)}
	}
	status := &statusLine{to: c.err}
	f.Progress = status.show
	report, err := load.Run(ctx, server, scenario, f.Params)
	status.end()
	if err != nil {
		return err
	}
	if c.json {
		return c.writeJSON(report)
	}
	for _, line := range report.Lines() {
		c.out.printf("%s  %s\n", c.out.style(dim, pad(line.Name, 16)), line.Value)
	}
	return nil
}

// onThisMachine refuses servers elsewhere: load may do harm.
func onThisMachine(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return usageError{err}
	}
	addrs, err := new(net.Resolver).LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	for _, a := range addrs {
		if !netip.Addr.IsLoopback(a.Unmap()) {
			return usageError{fmt.Errorf("%s is not on this machine: say --allow-remote if it is yours and may be put under load", u.Host)}
		}
	}
	return nil
}

// A statusLine shows what goes on: on a terminal in one line that changes, else a line each.
type statusLine struct {
	to    *terminal
	shown bool
}

func (s *statusLine) show(text string) {
	if !s.to.isTTY {
		s.to.printf("%s\n", text)
		return
	}
	s.to.printf("\r\x1b[K%s", s.to.style(dim, shorten(text, s.to.width()-1)))
	s.shown = true
}

func (s *statusLine) end() {
	if s.shown {
		s.to.printf("\r\x1b[K")
	}
}
