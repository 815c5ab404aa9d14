package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"freshet"
)

// SubscriptionOptions narrows and orders a list of subscriptions.
type SubscriptionOptions struct {
	Topic    freshet.TopicName // only its own; empty: of every topic
	Search   string            // such as: type:webhook AND status!active
	Sort     []string          // fields, such as "topic" or "modifyTimestamp,DESC"
	PageSize int               // fetched at a time; 200; at most 1000
}

// Subscriptions yields the stored subscriptions of the server, fetching pages as they are needed. An error is the
// last item.
func (c *Client) Subscriptions(ctx context.Context, o SubscriptionOptions) iter.Seq2[freshet.Subscription, error] {
	at := c.base + "/v1/subscriptions"
	if o.Topic != "" {
		at = c.base + "/v1/topics/" + url.PathEscape(string(o.Topic)) + "/subscriptions"
	}
	return listed[freshet.Subscription](ctx, c, at, listQuery(o.Search, o.Sort), o.PageSize, "list subscriptions")
}

// Subscription returns a subscription with its progress, and its ETag.
func (c *Client) Subscription(ctx context.Context, id freshet.SubscriptionID) (freshet.Subscription, string, error) {
	return c.subscription(ctx, http.MethodGet, id, "", nil, WriteOptions{})
}

// CreateSubscription makes a subscription of a topic, of a document as somebody wrote it. A secret that the server
// made is in what it returns, this once. It fails with freshet.ErrExists, freshet.ErrNotFound, or a Problem with
// Errors.
func (c *Client) CreateSubscription(ctx context.Context, topic freshet.TopicName, doc []byte, o WriteOptions) (s freshet.Subscription, err error) {
	if err := topic.Validate(); err != nil {
		return s, fmt.Errorf("topic %q: %w", topic, err)
	}
	_, err = c.exchange(ctx, http.MethodPost, c.base+"/v1/topics/"+string(topic)+"/subscriptions"+o.query(), doc, &s, "Content-Type", "application/json")
	if err != nil {
		return s, fmt.Errorf("create subscription: %w", err)
	}
	return s, nil
}

// PatchSubscription changes a subscription by a JSON Merge Patch (RFC 7396).
func (c *Client) PatchSubscription(ctx context.Context, id freshet.SubscriptionID, patch []byte, o WriteOptions) (freshet.Subscription, string, error) {
	return c.subscription(ctx, http.MethodPatch, id, "", patch, o, "Content-Type", "application/merge-patch+json")
}

// DeleteSubscription deletes a subscription.
func (c *Client) DeleteSubscription(ctx context.Context, id freshet.SubscriptionID, o WriteOptions) error {
	_, _, err := c.subscription(ctx, http.MethodDelete, id, "", nil, o)
	return err
}

// RecoverSubscription sets a subscription back to a time and lets it go on from there.
func (c *Client) RecoverSubscription(ctx context.Context, id freshet.SubscriptionID, since time.Time) (freshet.Subscription, error) {
	doc, err := json.Marshal(map[string]time.Time{"since": since.UTC()})
	if err != nil {
		return freshet.Subscription{}, fmt.Errorf("recover subscription %s: %w", id, err)
	}
	s, _, err := c.subscription(ctx, http.MethodPost, id, ":recover", doc, WriteOptions{}, "Content-Type", "application/json")
	return s, err
}

// A Skipped is what a subscription was spared.
type Skipped struct {
	EventID      string               `json:"eventId"` // of a batch, the last event
	Events       int                  `json:"events"`
	Subscription freshet.Subscription `json:"subscription"` // as it is now
}

// SkipEvent has a subscription go on after the event, or batch, that could not be delivered. Where eventID is not
// empty it has to be that one.
func (c *Client) SkipEvent(ctx context.Context, id freshet.SubscriptionID, eventID string) (s Skipped, err error) {
	doc := []byte("{}")
	if eventID != "" {
		if doc, err = json.Marshal(map[string]string{"eventId": eventID}); err != nil {
			return s, fmt.Errorf("skip: %w", err)
		}
	}
	err = c.custom(ctx, id, ":skip", doc, &s)
	return s, err
}

// TestSubscription has one attempt made to deliver a JSON value, and returns what came of it.
func (c *Client) TestSubscription(ctx context.Context, id freshet.SubscriptionID, data []byte) (freshet.Exchange, error) {
	return c.attempt(ctx, id, ":test", data)
}

// Redeliver has one attempt made to deliver an event of the history again, and returns what came of it.
func (c *Client) Redeliver(ctx context.Context, id freshet.SubscriptionID, eventID string) (freshet.Exchange, error) {
	doc, err := json.Marshal(map[string]string{"eventId": eventID})
	if err != nil {
		return freshet.Exchange{}, fmt.Errorf("redeliver: %w", err)
	}
	return c.attempt(ctx, id, ":redeliver", doc)
}

func (c *Client) attempt(ctx context.Context, id freshet.SubscriptionID, method string, doc []byte) (e freshet.Exchange, err error) {
	err = c.custom(ctx, id, method, doc, &e)
	return e, err
}

// custom calls a custom method and decodes its answer.
func (c *Client) custom(ctx context.Context, id freshet.SubscriptionID, method string, doc []byte, into any) error {
	if err := id.Validate(); err != nil {
		return fmt.Errorf("subscription %q: %w", id, err)
	}
	if _, err := c.exchange(ctx, http.MethodPost, c.base+"/v1/subscriptions/"+string(id)+method, doc, into, "Content-Type", "application/json"); err != nil {
		return fmt.Errorf("subscription %s: %w", id, err)
	}
	return nil
}

// ExchangeOptions chooses attempts. Without Since, Till and Event they are those of the last five minutes.
type ExchangeOptions struct {
	Since, Till time.Time
	Outcome     string // freshet.OutcomeDelivered or freshet.OutcomeFailed; empty: either
	Status      int    // of HTTP; 0: any
	Event       string // the id of an event, a delivery or an exchange
}

// Exchanges yields attempts to deliver to a subscription, the newest first. An error is the last item.
func (c *Client) Exchanges(ctx context.Context, id freshet.SubscriptionID, o ExchangeOptions) iter.Seq2[freshet.Exchange, error] {
	query := url.Values{}
	for name, t := range map[string]time.Time{"start": o.Since, "end": o.Till} {
		if !t.IsZero() {
			query.Set(name, t.UTC().Format(time.RFC3339))
		}
	}
	for name, value := range map[string]string{"outcome": o.Outcome, "event": o.Event} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if o.Status != 0 {
		query.Set("status", strconv.Itoa(o.Status))
	}
	return listed[freshet.Exchange](ctx, c, c.base+"/v1/subscriptions/"+url.PathEscape(string(id))+"/exchanges", query, 0, "list exchanges")
}

func (c *Client) subscription(ctx context.Context, method string, id freshet.SubscriptionID, custom string, doc []byte, o WriteOptions, pairs ...string) (s freshet.Subscription, etag string, err error) {
	if err := id.Validate(); err != nil {
		return s, "", fmt.Errorf("subscription %q: %w", id, err)
	}
	etag, err = c.exchange(ctx, method, c.base+"/v1/subscriptions/"+string(id)+custom+o.query(), doc, &s, append(pairs, "If-Match", o.IfMatch)...)
	if err != nil {
		return s, "", fmt.Errorf("subscription %s: %w", id, err)
	}
	return s, etag, nil
}
