package webhook

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"freshet/internal/flow/delivery"
	"freshet/internal/settings"
)

// shortestSecret is how long a text is, in bytes, that is looked for in answers: shorter ones are found by chance.
const shortestSecret = 6

// A request is one to an endpoint.
type request struct {
	method string
	to     *url.URL
	fields []field
	body   []byte
}

// A field is one of the header.
type field struct {
	name, value string
	secret      bool // it is not written down
}

// set gives a field its value, in the place of the one that it has.
func (r *request) set(name, value string, secret bool) {
	for i := range r.fields {
		if strings.EqualFold(r.fields[i].name, name) {
			r.fields[i] = field{name, value, secret}
			return
		}
	}
	r.add(name, value, secret)
}

// add gives a field that the header does not have.
func (r *request) add(name, value string, secret bool) {
	r.fields = append(r.fields, field{name, value, secret})
}

// check says which field cannot be sent.
func (r *request) check() error {
	for _, f := range r.fields {
		if !httpguts.ValidHeaderFieldName(f.name) || !httpguts.ValidHeaderFieldValue(f.value) {
			return delivery.Refusedf("header %q cannot be sent: its value has a control character", f.name)
		}
	}
	return nil
}

// append appends the header as it is sent, or, masked, as it is written down.
func (r *request) append(b []byte, masked bool) []byte {
	b = append(append(append(b, r.method...), ' '), r.path(masked)...)
	b = append(append(b, " HTTP/1.1\r\nHost: "...), r.to.Host...)
	for _, f := range r.fields {
		b = append(append(append(b, "\r\n"...), f.name...), ": "...)
		if masked && f.secret {
			b = append(b, settings.Masked...)
		} else {
			b = append(b, f.value...)
		}
	}
	if r.body != nil || r.method == http.MethodPost {
		b = strconv.AppendInt(append(b, "\r\nContent-Length: "...), int64(len(r.body)), 10)
	}
	if masked {
		return b
	}
	return append(b, "\r\n\r\n"...)
}

// secrets are the texts in a request that are not written down, wherever they come again.
func (r *request) secrets() (all []string) {
	note := func(s string) {
		if len(s) >= shortestSecret && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	for _, f := range r.fields {
		if !f.secret {
			continue
		}
		note(f.value)
		scheme, rest, _ := strings.Cut(f.value, " ") // such as Bearer
		note(rest)
		if pair, err := base64.StdEncoding.DecodeString(rest); err == nil && strings.EqualFold(scheme, "basic") {
			_, password, _ := strings.Cut(string(pair), ":")
			note(password)
		}
	}
	if r.to.RawQuery != "" {
		note(r.to.RawQuery)
		for _, values := range r.to.Query() {
			for _, v := range values {
				note(v)
			}
		}
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) }) // a part of another comes after it
	return all
}

// path is what is asked for; of its query, which may hold secrets, nothing is written down.
func (r *request) path(masked bool) string {
	if !masked || r.to.RawQuery == "" {
		return r.to.RequestURI()
	}
	path, _, _ := strings.Cut(r.to.RequestURI(), "?")
	return path + "?" + settings.Masked
}

// An answer is what an endpoint says, as far as it is read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// shown is an answer as it is written down: without cookies, and without the secrets that it repeats.
func (a *answer) shown(secrets []string) (header, body string) {
	var b strings.Builder
	b.WriteString("HTTP/1.1 " + strconv.Itoa(a.status) + " " + http.StatusText(a.status))
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		for _, v := range a.header[name] {
			if name == "Set-Cookie" {
				v = settings.Masked
			}
			b.WriteString("\r\n" + name + ": " + v)
		}
	}
	header, body = b.String(), string(a.body)
	for _, s := range secrets {
		header, body = strings.ReplaceAll(header, s, settings.Masked), strings.ReplaceAll(body, s, settings.Masked)
	}
	return header, delivery.KeepResponse([]byte(body))
}
