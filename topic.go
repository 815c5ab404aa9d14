package freshet

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A TopicName is what a topic is called everywhere: [a-z0-9][a-z0-9._-]{0,127}.
type TopicName string

// Validate says what is wrong with the name, if anything is.
func (n TopicName) Validate() error {
	const first, rest = "abcdefghijklmnopqrstuvwxyz0123456789", "abcdefghijklmnopqrstuvwxyz0123456789._-"
	switch {
	case n == "":
		return fmt.Errorf("a name is required")
	case len(n) > 128:
		return fmt.Errorf("%d bytes long, at most 128 are allowed", len(n))
	case !strings.Contains(first, string(n[:1])):
		return fmt.Errorf("must start with a letter a-z or a digit")
	case strings.Trim(string(n), rest) != "":
		return fmt.Errorf("only a-z, 0-9, '.', '_' and '-' are allowed")
	}
	return nil
}

// A TopicID names a topic inside the store: safe as a NATS subject token, never the user's name.
type TopicID string

// A Topic is a topic as configured. The JSON of the API and the YAML of the configuration file are
// the same document. Pointers distinguish "not given" from a zero value.
type Topic struct {
	Name        TopicName    `json:"name"`
	Kind        Kind         `json:"kind"`
	Description string       `json:"description,omitempty"`
	Source      Source       `json:"source"`
	Subscribers []Subscriber `json:"subscribers,omitempty"`
	History     History      `json:"history,omitzero"`
	Limits      Limits       `json:"limits,omitzero"`
	Diff        Diff         `json:"diff,omitzero"`

	// Set by the server; ignored on the way in.
	ManagedBy       string    `json:"managedBy,omitempty"` // "file", "api" or "ad-hoc"
	CreateTimestamp time.Time `json:"createTimestamp,omitzero"`
	ModifyTimestamp time.Time `json:"modifyTimestamp,omitzero"`
	Status          *Status   `json:"status,omitempty"`
}

// A Source is where a topic's data comes from. What Config may hold depends on Type.
type Source struct {
	Type     string `json:"type"`              // http-poller, http-post
	AlwaysOn bool   `json:"alwaysOn,omitzero"` // run without subscribers too
	// StaleAfter is how old what the source last obtained or confirmed may be before the topic is stale. 0: a
	// polled topic is stale once a poll is overdue, any other only while its source fails.
	StaleAfter Duration        `json:"staleAfter,omitzero"`
	Config     json.RawMessage `json:"config,omitempty"`
}

// A Subscriber says what one type of subscriber may ask for. Where a topic names none, every type is
// allowed, with every mode of the topic's kind.
type Subscriber struct {
	Type         string `json:"type"` // one of SubscriberTypes
	AllowedModes []Mode `json:"allowedModes,omitempty"`
	DefaultMode  Mode   `json:"defaultMode,omitempty"`
}

// History bounds what the journal keeps of a topic; whichever bound is met first counts. A zero
// field takes its default.
type History struct {
	MaxAge    Duration `json:"maxAge,omitzero"`    // PT1H; up to P30D
	MaxEvents int      `json:"maxEvents,omitzero"` // 10000; 1 to 1000000
	MaxBytes  Bytes    `json:"maxBytes,omitzero"`  // 64MiB; 1KiB to 16GiB
}

// Limits bounds what a source may hand over.
type Limits struct {
	Payload Bytes `json:"payload,omitzero"` // of one payload; 1MiB, up to 64MiB
}

// Diff steers how changes are computed.
type Diff struct {
	ArrayKeys map[string]string `json:"arrayKeys,omitempty"` // pointer of an array to the member that identifies its items

	// What is noise: where nothing else changed, nothing did. At most 64 pointers each.
	Ignore       []string `json:"ignore,omitempty"`      // what is at these pointers or below
	Sets         []string `json:"sets,omitempty"`        // the order of the items of these arrays
	Tolerance    float64  `json:"tolerance,omitzero"`    // numbers that differ by no more than this
	NumericEqual bool     `json:"numericEqual,omitzero"` // other spellings of the same number, such as 1.0 and 1.00
}

// Defaults of a topic's settings.
const (
	DefaultMaxAge    = Duration(time.Hour)
	DefaultMaxEvents = 10_000
	DefaultMaxBytes  = 64 << 20
	DefaultPayload   = 1 << 20
	MaxPayload       = 64 << 20
)

// Status is what a topic is doing now.
type Status struct {
	State       string    `json:"state"` // idle, running or failing
	Subscribers int       `json:"subscribers"`
	Revision    Revision  `json:"revision"`
	EventID     string    `json:"eventId,omitempty"`
	Bytes       int       `json:"bytes,omitzero"` // size of the document
	LastChange  time.Time `json:"lastChange,omitzero"`
	Fault       *Fault    `json:"fault,omitempty"`
	Freshness
}

// Freshness says how far what a topic has can be relied on to be what its upstream has now.
type Freshness struct {
	Stale       bool      `json:"stale"`
	StaleReason string    `json:"staleReason,omitempty"` // for people
	LastSuccess time.Time `json:"lastSuccess,omitzero"`  // when the source last obtained or confirmed what there is
	Age         Duration  `json:"age,omitzero"`          // since then
	NextPoll    time.Time `json:"nextPoll,omitzero"`     // of a source that polls
}

// SubscriberTypes are the ways in which a topic's events reach those who want them. The first two connect;
// the others are sent to.
func SubscriberTypes() []string {
	return []string{"sse", "websocket", "webhook", "kafka", "mqtt", "nats", "amqp"}
}

// Modes are the modes that a type of subscriber may ask this topic for, the default first. Nil: that type of
// subscriber is not allowed.
func (t *Topic) Modes(subscriber string) []Mode {
	if len(t.Subscribers) == 0 {
		if slices.Contains(SubscriberTypes(), subscriber) {
			return t.Kind.Modes()
		}
		return nil
	}
	for _, s := range t.Subscribers {
		if s.Type != subscriber {
			continue
		}
		modes := s.AllowedModes
		if len(modes) == 0 {
			modes = t.Kind.Modes()
		}
		if s.DefaultMode == "" {
			return modes
		}
		all := []Mode{s.DefaultMode}
		for _, m := range modes {
			if m != s.DefaultMode {
				all = append(all, m)
			}
		}
		return all
	}
	return nil
}

// A FieldError is one thing wrong with a document that a user wrote.
type FieldError struct {
	Pointer string `json:"pointer"` // RFC 6901, to the member
	Detail  string `json:"detail"`  // what is wrong, and what would be right
}

// Invalid is every error found in one document, in document order.
type Invalid []FieldError

func (e Invalid) Error() string {
	lines := make([]string, len(e))
	for i, f := range e {
		if lines[i] = f.Detail; f.Pointer != "" {
			lines[i] = f.Pointer + ": " + f.Detail
		}
	}
	return strings.Join(lines, "; ")
}

// In returns the errors with their pointers moved below prefix, itself a pointer.
func (e Invalid) In(prefix string) Invalid {
	moved := make(Invalid, len(e))
	for i, f := range e {
		moved[i] = FieldError{prefix + f.Pointer, f.Detail}
	}
	return moved
}
