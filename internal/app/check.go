package app

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"freshet"
	"freshet/internal/engine"
	"freshet/internal/strict"
)

// Bounds of what can be set.
const (
	minPolling = freshet.Duration(500 * time.Millisecond)
	maxPolling = freshet.Duration(time.Hour)
	maxGrace   = freshet.Duration(24 * time.Hour)
	maxDrain   = freshet.Duration(10 * time.Minute)

	minExchanges = freshet.Duration(time.Minute)
	maxExchanges = freshet.Duration(90 * 24 * time.Hour)
	maxSync      = freshet.Duration(time.Minute)
	mostAdHoc    = 100_000
	highestPort  = 65_535
)

// Check reports everything that is wrong with a configuration, however it came about, as Mistakes.
// What is not set is right: it takes its default.
func (c *Config) Check() error {
	var all Mistakes
	for _, e := range c.invalid() {
		all = append(all, Mistake{At: place(e), Detail: e.Detail})
	}
	if all == nil {
		return nil
	}
	return all
}

// invalid is what is wrong, by pointers into the configuration file's document.
func (c *Config) invalid() (found freshet.Invalid) {
	mistake := func(pointer string, err error) {
		if err != nil {
			found = append(found, freshet.FieldError{Pointer: pointer, Detail: err.Error()})
		}
	}
	mistake("/listen", checkListen(c.Listen))
	found = append(found, c.TLS.invalid()...)
	mistake("/log/level", oneOf(c.Log.Level, "debug", "info", "warn", "error"))
	mistake("/log/format", oneOf(c.Log.Format, "text", "json"))
	for i, origin := range c.CORS.Origins {
		mistake("/cors/origins/"+strconv.Itoa(i), checkOrigin(origin))
	}
	for i, allowed := range c.AdHoc.Allow {
		mistake("/adhoc/allow/"+strconv.Itoa(i), checkPrefix(allowed))
	}
	mistake("/adhoc/grace", within(c.AdHoc.Grace, 0, maxGrace))
	mistake("/adhoc/pollingPeriod", within(c.AdHoc.PollingPeriod, minPolling, maxPolling))
	if n := c.AdHoc.MaxTopics; n < 0 || n > mostAdHoc {
		mistake("/adhoc/maxTopics", fmt.Errorf("must be from 1 to %d, not %d", mostAdHoc, n))
	}
	mistake("/limits/connections", notNegative(c.Limits.Connections))
	mistake("/limits/perTopic", notNegative(c.Limits.PerTopic))
	mistake("/limits/perAddress", notNegative(c.Limits.PerAddress))
	mistake("/journal/sync", checkSync(c.Journal.Sync))
	mistake("/drain", within(c.Drain, 0, maxDrain))
	mistake("/exchanges/maxAge", within(c.Exchanges.MaxAge, minExchanges, maxExchanges))
	if b := c.Exchanges.MaxBytes; b != 0 && (b < 1<<20 || b > 16<<30) {
		mistake("/exchanges/maxBytes", fmt.Errorf("must be from 1MiB to 16GiB, not %v", b))
	}
	if c.Subscriptions.Events != "" {
		mistake("/subscriptions/events", c.Subscriptions.Events.Validate())
	}
	_, keys := c.Streamdata.keys()
	found = append(found, keys.In("/streamdata")...)
	found = append(found, c.Egress.check().In("/egress")...)
	found = append(found, c.Files.check().In("/files")...)
	return append(found, c.invalidTopics()...)
}

func notNegative(n int) error {
	if n < 0 {
		return fmt.Errorf("must be 0, for the default, or more, not %d", n)
	}
	return nil
}

func (c *Config) invalidTopics() (found freshet.Invalid) {
	sources, first := Sources(c.Secrets.vault(), c.Files.Allow), map[freshet.TopicName]int{}
	for i := range c.Topics {
		t, at := &c.Topics[i], "/topics/"+strconv.Itoa(i)
		found = append(found, sources.Check(t).In(at)...)
		if other, ok := first[t.Name]; ok && t.Name != "" {
			found = append(found, freshet.FieldError{Pointer: at + "/name", Detail: fmt.Sprintf("%q is the name of topics/%d already", t.Name, other)})
		} else {
			first[t.Name] = i
		}
	}
	return found
}

func checkListen(s string) error {
	if s == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is not host:port, such as %s", s, DefaultListen)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > highestPort {
		return fmt.Errorf("%q is not a port: use a number from 0, which takes any free one, to %d", port, highestPort)
	}
	return nil
}

func oneOf(s string, allowed ...string) error {
	if s == "" || slices.Contains(allowed, s) {
		return nil
	}
	if near := strict.Near(s, allowed); near != "" {
		return fmt.Errorf("%q is not known: did you mean %q?", s, near)
	}
	return fmt.Errorf("%q is not known: use %s", s, strings.Join(allowed, ", "))
}

// within checks a duration that is set.
func within(d, low, high freshet.Duration) error {
	if d == 0 || d >= low && d <= high && d > 0 {
		return nil
	}
	return fmt.Errorf("must be from %s to %s, not %s", low, high, d)
}

// checkOrigin checks an origin as browsers send it (RFC 6454, 7).
func checkOrigin(s string) error {
	u, err := url.Parse(s)
	switch {
	case s == "*":
		return nil
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf(`%q is not an origin: write a scheme and a host, such as https://app.example.com, or "*" for every origin`, s)
	case u.Scheme+"://"+u.Host != s:
		return fmt.Errorf("%q is more than an origin: write %s://%s", s, u.Scheme, u.Host)
	}
	return nil
}

// checkPrefix checks what adhoc.allow names.
func checkPrefix(s string) error {
	u, err := url.Parse(s)
	switch {
	case s == "*":
		return nil
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf(`%q is not the beginning of a URL: write a scheme, a host and perhaps a path, such as https://api.example.com/v1, or "*" for any URL`, s)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("only a scheme, a host and a path are compared: leave the rest out")
	}
	return nil
}

func checkSync(s string) error {
	if s == "" || s == engine.SyncAlways {
		return nil
	}
	d, err := freshet.ParseDuration(s)
	if err != nil || d <= 0 || d > maxSync {
		return fmt.Errorf("%q is neither %q nor an interval of up to %s, such as 1s", s, engine.SyncAlways, maxSync)
	}
	return nil
}
