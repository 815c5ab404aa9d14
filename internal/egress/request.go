package egress

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// appendRequest appends a request as it is sent. Polls are mostly alike, a GET without a body, and these are written
// here for a third of what net/http needs; all that is unusual is left to it.
func appendRequest(b []byte, r *http.Request) ([]byte, error) {
	uri, usual := usualRequest(r)
	if !usual {
		buffer := bytes.NewBuffer(b)
		if err := r.Write(buffer); err != nil {
			return nil, fmt.Errorf("write it: %w", err)
		}
		return buffer.Bytes(), nil
	}
	line := func(texts ...string) {
		for _, t := range texts {
			b = append(b, t...)
		}
		b = append(b, "\r\n"...)
	}
	line(r.Method, " ", uri, " HTTP/1.1")
	line("Host: ", r.URL.Host)
	var room [16]string
	names := slices.AppendSeq(room[:0], maps.Keys(r.Header))
	slices.Sort(names)
	for _, name := range names {
		for _, v := range r.Header[name] {
			line(name, ": ", v)
		}
	}
	line()
	return b, nil
}

// usualRequest says whether a request is one for which nothing has to be thought of, and what it asks for.
func usualRequest(r *http.Request) (uri string, usual bool) {
	switch {
	case r.Method != http.MethodGet, r.Body != nil && r.Body != http.NoBody, r.Close, len(r.TransferEncoding) > 0:
		return "", false
	case r.Host != "" && r.Host != r.URL.Host, strings.Contains(r.URL.Host, "%"), !httpguts.ValidHostHeader(r.URL.Host):
		return "", false
	}
	for name, values := range r.Header {
		switch name {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer":
			return "", false
		case "User-Agent":
			if len(values) != 1 || values[0] == "" {
				return "", false
			}
		}
		if !httpguts.ValidHeaderFieldName(name) {
			return "", false
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) || strings.Trim(v, " \t") != v {
				return "", false
			}
		}
	}
	uri = r.URL.RequestURI()
	for _, c := range []byte(uri) {
		if c <= ' ' || c >= 0x7f {
			return "", false
		}
	}
	return uri, true
}
