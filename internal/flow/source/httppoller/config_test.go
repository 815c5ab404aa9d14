package httppoller_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/all"
	"freshet/internal/flow/source/httppoller"
)

func TestKinds(t *testing.T) {
	for _, k := range all.Kinds() {
		found, ok := all.Kinds().Lookup(k.Name)
		if !ok || found.Name != k.Name || k.Summary == "" || len(k.Feeds) == 0 {
			t.Errorf("%q is incomplete", k.Name)
		}
		wrong := k.Check(json.RawMessage(`{"nonsense":1}`))
		if _, err := k.New(json.RawMessage(`{"nonsense":1}`), source.Env{}); err == nil || len(wrong) == 0 || wrong[0].Pointer != "/nonsense" {
			t.Errorf("%s takes nonsense: %v, %v", k.Name, wrong, err)
		}
	}
	if _, ok := all.Kinds().Lookup("carrier-pigeon"); ok {
		t.Error("a kind that does not exist was found")
	}
}

func TestPushedSourceWaits(t *testing.T) {
	for _, config := range []string{``, `null`, `{}`} {
		synctest.Test(t, func(t *testing.T) {
			k, _ := all.Kinds().Lookup("http-post")
			src, err := k.New(json.RawMessage(config), source.Env{})
			if err != nil || !k.Pushed {
				t.Fatalf("%q: %v", config, err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			start := time.Now()
			if err := src.Run(ctx, nil); err != nil || time.Since(start) != time.Hour {
				t.Errorf("ran for %v: %v", time.Since(start), err)
			}
		})
	}
}

func TestPollerConfig(t *testing.T) {
	const url = `"url":"https://api.example.com/prices"`
	for _, tt := range []struct{ config, want string }{ // each wanted line begins an error; none: it is right
		{`{` + url + `}`, ``},
		{`{` + url + `,"pollingPeriod":"PT0.5S","timeout":"5m","payloadPointer":"/a~1b/0","headers":{"Accept":"text/plain","Cookie":"a=b"}}`, ``},
		{`{` + url + `,"pollingPeriod":"1h","retryOnHttpCodes":[],"retryMaxAttempts":0,"retryBackOffInitialDuration":"PT0S","retryBackOffMaxDuration":"PT60S","retryBackOffFactor":0}`, ``},
		{`{` + url + `,"method":"POST","body":{"query":"{a}"}}`, ``},
		{`{` + url + `,"payloadPointer":"/~0"}`, ``},
		{``, `/url: is required`},
		{`null`, `/url: is required`},
		{`[]`, `: must be`},
		{`{"url":1}`, `/url: must be a string`},
		{`{"url":"api.example.com"}`, `/url: not an absolute URL`},
		{`{"url":"https://u:s3cret@api.example.com"}`, `/url: a user or password in the URL is not sent`},
		{`{"url":"ftp://api.example.com"}`, `/url: the scheme is "ftp": only http and https`},
		{`{` + url + `,"pollingPeriod":"PT0.4S"}`, `/pollingPeriod: must be from PT0.5S to PT1H, not PT0.4S`},
		{`{` + url + `,"pollingPeriod":"PT61M"}`, `/pollingPeriod: must be from PT0.5S to PT1H, not PT1H1M`},
		{`{` + url + `,"pollingPeriod":"often"}`, `/pollingPeriod: "often" is not a duration`},
		{`{` + url + `,"pollingperiod":"PT5S"}`, `/pollingperiod: unknown member "pollingperiod"`},
		{`{` + url + `,"payloadPointer":"items"}`, `/payloadPointer: "items" is not a JSON Pointer`},
		{`{` + url + `,"payloadPointer":"/a~2"}`, `/payloadPointer: "/a~2" is not a JSON Pointer`},
		{`{` + url + `,"payloadPointer":"/a~"}`, `/payloadPointer: "/a~" is not a JSON Pointer`},
		{`{` + url + `,"method":"get"}`, `/method: must be GET, POST or PUT`},
		{`{` + url + `,"body":1}`, `/body: only POST and PUT send a body`},
		{`{` + url + `,"timeout":"0s"}`, `/timeout: must be from PT0.1S to PT5M`},
		{`{` + url + `,"retryOnHttpCodes":[500,200,600]}`, "/retryOnHttpCodes/1: must be an HTTP status\n/retryOnHttpCodes/2: must be"},
		{`{` + url + `,"retryMaxAttempts":11,"retryBackOffFactor":-1}`, "/retryMaxAttempts: must be from 0 to 10, not 11\n/retryBackOffFactor: must be from 0 to 10"},
		{`{` + url + `,"retryBackOffInitialDuration":"PT11S","retryBackOffMaxDuration":"PT61S"}`, "/retryBackOffInitialDuration: must be from PT0S to PT10S\n/retryBackOffMaxDuration: must be from PT0S to PT1M"},
		{`{` + url + `,"retryBackOffInitialDuration":"PT10S","retryBackOffMaxDuration":"PT9S"}`, "/retryBackOffInitialDuration: must not be more than retryBackOffMaxDuration, PT9S"},
		{`{` + url + `,"retryBackOffMaxDuration":"PT0S"}`, ""}, // as the incumbent has it: its default is not to be in the way
		{`{` + url + `,"formatOptions":{"columns":["a"]}}`, "/formatOptions/columns: is of no use with format json, but with csv"},
		{`{` + url + `,"formatOptions":{"delimiter":";"}}`, "/formatOptions/delimiter: is of no use with format json, but with csv"},
		{`{` + url + `,"format":"csv","formatOptions":{"arrays":["a"],"delimiter":";"}}`, "/formatOptions/arrays: is of no use with format csv, but with xml"},
		{`{` + url + `,"format":"xml","formatOptions":{"columns":["a"],"arrays":["a"]}}`, "/formatOptions/columns: is of no use with format xml, but with csv"},
		{`{` + url + `,"formatOptions":{"delimiter":",","columns":[]}}`, ""},
		{`{"url":"http://a","tls":{"serverName":"x"}}`, "/tls: is of no use: the URL begins with http://"},
		{`{"url":"http://a","tls":{"serverName":"x"},"authorization":{"clientId":"c","clientSecret":"s","provider":"https://b"}}`, ""},
		{`{` + url + `,"hook":{"scheme":"github","secrets":["s"],"headers":["X-GitHub-Event"]}}`, "/hook/headers: is of no use"},
		{`{` + url + `,"headers":{"Host":"a","accept-encoding":"br","If-None-Match":"\"1\""}}`, "/headers/Host: cannot be set\n/headers/If-None-Match: cannot be set\n/headers/accept-encoding: cannot be set"},
		{`{` + url + `,"headers":{"X-Key":"1","x-key":"2"}}`, `/headers/x-key: is the same header as "X-Key"`},
		{`{` + url + `,"headers":{"X Key":"1","a/b":"1","":"1"}}`, "/headers/: \"\" is not a header name\n/headers/X Key: \"X Key\" is not\n/headers/a~1b: \"a/b\" is not"},
		{`{` + url + `,"headers":{"X-Key":"s3cret\r\nX-Evil: 1","Y":"s3cret\u0000"}}`, "/headers/X-Key: the value holds a line break\n/headers/Y: the value"},
		{`{"pollingPeriod":"PT2H","method":"PATCH"}`, "/url: is required\n/method: must be\n/pollingPeriod: must be"},
	} {
		kind, _ := all.Kinds().Lookup("http-poller")
		got := kind.Check(json.RawMessage(tt.config))
		want := strings.Split(tt.want, "\n")
		if tt.want == "" {
			want = nil
		}
		ok := len(got) == len(want)
		for i := range want {
			ok = ok && strings.HasPrefix(got[i].Pointer+": "+got[i].Detail, want[i])
		}
		if !ok {
			t.Errorf("%s:\n%v, want\n%s", tt.config, got, tt.want)
		}
		if strings.Contains(got.Error(), "s3cret") {
			t.Errorf("%s: a secret shows: %v", tt.config, got)
		}
	}
}

func FuzzPollerConfig(f *testing.F) {
	f.Add([]byte(`{"url":"https://api.example.com/","headers":{"a":"b"},"retryOnHttpCodes":[500],"body":null}`))
	f.Add([]byte(`{"url":"http://[::1%25eth0]:80/","pollingPeriod":"P1D","method":"POST","body":[1]}`))
	f.Add([]byte(`{"url":"http://a/","graphql":{"query":"query Q($a: [Int!] = [1] @d) { ...F @include(if: $a) } fragment F on T { a(b: {c: \"\"\"d\"\"\"}) }","variables":{"a":1}}}`))
	f.Add([]byte(`{"url":"http://a/","pagination":{"mode":"page","offset":{}},"format":"csv","formatOptions":{"arrays":[]},"computedQueryParameters":{"":{"type":"timestamp"}}}`))
	kind, _ := all.Kinds().Lookup("http-poller")
	f.Fuzz(func(t *testing.T, config []byte) {
		wrong := kind.Check(config)
		_, err := kind.New(config, source.Env{})
		if (wrong == nil) != (err == nil) {
			t.Errorf("%s: Check says %v, New %v", config, wrong, err)
		}
		for _, f := range wrong {
			if f.Detail == "" || f.Pointer != "" && f.Pointer[0] != '/' {
				t.Errorf("%s: %+v", config, f)
			}
		}
		_ = freshet.Invalid(wrong).Error()
	})
}

func FuzzPattern(f *testing.F) {
	for _, s := range []string{"yyyy-MM-dd'T'HH:mm:ssXXX", "yyyy年", "EEE, d MMM yy", "'o''clock'", "''", "ss.SSS", "'"} {
		f.Add(s)
	}
	kind, _ := all.Kinds().Lookup("http-poller")
	f.Fuzz(func(_ *testing.T, pattern string) {
		text, _ := json.Marshal(pattern)
		kind.Check([]byte(`{"url":"https://a.example/","computedQueryParameters":{"a":{"type":"date-time","pattern":` + string(text) + `}}}`))
	})
}

func FuzzLink(f *testing.F) {
	for _, s := range []string{`</a?page=2>; rel="next"`, `<a>;rel=prev, <b>; title="a, \"b\" <c>"; REL="last next"; x`, `<`, `<a`, `<>;=`, `<a>; rel="`} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, field string) { httppoller.LinkNext([]string{field}) })
}
