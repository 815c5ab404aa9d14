package freshet_test

import (
	"encoding/json"
	"testing"
	"time"

	"freshet"
)

func TestDuration(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want time.Duration
		out  string
	}{
		{"PT5S", 5 * time.Second, "PT5S"},
		{"PT0.5S", 500 * time.Millisecond, "PT0.5S"},
		{"PT0,25S", 250 * time.Millisecond, "PT0.25S"},
		{"4.387000001s", 4387000001, "PT4.387000001S"},
		{"4387ms", 4387 * time.Millisecond, "PT4.387S"},
		{"pt1h", time.Hour, "PT1H"},
		{"P1DT12H", 36 * time.Hour, "P1DT12H"},
		{"P2W", 14 * 24 * time.Hour, "P14D"},
		{"PT90M", 90 * time.Minute, "PT1H30M"},
		{"5s", 5 * time.Second, "PT5S"},
		{"1h30m", 90 * time.Minute, "PT1H30M"},
		{"PT0S", 0, "PT0S"},
		{"P30D", 30 * 24 * time.Hour, "P30D"},
	} {
		d, err := freshet.ParseDuration(tt.in)
		if err != nil || time.Duration(d) != tt.want || d.String() != tt.out {
			t.Errorf("ParseDuration(%q) = %v %s, %v; want %v %s", tt.in, time.Duration(d), d, err, tt.want, tt.out)
		}
	}
	for _, in := range []string{"", "P", "PT", "P1Y", "P1M", "PT1X", "PTS", "P5S", "PT5", "PT1S1M", "PT1S2S", "PT-5S", "PT1e3S", "PTNaNS", "PTInfS", "5", "fast", "P99999999999D", "P1DT"} {
		if d, err := freshet.ParseDuration(in); err == nil {
			t.Errorf("ParseDuration(%q) = %s; want an error", in, d)
		}
	}
}

func FuzzDuration(f *testing.F) {
	f.Add("P1DT12H30M5.25S")
	f.Add("1h")
	f.Fuzz(func(t *testing.T, in string) {
		d, err := freshet.ParseDuration(in)
		if err != nil || d < 0 {
			return
		}
		if again, err := freshet.ParseDuration(d.String()); err != nil || again != d {
			t.Errorf("%q is %s, which reads as %s, %v", in, d, again, err)
		}
	})
}

func TestBytes(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want freshet.Bytes
		out  string
	}{
		{`"64MiB"`, 64 << 20, "64MiB"}, {`"1 mib"`, 1 << 20, "1MiB"}, {`"1MB"`, 1e6, "1MB"}, {`1048576`, 1 << 20, "1MiB"}, {`"1000"`, 1000, "1KB"}, {`"0B"`, 0, "0B"}, {`"1500B"`, 1500, "1500B"}, {`"2GiB"`, 2 << 30, "2GiB"},
	} {
		var b freshet.Bytes
		if err := json.Unmarshal([]byte(tt.in), &b); err != nil || b != tt.want || b.String() != tt.out {
			t.Errorf("%s = %d %s, %v; want %d %s", tt.in, b, b, err, tt.want, tt.out)
		}
	}
	for _, in := range []string{`"x"`, `"1TiB1"`, `-1`, `"-1B"`, `1.5`, `"1.5MiB"`, `true`, `"99999999999GiB"`, `""`} {
		var b freshet.Bytes
		if err := json.Unmarshal([]byte(in), &b); err == nil {
			t.Errorf("%s = %s; want an error", in, b)
		}
	}
}

func FuzzBytes(f *testing.F) {
	f.Add("64MiB")
	f.Fuzz(func(t *testing.T, in string) {
		b, err := freshet.ParseBytes(in)
		if err != nil {
			return
		}
		if again, err := freshet.ParseBytes(b.String()); err != nil || again != b {
			t.Errorf("%q is %s, which reads as %d, %v", in, b, again, err)
		}
	})
}
