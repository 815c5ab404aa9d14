// Package streamdata knows what clients of Streamdata.io put into their requests: parameters behind those of the URL
// that is followed, or headers, and signatures.
//
// A client signs once, when it is opened, and sends the same URL whenever it connects anew, hours later perhaps. So
// the server gives who was let in a ticket, which comes back as the Last-Event-ID and counts in place of the date.
package streamdata

import (
	"net/http"
	"net/url"
	"strings"
)

// The parameters and headers of a request. Header may come several times, each time with "Name: value", which is sent
// to the API that is followed.
const (
	Header = "X-Sd-Header"

	token    = "X-Sd-Token"    //nolint:gosec // a name
	compress = "X-Sd-Compress" // true: gzip, where Accept-Encoding has it

	timestamp = "X-Auth-Sd-Ts" // milliseconds since 1970
	signature = "X-Auth-Sd-S"
)

// Asked says whether a request with those parameters comes from a client of Streamdata.io.
func Asked(params url.Values, h http.Header) bool {
	return params.Has(token) || params.Has(Header) || h.Get(token) != ""
}

// TokenOf is the token of a request; some clients send it as a header.
func TokenOf(params url.Values, h http.Header) string {
	if params.Has(token) {
		return params.Get(token)
	}
	return h.Get(token)
}

// Compressed says whether the client wants its stream to be compressed.
func Compressed(params url.Values, h http.Header) bool {
	return params.Get(compress) == "true" || h.Get(compress) == "true"
}

// IsOurs says whether a parameter is meant for the server that is asked, and not for the API that is followed.
func IsOurs(param string) bool {
	return strings.HasPrefix(param, "X-Sd-") || strings.HasPrefix(param, "X-Auth-Sd-")
}

// WholeDocuments says whether the headers that the client wants to be forwarded ask for the whole document at each
// change, which they do by an Accept of plain JSON.
func WholeDocuments(params url.Values) bool {
	for _, h := range params[Header] {
		name, value, _ := strings.Cut(h, ":")
		if strings.EqualFold(strings.TrimSpace(name), "Accept") && strings.HasPrefix(strings.TrimSpace(value), "application/json") {
			return true
		}
	}
	return false
}
