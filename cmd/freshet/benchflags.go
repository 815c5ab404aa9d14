package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"freshet"
	"freshet/internal/load"
)

// benchFlags are the flags of bench.
type benchFlags struct {
	load.Params
	duration, period, jitter string
	size                     string
	pids                     []int
	remote                   bool
	transport                string
}

func (f *benchFlags) register(flags *pflag.FlagSet) {
	flags.IntVarP(&f.Subscribers, "subscribers", "n", 0, "how many follow")
	flags.IntVar(&f.Topics, "topics", 0, "topics they are spread over")
	flags.StringVar(&f.size, "size", "", "of a message or document, such as 50KB")
	flags.Float64Var(&f.Rate, "rate", 0, "messages per second, of all topics together")
	flags.StringVar(&f.duration, "duration", "", "of what is measured; of one step of saturate")
	flags.StringVar(&f.period, "period", "", "of polls")
	flags.Float64Var(&f.Renewed, "renewed", 0, "share of a document that each poll finds renewed, such as 0.2")
	flags.Float64Var(&f.Verify, "verify", 0, "share of subscribers that apply the patches and compare each document, such as 0.01")
	flags.Float64Var(&f.Slow, "slow", 0, "share of subscribers that stop reading, such as 0.05")
	flags.StringVar(&f.jitter, "jitter", "", "in which the dropped come back")
	flags.IntVar(&f.Behind, "behind", 0, "messages that those who resume have missed")
	flags.IntVar(&f.Publishers, "publishers", 0, "connections that publish; 32")
	flags.IntVar(&f.Batch, "batch", 0, "messages in one post (NDJSON) at most: those that are due when a connection is free; 1")
	flags.IntVar(&f.AtATime, "at-a-time", 0, "connections begun and not answered yet; 128")
	flags.StringVar(&f.transport, "transport", "sse", "of subscribers: sse or websocket")
	flags.IntSliceVar(&f.pids, "server-pid", nil, "process of the server, if it runs here: measure its time and memory")
	flags.BoolVar(&f.remote, "allow-remote", false, "put a server on another machine under load; only one that is yours")
}

// check reads those flags that have a form of their own, and refuses those that were given and that the
// scenario does not use, or whose values are out of range. Zero, which leaves a flag to the scenario, is
// out of range as well where it was given.
func (f *benchFlags) check(scenario load.Scenario, given *pflag.FlagSet) error {
	if err := used(scenario, given); err != nil {
		return err
	}
	if err := f.read(given); err != nil {
		return err
	}
	if f.transport != "sse" && f.transport != "websocket" {
		return fmt.Errorf("--transport %q: it is sse or websocket", f.transport)
	}
	for _, n := range []struct {
		flag        string
		value       float64
		least, most float64
	}{
		{"subscribers", float64(f.Subscribers), 1, load.MaxSubscribers},
		{"topics", float64(f.Topics), 1, load.MaxSubscribers},
		{"rate", f.Rate, minRate, load.MaxRate},
		{"behind", float64(f.Behind), 1, load.MaxBehind},
		{"publishers", float64(f.Publishers), 1, load.MaxAtOnce},
		{"batch", float64(f.Batch), 1, load.MaxBatch},
		{"at-a-time", float64(f.AtATime), 1, load.MaxAtOnce},
		{"renewed", f.Renewed, minShare, 1},
		{"verify", f.Verify, minShare, 1},
		{"slow", f.Slow, minShare, 1},
	} {
		if given.Changed(n.flag) && !(n.value >= n.least && n.value <= n.most) { // so that NaN is refused
			return fmt.Errorf("--%s must be %s to %s, not %s", n.flag, number(n.least), number(n.most), number(n.value))
		}
	}
	for _, pid := range f.pids {
		if pid < 1 {
			return fmt.Errorf("--server-pid must be 1 or more, not %d", pid)
		}
	}
	return scenario.Check(f.Params)
}

// The least that can be asked for of what may be less than one.
const (
	minRate  = 0.001
	minShare = 0.00001 // one in MaxSubscribers
)

// number writes a number as one would type it.
func number(v float64) string {
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.5f", v), "0"), ".")
}

// used refuses flags that the scenario has no use for, and says which have.
func used(scenario load.Scenario, given *pflag.FlagSet) (err error) {
	given.Visit(func(flag *pflag.Flag) {
		var users []string
		for _, s := range load.Scenarios() {
			if slices.Contains(s.Uses, flag.Name) {
				users = append(users, s.Name)
			}
		}
		if len(users) > 0 && !slices.Contains(users, scenario.Name) && err == nil {
			err = fmt.Errorf("--%s has no meaning for %s: it is for %s", flag.Name, scenario.Name, strings.Join(users, ", "))
		}
	})
	return err
}

// read reads durations, in one of the two ways to write them, and the size.
func (f *benchFlags) read(given *pflag.FlagSet) error {
	for _, d := range []struct {
		flag, text string
		into       *time.Duration
	}{{"duration", f.duration, &f.Duration}, {"period", f.period, &f.Period}, {"jitter", f.jitter, &f.Jitter}} {
		if !given.Changed(d.flag) {
			continue
		}
		v, err := freshet.ParseDuration(d.text)
		if err == nil && (v <= 0 || time.Duration(v) > time.Hour) {
			err = errors.New("it must be longer than nothing, and an hour at most")
		}
		if err != nil {
			return fmt.Errorf("--%s: %w", d.flag, err)
		}
		*d.into = time.Duration(v)
	}
	if !given.Changed("size") {
		return nil
	}
	n, err := freshet.ParseBytes(f.size)
	if err == nil && (n < load.MinSize || n > load.MaxSize) {
		err = fmt.Errorf("it must be %d bytes to %s", load.MinSize, freshet.Bytes(load.MaxSize))
	}
	if err != nil {
		return fmt.Errorf("--size: %w", err)
	}
	f.Size = int(n)
	return nil
}
