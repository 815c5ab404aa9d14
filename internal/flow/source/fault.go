package source

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"

	"freshet"
	"freshet/internal/egress"
)

// Faultf is a publication fault of now. What subscribers are told is made of fixed words, never of an
// error: that may hold an internal address or what upstream sent.
func Faultf(code int, format string, args ...any) freshet.Fault {
	return freshet.NewFault(code, format, args...)
}

// FaultOf is what subscribers are told of an error of a connection, and whether it may be over soon. A
// freshet.Fault is told as it is.
func FaultOf(err error) (f freshet.Fault, passing bool) {
	if f, ok := errors.AsType[freshet.Fault](err); ok {
		return f, true
	}
	if r, ok := errors.AsType[*egress.RefusedError](err); ok {
		message := strings.TrimPrefix(r.Error(), "egress: ")
		if _, notLiteral := netip.ParseAddr(r.Host); notLiteral != nil {
			message = r.Host + " resolves to " + r.Reason + ", which egress.allow does not name"
		}
		return Faultf(freshet.FaultConfig, "%s", message), false
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return Faultf(freshet.FaultHost, "the host name %s does not resolve", dns.Name), !dns.IsNotFound
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return Faultf(freshet.FaultConnection, "upstream's TLS certificate is not trusted or not for this host"), false
	}
	if _, noTLS := errors.AsType[tls.RecordHeaderError](err); noTLS || errors.Is(err, http.ErrSchemeMismatch) {
		return Faultf(freshet.FaultConnection, "upstream does not speak TLS at that address and port: is it meant to, or is it another port?"), false
	}
	return Faultf(freshet.FaultConnection, "%s", disconnected(err)), true
}

// disconnected says why a connection did not last.
func disconnected(err error) string {
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "upstream refused the connection: does anything listen at that address and port?"
	case errors.Is(err, syscall.ECONNRESET):
		return "upstream reset the connection"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "upstream closed the connection before its answer was complete"
	case isNet && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "upstream did not take the connection in time"
	}
	return "the connection to upstream failed"
}
