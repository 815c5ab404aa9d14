package httppoller

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"freshet/internal/settings"
)

// A computed query parameter is a time, counted from the last poll that succeeded. The names are the
// incumbent's.
type computed struct {
	Type         string `json:"type" required:"true" oneof:"date-time,timestamp" doc:"A time as text, or as the number of seconds since 1970"`
	Reference    string `json:"reference" default:"last-success" oneof:"last-success" doc:"Which time: when the last poll that succeeded was begun. It outlives a restart as far back as the last change. Before there is one it is now less pollingPeriod"`
	Pattern      string `json:"pattern" when:"type=date-time" default:"yyyy-MM-dd'T'HH:mm:ssXXX" doc:"Of a date-time, in UTC: the letters of Java's DateTimeFormatter, or a layout of Go, which has 2006 in it"`
	Milliseconds bool   `json:"useMilliseconds" when:"type=timestamp" doc:"A timestamp counts milliseconds"`
	Initial      string `json:"initialValue" doc:"What is sent before a poll has succeeded, as it is"`

	layout string // of Go
}

// Check is what the tags cannot say.
func (c *computed) Check(v *settings.Verdict) {
	if strings.Contains(c.Pattern, "2006") {
		c.layout = c.Pattern
		return
	}
	layout, err := layoutOf(c.Pattern)
	if err != "" {
		v.Say("/pattern", "%s", err)
	}
	c.layout = layout
}

// checkParameters judges the names of those that are computed.
func (c *config) checkParameters(v *settings.Verdict) {
	for name := range c.Computed {
		at := settings.Pointer("computedQueryParameters", name)
		if name == "" {
			v.Say(at, "must have a name, which is not empty")
		}
		if g := c.Pagination; g != nil && name != "" {
			if size, _ := g.size(); name == g.parameter() || name == size {
				v.Say(at, "is a parameter of pagination, too")
			}
		}
	}
}

// value is what the parameter is when the last success was at a time; zero: there was none.
func (c *computed) value(last, now time.Time, period time.Duration) string {
	switch {
	case last.IsZero() && c.Initial != "":
		return c.Initial
	case last.IsZero():
		last = now.Add(-period)
	}
	if c.Type == "date-time" {
		return last.UTC().Format(c.layout)
	}
	if c.Milliseconds {
		return strconv.FormatInt(last.UnixMilli(), 10)
	}
	return strconv.FormatInt(last.Unix(), 10)
}

// address is the URL of a poll that begins now.
func (p *poller) address(now time.Time) *url.URL {
	u := p.target
	for _, name := range p.computedNames {
		c := p.Computed[name]
		u = with(u, name, c.value(p.succeeded, now, time.Duration(p.PollingPeriod)))
	}
	return u
}

// layoutOf is the layout of Go that means what a pattern of Java's DateTimeFormatter does; or what is wrong
// with the pattern.
func layoutOf(pattern string) (layout, wrong string) {
	var b strings.Builder
	for rest := pattern; rest != ""; {
		c := rest[0]
		n := 1 // bytes that are the same: of a letter of the alphabet, how often it is there
		for n < len(rest) && rest[n] == c {
			n++
		}
		switch {
		case c == '\'':
			text, after, ok := inQuotes(rest)
			if !ok {
				return "", "a text in quotes has no end"
			}
			if strings.ContainsAny(text, "0123456789") || strings.Contains(text, "Jan") || strings.Contains(text, "Mon") || strings.Contains(text, "MST") || strings.Contains(text, "PM") {
				return "", "a text in quotes cannot hold digits, nor Jan, Mon, MST or PM"
			}
			b.WriteString(text)
			rest = after
			continue
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			part := letters(rest[:n])
			if part == "" {
				return "", unsupported(rest[:n])
			}
			if c == 'S' {
				if s := b.String(); !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, ",") {
					return "", "S, the fraction of a second, must follow a point or a comma"
				}
			}
			b.WriteString(part)
		case c >= '0' && c <= '9':
			return "", "digits cannot be in a pattern"
		default:
			b.WriteString(rest[:n])
		}
		rest = rest[n:]
	}
	return b.String(), ""
}

// unsupported says what is written in place of a run of one letter.
func unsupported(run string) string {
	switch instead := strings.ToLower(run); {
	case run[0] == 'D':
		return fmt.Sprintf("%.20s is not supported: write DDD", run)
	case run[0] == 'Y' && letters(instead) != "": // the year of a week: seldom what is meant
		return fmt.Sprintf("%.20s is not supported: write %s", run, instead)
	}
	return fmt.Sprintf("%.20s is not supported: there are yyyy and yy, MMMM, MMM, MM and M, dd and d, DDD, HH, hh and h, mm and m, ss and s, S and more of them, a, EEEE and E, and X, x, Z, z and VV for the zone; or a layout of Go", run)
}

// inQuotes reads a text in quotes, in which two of them are one; as are two alone.
func inQuotes(s string) (text, rest string, ok bool) {
	if strings.HasPrefix(s, "''") {
		return "'", s[2:], true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			b.WriteByte(s[i])
		} else if i+1 < len(s) && s[i+1] == '\'' {
			b.WriteByte('\'')
			i++
		} else {
			return b.String(), s[i+1:], true
		}
	}
	return "", "", false
}

// letters is what Go writes for a run of one letter; "" where it writes nothing of the kind.
func letters(run string) string {
	known := map[string]string{
		"yyyy": "2006", "uuuu": "2006", "y": "2006", "u": "2006", "yy": "06", "uu": "06",
		"MMMM": "January", "MMM": "Jan", "MM": "01", "M": "1", "LLLL": "January", "LLL": "Jan",
		"dd": "02", "d": "2", "DDD": "002",
		"HH": "15", "hh": "03", "h": "3", "mm": "04", "m": "4", "ss": "05", "s": "5", "a": "PM",
		"EEEE": "Monday", "EEE": "Mon", "EE": "Mon", "E": "Mon",
		"XXX": "Z07:00", "XX": "Z0700", "X": "Z07", "xxx": "-07:00", "xx": "-0700", "x": "-07", "Z": "-0700", "ZZZ": "-0700", "z": "MST", "zzz": "MST", "VV": "MST",
	}
	if run[0] == 'S' && len(run) <= 9 {
		return strings.Repeat("0", len(run))
	}
	return known[run]
}
