package main

import (
	"cmp"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"freshet"
	"freshet/client"
	"freshet/internal/app"
)

// program is how the command is called, so that what is shown can be pasted.
func program(args []string) string {
	if len(args) == 0 || args[0] == "" {
		return "freshet"
	}
	return quote(args[0])
}

// quote writes a word for a shell.
func quote(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// topicOf is the topic that an argument names: of a URL of the server itself, such as people copy from
// what dev shows, the part after /live/. The server would poll itself otherwise.
func (c *cli) topicOf(arg string) string {
	u, err := url.Parse(arg)
	if err != nil || !client.IsURL(arg) {
		return arg
	}
	server, err := url.Parse(withScheme(c.address()))
	if err != nil || !sameHost(u, server) {
		return arg
	}
	_, rest, _ := strings.Cut(arg, "://")
	_, path, _ := strings.Cut(rest, "/")
	topic, ours := strings.CutPrefix("/"+path, strings.TrimRight(server.Path, "/")+"/live/")
	if !ours || topic == "" {
		return arg
	}
	if client.IsURL(topic) {
		return c.topicOf(topic)
	}
	return strings.TrimRight(topic[:strings.IndexAny(topic+"?", "?#")], "/")
}

func withScheme(address string) string {
	if strings.Contains(address, "://") {
		return address
	}
	return "http://" + address
}

// sameHost says whether two URLs lead to one port of one host, whatever loopback is called.
func sameHost(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && port(a) == port(b) &&
		(strings.EqualFold(a.Hostname(), b.Hostname()) || loopback(a.Hostname()) && loopback(b.Hostname()))
}

func port(u *url.URL) string {
	if u.Port() == "" && u.Scheme == "http" {
		return "80"
	}
	return cmp.Or(u.Port(), "443")
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.IsLoopback()
}

// inFlags tells mistakes in a document that was made of a command line by the names of its flags.
func inFlags(err error) error {
	var lines []string
	add := func(at, detail string) {
		if line := strings.TrimPrefix(flagOf(at)+": "+detail, ": "); !slices.Contains(lines, line) { // several topics, one flag
			lines = append(lines, line)
		}
	}
	if mistakes, ok := errors.AsType[app.Mistakes](err); ok {
		for _, m := range mistakes {
			add(m.At, m.Detail)
		}
	} else if invalid, ok := errors.AsType[freshet.Invalid](err); ok {
		for _, e := range invalid {
			add(strings.TrimPrefix(e.Pointer, "/"), e.Detail)
		}
	}
	switch len(lines) {
	case 0:
		return err
	case 1:
		return usageError{errors.New(lines[0])}
	}
	return usageError{errors.New("the command line has mistakes\n" + strings.Join(lines, "\n"))}
}

// flagOf is what a setting is called in command lines; one that is not there keeps its name.
func flagOf(at string) string {
	if topic, ok := strings.CutPrefix(at, "topics/"); ok {
		_, at, _ = strings.Cut(topic, "/")
	}
	if strings.HasPrefix(at, "source/config/headers") || strings.HasPrefix(at, "config/headers") {
		return "--header"
	}
	switch at {
	case "config/url":
		return "--url"
	case "listen", "data", "kind", "description", "id", "type", "mode", "behind", "format", "start", "since":
		return "--" + at
	case "log/level":
		return "--log-level"
	case "log/format":
		return "--log-format"
	case "source/config/url":
		return "the URL"
	case "source/config/pollingPeriod":
		return "--every"
	case "source/config/payloadPointer":
		return "--pointer"
	}
	return at
}
