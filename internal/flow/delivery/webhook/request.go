package webhook

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"freshet/internal/flow/delivery"
	"freshet/internal/settings"
)

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

// path is what is asked for; of its query, which may hold secrets, nothing is written down.
func (r *request) path(masked bool) string {
	if !masked || r.to.RawQuery == "" {
		return r.to.RequestURI()
	}
	path, _, _ := strings.Cut(r.to.RequestURI(), "?")
	return path + "?" + settings.Masked
}
