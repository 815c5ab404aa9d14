package delivery

import (
	"strings"
	"time"

	"freshet"
)

// An Exchange is one attempt, as the vocabulary has it.
type Exchange = freshet.Exchange

// A Request is what was sent.
type Request = freshet.ExchangeRequest

// A Response is what came back.
type Response = freshet.ExchangeResponse

// How an attempt ended.
const (
	OutcomeDelivered = freshet.OutcomeDelivered
	OutcomeFailed    = freshet.OutcomeFailed
)

// How much of a body is kept, in bytes.
const (
	keptOfRequest  = 1 << 10
	keptOfResponse = 4 << 10
)

// KeepRequest is as much of a request's body as is kept.
func KeepRequest(body []byte) string { return keep(body, keptOfRequest) }

// KeepResponse is as much of a response's body as is kept.
func KeepResponse(body []byte) string { return keep(body, keptOfResponse) }

func keep(body []byte, most int) string {
	return strings.ToValidUTF8(string(body[:min(len(body), most)]), "\uFFFD")
}

// A Filter chooses exchanges. Zero fields choose all.
type Filter struct {
	Subscription freshet.SubscriptionID
	Since, Till  time.Time // by their start
	Outcome      string
	Status       int    // of the response
	EventID      string // or that of the delivery or of the exchange
}

func (f Filter) matches(e *Exchange) bool {
	switch {
	case f.Subscription != "" && e.Subscription != f.Subscription,
		!f.Since.IsZero() && e.Start.Before(f.Since),
		!f.Till.IsZero() && e.Start.After(f.Till),
		f.Outcome != "" && e.Outcome != f.Outcome,
		f.Status != 0 && (e.Response == nil || e.Response.Status != f.Status),
		f.EventID != "" && f.EventID != e.EventID && f.EventID != e.Delivery && f.EventID != e.ID:
		return false
	}
	return true
}
