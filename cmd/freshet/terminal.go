package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// A terminal is where output goes: somebody's screen, or a file or pipe, which gets no colours.
type terminal struct {
	file  *os.File
	isTTY bool
	color bool
}

func newTerminal(f *os.File) *terminal {
	isTTY := term.IsTerminal(int(f.Fd()))
	return &terminal{file: f, isTTY: isTTY, color: isTTY && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (t *terminal) Write(p []byte) (int, error) { return t.file.Write(p) }

// printf writes what is for people to see. That nobody sees it is no error.
func (t *terminal) printf(format string, args ...any) { _, _ = fmt.Fprintf(t, format, args...) }

// width is how many columns a line may have. Away from a terminal it is COLUMNS or a good length to read.
func (t *terminal) width() int {
	if t.isTTY {
		if w, _, err := term.GetSize(int(t.file.Fd())); err == nil && w > 0 {
			return w
		}
	}
	if w, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && w > 0 {
		return w
	}
	return 120
}

// Styles are SGR parameters.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
	bold   = "1"
	dim    = "2"
)

func (t *terminal) style(sgr, s string) string {
	if !t.color || s == "" {
		return s
	}
	return "\x1b[" + sgr + "m" + s + "\x1b[0m"
}

// printable replaces what a terminal would obey instead of show: control characters, and those that
// change the direction of the text. Names and values come from strangers.
func printable(s string) string {
	bad := func(r rune) bool { return r == utf8.RuneError || r != ' ' && !unicode.IsPrint(r) }
	if strings.IndexFunc(s, bad) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case !bad(r):
			b.WriteRune(r)
		case r == utf8.RuneError:
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

// shorten cuts a text to at most n columns.
func shorten(s string, n int) string {
	if n = max(n, 1); utf8.RuneCountInString(s) <= n {
		return s
	}
	runes := []rune(s)
	return string(runes[:n-1]) + "…"
}

// pad fills a text with spaces up to n columns.
func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s)))
}

// size writes a number of bytes for people: 412 B, 144.6 kB.
func size(n int) string {
	if n < 1000 {
		return strconv.Itoa(n) + " B"
	}
	v, units := float64(n)/1000, []string{"kB", "MB", "GB", "TB"}
	for v >= 999.95 && len(units) > 1 {
		v, units = v/1000, units[1:]
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " " + units[0]
}

// saved writes how much less part is than whole: 99.7 % saved.
func saved(part, whole int) string {
	if whole <= 0 || part >= whole {
		return "0.0 % saved"
	}
	percent := 100 * (1 - float64(part)/float64(whole))
	return strconv.FormatFloat(min(percent, 99.9), 'f', 1, 64) + " % saved"
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}
