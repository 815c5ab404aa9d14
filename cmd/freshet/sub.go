package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"freshet"
	"freshet/client"
)

// subFlags are the flags of sub.
type subFlags struct {
	mode, from string
	raw, doc   bool
	status     bool
	count      int
}

func (c *cli) subCommand() *cobra.Command {
	var f subFlags
	cmd := &cobra.Command{
		Use:     "sub TOPIC|URL…",
		Aliases: []string{"follow", "tail"},
		Short:   "Follow topics and show each change",
		Long: `Follow topics, by name or as the absolute URL of an API, and show each change:
the path, the old value and the new one.

  ~ replaced   + added   - removed   > moved

It connects again by itself and resumes where it was. Ctrl-C ends it and says
what was received, and what whole documents would have been.`,
		Example: `  freshet sub prices
  freshet sub prices stock --json | jq .
  freshet sub https://api.example.com/prices
  freshet sub http://127.0.0.1:4440/live/prices
  freshet sub orders --from beginning      # every message that is kept
  freshet sub prices --from -15m           # what changed since, then live
  freshet sub prices --count 1 --doc       # the document, once`,
		Args:              needs(1, 0, "a topic or a URL"),
		ValidArgsFunction: c.completeTopics,
		RunE: func(cmd *cobra.Command, topics []string) error {
			if err := f.check(c.json, len(topics)); err != nil {
				return usageError{err}
			}
			return c.sub(cmd.Context(), topics, f)
		},
	}
	c.serverFlag(cmd)
	c.jsonFlag(cmd)
	c.headerFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.mode, "mode", "", strings.Join(modeNames(), ", ")+"; the topic's default")
	flags.StringVar(&f.from, "from", "", "start with: beginning, an event id, a time, or an age such as -15m")
	flags.IntVarP(&f.count, "count", "n", 0, "stop after so many events")
	flags.BoolVar(&f.doc, "doc", false, "show the whole document after each change")
	flags.BoolVar(&f.status, "status", false, "show too when a topic becomes stale, or fresh again, and why")
	flags.BoolVar(&f.raw, "raw", false, "show the lines of the stream as they come")
	complete(cmd, "mode", modeNames()...)
	return cmd
}

// modeNames are those of every kind of topic.
func modeNames() (names []string) {
	for _, m := range slices.Concat(freshet.KindSnapshot.Modes(), freshet.KindEvent.Modes()) {
		names = append(names, string(m))
	}
	return names
}

func (f subFlags) check(json bool, topics int) error {
	styles := 0
	for _, on := range []bool{json, f.raw, f.doc} {
		if on {
			styles++
		}
	}
	switch {
	case f.mode != "" && !slices.Contains(modeNames(), f.mode):
		return fmt.Errorf("--mode %s: use %s", f.mode, strings.Join(modeNames(), ", "))
	case styles > 1:
		return errors.New("use one of --json, --raw and --doc")
	case f.raw && topics > 1:
		return errors.New("--raw takes one topic: the lines of several could not be told apart")
	case f.count < 0:
		return errors.New("--count is a number of events")
	}
	return nil
}

// sub follows every topic until ctx ends, enough events came, or one of them fails.
func (c *cli) sub(ctx context.Context, topics []string, f subFlags) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	v := &viewer{cli: c, flags: f}
	var wg sync.WaitGroup
	for _, topic := range topics {
		wg.Go(func() {
			if err := c.follow(ctx, cl, c.topicOf(topic), f, v); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	err = context.Cause(ctx)
	if v.stats.events > 0 && !c.json {
		v.summary()
	}
	if errors.Is(err, errEnough) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

var errEnough = errors.New("enough events came")

func (c *cli) follow(ctx context.Context, cl *client.Client, topic string, f subFlags, v *viewer) error {
	o := client.FollowOptions{Mode: freshet.Mode(f.mode), Status: f.status}
	if err := startAt(ctx, cl, topic, f.from, &o); err != nil {
		return err
	}
	if f.raw {
		o.Raw = c.out
	}
	connected := false
	o.OnRetry = func(err error, wait time.Duration) error {
		if _, noAnswer := errors.AsType[*url.Error](err); noAnswer && !connected {
			return err // a wrong address, most likely; a server that was there comes back
		}
		v.note(fmt.Sprintf("%s: %s; trying again in %.1f s", topic, why(err), wait.Seconds()))
		return nil
	}
	for u, err := range cl.Follow(ctx, topic, o) {
		if errors.Is(err, client.ErrEnded) {
			return fmt.Errorf("topic %s was deleted", topic)
		}
		if err != nil {
			return err
		}
		connected = true
		if err := v.show(topic, u); err != nil {
			return err
		}
	}
	return nil
}

// startAt resolves --from. An id or a time is where the document is fetched, for the patches after
// it to apply to.
func startAt(ctx context.Context, cl *client.Client, topic, from string, o *client.FollowOptions) error {
	switch from {
	case "", "now":
		return nil
	case "beginning":
		o.From = from
		return nil
	}
	at, err := when(from)
	if err != nil {
		return usageError{fmt.Errorf("--from: %w", err)}
	}
	d, err := cl.Get(ctx, topic, client.GetOptions{At: at})
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	o.LastEventID, o.Document = d.ID(), d.Body
	return nil
}

// when makes a time of an age such as -15m. Event ids and times stay as they are.
func when(at string) (string, error) {
	age, ok := strings.CutPrefix(at, "-")
	if !ok {
		return at, nil
	}
	d, err := freshet.ParseDuration(withDays(age))
	if err != nil {
		return "", err
	}
	return time.Now().Add(-time.Duration(d)).UTC().Format(time.RFC3339Nano), nil
}
