package fanout

import (
	"encoding/json"
	"slices"

	"freshet"
)

// For makes the cursor one for a stored subscription, which every fault that its reader is told then names.
func (c *Cursor) For(id freshet.SubscriptionID) *Cursor {
	c.subscription = id
	return c
}

// Addressed is an event as a stored subscription gets it: of a fault it names the subscription.
func Addressed(ev freshet.Event, id freshet.SubscriptionID) freshet.Event {
	if ev.Type != freshet.TypeError || id == "" {
		return ev
	}
	var f freshet.Fault
	if err := json.Unmarshal(ev.Data, &f); err != nil {
		return ev // it is none of ours
	}
	f.Subscription = id
	if data, err := json.Marshal(f); err == nil {
		ev.Data = data
	}
	return ev
}

// addressed is a batch for a stored subscription. What others get as well stays as it is.
func (b Batch) addressed(id freshet.SubscriptionID) Batch {
	for i, e := range b.Entries {
		if e.Type == freshet.TypeError {
			b.Entries = slices.Clone(b.Entries)
			b.Entries[i] = &Entry{Event: Addressed(e.Event, id)}
		}
	}
	return b
}
