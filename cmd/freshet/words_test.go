package main

import "testing"

func TestTopicOf(t *testing.T) {
	for _, tt := range []struct{ server, arg, want string }{
		{"http://127.0.0.1:4440", "quotes", "quotes"},
		{"http://127.0.0.1:4440", "http://127.0.0.1:4440/live/quotes", "quotes"},
		{"127.0.0.1:4440/", "http://localhost:4440/live/quotes/?mode=snapshot-only#x", "quotes"},
		{"http://[::1]:4440", "http://127.0.0.1:4440/live/quotes", "quotes"},
		{"http://127.0.0.1:4440", "http://127.0.0.1:4440/live/https://a.example/x?q=1", "https://a.example/x?q=1"},
		{"http://127.0.0.1:4440", "http://127.0.0.1:4440/live/http://127.0.0.1:4440/live/quotes", "quotes"},
		{"https://freshet.example/base/", "https://Freshet.example:443/base/live/quotes", "quotes"},
		{"http://freshet.example", "http://freshet.example:80/live/quotes", "quotes"},

		{"http://127.0.0.1:4440", "http://127.0.0.1:4441/live/quotes", "http://127.0.0.1:4441/live/quotes"},
		{"http://127.0.0.1:4440", "https://127.0.0.1:4440/live/quotes", "https://127.0.0.1:4440/live/quotes"},
		{"http://127.0.0.1:4440", "http://127.0.0.1:4440/v1/topics", "http://127.0.0.1:4440/v1/topics"},
		{"http://127.0.0.1:4440", "http://127.0.0.1:4440/live/", "http://127.0.0.1:4440/live/"},
		{"https://freshet.example/base", "https://freshet.example/live/quotes", "https://freshet.example/live/quotes"},
		{"http://127.0.0.1:4440", "http://a.example:4440/live/quotes", "http://a.example:4440/live/quotes"},
	} {
		if got := (&cli{server: tt.server}).topicOf(tt.arg); got != tt.want {
			t.Errorf("at %s %s is topic %s; want %s", tt.server, tt.arg, got, tt.want)
		}
	}
}

func TestProgram(t *testing.T) {
	for arg, want := range map[string]string{
		"": "freshet", "freshet": "freshet", "bin/freshet": "bin/freshet", "./my freshet": "'./my freshet'", "it's": `'it'\''s'`,
	} {
		if got := program([]string{arg}); got != want {
			t.Errorf("called %q: %s; want %s", arg, got, want)
		}
	}
}
