package main

import (
	"net/url"
	"testing"
)

func TestNameOf(t *testing.T) {
	for in, want := range map[string]string{
		"https://api.example.com/v1/prices":             "prices",
		"https://api.example.com/v1/prices/":            "prices",
		"https://api.example.com/Prices.json?a=b":       "prices",
		"https://api.example.com/":                      "api.example.com",
		"https://api.example.com":                       "api.example.com",
		"https://api.example.com/%E4%BB%B7":             "api.example.com",
		"https://api.example.com/Preise%20f%C3%BCr%20X": "preise-f-r-x",
		"http://127.0.0.1:8080/":                        "127.0.0.1",
		"http://[::1]:8080/":                            "1",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := nameOf(u); string(got) != want || got.Validate() != nil {
			t.Errorf("%s is called %q; want %q", in, got, want)
		}
	}
}
