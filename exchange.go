package freshet

import "time"

// An Exchange is one attempt: what was sent, what came back, and what follows from it.
type Exchange struct {
	ID           string            `json:"id"`
	Subscription SubscriptionID    `json:"subscriptionId"`
	Topic        TopicName         `json:"topic"`
	Delivery     string            `json:"deliveryId"` // the same in every attempt
	EventID      string            `json:"eventId"`    // of several events that of the last
	EventType    EventType         `json:"eventType,omitempty"`
	Events       int               `json:"events"`
	Purpose      string            `json:"purpose"` // event, test or redelivery
	Attempt      int               `json:"attempt"` // from 1
	Start        time.Time         `json:"start"`
	Millis       float64           `json:"durationMillis"`
	Outcome      string            `json:"outcome"` // delivered or failed
	Error        string            `json:"error,omitempty"`
	Next         time.Time         `json:"nextAttempt,omitzero"`
	Request      ExchangeRequest   `json:"request"`
	Response     *ExchangeResponse `json:"response,omitempty"` // nil: there was none
}

// How an attempt ended.
const (
	OutcomeDelivered = "delivered"
	OutcomeFailed    = "failed"
)

// An ExchangeRequest is what was sent. Secrets in it are masked.
type ExchangeRequest struct {
	Method  string `json:"method,omitempty"`
	To      string `json:"to"`               // the address, without its query
	Headers string `json:"headers,omitzero"` // the lines of a header, or what a broker has of the kind
	Body    string `json:"body,omitempty"`   // its first bytes
	Size    int    `json:"size"`             // of the whole body, in bytes
}

// An ExchangeResponse is what came back.
type ExchangeResponse struct {
	Status  int    `json:"status,omitempty"`
	Headers string `json:"headers,omitempty"`
	Body    string `json:"body,omitempty"` // its first bytes
	Size    int    `json:"size"`           // of what was read of it, in bytes
}
