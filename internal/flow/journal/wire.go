package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"freshet"
)

// This file is the whole of what the journal says to JetStream once its streams exist. nats.go has
// no call for reading many messages by one request, which is what history needs, so that the few
// others are here as well.

const (
	pause     = 20 * time.Millisecond
	pageSize  = 256
	pageBytes = 4 << 20

	codeNoMessage      = 10037
	codeWrongLast      = 10071
	codeWrongLastOther = 10164 // the same while a change is under way in a cluster
)

var (
	errNone      = errors.New("no such message")
	errParts     = errors.New("the message is incomplete")
	errWrongLast = errors.New("another message came before")
	errRetry     = errors.New("no answer") // may or may not have been done
)

// An apiError is JetStream's refusal.
type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string { return fmt.Sprintf("%s (%d)", e.Description, e.ErrCode) }

// sentinel gives the refusal the meaning it has for us.
func (e *apiError) sentinel() error {
	switch {
	case e == nil:
		return nil
	case e.ErrCode == codeNoMessage:
		return errNone
	case e.ErrCode == codeWrongLast, e.ErrCode == codeWrongLastOther:
		return errWrongLast
	case e.Code >= 500: // no space, no leader, shutting down
		return fmt.Errorf("%w: %w", e, freshet.ErrUnavailable)
	}
	return e
}

// retry calls fn until it gives an answer, patience is over or ctx ends. What is tried again must
// not matter when it was done already.
func (j *Journal) retry(ctx context.Context, fn func(context.Context) error) error {
	deadline := time.Now().Add(j.patience)
	for {
		try, cancel := context.WithTimeout(ctx, j.attempt)
		err := fn(try)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%w (last: %w)", context.Cause(ctx), err)
		case !passing(err):
			return err
		}
		if j.nc.IsClosed() || time.Now().After(deadline) {
			return fmt.Errorf("%w: %w", err, freshet.ErrUnavailable)
		}
		wait(ctx)
	}
}

func wait(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
}

// passing says that an error is about the way to the store, not an answer of it. A connection may
// break with any error of the system, hence the answers are listed.
func passing(err error) bool {
	for _, answer := range []error{errNone, errWrongLast, ErrBroken, freshet.ErrUnavailable, nats.ErrMaxPayload, nats.ErrBadSubject, nats.ErrInvalidMsg} {
		if errors.Is(err, answer) {
			return false
		}
	}
	_, refused := errors.AsType[*apiError](err)
	return !refused
}

// publish stores a message if the last one of its subject is expect, and returns its sequence.
// errWrongLast: it is not. Errors that are passing leave open what happened.
func (j *Journal) publish(ctx context.Context, m *nats.Msg, expect uint64) (uint64, error) {
	m.Header.Set(nats.ExpectedLastSubjSeqHdr, strconv.FormatUint(expect, 10))
	answer, err := j.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return 0, fmt.Errorf("publish to %s: %w", m.Subject, err)
	}
	if seq, ok := acknowledged(answer.Data); ok {
		return seq, nil
	}
	var ack struct {
		refusal
		Seq uint64 `json:"seq"`
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		return 0, fmt.Errorf("publish to %s: answer %.100q: %w", m.Subject, answer.Data, errRetry)
	}
	if err := ack.err(); err != nil {
		return 0, fmt.Errorf("publish to %s: %w", m.Subject, err)
	}
	return ack.Seq, nil
}

// acknowledged reads the usual answer to a message that was stored, {"stream":"…","seq":7}; any other is JSON
// to read as such.
func acknowledged(answer []byte) (seq uint64, ok bool) {
	rest, ok := bytes.CutPrefix(answer, []byte(`{"stream":"`))
	_, rest, ok2 := bytes.Cut(rest, []byte(`","seq":`))
	digits, ok3 := bytes.CutSuffix(rest, []byte("}"))
	if !ok || !ok2 || !ok3 || len(digits) == 0 || len(digits) > 19 {
		return 0, false
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		seq = seq*10 + uint64(d-'0')
	}
	return seq, true
}

// A refusal is the part that all answers of the API have in common.
type refusal struct {
	Error *apiError `json:"error"`
}

func (r *refusal) err() error { return r.Error.sentinel() }

// api makes one request of the JetStream API and reads the answer into result, which embeds refusal.
func (j *Journal) api(ctx context.Context, call string, request any, result interface{ err() error }) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("%s: %w", call, err)
	}
	return j.retry(ctx, func(ctx context.Context) error {
		answer, err := j.nc.RequestWithContext(ctx, "$JS.API."+call, body)
		if err != nil {
			return fmt.Errorf("%s: %w", call, err)
		}
		if err := json.Unmarshal(answer.Data, result); err != nil {
			return fmt.Errorf("%s: %w", call, &apiError{Description: err.Error()})
		}
		if err := result.err(); err != nil {
			return fmt.Errorf("%s: %w", call, err)
		}
		return nil
	})
}

// A query names one message, or the first of many.
type query struct {
	Last  string `json:"last_by_subj,omitempty"` // the last message of this subject
	Next  string `json:"next_by_subj,omitempty"` // the first message of this subject, wildcards allowed, …
	Seq   uint64 `json:"seq,omitempty"`          // … at this sequence or later
	Batch int    `json:"batch,omitempty"`
	Bytes int    `json:"max_bytes,omitempty"`
}

// strong asks the stream's leader, whose answer holds all that was ever acknowledged; errNone when
// there is no such message.
func (j *Journal) strong(ctx context.Context, stream string, q query) (message, error) {
	if j.replicas == 1 {
		return j.direct(ctx, stream, q) // the only replica is the leader, and spares us base64
	}
	var r struct {
		refusal
		Message struct {
			Subject string `json:"subject"`
			Seq     uint64 `json:"seq"`
			Header  []byte `json:"hdrs"`
			Data    []byte `json:"data"`
		} `json:"message"`
	}
	if err := j.api(ctx, "STREAM.MSG.GET."+stream, q, &r); err != nil {
		return message{}, err
	}
	m := message{subject: r.Message.Subject, seq: r.Message.Seq, data: r.Message.Data}
	if len(r.Message.Header) > 0 {
		h, err := nats.DecodeHeadersMsg(r.Message.Header)
		if err != nil {
			return message{}, fmt.Errorf("message %d of %s: headers: %w: %w", m.seq, m.subject, err, ErrBroken)
		}
		m.header = h
	}
	return m, nil
}

// direct asks any replica, which may lag behind the leader.
func (j *Journal) direct(ctx context.Context, stream string, q query) (m message, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return message{}, fmt.Errorf("read %s: %w", stream, err)
	}
	err = j.retry(ctx, func(ctx context.Context) error {
		answer, err := j.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+stream, body)
		if err != nil {
			return fmt.Errorf("read %s: %w", stream, err)
		}
		m, err = received(answer)
		return err
	})
	return m, err
}

// page reads the next messages of a subject, up to pageSize and roughly pageBytes, from any
// replica. more says that the replica has further ones.
func (j *Journal) page(ctx context.Context, stream string, q query) (messages []message, more bool, err error) {
	q.Batch, q.Bytes, q.Seq = pageSize, pageBytes, max(q.Seq, 1)
	body, err := json.Marshal(q)
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", stream, err)
	}
	select {
	case j.pages <- struct{}{}:
		defer func() { <-j.pages }()
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	}
	err = j.retry(ctx, func(ctx context.Context) (err error) {
		messages, more, err = j.tryPage(ctx, stream, body)
		return err
	})
	return messages, more, err
}

func (j *Journal) tryPage(ctx context.Context, stream string, body []byte) (messages []message, more bool, err error) {
	answers := make(chan *nats.Msg, pageSize+1)
	inbox := j.nc.NewInbox()
	sub, err := j.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", stream, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection has ended
	if err := j.nc.PublishRequest("$JS.API.DIRECT.GET."+stream, inbox, body); err != nil {
		return nil, false, fmt.Errorf("read %s: %w", stream, err)
	}
	// Each answer names the one before. When the connection breaks some are lost while the last ones
	// still come, over the next.
	for last := "0"; ; {
		select {
		case <-ctx.Done():
			return nil, false, fmt.Errorf("read %s: %w", stream, errRetry)
		case answer := <-answers:
			m, err := received(answer)
			switch {
			case errors.Is(err, errNone):
				return nil, false, nil
			case err != nil && !errors.Is(err, errEnd):
				return nil, false, fmt.Errorf("read %s: %w", stream, err)
			case answer.Header.Get("Nats-Last-Sequence") != last:
				return nil, false, fmt.Errorf("read %s: %w", stream, errRetry)
			case errors.Is(err, errEnd):
				return messages, answer.Header.Get("Nats-Num-Pending") != "0", nil
			}
			messages = append(messages, m)
			last = answer.Header.Get("Nats-Sequence")
		}
	}
}

var errEnd = errors.New("end of page")

// received reads an answer to a Direct Get, or a republished message.
func received(m *nats.Msg) (message, error) {
	switch status := m.Header.Get("Status"); status {
	case "":
	case "204":
		return message{}, errEnd
	case "404":
		return message{}, errNone
	case "503":
		return message{}, nats.ErrNoResponders
	default:
		return message{}, fmt.Errorf("answer with status %s %s", status, m.Header.Get("Description"))
	}
	seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return message{}, fmt.Errorf("message without a sequence on %s: %w", m.Subject, err)
	}
	return message{subject: m.Header.Get("Nats-Subject"), seq: seq, header: m.Header, data: m.Data}, nil
}

// purge removes the messages of a subject, wildcards allowed, before a sequence; 0 removes all.
func (j *Journal) purge(ctx context.Context, stream, subject string, before uint64) error {
	var done struct {
		refusal
		Purged uint64 `json:"purged"`
	}
	return j.api(ctx, "STREAM.PURGE."+stream, map[string]any{"filter": subject, "seq": before}, &done)
}
