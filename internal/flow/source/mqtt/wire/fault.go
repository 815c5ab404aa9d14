package wire

import (
	"errors"
	"io"

	"github.com/eclipse/paho.golang/packets"

	"freshet"
	"freshet/internal/flow/source"
)

// Refused says why the server does not take the connection, by the reason code of its answer.
func Refused(code byte) error {
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

// Disconnected says why the server ended the connection.
func Disconnected(code byte) error {
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

// Explain makes what is not MQTT 5 a fault that subscribers are told.
func Explain(err error) error {
	if errors.Is(err, ErrMalformed) {
		return source.Faultf(freshet.FaultPublication, "what answers there does not speak MQTT 5")
	}
	if errors.Is(err, io.EOF) {
		return source.Faultf(freshet.FaultConnection, "the server closed the connection")
	}
	return err
}
