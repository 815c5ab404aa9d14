package httppoller_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// Times in a query are those of the last success, as each option says.
func TestComputedQueryParameters(t *testing.T) {
	for _, tt := range []struct{ options, first, second string }{ // the bubble begins at 2000-01-01T00:00:00Z
		{`{"type":"date-time"}`, "1999-12-31T23:59:55Z", "2000-01-01T00:00:00Z"},
		{`{"type":"date-time","initialValue":"the beginning"}`, "the beginning", "2000-01-01T00:00:00Z"},
		{`{"type":"date-time","pattern":"EEE, dd MMM uuuu HH:mm:ss.SSS Z"}`, "Fri, 31 Dec 1999 23:59:55.000 +0000", "Sat, 01 Jan 2000 00:00:00.000 +0000"},
		{`{"type":"date-time","pattern":"d/M/yy h 'o''clock' a xxx"}`, "31/12/99 11 o'clock PM +00:00", "1/1/00 12 o'clock AM +00:00"},
		{`{"type":"date-time","pattern":"Jan 2, 2006 15:04"}`, "Dec 31, 1999 23:59", "Jan 1, 2000 00:00"},
		{`{"type":"date-time","pattern":"yyyy年M月d日ééHH:mm:ss"}`, "1999年12月31日éé23:59:55", "2000年1月1日éé00:00:00"},
		{`{"type":"timestamp"}`, "946684795", "946684800"},
		{`{"type":"timestamp","useMilliseconds":true}`, "946684795000", "946684800000"},
	} {
		t.Run(tt.options, func(t *testing.T) {
			var asked []string
			inBubble(t, func(n int, w http.ResponseWriter, r *http.Request) {
				asked = append(asked, r.URL.Query().Get("since"))
				if r.URL.Query().Get("q") != "1" {
					t.Errorf("the query of the URL is gone: %s", r.URL)
				}
				if n == 1 {
					w.WriteHeader(http.StatusBadRequest)
				}
				fmt.Fprint(w, n)
			}, func(w *world) {
				options := `"computedQueryParameters":{"since":` + tt.options + `},"retryMaxAttempts":0`
				w.run(build(t, "http-poller", `{"url":"http://upstream.example/doc?q=1&since=x",`+options+`}`, w.env()), 16*s)
				if want := []string{tt.first, tt.second, tt.second}; len(asked) != 4 || !slices.Equal(asked[:3], want) || asked[3] == tt.second && !strings.Contains(tt.second, ":00") && !strings.Contains(tt.second, "o'clock") {
					t.Errorf("asked since %q, want %q and a later one", asked, want)
				}
			})
		})
	}
}

// After a restart the time of the last success before it counts.
func TestComputedParametersOutliveARestart(t *testing.T) {
	var asked []string
	inBubble(t, func(n int, w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("since"))
		fmt.Fprint(w, n)
	}, func(w *world) {
		const options = `,"computedQueryParameters":{"since":{"type":"timestamp"}}`
		w.run(w.poller(options), 6*s)
		time.Sleep(time.Hour)
		w.run(w.poller(options), 1*s)
	})
	if want := []string{"946684795", "946684800", "946684805"}; !slices.Equal(asked, want) {
		t.Errorf("asked since %q, want %q", asked, want)
	}
}

func TestComputedParameterConfig(t *testing.T) {
	for _, tt := range []struct{ options, want string }{
		{`{"type":"date-time","pattern":"yyyyMMdd"}`, ``},
		{`{"type":"date-time","pattern":"yyyy年ééM€"}`, ``},
		{`{}`, `/computedQueryParameters/a/type: is required`},
		{`{"type":"time"}`, `/computedQueryParameters/a/type: must be date-time or timestamp`},
		{`{"type":"timestamp","reference":"now"}`, `/computedQueryParameters/a/reference: must be last-success`},
		{`{"type":"date-time","pattern":"YYYY"}`, `/computedQueryParameters/a/pattern: YYYY is not supported`},
		{`{"type":"date-time","pattern":"yyyy'T"}`, `/computedQueryParameters/a/pattern: a text in quotes has no end`},
		{`{"type":"date-time","pattern":"ssSSS"}`, `/computedQueryParameters/a/pattern: S, the fraction`},
		{`{"type":"date-time","pattern":"yyyy-01"}`, `/computedQueryParameters/a/pattern: digits cannot`},
		{`{"type":"timestamp","pattern":"yyyy"}`, `/computedQueryParameters/a/pattern: is of no use with type timestamp, but with date-time`},
		{`{"type":"timestamp","pattern":"yyyy-MM-dd'T'HH:mm:ssXXX"}`, ``},
		{`{"type":"date-time","useMilliseconds":true}`, `/computedQueryParameters/a/useMilliseconds: is of no use with type date-time, but with timestamp`},
		{`{"type":"date-time","useMilliseconds":false}`, ``},
		{`{"type":"date-time","pattern":"yyyy D"}`, `/computedQueryParameters/a/pattern: D is not supported: write DDD`},
		{`{"type":"date-time","pattern":"YYYY"}`, `/computedQueryParameters/a/pattern: YYYY is not supported: write yyyy`},
		{`{"type":"date-time","pattern":"QQ"}`, `/computedQueryParameters/a/pattern: QQ is not supported: there are`},
		{`{"type":"date-time","pattern":"yyyy'4'"}`, `/computedQueryParameters/a/pattern: a text in quotes cannot hold digits`},
	} {
		expectWrong(t, `"computedQueryParameters":{"a":`+tt.options+`}`, tt.want)
	}
	expectWrong(t, `"computedQueryParameters":{"":{"type":"timestamp"}}`, `/computedQueryParameters/: must have a name`)
}

// What is asked, and what becomes of the answer.
func TestTransform(t *testing.T) {
	for _, tt := range []struct{ name, options, answer, want string }{
		{"a filter", `"transform":".items | map({id, p: (.price * 100 | floor)}) | sort_by(.id)"`, `{"items":[{"id":2,"price":1.5},{"id":1,"price":0.07}]}`, `payload [{"id":1,"p":7},{"id":2,"p":150}]`},
		{"after the pointer", `"payloadPointer":"/a/b","transform":"keys"`, `{"a":{"b":{"z":1,"y":2}}}`, `payload ["y","z"]`},
		{"large numbers", `"transform":"."`, `[12345678901234567890123,1e2]`, `payload [12345678901234567890123,`},
		{"no environment", `"transform":"$ENV"`, `1`, `payload {}`},
		{"csv", `"format":"csv","formatOptions":{"delimiter":";"},"transform":"map(.b | tonumber)"`, "a;b\n1;2\n3;4\n", `payload [2,4]`},
		{"csv with its columns", `"format":"csv","formatOptions":{"columns":["x","y"]},"payloadPointer":"/0"`, "1,2\n3,4\n", `payload {"x":"1","y":"2"}`},
		{"xml", `"format":"xml","formatOptions":{"arrays":["i"]},"payloadPointer":"/l/i"`, `<l><i>s</i></l>`, `payload ["s"]`},
		{"ndjson", `"format":"ndjson"`, "1\n2\n", `payload [1,2]`},
		{"feed", `"format":"feed","payloadPointer":"/title"`, `<rss version="2.0"><channel><title>T</title></channel></rss>`, `payload "T"`},
		{"no xml", `"format":"xml"`, `{"s3cret":1}`, `fault 70016 upstream's answer is not xml`},
		{"pages of csv", `"format":"csv","pagination":{"mode":"page","pageSize":{"value":9}}`, "a\n1\n", `payload [{"a":"1"}]`},
		{"csv that is none", `"format":"csv"`, "a,b\n1,2\n3\n", `fault 70016 upstream's answer is not csv: line 3, wrong number of fields`},
		{"large as JSON", `"format":"csv"`, strings.Repeat("x", 1000) + "\n" + strings.Repeat("1\n", 2000), `fault 70015 upstream's answer is larger as JSON`},
		{"nothing", `"transform":"empty"`, `1`, `fault 70016 transform gives nothing`},
		{"two values", `"transform":".,."`, `1`, `fault 70016 transform gives more than one value`},
		{"an error", `"transform":".a"`, `["s3cret"]`, `fault 70016 transform fails for upstream's answer`},
		{"too large", `"transform":"[range(300000)]"`, `1`, `fault 70015 what transform gives is larger than limits.payload, 1MiB`},
		{"a schema that fits", `"schema":{"type":"object","required":["a"]}`, `{"a":1}`, `payload {"a":1}`},
		{"a schema that does not", `"schema":{"properties":{"a":{"items":{"type":"number"}}}}`, `{"a":[1,"s3cret"]}`, `fault 70016 upstream's answer is not what the schema demands at /a/1 (type)`},
		{"a schema with a member that is missing", `"schema":{"required":["a","b"]}`, `{"a":1}`, `fault 70016 upstream's answer is not what the schema demands (required: b)`},
		{"a schema after the filter", `"transform":".a","schema":{"type":"number"}`, `{"a":1}`, `payload 1`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(_ int, w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tt.answer) }, func(w *world) {
				w.run(w.poller(`,`+tt.options), 2*s)
				if len(w.lines) != 1 || !strings.HasPrefix(w.lines[0], tt.want) || strings.Contains(w.lines[0], "s3cret") {
					t.Errorf("%.200q, want %s", w.lines, tt.want)
				}
			})
		})
	}
	expectWrong(t, `"format":"yaml"`, "/format: must be json, ndjson, csv, xml or feed")
	expectWrong(t, `"formatOptions":{"delimiter":"ab"}`, "/formatOptions/delimiter: must be one character")
	expectWrong(t, `"transform":".["`, "/transform: is not a filter of jq")
	expectWrong(t, `"transform":"import \"a\" as a; ."`, "/transform: is not a filter of jq")
	expectWrong(t, `"schema":{"type":"thing"}`, "/schema: is not a JSON Schema")
	expectWrong(t, `"schema":{"$ref":"https://evil.example/schema"}`, "/schema: is not a JSON Schema")
	expectWrong(t, `"schema":{"$ref":"file:///etc/passwd"}`, "/schema: is not a JSON Schema")
}

// CSV is read in the charset that upstream says it is in.
func TestCharset(t *testing.T) {
	for charset, want := range map[string]string{
		"iso-8859-1": `payload [{"a":"é"}]`, "UTF-8": `fault 70016 upstream's answer is not csv`, "windows-1252": `payload [{"a":"é"}]`, "klingon": `fault 70016 upstream's answer is in the charset "klingon"`,
	} {
		inBubble(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/csv; charset="+charset)
			_, _ = w.Write([]byte("a\n\xe9\n"))
		}, func(w *world) {
			w.run(w.poller(`,"format":"csv"`), 1*s)
			if len(w.lines) == 0 || !strings.HasPrefix(w.lines[0], want) {
				t.Errorf("%s: %q, want %q", charset, w.lines, want)
			}
		})
	}
}

// A filter that does not end is ended. (A bubble's clock stands still while it runs.)
func TestTransformEnds(t *testing.T) {
	server := httptest.NewServer(answers(http.StatusOK, "1"))
	defer server.Close()
	heard, _ := once(t, guarded(t, "127.0.0.0/8"), server.URL, `,"transform":"def f: f; f"`)
	if !strings.HasPrefix(heard, "fault 70016 transform took longer than PT1S") {
		t.Error(heard)
	}
}

// A document that lost most of itself has to be seen twice, also after a restart.
func TestShrinkGuard(t *testing.T) {
	large := `"` + strings.Repeat("x", 100) + `"`
	answers := []string{large, `"small"`, large, `"small"`, `"tiny"`, `"tiny"`, `"tiny"`, large}
	inBubble(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, answers[min(n, len(answers)-1)])
	}, func(w *world) {
		w.run(w.poller(`,"shrinkGuard":true`), 300*s)
		want := []string{"payload " + large, "fault 70016", "payload " + large, "fault 70016", "fault 70016", `payload "tiny"`, "unchanged", "payload " + large, "unchanged"}
		if got := w.heard(); !slices.Equal(got[:len(want)], want) {
			t.Errorf("the sink heard\n%q, want\n%q", got, want)
		}
	})
	inBubble(t, func(n int, w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answers[min(n, 1)]) }, func(w *world) {
		w.run(w.poller(`,"shrinkGuard":true`), 1*s)
		w.run(w.poller(`,"shrinkGuard":true`), 1*s)
		w.heardOnly("payload "+large, "fault 70016")
	})
	inBubble(t, func(n int, w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answers[min(n, 1)]) }, func(w *world) {
		w.run(w.poller(``), 6*s)
		w.heardOnly("payload "+large, `payload "small"`)
	})
}

func TestBodies(t *testing.T) {
	for _, tt := range []struct{ name, options, method, body, answer, want string }{
		{"put", `"method":"PUT","body":{"a":[1]}`, "PUT", `{"a":[1]}`, `1`, `payload 1`},
		{"graphql", `"graphql":{"query":"query Q($n: Int) { a(n: $n) }","variables":{"n":1},"operationName":"Q"}`, "POST", `{"query":"query Q($n: Int) { a(n: $n) }","variables":{"n":1},"operationName":"Q"}`, `{"data":{"a":1}}`, `payload {"a":1}`},
		{"graphql, a part", `"graphql":{"query":"{a}"},"payloadPointer":"/data/a"`, "POST", `{"query":"{a}"}`, `{"data":{"a":1},"errors":[]}`, `payload 1`},
		{"graphql, errors", `"graphql":{"query":"{a}"}`, "POST", `{"query":"{a}"}`, `{"data":{"a":null},"errors":[{"message":"Cannot query\n\"b\""}]}`, `fault 70016 upstream's GraphQL answer has errors: "Cannot query\n\"b\""`},
		{"graphql, long errors", `"graphql":{"query":"{a}"}`, "POST", `{"query":"{a}"}`, `{"errors":[{"message":"` + strings.Repeat("é", 201) + `"},{"message":"x"}]}`, `fault 70016 upstream's GraphQL answer has errors: "` + strings.Repeat("é", 200) + `", and 1 more`},
		{"graphql, odd errors", `"graphql":{"query":"{a}"}`, "POST", `{"query":"{a}"}`, `{"errors":"s3cret"}`, `fault 70016 upstream's GraphQL answer has errors`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(_ int, w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if r.Method != tt.method || string(body) != tt.body || r.Header.Get("Content-Type") != "application/json" {
					t.Errorf("%s %s %s", r.Method, body, r.Header)
				}
				_, _ = io.WriteString(w, tt.answer)
			}, func(w *world) {
				w.run(w.poller(`,`+tt.options), 1*s)
				if len(w.lines) != 1 || w.lines[0] != tt.want {
					t.Errorf("%q, want %s", w.lines, tt.want)
				}
			})
		})
	}
	expectWrong(t, `"graphql":{"query":"{a}"},"body":{}`, "/body: is made of graphql")
	expectWrong(t, `"graphql":{"query":"{a}"},"method":"POST"`, "")
	expectWrong(t, `"graphql":{"query":"{a}"},"method":"GET"`, "/method: must be POST with graphql")
	expectWrong(t, `"graphql":{"query":"{a}"},"method":"PUT"`, "/method: must be POST with graphql")
	expectWrong(t, `"graphql":{"query":"{a}"},"format":"xml"`, "/format: must be json with graphql")
	expectWrong(t, `"graphql":{"query":"{a\n{"}`, "/graphql/query: is not a document of GraphQL in line 2, column 2: ")
	expectWrong(t, `"graphql":{"query":"fragment F on T {a}"}`, "/graphql/query: holds no query")
	expectWrong(t, `"graphql":{"query":"mutation {a}"}`, "/graphql/query: must hold queries alone: a mutation is nothing to poll")
	expectWrong(t, `"graphql":{"query":"query A {a} subscription B {b}","operationName":"A"}`, "/graphql/query: must hold queries alone: a subscription")
	expectWrong(t, `"graphql":{"query":"query A {a} query B {b}"}`, "/graphql/operationName: is required: the document holds 2 queries")
	expectWrong(t, `"graphql":{"query":"query A {a} query B {b}","operationName":"C"}`, `/graphql/operationName: "C" is not the name`)
	expectWrong(t, `"graphql":{"query":"{a}","operationName":"A"}`, `/graphql/operationName: "A" is not the name`)
	expectWrong(t, `"graphql":{"query":"query A {a} query B {b}","operationName":"B"}`, "")
	expectWrong(t, `"graphql":{"query":"query A($a: Int) {a} query B($b: Int) {b}","operationName":"B","variables":{"b":1}}`, "")
	expectWrong(t, `"graphql":{"query":"query A($a: Int) {a} query B($b: Int) {b}","operationName":"B","variables":{"b":1,"a/b":2}}`, "/graphql/variables/a~1b: is of no use")
	expectWrong(t, `"graphql":{"query":"`+strings.Repeat("{a", 30_000)+`"}`, "/graphql/query: is not a document of GraphQL")
	expectWrong(t, `"graphql":{}`, "/graphql/query: is required")
	expectWrong(t, `"graphql":{"query":"{a}","variables":[1]}`, "/graphql/variables: must be an object")
}
