package settings_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"freshet"
	"freshet/internal/settings"
)

type config struct {
	URL      settings.URL      `json:"url" required:"true" doc:"Where"`
	Socket   settings.URL      `json:"socket" schemes:"ws,wss" doc:"Where else"`
	Brokers  []string          `json:"brokers" address:"true" range:"0..2" doc:"Whom"`
	Period   freshet.Duration  `json:"period" default:"PT5S" range:"PT1S..PT1H" doc:"How often"`
	Size     freshet.Bytes     `json:"size" default:"1MiB" range:"1KiB..2MiB" doc:"How much"`
	Tries    int               `json:"tries" default:"3" range:"0..10" doc:"How many"`
	Factor   float64           `json:"factor" default:"0.5" range:"0..1" doc:"By how much"`
	Codes    []int             `json:"codes" default:"[500,503]" doc:"Which"`
	Mode     string            `json:"mode" default:"a" oneof:"a,bcdef" doc:"How"`
	Modes    []string          `json:"modes" oneof:"a,bcdef" doc:"How"`
	On       bool              `json:"on" default:"true" doc:"Whether"`
	Safe     bool              `json:"safe" protects:"true" doc:"Whether nobody listens"`
	Headers  settings.Headers  `json:"headers" doc:"With what"`
	Body     json.RawMessage   `json:"body" doc:"What"`
	Password settings.Secret   `json:"password" doc:"By which right"`
	Keys     []settings.Secret `json:"keys" doc:"By which rights"`
	Auth     *auth             `json:"auth" doc:"As whom"`
	Page     page              `json:"page" doc:"Which part"`
	Parts    []page            `json:"parts" doc:"Which parts"`
	Named    map[string]page   `json:"named" doc:"Which parts, by name"`
	OfB      page              `json:"ofB" when:"mode=bcdef" doc:"Which part of bcdef"`
	Words    []string          `json:"words" when:"mode=a" doc:"Which words of a"`
	Of       int               `json:"of" default:"7" when:"on" doc:"What it is on for"`
}

type auth struct {
	Provider settings.URL    `json:"provider" doc:"Where the token is"`
	Mode     string          `json:"mode" default:"header" oneof:"header,body" doc:"How"`
	Secret   settings.Secret `json:"clientSecret" doc:"What proves it"`
}

type page struct {
	Name string `json:"name" default:"page" doc:"How it is called"`
	Size int    `json:"size" default:"100" range:"1..1000" doc:"How long it is"`
}

func (p *page) Check(v *settings.Verdict) {
	if p.Name == "odd" && p.Size%2 == 0 {
		v.Say("/size", "must be odd, not %d", p.Size)
	}
}

func TestRead(t *testing.T) {
	const url = `"url":"https://a.example/"`
	for _, tt := range []struct{ config, pointer, detail string }{
		{`{` + url + `}`, "", ""},
		{``, "/url", "is required: where"},
		{`null`, "/url", "required"},
		{`[]`, "", "must be an object"},
		{`{"url":"ftp://a.example/"}`, "/url", "only http and https"},
		{`{"url":"https://u:p@a.example/"}`, "/url", "is not sent"},
		{`{` + url + `,"socket":"https://a.example/"}`, "/socket", "must begin with ws:// or wss://"},
		{`{` + url + `,"socket":"wss:///x"}`, "/socket", "has no host"},
		{`{` + url + `,"nonsense":1}`, "/nonsense", "unknown member"},
		{`{` + url + `,"period":"PT0.5S"}`, "/period", "from PT1S to PT1H"},
		{`{` + url + `,"period":5}`, "/period", "must be a string"},
		{`{` + url + `,"size":"3MiB"}`, "/size", "from 1KiB to 2MiB"},
		{`{` + url + `,"tries":11}`, "/tries", "from 0 to 10, not 11"},
		{`{` + url + `,"factor":-0.1}`, "/factor", "from 0 to 1"},
		{`{` + url + `,"brokers":["a","b","c"]}`, "/brokers", "not 3 entries"},
		{`{` + url + `,"mode":"bcdeg"}`, "/mode", `did you mean "bcdef"`},
		{`{` + url + `,"modes":["a","b"]}`, "/modes/1", "must be a or bcdef"},
		{`{` + url + `,"auth":{"mode":"x"}}`, "/auth/mode", "header or body"},
		{`{` + url + `,"auth":{"provider":"x"}}`, "/auth/provider", "absolute"},
		{`{` + url + `,"page":{"size":0}}`, "/page/size", "from 1 to 1000"},
		{`{` + url + `,"page":{"name":"odd"}}`, "/page/size", "must be odd, not 100"},
		{`{` + url + `,"parts":[{},{"name":"odd","size":4}]}`, "/parts/1/size", "must be odd"},
		{`{` + url + `,"named":{"x/y":{"name":"odd"}}}`, "/named/x~1y/size", "must be odd, not 100"},
		{`{` + url + `,"named":{"x":{"size":-1}}}`, "/named/x/size", "from 1 to 1000"},
		{`{` + url + `,"password":"***"}`, "/password", "write the secret itself"},
		{`{` + url + `,"keys":["x","***"]}`, "/keys/1", "write the secret itself"},
		{`{` + url + `,"headers":{"X":"***"}}`, "/headers/X", "write the secret itself"},
		{`{` + url + `,"ofB":{"name":"x"}}`, "/ofB", "is of no use with mode a, but with bcdef"},
		{`{` + url + `,"ofB":{"name":"page"}}`, "", ""},
		{`{` + url + `,"mode":"bcdef","ofB":{"name":"x"},"words":[]}`, "", ""},
		{`{` + url + `,"mode":"bcdef","words":["x"]}`, "/words", "is of no use with mode bcdef, but with a"},
		{`{` + url + `,"mode":"z","words":["x"]}`, "/mode", "must be"},
		{`{` + url + `,"on":false,"of":8}`, "/of", "is of no use without on"},
		{`{` + url + `,"on":false,"of":7}`, "", ""},
	} {
		var c config
		found := settings.Read(json.RawMessage(tt.config), &c)
		switch {
		case tt.detail == "" && found != nil:
			t.Errorf("%s: %v", tt.config, found)
		case tt.detail != "" && (len(found) != 1 || found[0].Pointer != tt.pointer || !strings.Contains(found[0].Detail, tt.detail)):
			t.Errorf("%s: %v, want %s: … %s", tt.config, found, tt.pointer, tt.detail)
		}
	}
}

func TestDefaults(t *testing.T) {
	var c config
	if found := settings.Read(json.RawMessage(`{"url":"https://a.example/","tries":0,"on":false,"mode":"bcdef","auth":{},"parts":[{"size":7}]}`), &c); found != nil {
		t.Fatal(found)
	}
	got := fmt.Sprintln(c.Period, c.Size, c.Tries, c.Factor, c.Codes, c.Mode, c.On, c.Auth.Mode, c.Page, c.Parts)
	if want := "PT5S 1MiB 0 0.5 [500 503] bcdef false header {page 100} [{page 7}]\n"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// What is said of many mistakes is said of each.
func TestAllMistakes(t *testing.T) {
	var c config
	found := settings.Read(json.RawMessage(`{"tries":"x","mode":"z","page":{"size":-1,"name":3}}`), &c)
	var at []string
	for _, f := range found {
		at = append(at, f.Pointer)
	}
	if got := strings.Join(at, " "); got != "/tries /page/name /url /mode /page/size" {
		t.Errorf("%s", got)
	}
}

func TestMaskSecrets(t *testing.T) {
	const stored = `{"safe":true,"url":"https://a.example/?token=MARKER","brokers":["b1:1"],"password":"MARKER","keys":["MARKER1","env:X","MARKER2"],"headers":{"X-Key":"MARKER","Accept":"secret:x","A":"b"},"auth":{"provider":"https://idp.example/t","clientSecret":"MARKER"},"body":{"apikey":"MARKER"}}`
	const shown = `{"safe":true,"url":"https://a.example/?token=***","brokers":["b1:1"],"password":"***","keys":["***","env:X","***"],"headers":{"X-Key":"***","Accept":"secret:x","A":"b"},"auth":{"provider":"https://idp.example/t","clientSecret":"***"},"body":{"apikey":"***"}}`
	if got := string(settings.Mask(json.RawMessage(stored), config{})); got != shown {
		t.Fatalf("%s\nwant %s", got, shown)
	}
	for _, tt := range []struct {
		name, from, to string
		kept           bool
	}{
		{"as it is shown", "", "", true},
		{"another path of the same host", "a.example/?", "a.example/p?", true},
		{"another member", `"A":"b"`, `"A":"c"`, true},
		{"fewer brokers", `"brokers":["b1:1"],`, ``, true},
		{"another host", "//a.example", "//evil.example", false},
		{"less protection", "https://a.example", "http://a.example", false},
		{"no protection", `"safe":true`, `"safe":false`, false},
		{"no protection any more", `"safe":true,`, ``, false},
		{"another broker", `"b1:1"`, `"evil:1"`, false},
		{"one more broker", `"b1:1"`, `"b1:1","evil:1"`, false},
		{"another place for tokens", "idp.example", "evil.example", false},
		{"an address where none was", `"password"`, `"socket":"wss://evil.example/","password"`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changed := strings.Replace(shown, tt.from, tt.to, 1)
			got := string(settings.Unmask(json.RawMessage(changed), json.RawMessage(stored), config{}))
			want := changed
			if tt.kept {
				want = strings.Replace(stored, tt.from, tt.to, 1)
			}
			if got != want {
				t.Errorf("%s\nwant %s", got, want)
			}
			var c config
			if found := settings.Read(json.RawMessage(got), &c); (found == nil) != tt.kept {
				t.Errorf("%v", found)
			}
		})
	}
}

func TestSecretsArePrintedMasked(t *testing.T) {
	c := config{Password: "MARKER", Keys: []settings.Secret{"MARKER"}}
	encoded, err := json.Marshal(c)
	if text := fmt.Sprintf("%v %+v %#v %s %s", c, c, c, encoded, err); strings.Contains(text, "MARKER") {
		t.Error(text)
	}
}

func TestVault(t *testing.T) {
	folder := t.TempDir()
	inside, outside := filepath.Join(folder, "in"), filepath.Join(folder, "out")
	for name, text := range map[string]string{"in/token": "from a file\n", "in/empty": "", "in/large": strings.Repeat("x", 70_000), "out/key": "stolen"} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside+"/key", inside+"/link"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("APP_TOKEN", "from the environment")
	t.Setenv("OTHER", "private")
	v := settings.Vault{
		Env: []string{"APP_*"}, Files: []string{inside},
		Named: map[string]settings.Secret{"plain": "as written", "env": "env:OTHER", "file": settings.Secret("file:" + outside + "/key"), "loop": "secret:loop"},
	}
	for _, tt := range []struct{ secret, want, wrong string }{
		{"inline", "inline", ""},
		{"with:colon", "with:colon", ""},
		{"plain:env:OTHER", "env:OTHER", ""},
		{"plain", "plain", ""},
		{"secret", "secret", ""},
		{"env:APP_TOKEN", "from the environment", ""},
		{"env:OTHER", "", "secrets.env"},
		{"env:APP_MISSING", "", "is not set"},
		{"file:" + inside + "/token", "from a file", ""},
		{"file:" + inside + "/../out/key", "", "secrets.files"},
		{"file:" + outside + "/key", "", "secrets.files"},
		{"file:" + inside + "/link", "", "cannot be read"},
		{"file:" + inside + "/none", "", "cannot be read"},
		{"file:" + inside + "/empty", "", "is empty"},
		{"file:" + inside + "/large", "", "larger than"},
		{"secret:plain", "as written", ""},
		{"secret:env", "private", ""},
		{"secret:file", "stolen", ""}, // the operator said so
		{"secret:loop", "", "there is no secret"},
		{"secret:none", "", "there is no secret"},
	} {
		got, err := v.Reveal(settings.Secret(tt.secret))
		if got != tt.want || (err == nil) != (tt.wrong == "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%s: %q, %v", tt.secret, got, err)
		}
	}
	found := v.CheckSecrets(json.RawMessage(`{"password":"env:OTHER","keys":["x","secret:none"],"headers":{"A":"env:OTHER"},"mode":"env:OTHER"}`), config{})
	var at []string
	for _, f := range found {
		at = append(at, f.Pointer)
	}
	if got := strings.Join(at, " "); got != "/password /keys/1 /headers/A" {
		t.Errorf("%v", found)
	}
	headers, err := v.RevealHeaders(settings.Headers{"A": "env:APP_TOKEN", "B": "b"})
	if err != nil || headers["A"] != "from the environment" || headers["B"] != "b" {
		t.Errorf("%v, %v", headers, err)
	}
}

func TestDescribe(t *testing.T) {
	var names []string
	for _, o := range settings.Describe(config{}) {
		names = append(names, o.Name+":"+o.Type)
	}
	const want = "url:URL socket:URL brokers:list of text period:duration size:size tries:integer factor:number codes:list of integers mode:text modes:list of text " +
		"on:boolean safe:boolean headers:headers body:JSON password:secret keys:list of secrets auth:object auth.provider:URL auth.mode:text auth.clientSecret:secret " +
		"page:object page.name:text page.size:integer parts:list of objects parts[].name:text parts[].size:integer named:object of objects named.*.name:text named.*.size:integer ofB:object ofB.name:text ofB.size:integer words:list of text of:integer"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{``, `{}`, `{"url":"https://a.example/","auth":{"clientSecret":"***"},"parts":[{}]}`, `{"headers":{"A":1}}`, `{"page":null}`} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		var c config
		settings.Read(json.RawMessage(text), &c)
		settings.Mask(json.RawMessage(text), config{})
		settings.Unmask(json.RawMessage(text), json.RawMessage(`{"url":"https://a.example/","password":"x","body":{"key":1}}`), config{})
		settings.Vault{}.CheckSecrets(json.RawMessage(text), config{})
	})
}

func TestRevealJSON(t *testing.T) {
	v := settings.Vault{Named: map[string]settings.Secret{"a": `x"&y`}}
	for _, tt := range []struct{ in, want, wrong string }{
		{`{"n" : 1.0, "secret:a": ["secret:a", {"k":"plain:env:X"}, "https://x"] }`, `{"n" : 1.0, "secret:a": ["x\"&y", {"k":"env:X"}, "https://x"] }`, ""},
		{`[true,null,"\u0073ecret:a"]`, `[true,null,"x\"&y"]`, ""},
		{`12`, `12`, ""},
		{`["secret:b","env:C"]`, "", "there is no secret"},
	} {
		got, err := v.RevealJSON(json.RawMessage(tt.in))
		if (err == nil) != (tt.wrong == "") || err == nil && string(got) != tt.want || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%s: %s, %v", tt.in, got, err)
		}
	}
}
