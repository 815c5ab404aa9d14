// Package webhook posts events to an HTTP endpoint, signed as Standard Webhooks has it.
package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"freshet"
	"freshet/internal/egress"
	"freshet/internal/flow/delivery"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/credentials"
	"freshet/internal/flow/source/origin"
	"freshet/internal/settings"
	"freshet/webhooks"
)

type config struct {
	URL           settings.URL               `json:"url" required:"true" address:"true" doc:"Where events are posted to, http or https. Redirects are not followed"`
	Headers       settings.Headers           `json:"headers" doc:"Sent with each request"`
	Secrets       []settings.Secret          `json:"secrets" range:"0..2" doc:"By which requests are signed, as whsec_ and base64. Where the member is left out the server makes one, and shows it in the answer to what made it, and never again. Two of them sign while one replaces the other, as far as they can be had: receivers accept either. An empty list: requests are not signed"`
	Authorization *credentials.Authorization `json:"authorization" doc:"By what else requests are known, such as a token that OAuth 2.0 gives"`
	TLS           source.TLS                 `json:"tls" doc:"How connections are encrypted, beyond what is usual; https in url turns TLS on"`
	Timeout       freshet.Duration           `json:"timeout" default:"PT15S" range:"PT0.1S..PT1M" doc:"How long an attempt may take"`
	Retries       []freshet.Duration         `json:"retries" range:"0..100" doc:"How long after each failed attempt the next is made, and up to a tenth more; after the last the subscription is disabled. By default as Standard Webhooks recommends: PT5S, PT5M, PT30M, PT2H, PT5H, PT10H, PT14H, PT20H and PT24H"`
	Parallel      int                        `json:"parallel" default:"1" range:"1..100" doc:"How many requests may be under way at a time. With 1 events come in their order, and none before the one before it was accepted"`
	Rate          float64                    `json:"rate" range:"0..100000" doc:"How many requests a second there may be; 0: no bound"`
	Validate      bool                       `json:"validate" doc:"Ask the endpoint first whether it wants events from here, by the handshake of CloudEvents (HTTP Webhooks, section 4)"`
}

// Check is what the tags cannot say.
func (c *config) Check(v *settings.Verdict) {
	if c.TLS.Enabled {
		v.Say("/tls/enabled", "https in url says that")
	}
	if c.TLS.Custom() && strings.HasPrefix(string(c.URL), "http://") {
		v.Say("/tls", "is of no use: the URL begins with http://")
	}
	source.CheckHeaders(v, c.Headers, reserved(c.Authorization))
	for i, s := range c.Secrets {
		if _, err := webhooks.ParseSecret(string(s)); err != nil && !s.IsReference() {
			v.Say(fmt.Sprintf("/secrets/%d", i), "%v", err)
		}
	}
	for i, d := range c.Retries {
		if d < 0 || d > delivery.LongestRetry {
			v.Say(fmt.Sprintf("/retries/%d", i), "must be from PT0S to P7D, not %v", d)
		}
	}
}

// reserved are the headers that a request has of its own, and why they cannot be set.
func reserved(a *credentials.Authorization) map[string]string {
	all := map[string]string{}
	for _, name := range []string{"Content-Type", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature", "Webhook-Request-Origin"} {
		all[name] = "the request has it of its own"
	}
	for _, name := range a.Headers() {
		all[name] = "authorization sets it"
	}
	return all
}

const notes = `Each event is a ` + "`POST`" + ` with the event's data as JSON. Any status of 200 to 299 accepts it; anything else, and no answer within ` + "`timeout`" + `, makes the next attempt due. An endpoint that asks for a pause with ` + "`Retry-After`" + ` gets it, a day at most. 410 suspends the subscription: the endpoint wants nothing any more.

Requests are signed as [Standard Webhooks](https://www.standardwebhooks.com/) has it: ` + "`webhook-id`, `webhook-timestamp` and `webhook-signature`" + `. The id is the same in every attempt, and another for each event: receivers that keep the last ids recognize repeats. ` + "`Freshet-Subscription-Id`, `Freshet-Topic`, `Freshet-Event-Id` and `Freshet-Event-Type`" + ` say what the event is.

With ` + "`format: cloudevents-binary`" + ` the headers are those of CloudEvents besides; with ` + "`cloudevents-structured`" + ` the body is a CloudEvent. Batches are lists: of CloudEvents, or of ` + "`{id, type, time, data}`" + `.`

// Kind is the type webhook. Targets of one Kind share connections.
func Kind() delivery.Kind {
	p := newPool()
	return delivery.Kind{
		Name:     "webhook",
		Summary:  "Posts events to an HTTP endpoint, signed, in order, and until it accepts them.",
		Notes:    notes,
		Config:   config{},
		Check:    source.Check[config],
		Complete: complete,
		New: func(s *freshet.Subscription, env delivery.Env) (delivery.Target, error) {
			return newTarget(p, s, env)
		},
	}
}

// complete gives a subscription a secret that has not said what it wants.
func complete(conf json.RawMessage) (json.RawMessage, error) {
	members := map[string]json.RawMessage{}
	if len(conf) > 0 {
		if err := json.Unmarshal(conf, &members); err != nil {
			return conf, nil //nolint:nilerr // the check says what is wrong with it
		}
	}
	if secrets, ok := members["secrets"]; ok && string(secrets) != "null" {
		return conf, nil
	}
	_, text := webhooks.NewSecret()
	members["secrets"] = json.RawMessage(`["` + text + `"]`)
	whole, err := json.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("add a secret: %w", err)
	}
	return whole, nil
}

func newTarget(p *pool, s *freshet.Subscription, env delivery.Env) (delivery.Target, error) {
	t := &target{env: env, format: s.Format}
	if wrong := settings.Read(s.Config, &t.config); wrong != nil {
		return nil, wrong
	}
	var err error
	if t.at, err = egress.ParseURL(string(t.URL)); err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	if t.signer, err = t.Authorization.New(source.Env{Client: env.Client, Secure: env.Secure, Secrets: env.Secrets}); err != nil {
		return nil, err
	}
	if t.client, err = t.newClient(p); err != nil {
		return nil, err
	}
	if t.Rate > 0 {
		paced := &origin.Origins{Default: origin.Budget{Rate: t.Rate, Concurrency: t.Parallel}}
		t.paced = paced.Of(t.at)
	}
	return t, nil
}

// Plan is part of delivery.Planned.
func (t *target) Plan() (schedule []freshet.Duration, parallel int) {
	if t.Retries == nil {
		return delivery.Standard(), t.Parallel
	}
	return append([]freshet.Duration{0}, t.Retries...), t.Parallel
}

// validate makes the handshake (CloudEvents HTTP 1.1 Web Hooks for Event Delivery, 4), until the endpoint has said yes.
func (t *target) validate(ctx context.Context, d *delivery.Delivery) error {
	if !t.Validate || t.valid.Load() {
		return nil
	}
	allowed, err := t.ask(ctx, d)
	if err != nil {
		return err
	}
	if allowed != "*" && !strings.EqualFold(allowed, requestOrigin) {
		return delivery.Refusedf("the endpoint does not say that it wants events from here (WebHook-Allowed-Origin: %s)", requestOrigin)
	}
	t.valid.Store(true)
	return nil
}
