package main

import (
	"fmt"
	"time"
	"unicode/utf8"

	"freshet"
	"freshet/internal/app"
)

// banner says what runs and what to try.
func (c *cli) banner(s app.Server, temporary bool) {
	where := "data is kept"
	if temporary {
		where = "data in a temporary directory"
	}
	c.out.printf("\n  %s %s   %s\n\n", c.out.style(bold, "Freshet"), c.version,
		c.out.style(yellow, "development mode: no authentication, loopback only, "+where))
	column := len("any URL")
	for _, t := range s.Topics {
		column = max(column, utf8.RuneCountInString(string(t.Name)))
	}
	line := func(name, text string) { c.out.printf("  %s  %s\n", c.out.style(bold, pad(name, column)), text) }
	const stream = "curl -N -H 'Accept: text/event-stream' "
	for _, t := range s.Topics {
		line(string(t.Name), stream+s.URL+"/live/"+string(t.Name))
	}
	line("any URL", stream+s.URL+"/live/https://…")
	if len(s.Topics) > 0 {
		first := string(s.Topics[0].Name)
		flag := ""
		if s.URL != defaultServer {
			flag = " --server " + s.URL
		}
		line("now", "curl "+s.URL+"/live/"+first)
		line("or", "freshet sub "+first+flag)
	}
	c.out.printf("\n")
}

// showChange writes a line about a change of any topic.
func (c *cli) showChange(ch app.Change) {
	if c.json {
		_ = c.writeJSON(changeLine(ch)) // a console that is gone is no reason to stop serving
		return
	}
	kind, rest := pad(string(ch.Type), 9), ""
	switch ch.Type {
	case freshet.TypePatch:
		rest = fmt.Sprintf("%7s  %9s   %s", ops(ch.Operations), size(ch.Bytes), c.out.style(green, saved(ch.Bytes, ch.DocumentBytes)))
	case freshet.TypeSnapshot, freshet.TypeEvent:
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
	c.out.printf("  %s  %s  %s %s\n", c.out.style(dim, ch.Time.Local().Format("15:04:05")), pad(printable(string(ch.Topic)), 12), kind, rest)
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
