package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"freshet"
	"freshet/internal/flow"
)

const (
	mediaJSON   = "application/json"
	mediaNDJSON = "application/x-ndjson"

	// maxBatch bounds the body of a batch, in bytes, unless the topic's payloads may be larger.
	maxBatch = 16 << 20
	maxKey   = 255 // bytes of an Idempotency-Key
)

// publish takes a payload, or a batch of them, for a topic whose source is http-post or webhook.
func (l *live) publish(w http.ResponseWriter, r *http.Request) error {
	name := freshet.TopicName(r.PathValue("topic"))
	if err := l.takesPosts(name); err != nil { // whatever the body is
		if l.flow.HasHook(name) {
			return l.hook(w, r, name)
		}
		return err
	}
	if err := requireJSON(r, mediaJSON, mediaNDJSON); err != nil {
		return err
	}
	post := flow.Post{Lines: isNDJSON(r), Header: r.Header}
	var err error
	if post.Key, err = idempotencyKey(r.Header); err != nil {
		return err
	}
	limit := int64(freshet.MaxPayload)
	if s := l.flow.Limit(name); s > 0 {
		limit = int64(s)
	}
	if post.Body, err = bodyOf(w, r, limit, post.Lines); err != nil {
		return err
	}
	got, err := l.flow.Publish(r.Context(), name, post)
	switch {
	case err != nil:
		return refusedPost(got, err)
	case got.Reply != "":
		return replyJSON(w, got.Reply)
	}
	return receipt(w, post, got)
}

// maxHook bounds a webhook that only says that there is news, in bytes.
const maxHook = 1 << 20

// hook takes a webhook of the upstream of a topic that is polled.
func (l *live) hook(w http.ResponseWriter, r *http.Request, name freshet.TopicName) error {
	body, err := bodyOf(w, r, maxHook, false)
	if err != nil {
		return err
	}
	reply, err := l.flow.Hook(name, r.Header, body)
	switch {
	case err != nil:
		return refusedPost(flow.Receipt{}, err)
	case reply != nil:
		return replyJSON(w, string(reply))
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// isNDJSON says which of the media types that publish takes a request has.
func isNDJSON(r *http.Request) bool {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(media), mediaNDJSON)
}

// bodyOf reads what is posted to a topic whose payloads have a limit.
func bodyOf(w http.ResponseWriter, r *http.Request, limit int64, batch bool) ([]byte, error) {
	most := limit
	if batch {
		most = max(limit, maxBatch)
	}
	body, err := readAll(http.MaxBytesReader(w, r.Body, most), min(r.ContentLength, most))
	_, large := errors.AsType[*http.MaxBytesError](err)
	switch {
	case large && batch:
		return nil, fmt.Errorf("a batch may have %s: %w", freshet.Bytes(most), freshet.ErrTooLarge)
	case large:
		return nil, freshet.NewFault(freshet.FaultSize, "the payload is larger than %s (limits.payload)", freshet.Bytes(limit))
	case err != nil:
		return nil, errBodyCut
	}
	return body, nil
}

// readAll is io.ReadAll of what is probably so long; not positive: nobody knows.
func readAll(r io.Reader, length int64) ([]byte, error) {
	const believed = 1 << 20 // who says more has to send it first
	if length <= 0 || length > believed {
		return io.ReadAll(r)
	}
	b := make([]byte, length+1) // the last byte is there to meet the end
	n, err := io.ReadFull(r, b)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		if int64(n) < length {
			return nil, io.ErrUnexpectedEOF
		}
		return b[:n], nil
	case err != nil:
		return nil, err
	}
	return nil, io.ErrShortBuffer // cannot be: net/http ends the body where its length says
}

// idempotencyKey reads the Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a string of RFC 8941,
// or as many clients send it, without the quotes.
func idempotencyKey(h http.Header) (string, error) {
	const name = "Idempotency-Key"
	values := h[name]
	if len(values) == 0 {
		return "", nil
	}
	s := strings.TrimSpace(values[0])
	key, ok := "", false
	if strings.HasPrefix(s, `"`) {
		key, ok = unquoted(s)
	} else {
		key, ok = s, !strings.ContainsAny(s, "\", \t;")
	}
	switch {
	case len(values) > 1:
		return "", badParameter(name, "there are %d of them", len(values))
	case !ok || key == "" || strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' }):
		return "", badParameter(name, `%.100s is neither a string in quotes nor a word: send such as "8e03978e-40d5-43dd-bc93-6894a57f9324"`, s)
	case len(key) > maxKey:
		return "", badParameter(name, "it has %d bytes, and may have %d", len(key), maxKey)
	}
	return key, nil
}

// unquoted is what a string of RFC 8941, 3.3.3, says.
func unquoted(s string) (text string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), i == len(s)-1
		case c != '\\':
			b.WriteByte(c)
		case i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		default:
			return "", false
		}
	}
	return "", false
}

// replyJSON answers a post that is no payload but a question.
func replyJSON(w http.ResponseWriter, reply string) error {
	w.Header().Set("Content-Type", mediaJSON)
	w.WriteHeader(http.StatusOK)
	_, err := io.WriteString(w, reply+"\n")
	return afterHeader(err)
}

// receipt answers a post that is in the journal.
func receipt(w http.ResponseWriter, post flow.Post, got flow.Receipt) error {
	h := w.Header()
	b := make([]byte, 0, 96)
	b = strconv.AppendBool(append(b, `{"changed":`...), got.Changed > 0)
	if post.Lines {
		b = strconv.AppendInt(append(b[:0], `{"count":`...), int64(got.Payloads), 10)
		b = strconv.AppendInt(append(b, `,"changed":`...), int64(got.Changed), 10)
	}
	if got.Changed > 0 {
		tag := `"` + got.Last.String() + `"`
		h.Set("ETag", tag)
		b = append(append(b, `,"id":`...), tag...)
	}
	if got.Repeated {
		h.Set("Idempotent-Replayed", "true")
	}
	b = append(b, "}\n"...)
	h.Set("Content-Type", mediaJSON)
	w.WriteHeader(http.StatusAccepted)
	_, err := w.Write(b)
	return afterHeader(err)
}

// refusedPost says what is wrong with a batch line by line, and of one that failed on the way how far it came.
func refusedPost(got flow.Receipt, err error) error {
	if errors.Is(err, flow.ErrUnproven) {
		return known(err, err.Error(), map[string]string{"WWW-Authenticate": "Signature"})
	}
	if bad, ok := errors.AsType[flow.BadLines](err); ok {
		return badLines(bad)
	}
	if got.Payloads <= 1 {
		return err
	}
	p, ok := problemOf(err)
	if !ok {
		return err
	}
	p.Stored = &got.Settled
	p.Detail = fmt.Sprintf("the first %d of %d payloads are stored, of those after them it is not known: %s", got.Settled, got.Payloads, p.Detail)
	return p
}

func badLines(bad flow.BadLines) error {
	worst := bad[0].Fault
	var all freshet.Invalid
	for _, b := range bad {
		if b.Fault.Code == freshet.FaultSize {
			worst = b.Fault
		}
		all = append(all, freshet.FieldError{Detail: fmt.Sprintf("line %d: %s", b.Line, b.Fault.Message)})
	}
	p := known(meaning(worst), firstOf(all)+"; nothing was stored", nil)
	p.Code, p.Errors = worst.Code, all
	return p
}

// takesPosts says whether the topic's source is one that takes what is posted.
func (l *live) takesPosts(name freshet.TopicName) error {
	e, err := l.catalog.Get(name)
	if err != nil {
		return err
	}
	if !e.Pushed {
		return known(errMethod, fmt.Sprintf("the source of %s is %s, which takes no POST", name, e.Topic.Source.Type), map[string]string{"Allow": "GET, HEAD"})
	}
	return nil
}
