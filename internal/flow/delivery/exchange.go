package delivery

import (
	"strings"
	"time"

	"freshet"
)

// An Exchange is one attempt: what was sent, what came back, and what follows from it.
type Exchange struct {
	ID           string                 `json:"id"`
	Subscription freshet.SubscriptionID `json:"subscriptionId"`
	Topic        freshet.TopicName      `json:"topic"`
	Delivery     string                 `json:"deliveryId"` // the same in every attempt
	EventID      string                 `json:"eventId"`    // of several events that of the last
	EventType    freshet.EventType      `json:"eventType,omitempty"`
	Events       int                    `json:"events"`
	Purpose      string                 `json:"purpose"` // event, test or redelivery
	Attempt      int                    `json:"attempt"` // from 1
	Start        time.Time              `json:"start"`
	Millis       float64                `json:"durationMillis"`
	Outcome      string                 `json:"outcome"` // delivered or failed
	Error        string                 `json:"error,omitempty"`
	Next         time.Time              `json:"nextAttempt,omitzero"`
	Request      Request                `json:"request"`
	Response     *Response              `json:"response,omitempty"` // nil: there was none
}

// How an attempt ended.
const (
	OutcomeDelivered = "delivered"
	OutcomeFailed    = "failed"
)

// A Request is what was sent. Secrets in it are masked.
type Request struct {
	Method  string `json:"method,omitempty"`
	To      string `json:"to"`               // the address, without its query
	Headers string `json:"headers,omitzero"` // the lines of a header, or what a broker has of the kind
	Body    string `json:"body,omitempty"`   // its first bytes
	Size    int    `json:"size"`             // of the whole body, in bytes
}

// A Response is what came back.
type Response struct {
	Status  int    `json:"status,omitempty"`
	Headers string `json:"headers,omitempty"`
	Body    string `json:"body,omitempty"` // its first bytes
	Size    int    `json:"size"`           // of what was read of it, in bytes
}

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
