package cluster

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"golang.org/x/oauth2"

	"freshet"
	"freshet/internal/flow/source"
)

// FaultOf is what people are told of what a client of the cluster, or a broker, says. False: it is nothing special.
func FaultOf(err error) (f freshet.Fault, ok bool) {
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok && e.Response != nil {
		switch code := e.Response.StatusCode; {
		case code == 400 || code == 401 || code == 403:
			return source.Faultf(freshet.FaultHTTP+401, "tokenUrl gave no token (%d): are clientId, clientSecret and scope right?", code), true
		default:
			return source.Faultf(freshet.FaultConnection, "tokenUrl answered %d in place of a token", code), true
		}
	}
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return source.Faultf(freshet.FaultHTTP+401, "the brokers do not take the credentials of sasl"), true
	case errors.Is(err, kerr.UnsupportedSaslMechanism), errors.Is(err, kerr.IllegalSaslState):
		return source.Faultf(freshet.FaultConfig, "the brokers do not offer that sasl.mechanism at this address"), true
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		return source.Faultf(freshet.FaultHTTP+403, "this user may not use the cluster"), true
	case errors.Is(err, context.DeadlineExceeded):
		return source.Faultf(freshet.FaultConnection, "no broker answered in time"), true
	}
	return freshet.Fault{}, false
}
