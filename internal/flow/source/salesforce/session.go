package salesforce

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strconv"
	"strings"
	"time"

	"freshet"
	"freshet/internal/flow/source"
)

const (
	shortTimeout = 30 * time.Second  // of requests that are answered at once
	holdTimeout  = 110 * time.Second // for which a connect is held where the server does not say …
	holdMost     = 10 * time.Minute  // … and at most
	holdSlack    = 20 * time.Second  // beyond what it says
	leaveTimeout = 500 * time.Millisecond

	maxAnswer = 64 << 20 // bytes of an answer, which may hold many events

	batchEvents = 256
	batchBytes  = 1 << 20
)

// errAnew ends a session that has to begin anew.
var errAnew = errors.New("the session has to begin anew")

// A refusal is a request that Salesforce did not grant.
type refusal struct {
	freshet.Fault
	passing bool
}

func (r *refusal) Unwrap() error { return r.Fault }

func refused(passing bool, code int, format string, args ...any) error {
	return &refusal{source.Faultf(code, format, args...), passing}
}

// codeOf is the fault's code of an HTTP status.
func codeOf(status int) int {
	switch status {
	case 400, 401, 403, 404, 405, 406, 408, 410, 429, 500, 502, 503, 504:
		return freshet.FaultHTTP + status
	}
	return freshet.FaultPublication
}

// A message is one of Bayeux, in either direction.
type message struct {
	Channel      string          `json:"channel"`
	ID           any             `json:"id,omitempty"` // a text; of events some servers make a number of it
	ClientID     string          `json:"clientId,omitempty"`
	Subscription string          `json:"subscription,omitempty"`
	Ext          json.RawMessage `json:"ext,omitempty"`
	Advice       *advice         `json:"advice,omitempty"`

	Version        string   `json:"version,omitempty"`
	MinimumVersion string   `json:"minimumVersion,omitempty"`
	Types          []string `json:"supportedConnectionTypes,omitempty"`
	Type           string   `json:"connectionType,omitempty"`

	Successful bool            `json:"successful,omitempty"`
	Error      string          `json:"error,omitempty"`
	Data       json.RawMessage `json:"data,omitempty"`
}

// advice is what the server wants of its client (Bayeux 1.0, 3.3).
type advice struct {
	Reconnect string   `json:"reconnect,omitempty"` // retry, handshake or none
	Interval  *float64 `json:"interval,omitempty"`  // milliseconds before the next connect
	Timeout   *float64 `json:"timeout,omitempty"`   // milliseconds for which a connect is held
}

// A session is what is between a handshake and the end of what it began.
type session struct {
	*follower
	to  source.Sink
	jar *cookiejar.Jar // Salesforce finds the server of a session by its cookies

	client    string // the id that the handshake gave
	sent      int
	reconnect string
	interval  time.Duration
	hold      time.Duration
	up        bool // it was connected

	lastAnswer *http.Response // for the request that it answers

	batch []source.Payload
	bytes int
	id    int64 // of the last event in the batch
}

func newSession(f *follower, to source.Sink) *session {
	jar, _ := cookiejar.New(nil) // never fails
	return &session{follower: f, to: to, jar: jar, hold: holdTimeout}
}

// follow shakes hands, subscribes and hands over what comes, until the session ends. It never returns nil.
//
// Where an answer got lost, events may have been in it that the server will not send again in this session. So
// a session goes on after nothing that went wrong: the next one asks for what came after the last event.
func (s *session) follow(ctx context.Context) error {
	if err := s.handshake(ctx); err != nil {
		return err
	}
	if err := s.subscribe(ctx); err != nil {
		return err
	}
	for {
		begun := time.Now()
		if err := s.connect(ctx); err != nil {
			return err
		}
		s.up = true
		s.to.Unchanged(ctx, time.Now(), time.Since(begun))
		switch s.reconnect {
		case "handshake":
			return errAnew
		case "none":
			return refused(false, freshet.FaultPublication, "Salesforce ended the session and wants no other for now")
		}
		if !source.Sleep(ctx, s.interval) {
			return context.Cause(ctx)
		}
	}
}

func (s *session) handshake(ctx context.Context) error {
	reply, err := s.ask(ctx, shortTimeout, message{
		Channel: "/meta/handshake", Version: "1.0", MinimumVersion: "1.0", Types: []string{"long-polling"}, Ext: json.RawMessage(`{"replay":true}`),
	})
	switch {
	case err != nil:
		return err
	case !reply.Successful || reply.ClientID == "":
		return s.denied(reply, "the handshake")
	}
	s.client = reply.ClientID
	return nil
}

// subscribe asks for what comes after the last event. What is no longer kept is asked for in vain: then, for
// the oldest that is.
func (s *session) subscribe(ctx context.Context) error {
	from := s.last
	if from == replayNone {
		from = replayLatest
		if s.ReplayFrom == "earliest" {
			from = replayEarliest
		}
	}
	reply, err := s.subscribeFrom(ctx, from)
	if err != nil {
		return err
	}
	if !reply.Successful && from > 0 && statusOf(reply) == http.StatusBadRequest {
		if reply, err = s.subscribeFrom(ctx, replayEarliest); err != nil {
			return err
		}
		if reply.Successful {
			s.to.Fault(ctx, source.Faultf(freshet.FaultPublication, "Salesforce does not know the last event any more (replay id %d): events may be missing. The topic goes on with the oldest that is kept", from), 0)
		}
	}
	if !reply.Successful {
		return s.denied(reply, "the subscription to "+s.Channel)
	}
	return nil
}

func (s *session) subscribeFrom(ctx context.Context, id int64) (message, error) {
	ext, err := json.Marshal(map[string]map[string]int64{"replay": {s.Channel: id}})
	if err != nil {
		return message{}, fmt.Errorf("subscribe: %w", err) // cannot be
	}
	return s.ask(ctx, shortTimeout, message{Channel: "/meta/subscribe", ClientID: s.client, Subscription: s.Channel, Ext: ext})
}

// connect waits for events.
func (s *session) connect(ctx context.Context) error {
	ask := message{Channel: "/meta/connect", ClientID: s.client, Type: "long-polling"}
	if !s.up { // the first one says that the session is there
		zero := 0.0
		ask.Advice = &advice{Timeout: &zero}
	}
	reply, err := s.ask(ctx, s.hold+holdSlack, ask)
	switch {
	case err != nil:
		return err
	case !reply.Successful:
		return s.denied(reply, "the connection")
	}
	return nil
}

// leave ends the session on the server, if that is quick: it counts clients.
func (s *session) leave(ctx context.Context) {
	if s.client == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	_, _ = s.ask(ctx, leaveTimeout, message{Channel: "/meta/disconnect", ClientID: s.client})
}

// statusOf is the code at the beginning of a reply's error (Bayeux 1.0, 3.4); 0 where there is none.
func statusOf(m message) int {
	code, _, _ := strings.Cut(m.Error, ":")
	n, err := strconv.Atoi(code)
	if err != nil || n < 100 || n > 599 {
		return 0
	}
	return n
}

// denied is why a reply was not successful. None of its words are told.
func (s *session) denied(m message, what string) error {
	var ext struct {
		SFDC struct {
			Reason string `json:"failureReason"`
		} `json:"sfdc"`
	}
	_ = json.Unmarshal(m.Ext, &ext) // there may be none
	status := statusOf(m)
	if deeper := statusOf(message{Error: ext.SFDC.Reason}); deeper > 0 {
		status = deeper
	}
	known := !strings.Contains(m.Error, "Unknown client") && status != http.StatusPaymentRequired // CometD: 402::Unknown client
	switch {
	case status == http.StatusUnauthorized && known:
		if s.dropToken(nil) {
			return errAnew
		}
		return refused(false, freshet.FaultHTTP+http.StatusUnauthorized, "Salesforce refused %s: it does not take the token that loginUrl gave", what)
	case !known || s.reconnect == "handshake":
		return errAnew
	case status == 0:
		return refused(s.reconnect != "none", freshet.FaultPublication, "Salesforce refused %s", what)
	}
	passing := status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
	return refused(passing, codeOf(status), "Salesforce refused %s with %s", what, strings.TrimSpace(strconv.Itoa(status)+" "+http.StatusText(status)))
}

// dropToken says whether another token may be better than the one that a request had; nil: the session's last.
func (s *session) dropToken(resp *http.Response) bool {
	if resp == nil {
		resp = s.lastAnswer
	}
	return resp != nil && s.signer.Refused(&http.Response{StatusCode: http.StatusUnauthorized, Request: resp.Request})
}

// ask sends a message and returns the reply to it. Events that come along are handed over.
func (s *session) ask(ctx context.Context, longest time.Duration, m message) (message, error) {
	s.sent++
	m.ID = strconv.Itoa(s.sent)
	limited, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	resp, err := s.send(limited, m)
	if err != nil {
		return message{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	s.jar.SetCookies(s.at, resp.Cookies())
	if resp.StatusCode != http.StatusOK {
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
		return message{}, s.unexpected(resp)
	}
	return s.read(ctx, resp.Body, m)
}

func (s *session) send(ctx context.Context, m message) (*http.Response, error) {
	body, err := json.Marshal([]message{m})
	if err != nil {
		return nil, fmt.Errorf("make the message: %w", err) // cannot be
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.at.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	for _, c := range s.jar.Cookies(s.at) {
		r.AddCookie(c)
	}
	if err := s.signer.Sign(ctx, r, body); err != nil {
		return nil, fmt.Errorf("ask Salesforce: %w", err)
	}
	resp, err := s.follower.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask Salesforce: %w", err)
	}
	s.lastAnswer = resp
	return resp, nil
}

// unexpected is an answer that is none of Bayeux.
func (s *session) unexpected(resp *http.Response) error {
	if resp.StatusCode == http.StatusUnauthorized && s.dropToken(resp) {
		return errAnew
	}
	passing := resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout
	code := codeOf(resp.StatusCode)
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		code = freshet.FaultRedirect
	}
	return refused(passing, code, "Salesforce answered %s", strings.TrimSpace(strconv.Itoa(resp.StatusCode)+" "+http.StatusText(resp.StatusCode)))
}

// read reads an answer message by message, hands events over, and returns the reply to what was asked.
func (s *session) read(ctx context.Context, body io.Reader, asked message) (message, error) {
	var reply *message
	limited := &io.LimitedReader{R: body, N: maxAnswer}
	dec := json.NewDecoder(limited)
	open, err := dec.Token()
	if err == nil && open != json.Delim('[') {
		return message{}, errNotBayeux()
	}
	for err == nil && dec.More() {
		var m message
		if err = dec.Decode(&m); err != nil {
			break
		}
		switch {
		case m.Channel == asked.Channel:
			s.heed(m.Advice)
			reply = &m
		case m.Channel == s.Channel:
			if !s.take(ctx, m.Data) {
				return message{}, context.Cause(ctx)
			}
		}
	}
	if err == nil {
		_, err = dec.Token()
	}
	if !s.flush(ctx) { // what came is there, whatever is wrong with the rest
		return message{}, context.Cause(ctx)
	}
	syntax, isSyntax := errors.AsType[*json.SyntaxError](err)
	wrongType, isType := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case err != nil && limited.N <= 0:
		return message{}, refused(true, freshet.FaultSize, "Salesforce's answer is larger than %v", freshet.Bytes(maxAnswer))
	case isSyntax && syntax != nil, isType && wrongType != nil:
		return message{}, errNotBayeux()
	case err != nil:
		return message{}, fmt.Errorf("read Salesforce's answer: %w", err)
	case reply == nil:
		return message{}, errNotBayeux()
	}
	return *reply, nil
}

func errNotBayeux() error {
	return refused(true, freshet.FaultFormat, "Salesforce's answer is not one of Bayeux: is instanceUrl the address of the organisation?")
}

// heed takes note of an advice.
func (s *session) heed(a *advice) {
	if a == nil {
		return
	}
	s.reconnect = cmp.Or(a.Reconnect, s.reconnect)
	if a.Interval != nil {
		s.interval = milliseconds(*a.Interval)
	}
	if a.Timeout != nil {
		s.hold = milliseconds(*a.Timeout)
	}
}

func milliseconds(n float64) time.Duration {
	return time.Duration(min(max(n, 0), float64(holdMost.Milliseconds()))) * time.Millisecond
}

// take hands an event over, together with others that are there. It returns false once ctx has ended.
func (s *session) take(ctx context.Context, data json.RawMessage) bool {
	var is struct {
		Event struct {
			ReplayID int64 `json:"replayId"`
		} `json:"event"`
	}
	_ = json.Unmarshal(data, &is) // an event without an id is one all the same
	if int64(len(data)) > s.limit {
		ok := s.flush(ctx)
		s.to.Fault(ctx, source.Faultf(freshet.FaultSize, "an event of Salesforce is larger than limits.payload, %v, and left out", freshet.Bytes(s.limit)), 0)
		s.passed(is.Event.ReplayID)
		return ok
	}
	s.batch = append(s.batch, source.Payload{Data: data, Time: time.Now(), Mark: s.mark(is.Event.ReplayID)})
	s.bytes += len(data)
	if is.Event.ReplayID > 0 {
		s.id = is.Event.ReplayID
	}
	if len(s.batch) < batchEvents && s.bytes < batchBytes {
		return true
	}
	return s.flush(ctx)
}

// passed takes note that an event was dealt with.
func (s *session) passed(id int64) {
	if id > 0 {
		s.last = id
	}
}

// flush hands over what was collected, and returns false once ctx has ended before.
func (s *session) flush(ctx context.Context) bool {
	if len(s.batch) == 0 {
		return ctx.Err() == nil
	}
	if !source.Offer(ctx, s.to, s.batch...) {
		return false
	}
	s.passed(s.id)
	s.batch, s.bytes, s.id = nil, 0, 0
	return true
}
