package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"freshet"
	"freshet/internal/egress"
	"freshet/internal/flow/delivery"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/credentials"
	"freshet/internal/flow/source/origin"
	"freshet/webhooks"
)

// requestOrigin is who asks an endpoint whether it wants events.
const requestOrigin = "freshet"

// longestPause is what an endpoint may ask for.
const longestPause = 24 * time.Hour

// A target posts to one endpoint.
type target struct {
	config
	env    delivery.Env
	at     *url.URL
	format string
	signer credentials.Signer
	client *client
	paced  *origin.Origin // keeps the rate; nil: there is no bound
	valid  atomic.Bool    // the endpoint wants events
	lacks  atomic.Bool    // that a secret cannot be had was logged
}

// newClient is a client of the endpoint's host. It speaks HTTP/1.1 and follows nothing.
func (t *target) newClient(p *pool) (*client, error) {
	c := &client{pool: p, address: egress.Address(t.at), dial: t.env.Dial, inUse: map[*conn]struct{}{}}
	c.key = t.at.Scheme + "://" + c.address
	if t.at.Scheme == "https" {
		config, err := t.TLS.Config(t.env.Secrets)
		if err != nil {
			return nil, err
		}
		if config.ServerName == "" {
			config.ServerName = t.at.Hostname()
		}
		c.secure = config
		if t.TLS != (source.TLS{}) { // whom they trust and who they are others need not be
			c.key = fmt.Sprintf("%s of %p", c.key, t)
		}
	}
	p.join(c.key)
	return c, nil
}

// Endpoint is the address, without its query.
func (t *target) Endpoint() string { return egress.Show(t.at) }

// Close ends the connections.
func (t *target) Close() { t.client.close() }

// Deliver posts the messages in one request.
func (t *target) Deliver(ctx context.Context, d *delivery.Delivery) error {
	d.Exchange.Request = delivery.Request{Method: http.MethodPost, To: egress.Show(t.at)}
	if err := t.validate(ctx, d); err != nil {
		return err
	}
	if t.paced != nil {
		done, err := t.paced.Acquire(ctx)
		if err != nil {
			return err
		}
		defer done()
	}
	again, err := t.post(ctx, d)
	if again {
		_, err = t.post(ctx, d)
	}
	return err
}

// post makes one request. again says that the same request may fare better with credentials that are fetched anew.
func (t *target) post(ctx context.Context, d *delivery.Delivery) (again bool, err error) {
	r, signed, err := t.request(ctx, d)
	if err != nil {
		return false, err
	}
	a, err := t.exchange(r, d)
	if err != nil {
		return false, err
	}
	err = t.judge(a)
	return err != nil && signed != nil && t.signer.Refused(&http.Response{StatusCode: a.status, Header: http.Header{}, Request: signed}), err
}

// exchange makes a request, and writes it and its answer down.
func (t *target) exchange(r *request, d *delivery.Delivery) (*answer, error) {
	at := &d.Exchange.Request
	head := t.client.pool.head()
	*head = r.append((*head)[:0], true)
	at.Method, at.Headers = r.method, string(*head)
	t.client.pool.heads.Put(head)
	at.Body, at.Size = t.client.pool.kept(r.body), len(r.body)
	a, err := t.client.do(r, time.Duration(t.Timeout))
	if err != nil {
		return nil, explain(err, t.Timeout)
	}
	header, body := a.shown(r.secrets())
	d.Exchange.Response = &delivery.Response{Status: a.status, Headers: header, Body: body, Size: len(a.body)}
	return a, nil
}

// judge says what an answer means.
func (t *target) judge(a *answer) error {
	if a.status >= 200 && a.status <= 299 {
		return nil
	}
	refusal := delivery.Refusedf("the endpoint answered %d %s", a.status, http.StatusText(a.status))
	refusal.Status, refusal.Gone = a.status, a.status == http.StatusGone
	refusal.RetryAfter = source.RetryAfter(a.header, longestPause)
	return refusal
}

// request makes the request. signed is what the authorization made of it, nil where there is none.
func (t *target) request(ctx context.Context, d *delivery.Delivery) (r *request, signed *http.Request, err error) {
	r = t.begin(http.MethodPost)
	headers, err := t.env.Secrets.RevealHeaders(t.Headers)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		r.set(name, headers[name], true)
	}
	t.fill(r, d)
	for _, a := range d.Labels(d.Messages[len(d.Messages)-1]) {
		r.add(a.Name, a.Value, false)
	}
	if err := t.sign(r, d.ID); err != nil {
		return nil, nil, err
	}
	if t.Authorization != nil {
		if signed, err = t.authorize(ctx, r); err != nil {
			return nil, nil, err
		}
	}
	return r, signed, r.check()
}

// begin makes a request to the endpoint.
func (t *target) begin(method string) *request {
	r := &request{method: method, to: t.at, fields: make([]field, 0, 12)}
	r.add("User-Agent", t.env.UserAgent, false)
	return r
}

// fill adds what is sent, and the headers that say what that is.
func (t *target) fill(r *request, d *delivery.Delivery) {
	structured := t.format == delivery.FormatStructured || t.format == delivery.FormatBinary && d.Batched // a batch is structured always
	one, contentType := delivery.Wrapped, "application/json"
	if structured {
		one = func(m delivery.Message) []byte { return delivery.Structured(d.Topic, m) }
	}
	switch {
	case d.Batched:
		r.body = delivery.List(d.Messages, one)
		if structured {
			contentType = "application/cloudevents-batch+json"
		}
	case structured:
		r.body, contentType = one(d.Messages[0]), "application/cloudevents+json"
	default:
		r.body = d.Messages[0].Data
	}
	r.set("Content-Type", contentType, false)
	if t.format == delivery.FormatBinary && !d.Batched {
		for _, a := range delivery.Attributes(d.Topic, d.Messages[0]) {
			if a.Name != "datacontenttype" { // Content-Type is
				r.add("ce-"+a.Name, a.Value, false)
			}
		}
	}
}

// sign adds the headers of Standard Webhooks. One of several secrets that cannot be had, as while one replaces the
// other, leaves the others in use: receivers accept any.
func (t *target) sign(r *request, id string) error {
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	r.add(webhooks.HeaderID, id, false)
	r.add(webhooks.HeaderTimestamp, timestamp, false)
	signatures := make([]byte, 0, 128)
	var lacking error
	for i, s := range t.Secrets {
		text, err := t.env.Secrets.Reveal(s)
		var secret webhooks.Secret
		if err == nil {
			secret, err = webhooks.ParseSecret(text)
		}
		if err != nil {
			lacking = fmt.Errorf("secrets/%d: %w", i, err)
			continue
		}
		if len(signatures) > 0 {
			signatures = append(signatures, ' ')
		}
		signatures = secret.AppendSign(signatures, id, timestamp, r.body)
	}
	switch {
	case lacking != nil && len(signatures) == 0:
		return lacking
	case lacking != nil && t.env.Log != nil && !t.lacks.Swap(true):
		t.env.Log.Warn("a secret of the subscription cannot be had, and the others sign", "err", lacking)
	}
	if len(signatures) > 0 {
		r.add(webhooks.HeaderSignature, string(signatures), false)
	}
	return nil
}

// authorize adds what the authorization adds.
func (t *target) authorize(ctx context.Context, r *request) (*http.Request, error) {
	plain, err := http.NewRequestWithContext(ctx, http.MethodPost, t.at.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	if err := t.signer.Sign(ctx, plain, r.body); err != nil {
		return nil, fmt.Errorf("authorization: %w", err)
	}
	secret := t.Authorization.Headers()
	for _, name := range slices.Sorted(maps.Keys(plain.Header)) {
		r.set(name, plain.Header.Get(name), slices.ContainsFunc(secret, func(s string) bool { return strings.EqualFold(s, name) }))
	}
	r.to = plain.URL
	return plain, nil
}

// ask is the handshake's request: the origin that the endpoint allows.
func (t *target) ask(ctx context.Context, d *delivery.Delivery) (allowed string, err error) {
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	r := t.begin(http.MethodOptions)
	r.add("WebHook-Request-Origin", requestOrigin, false)
	if t.Rate > 0 {
		r.add("WebHook-Request-Rate", strconv.Itoa(max(1, int(60*t.Rate))), false) // a minute
	}
	a, err := t.exchange(r, d)
	if err != nil {
		return "", err
	}
	if a.status < 200 || a.status > 299 {
		refusal := delivery.Refusedf("the endpoint answered %d to the question whether it wants events", a.status)
		refusal.Status, refusal.Gone = a.status, a.status == http.StatusGone
		return "", refusal
	}
	return a.header.Get("WebHook-Allowed-Origin"), nil
}

// explain says what went wrong in words for people; nothing of the address's query is in them.
func explain(err error, timeout freshet.Duration) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return delivery.Refusedf("no answer within %v", timeout)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return delivery.Refusedf("the endpoint closed the connection before its answer was complete")
	case strings.Contains(err.Error(), "malformed"): // quotes what came, which nobody knows
		return delivery.Refusedf("the endpoint's answer is no HTTP/1.1")
	}
	if unreached := delivery.Unreached("endpoint", err); unreached != nil {
		return unreached
	}
	return &delivery.Refusal{Err: fmt.Errorf("post: %w", err)}
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}
