package main

import (
	"errors"
	"net"
	"strings"
	"syscall"

	"freshet"
	"freshet/client"
)

// explain is what the user reads about an error: a line that says what, and what to do about it
// where that is known.
func (c *cli) explain(err error) string {
	var b strings.Builder
	text, details := describe(err)
	b.WriteString("freshet: " + printable(text) + "\n")
	for _, d := range details {
		b.WriteString("  " + printable(d) + "\n")
	}
	if hint := c.hint(err); hint != "" {
		b.WriteString("  " + hint + "\n")
	}
	return b.String()
}

func describe(err error) (text string, details []string) {
	text = err.Error()
	p, ok := errors.AsType[*client.Problem](err)
	if ok && len(p.Errors) > 0 {
		for _, e := range p.Errors {
			details = append(details, strings.TrimPrefix(e.Pointer+": "+e.Detail, ": "))
		}
		prefix, _, _ := strings.Cut(text, p.Error())
		return prefix + "the document has mistakes", details
	}
	if unreachable(err) {
		return "no server answers: " + reason(err), nil
	}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return lines[0], lines[1:]
}

// unreachable says whether no connection came about at all.
func unreachable(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

func reason(err error) string {
	op, _ := errors.AsType[*net.OpError](err)
	if errors.Is(err, syscall.ECONNREFUSED) && op.Addr != nil {
		return "nothing listens at " + op.Addr.String()
	}
	return op.Err.Error()
}

func (c *cli) hint(err error) string {
	if _, ok := errors.AsType[usageError](err); ok {
		return "see: " + c.command + " --help"
	}
	if unreachable(err) {
		return "start one with: freshet dev, or name it with --server or FRESHET_SERVER"
	}
	p, ok := errors.AsType[*client.Problem](err)
	switch {
	case ok && p.Slug() == "topic-not-found":
		return "see: freshet topic ls"
	case errors.Is(err, freshet.ErrManaged):
		return "change it in the configuration file of the server"
	case errors.Is(err, client.ErrEnded):
		return "the topic was deleted"
	}
	return ""
}
