package credentials

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"freshet"
	"freshet/internal/egress"
	"freshet/internal/flow/source"
	"freshet/internal/settings"
)

const (
	maxTokenAnswer = 1 << 20          // bytes of a token endpoint's answer
	tokenTimeout   = 30 * time.Second // of a request to it, at most
	longestEarly   = time.Minute      // before it expires a token is renewed …
	earlyPart      = 10               // … but no earlier than in the last tenth of its life
)

// tokens are those of oauth2 and jwt-bearer, of which there is one at a time.
type tokens struct {
	*Authorization
	at      *url.URL // Provider, parsed
	client  source.Client
	secrets settings.Vault
	busy    chan struct{} // holds one while a token is asked for

	mu    sync.Mutex
	token token // guarded by mu
	used  int   // guarded by mu: requests that had the token
}

// A token is what a token endpoint gave.
type token struct {
	value          string    // "": none
	renew, expires time.Time // when it should, and when it has to be another; zero: never
}

// Sign adds the token, which is asked for where there is none, once for all who wait.
func (t *tokens) Sign(ctx context.Context, r *http.Request, _ []byte) error {
	value, err := t.current(ctx)
	if err == nil {
		r.Header.Set("Authorization", "Bearer "+value)
	}
	return err
}

func (t *tokens) current(ctx context.Context) (string, error) {
	if value, fresh := t.held(); fresh {
		return value, nil
	}
	select {
	case t.busy <- struct{}{}:
	case <-ctx.Done():
		return "", &Error{Fault: source.Faultf(freshet.FaultConnection, "%s gave no token in time", t.who()), Passing: true, err: context.Cause(ctx)}
	}
	defer func() { <-t.busy }()
	value, fresh := t.held() // somebody else may have asked for it
	if fresh {
		return value, nil
	}
	got, err := t.ask(ctx)
	if err != nil {
		if value != "" && ctx.Err() == nil {
			return value, nil // it has not expired yet
		}
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.token, t.used = got, 1
	return got.value, nil
}

// held is the token while it has not expired, and whether it need not be renewed yet.
func (t *tokens) held() (value string, fresh bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	switch {
	case t.token.value == "" || !t.token.expires.IsZero() && !now.Before(t.token.expires):
		return "", false
	case !t.token.renew.IsZero() && !now.Before(t.token.renew):
		return t.token.value, false
	}
	t.used++
	return t.token.value, true
}

// Refused drops a token that was answered with 401. A new one is worth a try, unless that was new.
func (t *tokens) Refused(resp *http.Response) bool {
	if resp.StatusCode != http.StatusUnauthorized || resp.Request == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if resp.Request.Header.Get("Authorization") != "Bearer "+t.token.value {
		return true // there is another already, or none
	}
	again := t.used > 1
	t.token, t.used = token{}, 0
	return again
}

// who names the token endpoint.
func (t *tokens) who() string { return "the token endpoint " + egress.Show(t.at) }

// ask gets a token.
func (t *tokens) ask(ctx context.Context) (token, error) {
	form, user, secret, err := t.form()
	if err != nil {
		return token{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.at.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return token{}, misconfigured("authorization.provider cannot be asked")
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if user != "" {
		r.SetBasicAuth(user, secret)
	}
	begun := time.Now()
	resp, err := t.client.Do(r)
	if err != nil {
		f, passing := source.FaultOf(err)
		f.Message = t.who() + " cannot be asked: " + f.Message
		return token{}, &Error{Fault: f, Passing: passing, err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenAnswer))
	if err != nil {
		f, _ := source.FaultOf(err)
		f.Message = t.who() + " cannot be asked: " + f.Message
		return token{}, &Error{Fault: f, Passing: true, err: err}
	}
	if resp.StatusCode != http.StatusOK {
		return token{}, t.refused(resp, body)
	}
	return t.read(body, begun)
}

// form is what a token is asked for by.
func (t *tokens) form() (form url.Values, user, secret string, err error) {
	form = url.Values{}
	if t.Scope != "" {
		form.Set("scope", t.Scope)
	}
	if t.Type == "jwt-bearer" {
		assertion, err := t.assertion(time.Now())
		if err != nil {
			return nil, "", "", err
		}
		form.Set("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
		form.Set("assertion", assertion)
		return form, "", "", nil
	}
	if secret, err = t.secrets.Reveal(t.ClientSecret); err != nil {
		return nil, "", "", misconfigured("authorization.clientSecret: %v", err)
	}
	form.Set("grant_type", "client_credentials")
	if t.Audience != "" {
		form.Set("audience", t.Audience)
	}
	if t.Mode == "body" {
		form.Set("client_id", t.ClientID)
		form.Set("client_secret", secret)
		return form, "", "", nil
	}
	return form, url.QueryEscape(t.ClientID), url.QueryEscape(secret), nil // RFC 6749, 2.3.1
}

// refused is the error of an answer without a token. Of its words those alone are told that RFC 6749, 5.2,
// defines.
func (t *tokens) refused(resp *http.Response, body []byte) error {
	code := freshet.FaultOfStatus(resp.StatusCode)
	switch resp.StatusCode {
	case 301, 302, 303, 307, 308:
		return &Error{Fault: source.Faultf(freshet.FaultRedirect, "%s redirects, which is not followed: a token is asked for where authorization.provider says", t.who())}
	}
	text := strings.TrimSpace(strconv.Itoa(resp.StatusCode) + " " + http.StatusText(resp.StatusCode))
	var said struct {
		Error string `json:"error"`
	}
	known := []string{"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}
	if json.Unmarshal(body, &said) == nil && slices.Contains(known, said.Error) {
		text += " and " + said.Error
	}
	return &Error{
		Fault:      source.Faultf(code, "%s answered %s", t.who(), text),
		Passing:    resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout,
		RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
	}
}

// retryAfter is the time that a Retry-After (RFC 9110, 10.2.3) asks for; 0: none.
func retryAfter(field string, now time.Time) time.Duration {
	const longest = 24 * time.Hour
	if seconds, err := strconv.ParseUint(strings.TrimSpace(field), 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, longest)
	}
	if at, err := http.ParseTime(field); err == nil && at.After(now) {
		return min(at.Sub(now), longest)
	}
	return 0
}

// read is the token of an answer (RFC 6749, 5.1).
func (t *tokens) read(body []byte, begun time.Time) (token, error) {
	var said struct {
		Token   string          `json:"access_token"`
		Type    string          `json:"token_type"`
		Expires json.RawMessage `json:"expires_in"`
	}
	err := json.Unmarshal(body, &said)
	switch {
	case err != nil || said.Token == "" || !isFieldValue(said.Token):
		return token{}, &Error{Fault: source.Faultf(freshet.FaultFormat, "%s answered 200 OK without an access_token", t.who())}
	case said.Type != "" && !strings.EqualFold(said.Type, "Bearer"):
		return token{}, &Error{Fault: source.Faultf(freshet.FaultFormat, "%s gave a token that is not of type Bearer", t.who())}
	}
	got := token{value: said.Token}
	seconds, err := strconv.ParseFloat(strings.Trim(string(said.Expires), `"`), 64) // some write it as a text
	if err == nil && seconds > 0 && seconds < 1e9 {
		life := time.Duration(seconds * float64(time.Second))
		got.expires = begun.Add(life)
		got.renew = got.expires.Add(-min(longestEarly, life/earlyPart))
	}
	return got, nil
}
