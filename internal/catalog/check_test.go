package catalog_test

import (
	"strings"
	"testing"

	"freshet"
)

func TestCheck(t *testing.T) {
	const source = `"source":{"type":"anything"}`
	for _, tt := range []struct{ name, in, want string }{
		{"the least", `{"name":"a","kind":"event",` + source + `}`, ``},
		{"everything", `{"name":"a","kind":"snapshot","description":"d",` + source + `,"subscribers":[{"type":"sse","allowedModes":["snapshot-only","snapshot-patch"],"defaultMode":"snapshot-only"}],
			"history":{"maxAge":"P30D","maxEvents":1000000,"maxBytes":"16GiB"},"limits":{"payload":"64MiB"},"diff":{"arrayKeys":{"":"id","/a~1b":"id"},"ignore":["/x"],"sets":["/tags"],"tolerance":0.5,"numericEqual":true},
			"managedBy":"file","createTimestamp":"2026-01-02T03:04:05Z","status":{"state":"idle","subscribers":0,"revision":1}}`, ``},
		{"nothing", `{}`, `/name: a name is required | /kind: required | /source/type: required`},
		{
			"names of others", `{"name":"A b","kind":"snapshots","source":{"type":"http-polar"}}`,
			`/name: must start with | /kind: "snapshots" is not a kind of topic: did you mean "snapshot"? | /source/type: "http-polar" is not a type of source: did you mean "http-poller"?`,
		},
		{
			"mistakes stay where they are", `{"source":{"type":"http-poller","config":{}},"kind":"snapshot","histroy":1,"name":"-"}`,
			`/source/config/url: required | /histroy: unknown member "histroy": did you mean "history"? | /name: must start with`,
		},
		{"a wrong type is one mistake", `{"name":1,"kind":"event",` + source + `}`, `/name: must be a string, not a number`},
		{"source without config", `{"name":"a","kind":"event","source":{"type":"http-poller"}}`, `/source/config/url: required`},
		{"source of another kind", `{"name":"a","kind":"snapshot","source":{"type":"events"}}`, `/source/type: events cannot feed topics of the kind snapshot`},
		{
			"subscribers", `{"name":"a","kind":"event",` + source + `,"subscribers":[{"type":"webhooks"},{"type":"sse","allowedModes":["snapshot-only"]},{"type":"sse"},{}]}`,
			`/subscribers/0/type: "webhooks" is not a type of subscriber: did you mean "webhook"? | /subscribers/1/allowedModes/0: "snapshot-only" is not a mode of topics of the kind event: use event | ` +
				`/subscribers/2/type: sse is there already | /subscribers/3/type: required`,
		},
		{
			"modes", `{"name":"a","kind":"snapshot",` + source + `,"subscribers":[{"type":"sse","allowedModes":["snapshot-only","snapshot-only"],"defaultMode":"snapshot-patch"}]}`,
			`/subscribers/0/allowedModes/1: snapshot-only is there already | /subscribers/0/defaultMode: snapshot-patch is not among the allowedModes`,
		},
		{
			"ranges", `{"name":"a","kind":"event",` + source + `,"history":{"maxAge":"P31D","maxEvents":1000001,"maxBytes":"1B"},"limits":{"payload":"65MiB"}}`,
			`/history/maxAge: must be from PT1S to P30D, not P31D | /history/maxEvents: must be from 1 to 1000000, not 1000001 | ` +
				`/history/maxBytes: must be from 1KiB to 16GiB, not 1B | /limits/payload: must be from 1B to 64MiB, not 65MiB`,
		},
		{"negative", `{"name":"a","kind":"event",` + source + `,"history":{"maxAge":"-5s","maxEvents":-1}}`, `/history/maxAge: must be from PT1S to P30D, not -5s | /history/maxEvents: must be from 1`},
		{
			"diff", `{"name":"a","kind":"snapshot",` + source + `,"diff":{"arrayKeys":{"items":"id","/a":""},"ignore":["/a~2","","x"]}}`,
			`/diff/arrayKeys/items: "items" is not a JSON Pointer: it must start with a slash | /diff/arrayKeys/~1a: must name the member | ` +
				`/diff/ignore/0: "/a~2" is not a JSON Pointer: write ~0 | /diff/ignore/1: this is the whole document | /diff/ignore/2: "x" is not`,
		},
		{"noise", `{"name":"a","kind":"snapshot",` + source + `,"diff":{"sets":["x"],"tolerance":-1}}`, `/diff/sets/0: "x" is not | /diff/tolerance: must be 0 or more`},
		{"too many pointers", `{"name":"a","kind":"snapshot",` + source + `,"diff":{"ignore":["/a"` + strings.Repeat(`,"/a"`, 64) + `]}}`, `/diff/ignore: 65 pointers are too many`},
		{"tolerance of events", `{"name":"a","kind":"event",` + source + `,"diff":{"tolerance":1}}`, `/diff: no changes are computed`},
		{"diff of events", `{"name":"a","kind":"event",` + source + `,"diff":{"ignore":["/a"]}}`, `/diff: no changes are computed`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, bad := sources().Decode([]byte(tt.in))
			var wants []string
			if tt.want != "" {
				wants = strings.Split(tt.want, " | ")
			}
			ok := len(bad) == len(wants)
			for i := 0; ok && i < len(bad); i++ {
				ok = strings.HasPrefix(bad[i].Pointer+": "+bad[i].Detail, wants[i])
			}
			if !ok {
				t.Errorf("got\n%s\nwant\n%s", lines(bad), strings.Join(wants, "\n"))
			}
		})
	}
}

func lines(bad freshet.Invalid) string { return strings.ReplaceAll(bad.Error(), "; ", "\n") }
