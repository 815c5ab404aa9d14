package freshet

import (
	"fmt"
	"time"
)

// A Fault is what subscribers are told when a topic cannot be kept up to date, or what they ask for
// cannot be done. Its shape and codes are those of the incumbent's error events.
type Fault struct {
	Time         time.Time      `json:"datetime"`
	Subscription SubscriptionID `json:"subscriptionId,omitempty"` // of who is told, where it is a stored one
	Code         int            `json:"code"`
	Category     string         `json:"category"` // subscription, server, topic or publication
	Message      string         `json:"message"`
}

func (f Fault) Error() string { return fmt.Sprintf("%d: %s", f.Code, f.Message) }

// NewFault is a fault of now with one of the codes below, of which its category follows.
func NewFault(code int, format string, args ...any) Fault {
	return Fault{Time: time.Now().UTC(), Code: code, Category: category(code), Message: fmt.Sprintf(format, args...)}
}

// category is that of the codes that begin as this one does.
func category(code int) string {
	switch code / 10_000 {
	case 4:
		return "subscription"
	case 5:
		return "server"
	case 6:
		return "topic"
	}
	return "publication"
}

// The codes of what a subscriber asks for, of the server, and of the topic itself.
const (
	FaultSubscription   = 40000 // the subscription cannot be made
	FaultRequest        = 40400 // what the client says is not understood
	FaultNotFound       = 40404 // there is no such topic
	FaultGap            = 40404 // what the reader missed is no longer kept
	FaultInactive       = 40300 // the stored subscription is suspended or disabled
	FaultNoSubscription = 40405 // there is no such subscription, or no more
	FaultTaken          = 40900 // another connection of the stored subscription has taken the place of this one
	FaultServer         = 50500 // a defect of the server's
	FaultUnavailable    = 50503 // the server cannot do that now
	FaultSlow           = 50503 // the reader fell too far behind; it may resume
	FaultTopic          = 60000 // the topic was deleted
)

// The codes of publication faults: what is wrong between a source and its upstream, or with what is
// posted. FaultOfStatus gives that of an upstream's answer.
const (
	FaultPublication = 70000 // anything else
	FaultConfig      = 70001 // the source's configuration does not work
	FaultStartup     = 70002 // the source could not start
	FaultConnection  = 70013 // refused, reset, timed out, cut in mid-body
	FaultHost        = 70014 // the host's name does not resolve
	FaultSize        = 70015 // larger than limits.payload
	FaultFormat      = 70016 // not one complete JSON value, or too deep
	FaultRedirect    = 70300 // too many redirects, or one that is not followed
	FaultHTTP        = 70000 // + 400 401 403 404 405 406 408 410 422 429 500 502 503 504
)

// FaultOfStatus is the code of an answer of an upstream with an HTTP status that is none of success.
func FaultOfStatus(status int) int {
	if _, ok := KindOfFault(FaultHTTP + status); ok && status >= 400 && status < 600 {
		return FaultHTTP + status
	}
	return FaultPublication
}

// A FaultKind is what all faults with one code have in common.
type FaultKind struct {
	Code     int    `json:"code"`
	Category string `json:"category"` // subscription, server, topic or publication
	Title    string `json:"title"`    // a few words
	Meaning  string `json:"meaning"`  // what happened; one sentence or more
	Remedy   string `json:"remedy"`   // what to do about it; one sentence or more
}

// KindOfFault is the kind of a code; false where there is none.
func KindOfFault(code int) (FaultKind, bool) {
	for _, k := range FaultKinds() {
		if k.Code == code {
			return k, true
		}
	}
	return FaultKind{}, false
}

// FaultKinds are the kinds of faults that there are, by their codes.
func FaultKinds() []FaultKind {
	kinds := []FaultKind{
		{
			Code: FaultSubscription, Title: "subscription not possible",
			Meaning: "The subscription cannot be made as it was asked for: the topic does not allow the mode, is followed by this connection already, or would be one too many.",
			Remedy:  "The message names what is wrong. Ask for a mode that the topic has (`subscribers` in its document), or open another connection.",
		},
		{
			Code: FaultInactive, Title: "subscription not active",
			Meaning: "The stored subscription was suspended or disabled while it was followed. The connection ends.",
			Remedy:  "`progress.reason` of `GET /v1/subscriptions/{id}` says why it was disabled. Come back once it is active again: it goes on where it was.",
		},
		{
			Code: FaultRequest, Title: "request not understood",
			Meaning: "A message of a WebSocket's client is not one that the server knows, or a value in it makes no sense.",
			Remedy:  "Compare it with the messages of the protocol; the connection goes on.",
		},
		{
			Code: FaultNotFound, Title: "topic or event not found",
			Meaning: "There is no such topic; or, in a stream of messages, what came after the event that the client has is no longer kept.",
			Remedy:  "Look the name up in `GET /v1/topics`. After a gap the stream goes on with the oldest message kept: get what is missing from where it came from, and let the topic keep more (`history`).",
		},
		{
			Code: FaultNoSubscription, Title: "subscription not found",
			Meaning: "The connection has no subscription to this topic that it could end; or the stored subscription that it followed was deleted, and it ends.",
			Remedy:  "Nothing: there is none any more. Do not come back to one that was deleted.",
		},
		{
			Code: FaultTaken, Title: "subscription followed elsewhere",
			Meaning: "Another connection of the stored subscription has taken the place of this one, which ends: there is one at a time.",
			Remedy:  "Do not come back at once: the other one would lose its place, and come back in turn. Give each client a subscription of its own.",
		},
		{
			Code: FaultServer, Title: "internal error",
			Meaning: "A defect of the server's.",
			Remedy:  "The server's log has the cause.",
		},
		{
			Code: FaultUnavailable, Title: "not available now",
			Meaning: "The reader took its messages so slowly that they are no longer in memory; or the server cannot serve the topic now, as it is about to stop or over a limit.",
			Remedy:  "Connect again, with the id of the last event: what was missed is in the history. A reader that is slow again and again needs a faster connection, or `minInterval`.",
		},
		{
			Code: FaultTopic, Title: "topic deleted",
			Meaning: "The topic was deleted while it was followed.",
			Remedy:  "Do not come back. Other topics of the same connection go on.",
		},
	}
	kinds = append(kinds, publicationFaults()...)
	for i := range kinds {
		kinds[i].Category = category(kinds[i].Code)
	}
	return kinds
}

func publicationFaults() []FaultKind {
	kinds := []FaultKind{
		{
			Code: FaultPublication, Title: "publication failed",
			Meaning: "The source cannot tell what its upstream has now, or a payload is refused, for a reason that has no code of its own.",
			Remedy:  "The message says what happened. The last good document stays, and the source goes on trying.",
		},
		{
			Code: FaultConfig, Title: "source configured wrongly",
			Meaning: "The configuration of the source cannot work: a secret that is not there, an address that may not be reached, something that upstream does not know.",
			Remedy:  "Correct `source.config`, or allow in the server's configuration what the message names, such as `egress.allow`.",
		},
		{
			Code: FaultStartup, Title: "source did not start",
			Meaning: "The source could not begin its work.",
			Remedy:  "The message and the server's log say why. Correct that and store the topic again, which starts the source anew.",
		},
		{
			Code: FaultConnection, Title: "no connection to upstream",
			Meaning: "The connection to upstream was refused, was reset, took too long, or ended before the answer was complete; or its certificate is not trusted.",
			Remedy:  "See whether upstream runs and can be reached from the server. The source tries again by itself.",
		},
		{
			Code: FaultHost, Title: "host unknown",
			Meaning: "The name of upstream's host does not resolve.",
			Remedy:  "Correct the name in `source.config`, or the server's DNS.",
		},
		{
			Code: FaultSize, Title: "payload too large",
			Meaning: "A payload is larger than the topic's `limits.payload`, 1 MiB by default.",
			Remedy:  "Raise the limit, up to 64 MiB, or take a part of the payload, as by `payloadPointer`.",
		},
		{
			Code: FaultFormat, Title: "payload not usable",
			Meaning: "A payload is not one complete JSON value, is nested more than 256 levels deep, or is not what the source was told to expect.",
			Remedy:  "See what upstream sends: often it is a page for people, such as of a login. `format`, `transform` and `schema` of the source say what is expected.",
		},
		{
			Code: FaultRedirect, Title: "redirect not followed",
			Meaning: "Upstream redirects in a circle, too often, from https to http, or to where the server may not go.",
			Remedy:  "Use the address that the redirects lead to.",
		},
	}
	for _, of := range []struct {
		status          int
		title, then, do string
	}{
		{400, "bad request", "It does not understand the request.", "Compare the URL, its parameters and the headers in `source.config` with upstream's documentation."},
		{401, "not authenticated", "It wants credentials, or others.", "Set or renew the credentials in `source.config`."},
		{403, "not allowed", "The credentials do not allow this. Over WebSocket: publishing is not allowed.", "Give the credentials the rights, or take others. Over WebSocket see `websocket.publish`."},
		{404, "not found", "There is nothing at the address.", "Correct the address in `source.config`."},
		{405, "method not allowed", "It does not take the method. To who publishes: the topic's source takes no posts.", "Correct `source.config`; publish to topics whose source is `http-post`."},
		{406, "not acceptable", "It has nothing of the type that the header `Accept` names.", "Set `Accept` in `source.config.headers`."},
		{408, "request timed out", "It waited too long for the request.", "The source tries again by itself; if it goes on, look at the network in between."},
		{410, "gone", "What was there has been removed for good. To who publishes: nobody follows the topic, and it is not `alwaysOn`.", "Use the address that took its place; or make the topic `alwaysOn`."},
		{422, "not processable", "It understands the request, but cannot do it. To who publishes: the idempotency key came with another payload before.", "Compare what `source.config` sends with upstream's documentation. Take a new key for each payload."},
		{429, "too many requests", "It wants fewer requests.", "The source waits as long as upstream says. A longer `pollingPeriod` or a budget in `egress.origins` prevents it."},
		{500, "upstream's internal error", "It has a defect, or is overloaded.", "The source tries again by itself."},
		{502, "bad gateway", "What is in front of it gets no answer from it.", "The source tries again by itself."},
		{503, "upstream not available", "It is overloaded, or down for maintenance.", "The source tries again by itself, after as long as upstream says."},
		{504, "gateway timed out", "What is in front of it gets no answer from it in time.", "The source tries again by itself; if it goes on, ask upstream for less at a time."},
	} {
		kinds = append(kinds, FaultKind{Code: FaultHTTP + of.status, Title: of.title, Meaning: fmt.Sprintf("Upstream answered with the HTTP status %d, or with its like in another protocol. %s", of.status, of.then), Remedy: of.do})
	}
	return kinds
}
