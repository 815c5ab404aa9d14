package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
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
	if ok && errors.Is(err, freshet.ErrManaged) { // freshet dev has no configuration file
		prefix, _, _ := strings.Cut(text, p.Error())
		return fmt.Sprintf("%sthe server was started with it, and it cannot be changed from here (%d)", prefix, p.Status), nil
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

// why is the reason for which a connection failed or ended, in words.
func why(err error) string {
	if unreachable(err) {
		return reason(err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return "the connection was cut"
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err.Error() // without the URL, which the user knows
	}
	return err.Error()
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
		return "start one with: " + c.program + " dev, or name it with --server or FRESHET_SERVER"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "if it is a certificate of your own, name it, or the authority that signed it, with --cacert FILE"
	}
	p, ok := errors.AsType[*client.Problem](err)
	switch {
	case ok && p.Slug() == "topic-not-found":
		return "see: " + c.program + " topic ls"
	case errors.Is(err, freshet.ErrManaged):
		return "change what the server was started with: its configuration file, or the command line of freshet dev"
	}
	return ""
}
