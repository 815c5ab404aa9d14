package app_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"freshet"
	"freshet/internal/app"
)

// file writes a configuration file and returns its path.
func file(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "freshet.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const whole = `# a configuration with everything
listen: 127.0.0.1:4441
data: ./data
log: {level: debug, format: json}
egress: {allow: [10.0.0.0/8, "fd00::/8"]}
cors: {origins: ["https://app.example.com"]}
adhoc:
  allow: [https://api.example.com/v1]
  grace: PT2M
  pollingPeriod: 10s
  maxTopics: 5
journal: {sync: 1s, maxBytes: 1GiB}
drain: PT7S
topics:
  - &prices
    name: prices
    kind: snapshot
    source:
      type: http-poller
      alwaysOn: true
      config:
        url: https://api.example.com/prices?a=${A}&b=${B:-2}&c=$$x$y
        pollingPeriod: PT5S
    history: {maxAge: PT2H, maxBytes: 1048576}
    diff:
      arrayKeys: {/items: id}
  - <<: *prices
    name: stock
    description: |
      two
      lines
    history: {maxEvents: 5}
`

func TestLoad(t *testing.T) {
	got, err := app.Load(file(t, whole), []string{"A=1 & one", "B=", "HOME=/home/me"})
	if err != nil {
		t.Fatal(err)
	}
	config := []byte(`{"url":"https://api.example.com/prices?a=1 \u0026 one\u0026b=2\u0026c=$x$y","pollingPeriod":"PT5S"}`)
	poller := freshet.Source{Type: "http-poller", AlwaysOn: true, Config: config}
	keys := freshet.Diff{ArrayKeys: map[string]string{"/items": "id"}}
	want := app.Config{
		Listen: "127.0.0.1:4441", Data: "./data", Log: app.LogConfig{Level: "debug", Format: "json"},
		Egress: app.EgressConfig{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}},
		CORS:   app.CORSConfig{Origins: []string{"https://app.example.com"}},
		AdHoc: app.AdHocConfig{
			Allow: []string{"https://api.example.com/v1"}, Grace: freshet.Duration(2 * time.Minute),
			PollingPeriod: freshet.Duration(10 * time.Second), MaxTopics: 5,
		},
		Journal: app.JournalConfig{Sync: "1s", MaxBytes: 1 << 30}, Drain: freshet.Duration(7 * time.Second),
		Topics: []freshet.Topic{
			{Name: "prices", Kind: freshet.KindSnapshot, Source: poller, History: freshet.History{MaxAge: freshet.Duration(2 * time.Hour), MaxBytes: 1 << 20}, Diff: keys},
			{Name: "stock", Kind: freshet.KindSnapshot, Description: "two\nlines\n", Source: poller, History: freshet.History{MaxEvents: 5}, Diff: keys},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v\n%s", got, want, got.Topics[0].Source.Config)
	}
}

// What a user sees is what a test should see.
func TestMistakesInFile(t *testing.T) {
	const topic = "topics:\n  - name: p\n    kind: snapshot\n    source:\n      type: http-poller\n"
	for _, tt := range []struct{ name, in, want string }{
		{"unknown keys", "listne: x\ntopics:\n  - name: p\n    source:\n      evry: 5s\n      type: http-post\n    kind: event\n", `
freshet.yaml:1:1: unknown member "listne": did you mean "listen"?
    1 | listne: x
      | ^
freshet.yaml:5:7: topics/0/source: unknown member "evry": known are alwaysOn, config, staleAfter, type
    5 |       evry: 5s
      |       ^`},
		{"values", "listen: 4440\ndrain: 5 s\nlog: {level: inf, format: xml}\negress: {allow: [10.0.0.0/8, 10.0.0.1/33]}\n", `
freshet.yaml:1:9: listen: must be a string, not a number: put it in quotes
    1 | listen: 4440
      |         ^
freshet.yaml:2:8: drain: "5 s" is not a duration: write PT5S or 5s
    2 | drain: 5 s
      |        ^
freshet.yaml:3:14: log/level: "inf" is not known: did you mean "info"?
    3 | log: {level: inf, format: xml}
      |              ^
freshet.yaml:3:27: log/format: "xml" is not known: use text, json
    3 | log: {level: inf, format: xml}
      |                           ^
freshet.yaml:4:30: egress/allow/1: "10.0.0.1/33" has no length that its address can have: write a whole number from 0 to 32 behind the slash
    4 | egress: {allow: [10.0.0.0/8, 10.0.0.1/33]}
      |                              ^`},
		{"ranges", "listen: localhost\ncors: {origins: [app.example.com, 'https://a.example/x']}\nadhoc: {allow: [x, 'https://u@h/'], grace: P2D, pollingPeriod: 1ms, maxTopics: -1}\njournal: {sync: never}\n", `
freshet.yaml:1:9: listen: "localhost" is not host:port, such as 127.0.0.1:4440
    1 | listen: localhost
      |         ^
freshet.yaml:2:18: cors/origins/0: "app.example.com" is not an origin: *
freshet.yaml:2:35: cors/origins/1: "https://a.example/x" is more than an origin: write https://a.example
freshet.yaml:3:17: adhoc/allow/0: "x" is not the beginning of a URL: *
freshet.yaml:3:20: adhoc/allow/1: only a scheme, a host and a path are compared: leave the rest out
freshet.yaml:3:44: adhoc/grace: must be from PT0S to P1D, not P2D
freshet.yaml:3:64: adhoc/pollingPeriod: must be from PT0.5S to PT1H, not PT0.001S
freshet.yaml:3:80: adhoc/maxTopics: must be from 1 to 100000, not -1
freshet.yaml:4:17: journal/sync: "never" is neither "always" nor an interval of up to PT1M, such as 1s`},
		{"budgets", "egress:\n  rate: -1\n  concurrency: 10001\n  origins:\n  - {origin: 'https://a.example/x'}\n  - {origin: 'https://b.example', rate: 2000000}\n  - {origin: 'https://B.example:443'}\n", `
freshet.yaml:2:9: egress/rate: must be from 0, which is no bound, to 1000000 requests a second, not -1
freshet.yaml:3:16: egress/concurrency: must be from 1 to 10000, or 0 for the default, not 10001
freshet.yaml:5:14: egress/origins/0/origin: "https://a.example/x" is not an origin such as https://api.example.com
freshet.yaml:6:41: egress/origins/1/rate: must be from 0*
freshet.yaml:7:14: egress/origins/2/origin: https://b.example is there already`},
		{"subscriptions", "subscriptions: [{id: a}]\ntopics: [{name: a, kind: event, subscriptions: [], source: {type: http-post}}]\n", `
freshet.yaml:1:16: subscriptions: must be an object, not an array: subscriptions are made over HTTP, POST /v1/topics/{topic}/subscriptions, or by freshet subscription create
    1 | subscriptions: [{id: a}]
      |                ^
freshet.yaml:2:33: topics/0: unknown member "subscriptions": subscriptions are made over HTTP, POST /v1/topics/{topic}/subscriptions, or by freshet subscription create
    2 | topics: [{name: a, kind: event, subscriptions: [], source: {type: http-post}}]
      |                                 ^`},
		{"very many", "log: {level: loud}\ncors: {origins: [" + strings.Repeat("x, ", 4000) + "]}\n", strings.Repeat("freshet.yaml:*\n", 20) + "and 3981 more mistakes"},
		{"one too many", "cors: {origins: [" + strings.Repeat("x, ", 21) + "]}\n", strings.Repeat("freshet.yaml:*\n", 20) + "and one more mistake"},
		{"what is missing", topic + "  - {}\n", `
freshet.yaml:4:5: topics/0/source/config/url: *
freshet.yaml:6:5: topics/1/name: a name is required
freshet.yaml:6:5: topics/1/kind: required: *
freshet.yaml:6:5: topics/1/source/type: required: use *`},
		{"folders", "files: {allow: [/srv/in, in]}\n", `
freshet.yaml:1:26: files/allow/1: "in" does not begin at the root of the file system`},
		{"topics of one name", "topics:\n- {name: p, kind: event, source: {type: http-post}}\n- {kind: event, name: p, source: {type: http-post}}\n", `
freshet.yaml:3:23: topics/1/name: "p" is the name of topics/0 already`},
		{"a key twice", "data: a\nlisten: 127.0.0.1:0\ndata: b\n", `
freshet.yaml:3:1: duplicate member "data"`},
		{"variables", "data: ${NONE}/x\nlisten: ${}\nlog: {level: '${X'}\ncors: {origins: [\"${B-x}\"]}\n", `
freshet.yaml:1:7: the environment variable NONE is not set; ${NONE:-otherwise} gives a default
    1 | data: ${NONE}/x
      |       ^
freshet.yaml:2:9: ${…} does not hold the name of a variable; write $$ for a dollar
freshet.yaml:3:14: ${ is not closed; write $$ for a dollar
freshet.yaml:4:18: ${…} does not hold the name of a variable; write $$ for a dollar`},
		{"a secret is not shown", topic + "      config: {url: 'https://a.example/', headers: {Authorization: 12345}}\n", `
freshet.yaml:6:68: topics/0/source/config/headers/Authorization: must be a string, not a number: put it in quotes`},
		{"tabs", "log:\n\tlevel: debug\n", `
freshet.yaml:2:1: found character '	' that cannot start any token
    2 | 	level: debug
      | ^`},
		{"not a mapping", "- a\n", `
freshet.yaml:1:1: must be an object, not an array`},
		{"two documents", "data: a\n---\ndata: b\n", `
freshet.yaml:3:5: a second YAML document begins here: a configuration is one`},
		{"no anchor", "data: *d\n", `
freshet.yaml:1:7: there is no anchor &d above`},
		{"an anchor in itself", "cors: &c {origins: *c}\n", `
freshet.yaml:1:20: there is no anchor &c above`},
		{"tags", "data: !!binary aGk=\nlisten: !!str 5\n", `
freshet.yaml:1:7: the tag !!binary has no meaning here
    1 | data: !!binary aGk=
      |       ^
freshet.yaml:2:9: listen: "5" is not host:port, such as 127.0.0.1:4440`},
		{"infinity", "adhoc: {maxTopics: .inf}\n", `
freshet.yaml:1:20: .inf is nothing that JSON can hold`},
		{"merging a text", "log: {<<: x}\n", `
freshet.yaml:1:7: << takes over a mapping or a list of mappings`},
		{"not UTF-8", "data: \"\xff\"\n", `
freshet.yaml:1:8: not valid UTF-8`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := app.Load(file(t, tt.in), nil)
			if _, ok := errors.AsType[app.Mistakes](err); !ok {
				t.Fatalf("got %v; want mistakes", err)
			}
			if want := strings.TrimPrefix(tt.want, "\n"); !matches(err.Error(), want) {
				t.Errorf("got\n%s\nwant\n%s", err, want)
			}
		})
	}
}

// matches compares line by line. A star ends what has to be equal of a line, and excerpts that are not
// wanted are passed over.
func matches(got, want string) bool {
	wants := strings.Split(want, "\n")
	for line := range strings.SplitSeq(got, "\n") {
		switch {
		case len(wants) > 0 && line == wants[0]:
			wants = wants[1:]
		case len(wants) > 0 && strings.HasSuffix(wants[0], "*") && strings.HasPrefix(line, strings.TrimSuffix(wants[0], "*")):
			wants = wants[1:]
		case strings.Contains(line, " | ") || strings.Contains(line, "| "):
		default:
			return false
		}
	}
	return len(wants) == 0
}

// However wrong a file is, none of its secrets is printed.
func TestSecretsStayHidden(t *testing.T) {
	const topic = "topics:\n- name: p\n  kind: snapshot\n  source:\n    type: http-poller\n"
	for name, in := range map[string]string{
		"a header that is no text":         topic + "    config: {url: 'https://a.example/', headers: {X-Api: 987654}}\n",
		"a member that is not known":       topic + "    config: {url: 'https://a.example/', password: 987654}\n",
		"another mistake on the line":      topic + "    config: {url: \"https://x/?key=987654\", headers: {Authorization: \"Bearer 987654\"}, pollingPeriod: 1ms}\n",
		"a password in the URL":            topic + "    config: {url: \"http://user:987654@a.example/\"}\n",
		"one that breaks the URL":          topic + "    config:\n      url: http://user:987654/@a.example/\n",
		"the tail of a header":             topic + "    config: {url: 'https://a.example/', headers: {Authorization: \"Bearer a\n      987654\"}, pollingPeriod: 1ms}\n",
		"the middle of one":                topic + "    config:\n      headers: {Authorization: \"Bearer\n        987654\n      x\"}\n      url: x\n",
		"a block":                          topic + "    config:\n      headers:\n        Authorization: |\n          987654\n           987654\n      url: x\n",
		"a list of them":                   topic + "    config:\n      headers: [\n        987654,\n        x ]\n",
		"by an alias":                      "x: &t\n  987654\n" + topic + "    config: {url: x, headers: {Authorization: *t}}\n",
		"a tag":                            topic + "    config: {url: x, headers: {Authorization: !987654}}\n",
		"no anchor":                        topic + "    config:\n      headers:\n        Authorization: *987654\n",
		"a dollar":                         topic + "    config:\n      headers:\n        Authorization: a${987654}\n",
		"no YAML":                          topic + "    config: {headers: {Authorization: \"Bearer 987654}}\n",
		"no YAML below":                    topic + "    config:\n      headers:\n        Authorization: \"x\n          987654\" y: {\n  987654: [\n",
		"not UTF-8":                        topic + "    config: {headers: {Authorization: \"\xff987654\"}}\n",
		"a comment":                        "listne: x # token 987654\n",
		"a setting above with a long name": "secret_of_mine: >\n  987654\n  987654\n",
	} {
		_, err := app.Load(file(t, in), nil)
		if err == nil || strings.Contains(err.Error(), "987654") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What hides nothing is shown.
	_, err := app.Load(file(t, topic+"    config:\n      url: https://a.example/x\n      headers: {Authorization: \"a\n        b\"}\n      pollingPeriod: 1ms\n"), nil)
	if err == nil || !strings.Contains(err.Error(), "   10 |       pollingPeriod: 1ms\n") {
		t.Errorf("an excerpt is missing: %v", err)
	}
}

func TestFileForms(t *testing.T) {
	for name, in := range map[string]string{
		"empty": "", "comments": "# nothing\n", "a lone marker": "---\n", "marked": "%YAML 1.2\n---\ndata: x\n...\n", "JSON": `{"data": "x"}`,
		"CRLF": "data: x\r\nlog:\r\n  level: info\r\n", "a byte order mark": "\ufeffdata: x\n", "empty sections": "topics:\ncors: {}\n",
	} {
		c, err := app.Load(file(t, in), nil)
		if err != nil || strings.Contains(in, "data") && c.Data != "x" {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	if c, err := app.Load("", nil); err != nil || !reflect.DeepEqual(c, app.Config{}) {
		t.Errorf("no file: %+v, %v", c, err)
	}
	if _, err := app.Load(filepath.Join(t.TempDir(), "none.yaml"), nil); err == nil || !strings.Contains(err.Error(), "there is no configuration file") {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := app.Load(t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("a directory: %v", err)
	}
}

// Aliases of aliases of aliases must not fill the memory.
func TestAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := range 12 {
		ref := strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 10), ",")
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, ref)
	}
	if _, err := app.Load(file(t, b.String()), nil); err == nil || !strings.Contains(err.Error(), "aliases unfold to") {
		t.Errorf("got %.200v", err)
	}
}

func TestEnvironment(t *testing.T) {
	path := file(t, "listen: 127.0.0.1:1\nlog: {level: warn, format: nonsense}\nadhoc: {grace: PT1M}\ndata: ${FRESHET_OWN_DIR}\n")
	got, err := app.Load(path, []string{
		"FRESHET_LISTEN=127.0.0.1:2", "FRESHET_LOG_FORMAT=json", "FRESHET_EGRESS_ALLOW= 10.0.0.0/8, 192.168.0.7, ::1 ,", "FRESHET_CORS_ORIGINS=*",
		"FRESHET_ADHOC_POLLING_PERIOD=3s", "FRESHET_ADHOC_MAX_TOPICS=7", "FRESHET_JOURNAL_MAX_BYTES=2GiB", "FRESHET_DRAIN=", "FRESHET_INSECURE=true", "FRESHET_OWN_DIR=own",
		"FRESHET_SERVER=http://x", "FRESHET_PORT_4440_TCP=tcp://1.2.3.4:4440", "FRESHET_SERVICE_HOST=1.2.3.4", "broken", "OTHER=1",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := app.Config{
		Listen: "127.0.0.1:2", Data: "own", Log: app.LogConfig{Level: "warn", Format: "json"}, Insecure: true,
		Egress:  app.EgressConfig{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.0.7/32"), netip.MustParsePrefix("::1/128")}},
		CORS:    app.CORSConfig{Origins: []string{"*"}},
		AdHoc:   app.AdHocConfig{Grace: freshet.Duration(time.Minute), PollingPeriod: freshet.Duration(3 * time.Second), MaxTopics: 7},
		Journal: app.JournalConfig{MaxBytes: 2 << 30},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestMistakesInEnvironment(t *testing.T) {
	for pair, want := range map[string]string{
		"FRESHET_LISEN=x":                      `FRESHET_LISEN: unknown variable: did you mean FRESHET_LISTEN?`,
		"FRESHET_LOGLEVEL=x":                   `FRESHET_LOGLEVEL: unknown variable: did you mean FRESHET_LOG_LEVEL?`,
		"FRESHET_ANYTHING=x":                   `FRESHET_ANYTHING: unknown variable: known are FRESHET_ADHOC_ALLOW, *`,
		"FRESHET_TOPICS=x":                     `FRESHET_TOPICS: unknown variable: *`,
		"FRESHET_LISTEN=x":                     `FRESHET_LISTEN: "x" is not host:port, such as 127.0.0.1:4440`,
		"FRESHET_ADHOC_MAX_TOPICS=many":        `FRESHET_ADHOC_MAX_TOPICS: must be a number, not a string`,
		"FRESHET_INSECURE=perhaps":             `FRESHET_INSECURE: must be a boolean, not a string`,
		"FRESHET_DRAIN=5":                      `FRESHET_DRAIN: "5" is not a duration: write PT5S or 5s`,
		"FRESHET_EGRESS_ALLOW=10.0.0.0/8,nets": `FRESHET_EGRESS_ALLOW: item 2: "nets" is neither an IP address nor a block of them such as 10.0.0.0/8 or fd00::/8`,
		"FRESHET_JOURNAL_MAX_BYTES=1XB":        `FRESHET_JOURNAL_MAX_BYTES: "1XB" is not a size: *`,
	} {
		if _, err := app.Load("", []string{pair}); err == nil || !matches(err.Error(), want) {
			t.Errorf("%s: %v; want %s", pair, err, want)
		}
	}
	_, err := app.Load(file(t, "data: 1\n"), []string{"FRESHET_LISTEN=x", "FRESHET_DRAIN=y"})
	if got, ok := errors.AsType[app.Mistakes](err); !ok || len(got) != 3 {
		t.Errorf("got %v; want what is wrong in the file and in the environment", err)
	}
	_, err = app.Load("", []string{"FRESHET_LISEN=x", "FRESHET_DRAIN=y", "FRESHET_LISTEN=x", "FRESHET_LOG_LEVEL=loud", "FRESHET_TLS_MIN_VERSION=1.1"})
	if got, ok := errors.AsType[app.Mistakes](err); !ok || len(got) != 5 {
		t.Errorf("got %v; want all five mistakes at once", err)
	}
}

func TestCheck(t *testing.T) {
	good := app.Config{Listen: ":0", Topics: []freshet.Topic{{Name: "p", Kind: freshet.KindEvent, Source: freshet.Source{Type: "http-post"}}}}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	bad := app.Config{Listen: ":99999", Log: app.LogConfig{Level: "loud"}, Drain: -1, Topics: []freshet.Topic{{Name: "p"}}}
	want := "listen: \"99999\" is not a port: *\nlog/level: \"loud\" is not known: *\ndrain: must be from PT0S to PT10M, not *\ntopics/0/kind: required: *\ntopics/0/source/type: required: *"
	if err := bad.Check(); err == nil || !matches(err.Error(), want) {
		t.Errorf("got %v", err)
	}
}

// FuzzLoad holds that no file makes Load panic or hang, that it finds the same twice, and that every
// mistake has a place in the file.
func FuzzLoad(f *testing.F) {
	for _, s := range []string{
		whole, "a: &x {b: 1}\nc: *x\nd: {<<: *x}\n", "%YAML 1.2\n---\n- !!str 1\n", "a: [1\n", "? [a]\n: b\n", "a: |\n  x\n  ${A}\n", "\"\\u0000\": .nan\n", "a: 'b\n  c'\n\t- d", "&a : *a", "!!map {}",
	} {
		f.Add(s)
	}
	path := file(f, "")
	f.Fuzz(func(t *testing.T, in string) {
		if err := os.WriteFile(path, []byte(in), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := app.Load(path, []string{"A=1"})
		again, err2 := app.Load(path, []string{"A=1"})
		if fmt.Sprint(err) != fmt.Sprint(err2) || !reflect.DeepEqual(c, again) {
			t.Errorf("%q: %v, then %v", in, err, err2)
		}
		mistakes, ok := errors.AsType[app.Mistakes](err)
		if err != nil && !ok {
			t.Errorf("%q: %v", in, err)
		}
		for _, m := range mistakes {
			if !strings.HasPrefix(m.Where, "freshet.yaml:") || m.Detail == "" {
				t.Errorf("%q: a mistake without a place: %v", in, m)
			}
		}
	})
}

func BenchmarkLoad10000(b *testing.B) {
	var text strings.Builder
	text.WriteString("topics:\n")
	for i := range 10_000 {
		fmt.Fprintf(&text, "  - name: t%d\n    kind: snapshot\n    source: {type: http-poller, config: {url: 'https://api.example.com/%d'}}\n", i, i)
	}
	path := file(b, text.String())
	for b.Loop() {
		if c, err := app.Load(path, nil); err != nil || len(c.Topics) != 10_000 {
			b.Fatal(err)
		}
	}
}
