package httppoller

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"freshet"
	"freshet/internal/settings"

	_ "time/tzdata" // windows name time zones, which small containers do not have
)

// adaptive says how far the period may follow the rate at which the document changes.
type adaptive struct {
	Min       freshet.Duration `json:"min" default:"PT1S" range:"PT0.5S..PT1H" doc:"The shortest period"`
	Max       freshet.Duration `json:"max" default:"PT1M" range:"PT0.5S..P1D" doc:"The longest period"`
	Staleness freshet.Duration `json:"staleness" default:"PT0S" range:"PT0S..P1D" doc:"How old what subscribers have may get, at most, while upstream answers: no two polls are further apart. PT0S: no bound but max"`
}

// Check is what the tags cannot say.
func (a *adaptive) Check(v *settings.Verdict) {
	if a.Max < a.Min {
		v.Say("/max", "must not be less than min, %v", a.Min)
	}
	if a.Staleness > 0 && a.Staleness < a.Min {
		v.Say("/staleness", "must not be less than min, %v", a.Min)
	}
}

// A document that changes as often as it is looked at is looked at more often; one that changes seldom is
// asked for pollsPerChange times while it stays as it is, on average.
const pollsPerChange = 8

// A rhythm is what was learned of how often a document changes.
type rhythm struct {
	changed time.Time     // when it was last seen to change
	between time.Duration // changes, on average; 0: not known yet
}

// note takes note of a poll.
func (r *rhythm) note(changed bool, at time.Time) {
	if !changed {
		return
	}
	if !r.changed.IsZero() {
		if last := at.Sub(r.changed); r.between == 0 {
			r.between = last
		} else {
			r.between += (last - r.between) / 4
		}
	}
	r.changed = at
}

// period is how far apart polls are to be now.
func (r *rhythm) period(a *adaptive, first time.Duration, now time.Time) time.Duration {
	longest := time.Duration(a.Max)
	if a.Staleness > 0 {
		longest = min(longest, time.Duration(a.Staleness))
	}
	period := first
	if r.between > 0 {
		// What has not changed for longer than usual changes more seldom than was thought.
		period = max(r.between, now.Sub(r.changed)) / pollsPerChange
	} else if !r.changed.IsZero() {
		period = max(first, now.Sub(r.changed)/pollsPerChange)
	}
	return min(max(period, time.Duration(a.Min)), longest)
}

// window is a time in which polls are made.
type window struct {
	Cron string `json:"cron" required:"true" doc:"The minutes in which polls are made, as the five fields of cron: minute, hour, day of the month, month, day of the week"`
	Zone string `json:"timeZone" default:"UTC" doc:"The time zone of the fields, such as Europe/Berlin"`

	schedule cron.Schedule
}

// Check is what the tags cannot say.
func (w *window) Check(v *settings.Verdict) {
	if _, err := time.LoadLocation(w.Zone); err != nil || w.Zone == "Local" {
		v.Say("/timeZone", "%.60q is not a time zone such as Europe/Berlin", w.Zone)
		return
	}
	if strings.Contains(w.Cron, "TZ=") || strings.HasPrefix(strings.TrimSpace(w.Cron), "@") {
		v.Say("/cron", "must be five fields, such as * 8-18 * * MON-FRI")
		return
	}
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	schedule, err := parser.Parse("CRON_TZ=" + w.Zone + " " + w.Cron)
	if err != nil {
		v.Say("/cron", "is not five fields of cron: %.200s", strings.TrimPrefix(err.Error(), "CRON_TZ="+w.Zone))
		return
	}
	if schedule.Next(time.Now()).IsZero() {
		v.Say("/cron", "is a time that never comes")
		return
	}
	w.schedule = schedule
}

// inWindow is the first time at or after t that is in one of the windows; t where there are none.
func inWindow(windows []window, t time.Time) time.Time {
	var first time.Time
	for _, w := range windows {
		minute := t.Truncate(time.Minute)
		next := w.schedule.Next(minute.Add(-time.Nanosecond))
		if next.Equal(minute) {
			return t
		}
		if first.IsZero() || next.Before(first) && !next.IsZero() {
			first = next
		}
	}
	if first.IsZero() {
		return t
	}
	return first
}

// longestFresh bounds what an answer may say of how long it stays as it is.
const longestFresh = 24 * time.Hour

// freshFor is for how long an answer says that it stays as it is: Cache-Control's s-maxage or max-age, less
// its Age, or Expires (RFC 9111 sections 4.2.1 and 5.2.2).
func freshFor(h http.Header) time.Duration {
	if h["Cache-Control"] == nil && h["Expires"] == nil {
		return 0
	}
	directives := map[string]string{}
	for part := range strings.SplitSeq(strings.ToLower(strings.Join(h.Values("Cache-Control"), ",")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		directives[name] = strings.Trim(value, `"`)
	}
	for _, never := range []string{"no-cache", "no-store"} {
		if _, ok := directives[never]; ok {
			return 0
		}
	}
	for _, name := range []string{"s-maxage", "max-age"} {
		if value, ok := directives[name]; ok {
			return min(seconds(value)-seconds(h.Get("Age")), longestFresh)
		}
	}
	expires, err1 := http.ParseTime(h.Get("Expires"))
	date, err2 := http.ParseTime(h.Get("Date"))
	if err1 != nil || err2 != nil {
		return 0
	}
	return min(expires.Sub(date), longestFresh)
}

// seconds reads a number of seconds; 0 where it is none.
func seconds(s string) time.Duration {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// A quota is what an upstream says of its own limit.
type quota struct {
	remaining int
	reset     time.Duration // from now
}

// quotaFields are those that quotaOf reads, as net/http spells them.
var quotaFields = []string{"Ratelimit", "Ratelimit-Policy", "Ratelimit-Remaining", "X-Ratelimit-Remaining", "X-Rate-Limit-Remaining"} //nolint:gochecknoglobals // a constant list

// quotaOf reads the tightest limit of an answer: RateLimit as in draft-ietf-httpapi-ratelimit-headers, of its
// version 8 on or as before, RateLimit-Remaining and -Reset, or the older X-RateLimit-Remaining and -Reset.
// Where only RateLimit-Policy is there it counts as untouched.
func quotaOf(h http.Header, now time.Time) (tightest quota, ok bool) {
	if !slices.ContainsFunc(quotaFields, func(name string) bool { return h[name] != nil }) {
		return quota{}, false
	}
	consider := func(remaining, reset string) {
		r, err := strconv.ParseFloat(strings.TrimSpace(remaining), 64)
		t := resetOf(reset, now)
		if err != nil || r < 0 || t <= 0 || t > longestRetryAfter {
			return
		}
		q := quota{int(min(r, 1e9)), t}
		if !ok || float64(q.reset)/float64(q.remaining+1) > float64(tightest.reset)/float64(tightest.remaining+1) {
			tightest, ok = q, true
		}
	}
	for item := range strings.SplitSeq(strings.Join(h.Values("RateLimit"), ","), ",") {
		if p := parameters(item); p["r"] != "" {
			consider(p["r"], p["t"])
		}
	}
	if p := parameters(strings.ReplaceAll(h.Get("RateLimit"), ",", ";")); p["remaining"] != "" {
		consider(p["remaining"], p["reset"])
	}
	for _, prefix := range []string{"RateLimit-", "X-RateLimit-", "X-Rate-Limit-"} {
		if remaining := h.Get(prefix + "Remaining"); remaining != "" {
			consider(remaining, h.Get(prefix+"Reset"))
		}
	}
	if !ok {
		for item := range strings.SplitSeq(strings.Join(h.Values("RateLimit-Policy"), ","), ",") {
			p := parameters(item)
			consider(p["q"], p["w"])
		}
	}
	return tightest, ok
}

// parameters are those of an item of a structured field (RFC 9651 section 3.1.2), and those that stand alone.
func parameters(item string) map[string]string {
	all := map[string]string{}
	for part := range strings.SplitSeq(item, ";") {
		if name, value, ok := strings.Cut(strings.TrimSpace(part), "="); ok {
			all[strings.ToLower(name)] = strings.Trim(value, `"`)
		}
	}
	return all
}

// resetOf reads when a limit is reset: in so many seconds, or at a time as seconds or milliseconds since 1970.
func resetOf(s string, now time.Time) time.Duration {
	n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	switch {
	case err != nil || n < 0:
		return 0
	case n >= 1e11:
		return time.UnixMilli(int64(min(n, 1e15))).Sub(now)
	case n >= 1e8:
		return time.Unix(int64(n), 0).Sub(now)
	}
	return time.Duration(n * float64(time.Second))
}
