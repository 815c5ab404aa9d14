package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"freshet"
	"freshet/internal/app"
)

// banner says what runs and what to try.
func (c *cli) banner(s app.Server, temporary bool) string {
	var b strings.Builder
	where := "data is kept"
	if temporary {
		where = "data in a temporary directory"
	}
	fmt.Fprintf(&b, "\n  %s %s   %s\n\n", c.out.style(bold, "Freshet"), c.version,
		c.out.style(yellow, "development mode: no authentication, loopback only, "+where))
	column := len("any URL")
	for _, t := range s.Topics {
		column = max(column, utf8.RuneCountInString(string(t.Name)))
	}
	line := func(name, text string) { fmt.Fprintf(&b, "  %s  %s\n", c.out.style(bold, pad(name, column)), text) }
	const stream = "curl -N -H 'Accept: text/event-stream' "
	for _, t := range s.Topics {
		line(string(t.Name), stream+s.URL+"/live/"+string(t.Name))
	}
	line("any URL", stream+s.URL+"/live/"+example(s.Topics))
	if len(s.Topics) > 0 {
		first := string(s.Topics[0].Name)
		flag := ""
		if s.URL != defaultServer {
			flag = " --server " + s.URL
		}
		line("now", "curl "+s.URL+"/live/"+first)
		line("or", c.program+" sub "+first+flag)
	}
	return b.String() + "\n"
}

// example is a URL that works, if there is one without a query, which may hold a secret.
func example(topics []freshet.Topic) string {
	for _, t := range topics {
		if u := sourceURL(t); u != nil && u.User == nil && u.RawQuery == "" {
			return quote(u.String())
		}
	}
	return "https://…"
}

func sourceURL(t freshet.Topic) *url.URL {
	var config struct {
		URL string `json:"url"`
	}
	if json.Unmarshal(t.Source.Config, &config) != nil {
		return nil
	}
	u, err := url.Parse(config.URL)
	if err != nil || u.Host == "" {
		return nil
	}
	return u
}

// A watcher writes a line for each change of any topic of a server that runs here.
type watcher struct {
	cli     *cli
	changes <-chan app.Change
	silent  map[freshet.TopicName]string // the hosts of topics of which nothing came yet
}

// patience is how long nothing may come of a topic before a line says what it waits for.
const patience = 2 * time.Second

// run shows changes until ctx ends or nobody reads what it writes.
func (w *watcher) run(ctx context.Context) error {
	waiting := time.NewTimer(patience)
	defer waiting.Stop()
	for {
		select {
		case ch := <-w.changes:
			delete(w.silent, ch.Topic)
			if err := w.cli.showChange(ch); err != nil {
				return err
			}
		case <-waiting.C:
			for _, topic := range slices.Sorted(maps.Keys(w.silent)) {
				if err := w.cli.showLine(time.Now(), topic, w.cli.out.style(dim, pad("waiting", 9)), "for an answer of "+printable(w.silent[topic])); err != nil {
					return err
				}
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// showChange writes a line about a change of any topic.
func (c *cli) showChange(ch app.Change) error {
	if c.json {
		return c.writeJSON(changeLine(ch))
	}
	kind, rest := pad(string(ch.Type), 9), ""
	switch ch.Type {
	case freshet.TypePatch:
		rest = fmt.Sprintf("%7s  %9s   %s", ops(ch.Operations), size(ch.Bytes), c.out.style(green, saved(ch.Bytes, ch.DocumentBytes)))
	case freshet.TypeSnapshot:
		n, note := "", ""
		if ch.Revision > 1 && ch.Operations > 0 {
			n, note = ops(ch.Operations), "   "+c.out.style(dim, smaller)
		}
		rest = fmt.Sprintf("%7s  %9s%s", n, size(ch.Bytes), note)
	case freshet.TypeEvent:
		rest = fmt.Sprintf("%7s  %9s", "", size(ch.Bytes))
	case freshet.TypeError:
		kind = c.out.style(red, kind)
		if ch.Fault != nil {
			rest = printable(fmt.Sprintf("%d %s", ch.Fault.Code, ch.Fault.Message))
		}
	case freshet.TypeRecovered:
		kind = c.out.style(green, kind)
		rest = "the source works again"
	}
	return c.showLine(ch.Time, ch.Topic, kind, rest)
}

func (c *cli) showLine(at time.Time, topic freshet.TopicName, kind, rest string) error {
	_, err := fmt.Fprintf(c.out, "  %s  %s  %s %s\n", c.out.style(dim, at.Local().Format("15:04:05")), pad(printable(string(topic)), 12), kind, rest)
	return err
}

func ops(n int) string {
	if n == 1 {
		return "1 op"
	}
	return fmt.Sprintf("%d ops", n)
}

// A changeLine is a change for programs.
type changeLine struct {
	Time          time.Time         `json:"time"`
	Topic         freshet.TopicName `json:"topic"`
	Type          freshet.EventType `json:"type"`
	Revision      freshet.Revision  `json:"revision"`
	Operations    int               `json:"operations,omitzero"`
	Bytes         int               `json:"bytes"`
	DocumentBytes int               `json:"documentBytes"`
	Fault         *freshet.Fault    `json:"fault,omitempty"`
}
