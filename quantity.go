package freshet

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Duration reads and writes ISO 8601 durations (PT5S, PT0.5S, P1DT12H) and reads Go's as well
// (5s, 1h30m). Years and months have no fixed length and are refused.
type Duration time.Duration

// ParseDuration reads an ISO 8601 duration of weeks, days, hours, minutes and seconds, or a Go one.
func ParseDuration(s string) (Duration, error) {
	if !strings.HasPrefix(strings.ToUpper(s), "P") {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration: write PT5S or 5s", s)
		}
		return Duration(d), nil
	}
	bad := fmt.Errorf("%q is not an ISO 8601 duration of weeks, days, hours, minutes and seconds, such as PT5S or P1DT12H", s)
	date, clock, hasClock := strings.Cut(strings.ToUpper(s)[1:], "T")
	if hasClock && clock == "" || date == "" && clock == "" {
		return 0, bad
	}
	d1, ok1 := sumUnits(date, "WD", []time.Duration{7 * 24 * time.Hour, 24 * time.Hour})
	d2, ok2 := sumUnits(clock, "HMS", []time.Duration{time.Hour, time.Minute, time.Second})
	if total := d1 + d2; ok1 && ok2 && total < math.MaxInt64/2 {
		return Duration(total), nil
	}
	return 0, bad
}

// sumUnits reads numbers, each followed by one of the units in their order.
func sumUnits(s, units string, sizes []time.Duration) (sum float64, ok bool) {
	for s != "" {
		end := strings.IndexAny(s, units)
		if end <= 0 {
			return 0, false
		}
		n, err := strconv.ParseFloat(strings.Replace(s[:end], ",", ".", 1), 64)
		if err != nil || strings.Trim(s[:end], "0123456789.,") != "" {
			return 0, false
		}
		at := strings.IndexByte(units, s[end])
		sum += n * float64(sizes[at])
		units, sizes, s = units[at+1:], sizes[at+1:], s[end+1:]
		if units == "" && s != "" {
			return 0, false
		}
	}
	return sum, true
}

// String writes the duration in ISO 8601.
func (d Duration) String() string {
	t := time.Duration(d)
	if t == 0 {
		return "PT0S"
	}
	if t < 0 {
		return t.String() // nothing accepts a negative one; this is for error messages
	}
	var b strings.Builder
	b.WriteByte('P')
	if days := t / (24 * time.Hour); days > 0 {
		fmt.Fprintf(&b, "%dD", days)
		t -= days * 24 * time.Hour
	}
	if t == 0 {
		return b.String()
	}
	b.WriteByte('T')
	if h := t / time.Hour; h > 0 {
		fmt.Fprintf(&b, "%dH", h)
		t -= h * time.Hour
	}
	if m := t / time.Minute; m > 0 {
		fmt.Fprintf(&b, "%dM", m)
		t -= m * time.Minute
	}
	if t > 0 {
		b.WriteString(strconv.FormatInt(int64(t/time.Second), 10))
		if part := t % time.Second; part > 0 { // a float would not be exact
			b.WriteString("." + strings.TrimRight(fmt.Sprintf("%09d", part), "0"))
		}
		b.WriteByte('S')
	}
	return b.String()
}

// MarshalText writes ISO 8601.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDuration(string(text))
	return err
}

// Bytes is a size. It reads a number, or a number with a unit: B, KB, MB, GB (powers of 1000) or
// KiB, MiB, GiB (powers of 1024). It writes the largest unit that is exact.
type Bytes int64

var byteUnits = []struct { //nolint:gochecknoglobals // a constant table
	name string
	size Bytes
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1}}

// ParseBytes reads a size.
func ParseBytes(s string) (Bytes, error) {
	number, unit := strings.TrimSpace(s), Bytes(1)
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(strings.ToUpper(number), strings.ToUpper(u.name)); ok {
			number, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/int64(unit) {
		return 0, fmt.Errorf("%q is not a size: write a whole number with B, KB, MB, GB, KiB, MiB or GiB, such as 1MiB", s)
	}
	return Bytes(n) * unit, nil
}

func (b Bytes) String() string {
	for _, u := range byteUnits {
		if b >= u.size && b%u.size == 0 && u.size > 1 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}

// MarshalText writes the size with its unit.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads what ParseBytes does.
func (b *Bytes) UnmarshalText(text []byte) (err error) {
	*b, err = ParseBytes(string(text))
	return err
}

// UnmarshalJSON also accepts a bare number of bytes.
func (b *Bytes) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] != '"' {
		return b.UnmarshalText(data)
	}
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("%s is not a size", data)
	}
	return b.UnmarshalText([]byte(s))
}
