package freshet

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// A SubscriptionID names a subscription everywhere: [A-Za-z0-9][A-Za-z0-9._-]{0,63}.
type SubscriptionID string

// Validate says what is wrong with the id, if anything is.
func (id SubscriptionID) Validate() error {
	const first = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	switch {
	case id == "":
		return fmt.Errorf("an id is required")
	case len(id) > 64:
		return fmt.Errorf("%d bytes long, at most 64 are allowed", len(id))
	case !strings.Contains(first, string(id[:1])):
		return fmt.Errorf("must start with a letter or a digit")
	case strings.Trim(string(id), first+"._-") != "":
		return fmt.Errorf("only letters, digits, '.', '_' and '-' are allowed")
	}
	return nil
}

// A Subscription is a stored wish to get the events of a topic. Freshet keeps with it a cursor, the last event
// that was delivered, and goes on from there after any failure: every event is delivered at least once.
type Subscription struct {
	ID          SubscriptionID     `json:"id"` // made by the server where it is not given
	Topic       TopicName          `json:"topic"`
	Type        string             `json:"type"` // one of SubscriberTypes
	Description string             `json:"description,omitempty"`
	Mode        Mode               `json:"mode,omitempty"` // the topic's default for the type
	Status      SubscriptionStatus `json:"status,omitempty"`
	// Start is where a new subscription begins: "now" (default), "beginning" of the history, the id of an
	// event, or an RFC 3339 time. Where now, a document comes first of a snapshot topic.
	Start string `json:"start,omitempty"`
	// MinInterval is how long after one delivery the next begins at the earliest; what a snapshot topic changes
	// in between is delivered as one change. 0: at once.
	MinInterval Duration `json:"minInterval,omitzero"`
	// Behind says what becomes of revisions of a snapshot topic that were superseded before they could be
	// delivered: "latest" (default) skips them, "all" delivers each.
	Behind string          `json:"behind,omitempty"`
	Batch  *Batch          `json:"batch,omitempty"`  // nil: each event by itself
	Format string          `json:"format,omitempty"` // raw (default), cloudevents-binary or cloudevents-structured; of types that are sent to
	Config json.RawMessage `json:"config,omitempty"` // what it may hold depends on Type

	// Set by the server; ignored on the way in.
	CreateTimestamp time.Time `json:"createTimestamp,omitzero"`
	ModifyTimestamp time.Time `json:"modifyTimestamp,omitzero"`
	Progress        *Progress `json:"progress,omitempty"`
}

// A SubscriptionStatus says whether a subscription gets anything.
type SubscriptionStatus string

// The states of subscriptions.
const (
	SubscriptionActive    SubscriptionStatus = "active"
	SubscriptionSuspended SubscriptionStatus = "suspended" // by a user, or by a receiver that answered 410 Gone
	SubscriptionDisabled  SubscriptionStatus = "disabled"  // by the server, as deliveries failed for too long
)

// A Batch bounds how many events are delivered at once.
type Batch struct {
	MaxEvents int      `json:"maxEvents,omitzero"` // 100; 1 to 1000
	MaxBytes  Bytes    `json:"maxBytes,omitzero"`  // 1MiB; 1KiB to 16MiB; an event that is larger goes by itself
	MaxWait   Duration `json:"maxWait,omitzero"`   // for more to come; PT0S to PT1M
}

// Progress is how far a subscription is.
type Progress struct {
	Reason     string        `json:"reason,omitempty"`     // why it is not active
	EventID    string        `json:"eventId,omitempty"`    // the cursor: the last event that was delivered
	Lag        int           `json:"lag"`                  // revisions, or messages, that are still to come
	Behind     Duration      `json:"behind,omitzero"`      // how old the cursor's event is, while there is a lag
	Delivered  time.Time     `json:"delivered,omitzero"`   // when the last delivery succeeded
	Attempts   int           `json:"attempts,omitzero"`    // failed attempts, so far, at the delivery under way
	Next       time.Time     `json:"nextAttempt,omitzero"` // when it is tried again
	Connection string        `json:"connection,omitempty"` // of types that connect: open, or closed
	LastError  *DeliverError `json:"lastError,omitempty"`  // of the last attempt that failed
}

// A DeliverError is why an attempt to deliver failed.
type DeliverError struct {
	Time    time.Time `json:"time"`
	EventID string    `json:"eventId,omitempty"`
	Code    int       `json:"code,omitempty"` // the HTTP status, where there was one
	Message string    `json:"message"`
}
