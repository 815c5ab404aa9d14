package delivery

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// FuzzRow compares rows with what encoding/json makes of exchanges, as it reads both.
func FuzzRow(f *testing.F) {
	f.Add("", "", "", 0, int64(0))
	f.Add("a\"b\\c\r\n\x00\x1f<&>\u2028é", "not UTF-8: \xff\xc3", "body", 7, int64(1_700_000_000_123_456_789))
	f.Fuzz(func(t *testing.T, a, b, c string, n int, at int64) {
		for _, text := range []*string{&a, &b, &c} {
			*text = strings.ToValidUTF8(*text, "\uFFFD") // of several bytes that are none, encoding/json makes several
		}
		moment := time.Unix(0, at).UTC()
		var r rows
		for _, e := range []Exchange{
			{ID: a, Delivery: b, Start: moment},
			{
				Subscription: "s", Topic: "t", EventID: c, EventType: "patch", Events: n, Purpose: b, Attempt: n, Start: moment, Millis: float64(n) / 1000, Outcome: a, Error: b, Next: moment,
				Request: Request{Method: a, To: b, Headers: c, Body: b, Size: n}, Response: &Response{Status: n, Headers: a, Body: b, Size: n},
			},
			{Start: moment, Request: Request{Body: b}, Response: &Response{}},
			{Start: moment, Request: Request{Body: c}},
		} {
			want, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			row := r.append(nil, &e)
			var got, other Exchange
			if err := json.Unmarshal(row, &got); err != nil {
				t.Fatalf("%s: %v", row, err)
			}
			if err := json.Unmarshal(want, &other); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, other) {
				t.Errorf("%s, encoding/json: %s", row, want)
			}
		}
	})
}
