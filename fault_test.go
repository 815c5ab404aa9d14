package freshet_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"freshet"
)

// The codes that the incumbent's clients know, of those that can occur here, and 40300, 40900 and 70422.
func TestFaultKinds(t *testing.T) {
	want := []int{
		40000, 40300, 40400, 40404, 40405, 40900, 50500, 50503, 60000, 70000, 70001, 70002, 70013, 70014, 70015, 70016, 70300,
		70400, 70401, 70403, 70404, 70405, 70406, 70408, 70410, 70422, 70429, 70500, 70502, 70503, 70504,
	}
	category := map[int]string{4: "subscription", 5: "server", 6: "topic", 7: "publication"}
	var codes []int
	for _, k := range freshet.FaultKinds() {
		codes = append(codes, k.Code)
		if k.Category != category[k.Code/10000] || k.Title == "" || !strings.HasSuffix(k.Meaning, ".") || !strings.HasSuffix(k.Remedy, ".") {
			t.Errorf("%d is not explained: %+v", k.Code, k)
		}
		if got, ok := freshet.KindOfFault(k.Code); !ok || got != k {
			t.Errorf("of %d there is %+v", k.Code, got)
		}
		f := freshet.NewFault(k.Code, "%d %%", 1)
		if f.Code != k.Code || f.Category != k.Category || f.Message != "1 %" || time.Since(f.Time) > time.Minute || f.Time.Location() != time.UTC {
			t.Errorf("a new fault is %+v", f)
		}
	}
	if !slices.Equal(codes, want) {
		t.Errorf("got  %v\nwant %v", codes, want)
	}
	if k, ok := freshet.KindOfFault(70418); ok {
		t.Errorf("there is a %+v", k)
	}
}

func TestFaultOfStatus(t *testing.T) {
	for status, want := range map[int]int{404: 70404, 503: 70503, 418: 70000, 501: 70000, 302: 70000, 300: 70000, 15: 70000, 204: 70000, 999: 70000} {
		if got := freshet.FaultOfStatus(status); got != want {
			t.Errorf("of %d: %d; want %d", status, got, want)
		}
	}
}
