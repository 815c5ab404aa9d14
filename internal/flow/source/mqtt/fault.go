package mqtt

import (
	"github.com/eclipse/paho.golang/packets"

	"freshet"
	"freshet/internal/flow/source"
)

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
