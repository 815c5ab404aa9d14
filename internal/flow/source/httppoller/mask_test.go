package httppoller_test

import (
	"encoding/json"
	"strings"
	"testing"

	"freshet/internal/flow/source"
	"freshet/internal/flow/source/all"
)

const marker = "MARKER1f"

func poller(t testing.TB) source.Kind {
	t.Helper()
	k, ok := all.Kinds().Lookup("http-poller")
	if !ok {
		t.Fatal("there is no http-poller")
	}
	return k
}

// What is shown holds none of the secrets, is otherwise spelled as it was, and stands for what is stored.
func TestMask(t *testing.T) {
	for _, tt := range []struct{ name, stored, want string }{
		{"nothing secret", `{ "url" : "https://a.example/?q=1&keyword=x#top", "headers":{"Accept":"application/json"}, "n":[1,"key"]}`, ""},
		{"credentials", `{"headers": {"authorization":"Bearer MARKER1f", "Cookie":"MARKER1f"}, "url":"https://a.example/"}`, `{"headers": {"authorization":"***", "Cookie":"***"}, "url":"https://a.example/"}`},
		{"names that look secret", `{"headers":{"X-Api-Key":"MARKER1f","X-Auth":"MARKER1f","X-Vault-Token":"MARKER1f","Proxy-Authorization":"MARKER1f"}}`, `{"headers":{"X-Api-Key":"***","X-Auth":"***","X-Vault-Token":"***","Proxy-Authorization":"***"}}`},
		{"values that are credentials", `{"headers":{"X-Forward":"basic MARKER1f"}}`, `{"headers":{"X-Forward":"***"}}`},
		{"an escaped spelling", `{"headers":{"Authorization":"\u004dARKER1f \" \\ <"}}`, `{"headers":{"Authorization":"***"}}`},
		{"a query", `{"url":"https://a.example/p?a=1&api_key=MARKER1f&b=2&access%5Ftoken=MARKER1f;sig=MARKER1f&key="}`, `{"url":"https://a.example/p?a=1&api_key=***&b=2&access%5Ftoken=***;sig=***&key="}`},
		{"a query twice", `{"url":"https://a.example/p?key=MARKER1f1&key=MARKER1f2"}`, `{"url":"https://a.example/p?key=***&key=***"}`},
		{"a fragment", `{"url":"https://a.example/p#access_token=MARKER1f"}`, `{"url":"https://a.example/p#access_token=***"}`},
		{"a URL in a URL", `{"url":"https://a.example/p?to=https%3A%2F%2Fb.example%2F%3Ftoken%3DMARKER1f"}`, `{"url":"https://a.example/p?to=***"}`},
		{"a user", `{"url":"https://MARKER1f:MARKER1f@a.example/p"}`, `{"url":"https://***@a.example/p"}`},
		{"a password with a slash", `{"url":"https://u:MARKER1f/MARKER1f@a.example/p"}`, `{"url":"https://***@a.example/p"}`},
		{"a body", `{"body":{"q":"x","auth":{"user":"MARKER1f","n":1234},"list":[{"password":"MARKER1f","on":true}]}}`, `{"body":{"q":"x","auth":{"user":"***","n":"***"},"list":[{"password":"***","on":true}]}}`},
		{"no object", `"MARKER"`, ""},
		{"cut", `{"headers":{"Authorization":`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.want
			if want == "" {
				want = tt.stored
			}
			k := poller(t)
			got := k.Mask(json.RawMessage(tt.stored))
			if string(got) != want {
				t.Fatalf("shown as %s\nwant     %s", got, want)
			}
			if back := k.Unmask(got, json.RawMessage(tt.stored)); string(back) != tt.stored {
				t.Errorf("put back as %s\nwant        %s", back, tt.stored)
			}
		})
	}
}

func TestUnmask(t *testing.T) {
	const stored = `{"url":"https://a.example/p?api_key=MARKER1f&q=1","headers":{"Authorization":"Bearer MARKER1f"}}`
	const missing = "stands for a secret that is stored, and none is"
	for _, tt := range []struct{ name, config, want, wrong string }{
		{"another path and parameter", `{"url":"https://a.example/other?q=2&api_key=***","headers":{"authorization":"***","Accept":"x"}}`, `{"url":"https://a.example/other?q=2&api_key=MARKER1f","headers":{"authorization":"Bearer MARKER1f","Accept":"x"}}`, ""},
		{"escaped stars", `{"url":"https://a.example/p?api_key=%2A%2A%2A"}`, `{"url":"https://a.example/p?api_key=MARKER1f"}`, ""},
		{"new values", `{"url":"https://a.example/p?api_key=n","headers":{"Authorization":"m"}}`, `{"url":"https://a.example/p?api_key=n","headers":{"Authorization":"m"}}`, ""},
		{"better protected would be right", `{"url":"https://A.EXAMPLE/p?api_key=***"}`, `{"url":"https://A.EXAMPLE/p?api_key=MARKER1f"}`, ""},
		{"stars that hide nothing", `{"url":"https://a.example/p?q=***"}`, `{"url":"https://a.example/p?q=***"}`, ""},
		{"another host", `{"url":"https://evil.example/p","headers":{"Authorization":"***"}}`, "", "/headers/Authorization: *** " + missing},
		{"another port", `{"url":"https://a.example:8443/p?api_key=***"}`, "", "/url: *** " + missing},
		{"less protected", `{"url":"http://a.example/p?api_key=***"}`, "", "/url: *** " + missing},
		{"another header", `{"url":"https://a.example/p","headers":{"X-Api-Key":"***","X~/":"***"}}`, "", "/headers/X-Api-Key: *** " + missing},
		{"one parameter more", `{"url":"https://a.example/p?api_key=***&api_key=***"}`, "", "/url: *** " + missing},
		{"in the body", `{"url":"https://a.example/","method":"POST","body":{"a":[{"token":"***"}]}}`, "", "/body/a/0/token: *** " + missing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := poller(t)
			got := k.Unmask(json.RawMessage(tt.config), json.RawMessage(stored))
			wrong := k.Check(got)
			if tt.wrong != "" {
				if !strings.Contains(wrong.Error(), tt.wrong) || strings.Contains(wrong.Error(), marker) {
					t.Errorf("%s is wrong by %v; want %s", got, wrong, tt.wrong)
				}
				return
			}
			if string(got) != tt.want || wrong != nil {
				t.Errorf("got %s, %v; want %s", got, wrong, tt.want)
			}
		})
	}
}

// No piece of a password shows where it makes the URL one that cannot be read.
func TestUnreadableURL(t *testing.T) {
	for _, url := range []string{"http://u:MARKER1f/x@a.example/", "http://u:MARKER1f%zz@a.example/", "http://u:987654/MARKER@a.example/", "http://u:p@MARKER1f:MARKER1f@a/", "http://[MARKER1f@a/"} {
		config, _ := json.Marshal(map[string]string{"url": url})
		if wrong := poller(t).Check(config); wrong == nil || strings.Contains(wrong.Error(), "MARKER") || strings.Contains(wrong.Error(), "987654") {
			t.Errorf("%s: %v", url, wrong)
		}
	}
}

// FuzzMask holds that a mask hides nothing twice, is put back to what is stored byte by byte, and never
// makes what is no JSON of JSON.
func FuzzMask(f *testing.F) {
	for _, s := range []string{
		`{"url":"https://u:p@a/?key=1&k%65y=2#token=3","headers":{"Authorization":"x","A":"Bearer x"},"body":{"auth":[1,"2",{"x":3}]}}`,
		`{"url":"//@?=&=;#=", "headers":{"\u0041uth":"\ud800"}}`, `[{"url":1}]`, `{"body":"***"}`, `{"url":"a://:@b/c@d"}`,
	} {
		f.Add(s)
	}
	k := poller(f)
	f.Fuzz(func(t *testing.T, in string) {
		stored := json.RawMessage(in)
		masked := k.Mask(stored)
		if json.Valid(stored) != json.Valid(masked) {
			t.Fatalf("%s becomes %s", stored, masked)
		}
		if again := k.Mask(masked); string(again) != string(masked) {
			t.Errorf("%s is masked as %s, then as %s", stored, masked, again)
		}
		if k.Check(stored) == nil { // only such is stored
			if back := k.Unmask(masked, stored); string(back) != in {
				t.Errorf("%s, shown as %s, comes back as %s", stored, masked, back)
			}
		}
	})
}
