package subscriptions

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"freshet"
	"freshet/internal/flow/delivery"
	"freshet/internal/strict"
)

// Ranges of a subscription's settings.
const (
	maxInterval    = freshet.Duration(time.Hour)
	maxWait        = freshet.Duration(time.Minute)
	maxBatch       = 1000
	minBatchBytes  = freshet.Bytes(1 << 10)
	maxBatchBytes  = freshet.Bytes(16 << 20)
	batchEvents    = 100
	batchBytes     = freshet.Bytes(1 << 20)
	maxDescription = 1000
)

// connects says whether the subscribers of a type come themselves.
func connects(kind string) bool { return kind == "sse" || kind == "websocket" }

// complete fills in the defaults of a subscription of a topic.
func complete(s freshet.Subscription, topic *freshet.Topic) freshet.Subscription {
	if modes := topic.Modes(s.Type); s.Mode == "" && len(modes) > 0 {
		s.Mode = modes[0]
	}
	if s.Status == "" {
		s.Status = freshet.SubscriptionActive
	}
	if s.Start == "" {
		s.Start = delivery.StartNow
	}
	if s.Behind == "" && topic.Kind == freshet.KindSnapshot {
		s.Behind = delivery.BehindLatest
	}
	if s.Format == "" && !connects(s.Type) {
		s.Format = delivery.FormatRaw
	}
	if s.Batch != nil {
		b := *s.Batch
		if b.MaxEvents == 0 {
			b.MaxEvents = batchEvents
		}
		if b.MaxBytes == 0 {
			b.MaxBytes = batchBytes
		}
		s.Batch = &b
	}
	return s
}

type checker struct{ found freshet.Invalid }

func (c *checker) mistake(pointer, format string, args ...any) {
	c.found = append(c.found, freshet.FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

func (c *checker) oneOf(pointer, is string, allowed ...string) {
	if is == "" || slices.Contains(allowed, is) {
		return
	}
	hint := ""
	if near := strict.Near(is, allowed); near != "" {
		hint = fmt.Sprintf(": did you mean %q?", near)
	}
	c.mistake(pointer, "must be %s, not %.60q%s", strings.Join(allowed, ", "), is, hint)
}

// check reports everything that is wrong with a subscription of a topic.
func (r *Registry) check(s *freshet.Subscription, topic *freshet.Topic) freshet.Invalid {
	var c checker
	if err := s.ID.Validate(); err != nil {
		c.mistake("/id", "%s", err)
	}
	if len(s.Description) > maxDescription {
		c.mistake("/description", "must be at most %d bytes long, not %d", maxDescription, len(s.Description))
	}
	modes := topic.Modes(s.Type)
	switch types := freshet.SubscriberTypes(); {
	case s.Type == "":
		c.mistake("/type", "required: one of %s", strings.Join(types, ", "))
	case !slices.Contains(types, s.Type):
		c.oneOf("/type", s.Type, types...)
	case len(modes) == 0:
		c.mistake("/type", "topic %s does not allow subscribers of type %s: its subscribers say which", topic.Name, s.Type)
	case s.Mode != "" && !slices.Contains(modes, s.Mode):
		var names []string
		for _, m := range modes {
			names = append(names, string(m))
		}
		c.oneOf("/mode", string(s.Mode), names...)
	}
	c.oneOf("/status", string(s.Status), string(freshet.SubscriptionActive), string(freshet.SubscriptionSuspended), string(freshet.SubscriptionDisabled))
	c.start(s.Start)
	if s.MinInterval < 0 || s.MinInterval > maxInterval {
		c.mistake("/minInterval", "must be from PT0S to %v, not %v", maxInterval, s.MinInterval)
	}
	c.behind(s, topic)
	c.batch(s)
	r.config(&c, s)
	return c.found
}

func (c *checker) start(start string) {
	switch start {
	case "", delivery.StartNow, delivery.StartBeginning:
		return
	}
	if _, err := freshet.ParsePosition(start); err == nil {
		return
	}
	if _, err := time.Parse(time.RFC3339, start); err != nil {
		c.mistake("/start", "must be now, beginning, the id of an event, or a time such as 2006-01-02T15:04:05Z, not %.60q", start)
	}
}

// clockSkew is how far the clocks of clients may be before the server's.
const clockSkew = time.Minute

// CheckPast refuses a time, at a pointer, that cannot have been yet, whoever's clock shows it; nil: it may have been.
func CheckPast(pointer string, t time.Time) freshet.Invalid {
	if time.Until(t) <= clockSkew {
		return nil
	}
	return freshet.Invalid{{Pointer: pointer, Detail: fmt.Sprintf("must not be in the future: the server's clock shows %s", time.Now().UTC().Format(time.RFC3339))}}
}

// future says of a start that has not been yet that it is none: events of the time until then would be delivered.
func future(start string) freshet.Invalid {
	t, err := time.Parse(time.RFC3339, start)
	if err != nil {
		return nil // it is no time
	}
	return CheckPast("/start", t)
}

func (c *checker) behind(s *freshet.Subscription, topic *freshet.Topic) {
	c.oneOf("/behind", s.Behind, delivery.BehindLatest, delivery.BehindAll)
	switch {
	case s.Behind == "":
	case topic.Kind == freshet.KindEvent:
		c.mistake("/behind", "is of no use with topics of the kind event, whose messages are never skipped")
	case s.Behind == delivery.BehindAll && connects(s.Type):
		c.mistake("/behind", "all is for subscriptions that are sent to, not for type %s", s.Type)
	}
}

func (c *checker) batch(s *freshet.Subscription) {
	b := s.Batch
	if b == nil {
		return
	}
	if connects(s.Type) {
		c.mistake("/batch", "is for subscriptions that are sent to, not for type %s", s.Type)
	}
	if b.MaxEvents < 0 || b.MaxEvents > maxBatch {
		c.mistake("/batch/maxEvents", "must be from 1 to %d, not %d", maxBatch, b.MaxEvents)
	}
	if b.MaxBytes != 0 && (b.MaxBytes < minBatchBytes || b.MaxBytes > maxBatchBytes) {
		c.mistake("/batch/maxBytes", "must be from %v to %v, not %v", minBatchBytes, maxBatchBytes, b.MaxBytes)
	}
	if b.MaxWait < 0 || b.MaxWait > maxWait {
		c.mistake("/batch/maxWait", "must be from PT0S to %v, not %v", maxWait, b.MaxWait)
	}
}

// config checks what depends on the type.
func (r *Registry) config(c *checker, s *freshet.Subscription) {
	if connects(s.Type) {
		if len(s.Config) > 0 && string(s.Config) != "{}" && string(s.Config) != "null" {
			c.mistake("/config", "there is nothing to configure of type %s", s.Type)
		}
		if s.Format != "" {
			c.mistake("/format", "is for subscriptions that are sent to, not for type %s", s.Type)
		}
		if s.MinInterval != 0 {
			c.mistake("/minInterval", "is for subscriptions that are sent to, not for type %s", s.Type)
		}
		return
	}
	c.oneOf("/format", s.Format, delivery.Formats()...)
	kind, ok := r.Kinds.Lookup(s.Type)
	if !ok {
		if slices.Contains(freshet.SubscriberTypes(), s.Type) {
			c.mistake("/type", "this server does not deliver to %s", s.Type)
		}
		return
	}
	config := s.Config
	if len(config) == 0 || string(config) == "null" {
		config = json.RawMessage("{}")
	}
	found := append(kind.Check(config), r.Secrets.CheckSecrets(config, kind.Config)...)
	c.found = append(c.found, found.In("/config")...)
}
