package mqtt

import (
	"errors"
	"io"

	"github.com/eclipse/paho.golang/packets"

	"freshet"
	"freshet/internal/flow/source"
)

// refused says why the server does not take the connection, by the reason code of its answer.
func refused(code byte) error {
	switch code {
	case packets.ConnackUnsupportedProtocolVersion:
		return source.Faultf(freshet.FaultConfig, "the server does not speak MQTT 5")
	case packets.ConnackInvalidClientID:
		return source.Faultf(freshet.FaultConfig, "the server does not accept clientId")
	case packets.ConnackBadUsernameOrPassword, packets.ConnackNotAuthorized, packets.ConnackBadAuthenticationMethod:
		return source.Faultf(freshet.FaultHTTP+401, "the server does not accept the user and password, or the certificate")
	case packets.ConnackBanned:
		return source.Faultf(freshet.FaultHTTP+403, "the server has banned this client")
	case packets.ConnackServerUnavailable, packets.ConnackServerBusy, packets.ConnackQuotaExceeded, packets.ConnackConnectionRateExceeded:
		return source.Faultf(freshet.FaultHTTP+503, "the server is not available, or too busy")
	case packets.ConnackUseAnotherServer, packets.ConnackServerMoved:
		return source.Faultf(freshet.FaultConfig, "the server refers to another server, which is not followed: set url to it")
	}
	return source.Faultf(freshet.FaultPublication, "the server refused the connection, with the reason code 0x%02X", code)
}

// unsubscribed says why the server does not take a subscription.
func unsubscribed(filter string, code byte) error {
	switch code {
	case packets.SubackNotauthorized:
		return source.Faultf(freshet.FaultHTTP+403, "the client may not subscribe to %.80q", filter)
	case packets.SubackTopicFilterinvalid:
		return source.Faultf(freshet.FaultConfig, "the server does not accept the filter %.80q", filter)
	case packets.SubackSharedSubscriptionnotsupported:
		return source.Faultf(freshet.FaultConfig, "the server knows no shared subscriptions, such as %.80q", filter)
	case packets.SubackWildcardsubscriptionsnotsupported:
		return source.Faultf(freshet.FaultConfig, "the server knows no wildcards in filters, such as %.80q", filter)
	}
	return source.Faultf(freshet.FaultPublication, "the server refused the subscription to %.80q, with the reason code 0x%02X", filter, code)
}

// disconnected says why the server ended the connection.
func disconnected(code byte) error {
	switch code {
	case packets.DisconnectSessionTakenOver:
		return source.Faultf(freshet.FaultConnection, "another client took over the session: no other may have the same clientId")
	case packets.DisconnectServerShuttingDown:
		return source.Faultf(freshet.FaultConnection, "the server is shutting down")
	case packets.DisconnectServerBusy:
		return source.Faultf(freshet.FaultHTTP+503, "the server is too busy")
	case packets.DisconnectNotAuthorized:
		return source.Faultf(freshet.FaultHTTP+403, "the server does not let this client go on")
	}
	return source.Faultf(freshet.FaultConnection, "the server ended the connection, with the reason code 0x%02X", code)
}

// explain makes what is not MQTT 5 a fault that subscribers are told.
func explain(err error) error {
	if errors.Is(err, errMalformed) {
		return source.Faultf(freshet.FaultPublication, "what answers there does not speak MQTT 5")
	}
	if errors.Is(err, io.EOF) {
		return source.Faultf(freshet.FaultConnection, "the server closed the connection")
	}
	return err
}
