package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"freshet"
	"freshet/internal/egress"
	"freshet/internal/flow/delivery"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/credentials"
	"freshet/internal/flow/source/origin"
	"freshet/internal/settings"
	"freshet/webhooks"
)

// requestOrigin is who asks an endpoint whether it wants events.
const requestOrigin = "freshet"

const (
	readOfResponse = 64 << 10 // bytes
	idleFor        = 90 * time.Second
	connectWithin  = 10 * time.Second
	longestPause   = 24 * time.Hour // that an endpoint may ask for
)

// A target posts to one endpoint.
type target struct {
	config
	env    delivery.Env
	at     *url.URL
	format string
	signer credentials.Signer
	client *fasthttp.HostClient
	paced  *origin.Origin // keeps the rate; nil: there is no bound
	valid  atomic.Bool    // the endpoint wants events

	mu     sync.Mutex
	conns  map[*conn]struct{}
	closed bool
}

// newClient is a client of the endpoint's host. fasthttp needs half the processor time of net/http for a post;
// what it lacks, HTTP/2 and redirects, is not needed here.
func (t *target) newClient() (*fasthttp.HostClient, error) {
	secure := t.at.Scheme == "https"
	port := t.at.Port()
	if port == "" {
		if port = "80"; secure {
			port = "443"
		}
	}
	c := &fasthttp.HostClient{
		Addr:                          net.JoinHostPort(t.at.Hostname(), port),
		IsTLS:                         secure,
		Dial:                          t.dial,
		NoDefaultUserAgentHeader:      true,
		DisableHeaderNamesNormalizing: true,
		DisablePathNormalizing:        true,
		MaxConns:                      t.Parallel,
		MaxConnWaitTimeout:            connectWithin,
		MaxIdleConnDuration:           idleFor,
		MaxResponseBodySize:           readOfResponse,
		WriteBufferSize:               32 << 10, // most requests take one write
		RetryIfErr: func(_ *fasthttp.Request, attempts int, err error) (resetTimeout, retry bool) {
			return false, errors.Is(err, errStale) && attempts < 3 // nothing of the request was sent
		},
	}
	if secure {
		config, err := t.TLS.Config(t.env.Secrets)
		if err != nil {
			return nil, err
		}
		if config.ServerName == "" {
			config.ServerName = t.at.Hostname()
		}
		c.TLSConfig = config
	}
	return c, nil
}

// Endpoint is the address, without its query.
func (t *target) Endpoint() string { return egress.Show(t.at) }

func (t *target) dial(address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), connectWithin)
	defer cancel()
	nc, err := t.env.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, left: t.left}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		_ = nc.Close()
		return nil, net.ErrClosed
	}
	if t.conns == nil {
		t.conns = map[*conn]struct{}{}
	}
	t.conns[c] = struct{}{}
	return c, nil
}

func (t *target) left(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
}

// Close ends the connections.
func (t *target) Close() {
	t.mu.Lock()
	t.closed = true
	conns := t.conns
	t.conns = nil
	t.mu.Unlock()
	for c := range conns {
		_ = c.Conn.Close()
	}
	t.client.CloseIdleConnections()
}

// Deliver posts the messages in one request.
func (t *target) Deliver(ctx context.Context, d *delivery.Delivery) error {
	d.Exchange.Request = delivery.Request{Method: http.MethodPost, To: egress.Show(t.at)}
	if err := t.validate(ctx); err != nil {
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
	r, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(r)
	defer fasthttp.ReleaseResponse(resp)
	body, secret, signed, err := t.fill(ctx, r, d)
	if err != nil {
		return false, err
	}
	d.Exchange.Request.Headers = strings.Replace(masked(r.Header.Header(), secret), t.at.Scheme+"://"+t.at.Host, "", 1)
	d.Exchange.Request.Body, d.Exchange.Request.Size = delivery.KeepRequest(body), len(body)
	r.SetTimeout(time.Duration(t.Timeout))
	err = t.client.Do(r, resp)
	if err != nil && !errors.Is(err, fasthttp.ErrBodyTooLarge) {
		return false, explain(err, t.Timeout)
	}
	err = t.judge(resp, d)
	return err != nil && signed != nil && t.signer.Refused(&http.Response{StatusCode: resp.StatusCode(), Header: http.Header{}, Request: signed}), err
}

// judge says what an answer means.
func (t *target) judge(resp *fasthttp.Response, d *delivery.Delivery) error {
	status := resp.StatusCode()
	d.Exchange.Response = &delivery.Response{
		Status: status, Headers: masked(resp.Header.Header(), []string{"Set-Cookie"}), Body: delivery.KeepResponse(resp.Body()), Size: len(resp.Body()),
	}
	if status >= 200 && status <= 299 {
		return nil
	}
	refusal := delivery.Refusedf("the endpoint answered %d %s", status, http.StatusText(status))
	refusal.Status, refusal.Gone = status, status == http.StatusGone
	header := http.Header{"Retry-After": {peek(resp, "Retry-After")}, "Date": {peek(resp, "Date")}}
	refusal.RetryAfter = source.RetryAfter(header, longestPause)
	return refusal
}

// fill makes the request. secret are the names of the headers that are not to be written down; signed is what the
// authorization made of it, nil where there is none.
func (t *target) fill(ctx context.Context, r *fasthttp.Request, d *delivery.Delivery) (body []byte, secret []string, signed *http.Request, err error) {
	t.begin(r, http.MethodPost)
	headers, err := t.env.Secrets.RevealHeaders(t.Headers)
	if err != nil {
		return nil, nil, nil, err
	}
	for name, value := range headers {
		r.Header.Set(name, value)
		secret = append(secret, name)
	}
	body = t.body(r, d)
	r.SetBodyRaw(body)
	last := d.Messages[len(d.Messages)-1]
	r.Header.Set("Freshet-Subscription-Id", string(d.Subscription))
	r.Header.Set("Freshet-Topic", string(d.Topic))
	r.Header.Set("Freshet-Event-Id", last.MessageID())
	r.Header.Set("Freshet-Event-Type", string(last.Type))
	if last.Reset != "" {
		r.Header.Set("Freshet-Reset", last.Reset)
	}
	if err := t.sign(r, d.ID, body); err != nil {
		return nil, nil, nil, err
	}
	if t.Authorization == nil {
		return body, secret, nil, nil
	}
	signed, err = t.authorize(ctx, r, body)
	return body, append(secret, t.Authorization.Headers()...), signed, err
}

// begin makes a request to the endpoint.
func (t *target) begin(r *fasthttp.Request, method string) {
	r.Header.DisableNormalizing()
	r.SetRequestURI(t.at.String())
	r.URI().DisablePathNormalizing = true
	r.Header.SetMethod(method)
	r.Header.SetUserAgent(t.env.UserAgent)
}

// body is what is sent, with the headers that say what that is.
func (t *target) body(r *fasthttp.Request, d *delivery.Delivery) []byte {
	structured := t.format == delivery.FormatStructured || t.format == delivery.FormatBinary && d.Batched // a batch is structured always
	one := delivery.Wrapped
	if structured {
		one = func(m delivery.Message) []byte { return delivery.Structured(d.Topic, m) }
	}
	switch {
	case d.Batched && structured:
		r.Header.SetContentType("application/cloudevents-batch+json")
		return delivery.List(d.Messages, one)
	case d.Batched:
		r.Header.SetContentType("application/json")
		return delivery.List(d.Messages, one)
	case structured:
		r.Header.SetContentType("application/cloudevents+json")
		return one(d.Messages[0])
	}
	r.Header.SetContentType("application/json")
	if t.format == delivery.FormatBinary {
		for _, a := range delivery.Attributes(d.Topic, d.Messages[0]) {
			if a.Name != "datacontenttype" { // Content-Type is
				r.Header.Set("ce-"+a.Name, a.Value)
			}
		}
	}
	return d.Messages[0].Data
}

// sign adds the headers of Standard Webhooks.
func (t *target) sign(r *fasthttp.Request, id string, body []byte) error {
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	r.Header.Set(webhooks.HeaderID, id)
	r.Header.Set(webhooks.HeaderTimestamp, timestamp)
	signatures := make([]byte, 0, 128)
	for i, s := range t.Secrets {
		text, err := t.env.Secrets.Reveal(s)
		if err != nil {
			return fmt.Errorf("secrets/%d: %w", i, err)
		}
		secret, err := webhooks.ParseSecret(text)
		if err != nil {
			return fmt.Errorf("secrets/%d: %w", i, err)
		}
		if i > 0 {
			signatures = append(signatures, ' ')
		}
		signatures = secret.AppendSign(signatures, id, timestamp, body)
	}
	if len(signatures) > 0 {
		r.Header.SetBytesV(webhooks.HeaderSignature, signatures)
	}
	return nil
}

// authorize adds what the authorization adds.
func (t *target) authorize(ctx context.Context, r *fasthttp.Request, body []byte) (*http.Request, error) {
	plain, err := http.NewRequestWithContext(ctx, http.MethodPost, t.at.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	if err := t.signer.Sign(ctx, plain, body); err != nil {
		return nil, fmt.Errorf("authorization: %w", err)
	}
	for name, values := range plain.Header {
		r.Header.Set(name, values[0])
	}
	if plain.URL.RawQuery != t.at.RawQuery {
		r.URI().SetQueryString(plain.URL.RawQuery)
	}
	return plain, nil
}

// masked is a header without the values of some fields, nor what tells more of the address than its path.
func masked(header []byte, names []string) string {
	text := strings.TrimSpace(string(header))
	first, _, _ := strings.Cut(text, "\r\n")
	query := strings.Contains(first, "?")
	if len(names) == 0 && !query {
		return text
	}
	lines := strings.Split(text, "\r\n")
	if query {
		before, after, _ := strings.Cut(first, "?")
		_, protocol, _ := strings.Cut(after, " ")
		lines[0] = before + "?" + settings.Masked + " " + protocol
	}
	for i, line := range lines {
		name, _, ok := strings.Cut(line, ":")
		for _, secret := range names {
			if ok && strings.EqualFold(name, secret) {
				lines[i] = name + ": " + settings.Masked
			}
		}
	}
	return strings.Join(lines, "\r\n")
}

// ask is the handshake's request: the origin that the endpoint allows.
func (t *target) ask(ctx context.Context) (allowed string, err error) {
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	r, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(r)
	defer fasthttp.ReleaseResponse(resp)
	t.begin(r, http.MethodOptions)
	r.Header.Set("WebHook-Request-Origin", requestOrigin)
	if t.Rate > 0 {
		r.Header.Set("WebHook-Request-Rate", strconv.Itoa(max(1, int(60*t.Rate)))) // a minute
	}
	r.SetTimeout(time.Duration(t.Timeout))
	if err := t.client.Do(r, resp); err != nil {
		return "", explain(err, t.Timeout)
	}
	if status := resp.StatusCode(); status < 200 || status > 299 {
		refusal := delivery.Refusedf("the endpoint answered %d to the question whether it wants events", status)
		refusal.Status, refusal.Gone = status, status == http.StatusGone
		return "", refusal
	}
	return peek(resp, "WebHook-Allowed-Origin"), nil
}

// peek is a field of an answer, however its name is spelled.
func peek(resp *fasthttp.Response, name string) (found string) {
	for key, value := range resp.Header.All() {
		if strings.EqualFold(string(key), name) {
			found = string(value)
		}
	}
	return found
}

// explain says what went wrong in words for people; nothing of the address's query is in them.
func explain(err error, timeout freshet.Duration) error {
	var dns *net.DNSError
	switch {
	case errors.Is(err, fasthttp.ErrTimeout), errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return delivery.Refusedf("no answer within %v", timeout)
	case errors.Is(err, fasthttp.ErrConnectionClosed):
		return delivery.Refusedf("the endpoint closed the connection without an answer")
	case errors.As(err, &dns):
		return delivery.Refusedf("the endpoint's host is not known: %s", dns.Name)
	}
	return &delivery.Refusal{Err: fmt.Errorf("post: %w", err)}
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}
