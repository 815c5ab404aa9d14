package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"freshet"
	"freshet/internal/flow/delivery"
	"freshet/internal/search"
	"freshet/internal/strict"
	"freshet/internal/subscriptions"
)

// provisioned is the part of /v1 about stored subscriptions.
type provisioned struct {
	management
	registry   *subscriptions.Registry
	deliveries *delivery.Deliveries
}

func (p *provisioned) table() map[string]http.Handler {
	return map[string]http.Handler{
		"GET /v1/topics/{topic}/subscriptions":  p.handle(p.list),
		"POST /v1/topics/{topic}/subscriptions": p.handle(p.create),
		"GET /v1/subscriptions":                 p.handle(p.list),
		"GET /v1/subscriptions/{id}":            p.handle(p.get),
		"PATCH /v1/subscriptions/{id}":          p.handle(p.patch),
		"DELETE /v1/subscriptions/{id}":         p.handle(p.remove),
		"POST /v1/subscriptions/{id}":           p.handle(p.custom),
		"GET /v1/subscriptions/{id}/exchanges":  p.handle(p.exchanges),
	}
}

func subscriptionOf(r *http.Request) freshet.SubscriptionID {
	return freshet.SubscriptionID(r.PathValue("id"))
}

func (p *provisioned) get(w http.ResponseWriter, r *http.Request) error {
	if err := onlyParameters(r); err != nil {
		return err
	}
	s, version, err := p.registry.Get(subscriptionOf(r))
	if err != nil {
		return err
	}
	return showSubscription(w, http.StatusOK, s, version)
}

func showSubscription(w http.ResponseWriter, status int, s freshet.Subscription, version string) error {
	if version != "" {
		w.Header().Set("ETag", `"`+version+`"`)
	}
	return answer(w, status, s)
}

func (p *provisioned) create(w http.ResponseWriter, r *http.Request) error {
	document, write, err := p.read(w, r, "application/json")
	if err != nil {
		return err
	}
	s, version, err := p.registry.Create(r.Context(), nameOf(r), document, write.DryRun)
	if err != nil {
		return err
	}
	if write.DryRun {
		return showSubscription(w, http.StatusOK, s, "")
	}
	w.Header().Set("Location", "/v1/subscriptions/"+string(s.ID))
	return showSubscription(w, http.StatusCreated, s, version)
}

func (p *provisioned) patch(w http.ResponseWriter, r *http.Request) error {
	document, write, err := p.read(w, r, "application/merge-patch+json", "application/json")
	if err != nil {
		return err
	}
	s, version, err := p.registry.Patch(r.Context(), subscriptionOf(r), document, write.Match, write.DryRun)
	if err != nil {
		return err
	}
	return showSubscription(w, http.StatusOK, s, version)
}

func (p *provisioned) remove(w http.ResponseWriter, r *http.Request) error {
	write, err := preconditions(r)
	if err != nil {
		return err
	}
	if err := p.registry.Delete(r.Context(), subscriptionOf(r), write.Match, write.DryRun); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (p *provisioned) list(w http.ResponseWriter, r *http.Request) error {
	q, err := listQuery(r, subscriptions.ParseOrder, subscriptions.ParseSearch)
	if err != nil {
		return err
	}
	topic := nameOf(r)
	if topic != "" {
		if _, err := p.catalog.Get(topic); err != nil {
			return err
		}
	}
	found, total := p.registry.List(topic, q)
	return writePage(w, r, found, q.Page, q.PageSize, total)
}

// custom answers a POST to a subscription: its custom methods.
func (p *provisioned) custom(w http.ResponseWriter, r *http.Request) error {
	id, method, ok := strings.Cut(r.PathValue("id"), ":")
	if !ok {
		return known(errMethod, "POST /v1/subscriptions/{id}:test, :redeliver, :recover and :skip are what there is; a subscription is changed with PATCH", map[string]string{"Allow": "DELETE, GET, HEAD, PATCH"})
	}
	if err := onlyParameters(r); err != nil {
		return err
	}
	s, err := p.registry.Whole(freshet.SubscriptionID(id))
	if err != nil {
		return err
	}
	switch method {
	case "test":
		return p.test(w, r, s)
	case "redeliver":
		return p.redeliver(w, r, s)
	case "recover":
		return p.recover(w, r, s)
	case "skip":
		return p.skip(w, r, s)
	}
	return fmt.Errorf("%w: a subscription has the methods :test, :redeliver, :recover and :skip, not :%.40s", errResource, method)
}

// body is what a custom method was sent; nothing, where that is nothing.
func body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	document, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDocument))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, fmt.Errorf("the body may have %s: %w", freshet.Bytes(maxDocument), freshet.ErrTooLarge)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBodyCut, err)
	}
	if len(document) == 0 {
		return nil, nil
	}
	return document, requireJSON(r, "application/json")
}

func (p *provisioned) test(w http.ResponseWriter, r *http.Request, s *freshet.Subscription) error {
	data, err := body(w, r)
	if err != nil {
		return err
	}
	if data == nil {
		data = []byte(`{"test":true}`)
	}
	var value json.RawMessage
	if bad := strict.Decode(data, &value); bad != nil {
		return bad
	}
	e, err := p.deliveries.Test(r.Context(), s, value)
	if err != nil {
		return err
	}
	return answer(w, http.StatusAccepted, e)
}

func (p *provisioned) redeliver(w http.ResponseWriter, r *http.Request, s *freshet.Subscription) error {
	var ask struct {
		EventID string `json:"eventId"`
	}
	if err := decodeBody(w, r, &ask); err != nil {
		return err
	}
	if ask.EventID == "" {
		return freshet.Invalid{{Pointer: "/eventId", Detail: "required: the id of the event that is to be delivered again"}}
	}
	e, err := p.deliveries.Redeliver(r.Context(), s, ask.EventID)
	if err != nil {
		return err
	}
	return answer(w, http.StatusAccepted, e)
}

// recover sets a subscription back, and to work again where it was disabled or suspended.
func (p *provisioned) recover(w http.ResponseWriter, r *http.Request, s *freshet.Subscription) error {
	var ask struct {
		Since time.Time `json:"since"`
	}
	if err := decodeBody(w, r, &ask); err != nil {
		return err
	}
	if ask.Since.IsZero() {
		return freshet.Invalid{{Pointer: "/since", Detail: "required: the time from which on everything is delivered again, such as 2006-01-02T15:04:05Z"}}
	}
	if bad := subscriptions.CheckPast("/since", ask.Since); bad != nil {
		return bad
	}
	if err := p.deliveries.Rewind(r.Context(), s, ask.Since); err != nil {
		return err
	}
	shown, version, err := p.registry.Patch(r.Context(), s.ID, []byte(`{"status":"active"}`), nil, false)
	if err != nil {
		return err
	}
	return showSubscription(w, http.StatusAccepted, shown, version)
}

// skip has a subscription go on after what could not be delivered, also where it was disabled for that.
func (p *provisioned) skip(w http.ResponseWriter, r *http.Request, s *freshet.Subscription) error {
	var ask struct {
		EventID string `json:"eventId"`
	}
	if err := decodeBody(w, r, &ask); err != nil {
		return err
	}
	skipped, err := p.deliveries.Skip(r.Context(), s, ask.EventID)
	if err != nil {
		return err
	}
	shown, _, err := p.registry.Patch(r.Context(), s.ID, []byte(`{"status":"active"}`), nil, false)
	if err != nil {
		return err
	}
	return answer(w, http.StatusAccepted, struct {
		delivery.Skipped
		Subscription freshet.Subscription `json:"subscription"`
	}{skipped, shown})
}

func decodeBody(w http.ResponseWriter, r *http.Request, into any) error {
	document, err := body(w, r)
	if err != nil {
		return err
	}
	if document == nil {
		document = []byte("{}")
	}
	if bad := strict.Decode(document, into); bad != nil {
		return bad
	}
	return nil
}

// lastExchanges is the time of which exchanges are shown where the request says nothing, as the incumbent's.
const lastExchanges = 5 * time.Minute

// exchanges lists attempts, the newest first.
func (p *provisioned) exchanges(w http.ResponseWriter, r *http.Request) error {
	if err := onlyParameters(r, "start", "end", "status", "outcome", "event", "page", "pageSize"); err != nil {
		return err
	}
	if _, err := p.registry.Whole(subscriptionOf(r)); err != nil {
		return err
	}
	values := r.URL.Query()
	f := delivery.Filter{Subscription: subscriptionOf(r), EventID: values.Get("event"), Outcome: values.Get("outcome")}
	var err error
	if f.Since, err = timeOf(values.Get("start"), "start"); err != nil {
		return err
	}
	if f.Till, err = timeOf(values.Get("end"), "end"); err != nil {
		return err
	}
	if f.Since.IsZero() && f.Till.IsZero() && f.EventID == "" {
		f.Since = time.Now().Add(-lastExchanges)
	}
	switch f.Outcome {
	case "", delivery.OutcomeDelivered, delivery.OutcomeFailed:
	default:
		return badParameter("outcome", "%.40q is neither delivered nor failed", f.Outcome)
	}
	if s := values.Get("status"); s != "" {
		if f.Status, err = strconv.Atoi(s); err != nil || f.Status < 100 || f.Status > 599 {
			return badParameter("status", "%.40q is not a status of HTTP, 100 to 599", s)
		}
	}
	number, size, err := pageOf(values)
	if err != nil {
		return err
	}
	found, err := p.deliveries.Exchanges.Find(f)
	if err != nil {
		return err
	}
	return writePage(w, r, search.Page(found, number, size), number, size, len(found))
}

func timeOf(s, name string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, badParameter(name, "%.60q is not an RFC 3339 time such as 2006-01-02T15:04:05Z", s)
	}
	return t, nil
}
