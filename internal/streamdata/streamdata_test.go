package streamdata_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"freshet/internal/streamdata"
)

// What streamdataio-js-sdk-auth 2.0.0 made of these at this time.
const (
	private = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYwMTIzZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTBmZWRj"
	prices  = "https://api.example.com/prices"
	query   = "http://api.example.com/a?b=c&d=%20e"
	millis  = "1764109800000"
	signed  = "X-Auth-Sd-Ts=1764109800000&X-Auth-Sd-S=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYwMTIzQk9xNmtsVWJmRjhsQSs5WXdqUjBCZmFWUUFuWEtCSkRPMUV2bFBKVGpJOGJjVU1RdER2UWRzUXdDMmlkczRUTGMzcDI3eTdMSmVyUThrdWxJSHE4ZXc9PQ%3D%3D"
	signed2 = "X-Auth-Sd-Ts=1764109800000&X-Auth-Sd-S=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYwMTIzL1pLVVZVUHZxVEJaQlFYLzFocTI1U3E3S3FOU2ZhME9xM0RjMEdDRStjQ1lhQSs3OXBYUlBuMThyUTBWODVqOGRZejU1R1dyMTFPNnZ3bFFwUEsxVWc9PQ%3D%3D"
)

var then = time.UnixMilli(1764109800000)

func keys(t testing.TB) streamdata.Keys {
	t.Helper()
	key, err := streamdata.ParseKey(private)
	if err != nil {
		t.Fatal(err)
	}
	other, err := streamdata.ParseKey(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", 72))))
	if err != nil {
		t.Fatal(err)
	}
	return streamdata.Keys{"t": key, "other": other}
}

func params(t testing.TB, query string) url.Values {
	t.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestCheck(t *testing.T) {
	all := keys(t)
	const month = 30 * 24 * time.Hour
	ticket := all.Ticket("t", prices, then)
	for _, tt := range []struct {
		name, target, query, lastEventID string
		later                            time.Duration
		why                              string // empty: it is let in
	}{
		{"as it was signed", prices, signed + "&X-Sd-Token=t", "", 0, ""},
		{"with a query", query, signed2 + "&X-Sd-Token=t", "", 0, ""},
		{"a slow request", prices, signed + "&X-Sd-Token=t", "", 299 * time.Second, ""},
		{"a fast clock", prices, signed + "&X-Sd-Token=t", "", -299 * time.Second, ""},
		{"too late", prices, signed + "&X-Sd-Token=t", "", 5 * time.Minute, "X-Auth-Sd-Ts is 2025-11-25T22:30:00Z, more than 5m0s off the time of this server, 2025-11-25T22:35:00Z"},
		{"too early", prices, signed + "&X-Sd-Token=t", "", -5 * time.Minute, "off the time"},
		{"nothing", prices, "", "", 0, "X-Sd-Token is missing"},
		{"another token", prices, signed + "&X-Sd-Token=u", "", 0, "X-Sd-Token is not one"},
		{"the key of another token", prices, signed + "&X-Sd-Token=other", "", 0, "is not the signature of GET, X-Auth-Sd-Ts and the URL https://api.example.com/prices with"},
		{"not signed", prices, "X-Sd-Token=t", "", 0, "X-Auth-Sd-Ts and X-Auth-Sd-S are missing"},
		{"without a date", prices, strings.Replace(signed, "X-Auth-Sd-Ts=1764109800000", "", 1) + "&X-Sd-Token=t", "", 0, "are missing"},
		{"another date", prices, strings.Replace(signed, millis, "1764109800001", 1) + "&X-Sd-Token=t", "", 0, "is not the signature"},
		{"another URL", query, signed + "&X-Sd-Token=t", "", 0, "the URL http://api.example.com/a with"},
		{"a part of the signature", prices, strings.Replace(signed, "ZXc9PQ", "", 1) + "&X-Sd-Token=t", "", 0, "is not the signature"},

		{"back with a ticket", prices, signed + "&X-Sd-Token=t", ticket, 12 * time.Hour, ""},
		{"back after weeks", prices, signed + "&X-Sd-Token=t", ticket, month - time.Minute, ""},
		{"back too late", prices, signed + "&X-Sd-Token=t", ticket, month, "off the time"},
		{"the ticket of another URL", prices, signed + "&X-Sd-Token=t", all.Ticket("t", query, then), time.Hour, "off the time"},
		{"the ticket of another token", prices, signed + "&X-Sd-Token=t", all.Ticket("other", prices, then), time.Hour, "off the time"},
		{"a ticket from the future", prices, signed + "&X-Sd-Token=t", all.Ticket("t", prices, then.Add(3*time.Hour)), time.Hour, "off the time"},
		{"a renewed ticket", prices, signed + "&X-Sd-Token=t", strings.Replace(ticket, "t", "u", 1), time.Hour, "off the time"},
		{"an id of an event", prices, signed + "&X-Sd-Token=t", "1-1-9f86d081", time.Hour, "off the time"},
		{"a ticket alone", prices, "X-Sd-Token=t", ticket, time.Hour, "are missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := all.Check(tt.target, params(t, tt.query), http.Header{}, tt.lastEventID, then.Add(tt.later))
			switch {
			case tt.why == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.why != "" && (!errors.Is(err, streamdata.ErrRefused) || !strings.Contains(err.Error(), tt.why)):
				t.Errorf("got %v; want %q in it", err, tt.why)
			}
		})
	}
	if err := all.Check(prices, params(t, signed), http.Header{"X-Sd-Token": {"t"}}, "", then); err != nil {
		t.Errorf("with the token as a header: %v", err)
	}
	if strings.Trim(ticket, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" || len(ticket) > 128 {
		t.Errorf("the ticket %q makes EventSources ask for leave", ticket)
	}
}

func TestWithoutKeys(t *testing.T) {
	none := streamdata.Keys{}
	if err := none.Check(prices, nil, nil, "", then); err != nil {
		t.Errorf("without keys: %v", err)
	}
	if ticket := none.Ticket("t", prices, then); ticket != "" {
		t.Errorf("without keys there is a ticket %q", ticket)
	}
}

func TestParseKey(t *testing.T) {
	for _, bad := range []string{"", "secret", private[1:], private + "AAAA", "!" + private[1:], base64.StdEncoding.EncodeToString(make([]byte, 71))} {
		if _, err := streamdata.ParseKey(bad); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestParameters(t *testing.T) {
	token := http.Header{"X-Sd-Token": {"h"}}
	for _, tt := range []struct {
		query  string
		header http.Header
		asked  bool
		token  string
		whole  bool
	}{
		{"", nil, false, "", false},
		{"x=y", nil, false, "", false},
		{"X-Sd-Token=", nil, true, "", false},
		{"X-Sd-Token=a", token, true, "a", false},
		{"", token, true, "h", false},
		{"X-Sd-Header=X-Key%3A%20k", nil, true, "", false},
		{"X-Sd-Header=X%3A%20y&X-Sd-Header=accept%3Aapplication%2Fjson%3B%20q%3D1", nil, true, "", true},
		{"X-Sd-Header=Accept%3A%20text%2Fevent-stream", nil, true, "", false},
	} {
		q := params(t, tt.query)
		if streamdata.Asked(q, tt.header) != tt.asked || streamdata.TokenOf(q, tt.header) != tt.token || streamdata.WholeDocuments(q) != tt.whole {
			t.Errorf("%s %v: %v %q %v", tt.query, tt.header, streamdata.Asked(q, tt.header), streamdata.TokenOf(q, tt.header), streamdata.WholeDocuments(q))
		}
	}
	for name, ours := range map[string]bool{"X-Sd-Token": true, "X-Sd-Header": true, "X-Sd-Compress": true, "X-Auth-Sd-S": true, "x": false, "X-Sdx": false} {
		if streamdata.IsOurs(name) != ours {
			t.Errorf("%s is ours: %v", name, !ours)
		}
	}
	if !streamdata.Compressed(params(t, "X-Sd-Compress=true"), nil) || !streamdata.Compressed(nil, http.Header{"X-Sd-Compress": {"true"}}) || streamdata.Compressed(nil, nil) {
		t.Error("X-Sd-Compress is not found")
	}
}

// Whatever a request says, it is let in only with what the key's owner signed.
func FuzzCheck(f *testing.F) {
	f.Add(prices, signed+"&X-Sd-Token=t", "", int64(0))
	f.Add(prices, signed+"&X-Sd-Token=t", "t5xyz-AAAA", int64(3600))
	f.Add(query, "X-Auth-Sd-Ts=-9223372036854775808&X-Auth-Sd-S=x&X-Sd-Token=t", "--", int64(-1)<<40)
	all := keys(f)
	f.Fuzz(func(t *testing.T, target, query, lastEventID string, later int64) {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Skip("no query")
		}
		now := then.Add(time.Duration(later%1_000_000) * time.Second)
		if all.Check(target, q, nil, lastEventID, now) != nil {
			return
		}
		if q.Get("X-Sd-Token") != "t" || q.Get("X-Auth-Sd-Ts") != millis || now.Sub(then).Abs() >= 5*time.Minute ||
			!(target == prices && q.Get("X-Auth-Sd-S") == params(t, signed).Get("X-Auth-Sd-S")) {
			t.Errorf("%q %q %q at %v is let in", target, query, lastEventID, now)
		}
	})
}
