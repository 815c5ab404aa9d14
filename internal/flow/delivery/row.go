package delivery

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// rows writes exchanges as the log has them, as JSON. It is done by hand, as it is done at each attempt. What many
// subscriptions are sent is the same, and written once.
type rows struct {
	body   string // of the last request
	quoted []byte
}

func (r *rows) append(b []byte, e *Exchange) []byte {
	b = append(b, '{')
	b = text(b, `"id":`, e.ID)
	b = text(b, `,"subscriptionId":`, string(e.Subscription))
	b = text(b, `,"topic":`, string(e.Topic))
	b = text(b, `,"deliveryId":`, e.Delivery)
	b = text(b, `,"eventId":`, e.EventID)
	b = textIfAny(b, `,"eventType":`, string(e.EventType))
	b = number(b, `,"events":`, e.Events)
	b = text(b, `,"purpose":`, e.Purpose)
	b = number(b, `,"attempt":`, e.Attempt)
	b = moment(b, `,"start":`, e.Start)
	b = strconv.AppendFloat(append(b, `,"durationMillis":`...), e.Millis, 'f', -1, 64)
	b = text(b, `,"outcome":`, e.Outcome)
	b = textIfAny(b, `,"error":`, e.Error)
	if !e.Next.IsZero() {
		b = moment(b, `,"nextAttempt":`, e.Next)
	}
	b = textIfAny(append(b, `,"request":{`...), `"method":`, e.Request.Method)
	if e.Request.Method != "" {
		b = append(b, ',')
	}
	b = text(b, `"to":`, e.Request.To)
	b = textIfAny(b, `,"headers":`, e.Request.Headers)
	if e.Request.Body != "" {
		if r.body != e.Request.Body {
			r.body, r.quoted = e.Request.Body, quote(r.quoted[:0], e.Request.Body)
		}
		b = append(append(b, `,"body":`...), r.quoted...)
	}
	b = append(number(b, `,"size":`, e.Request.Size), '}')
	if a := e.Response; a != nil {
		b = number(append(b, `,"response":{`...), `"status":`, a.Status)
		b = textIfAny(b, `,"headers":`, a.Headers)
		b = textIfAny(b, `,"body":`, a.Body)
		b = append(number(b, `,"size":`, a.Size), '}')
	}
	return append(b, '}')
}

func text(b []byte, name, value string) []byte { return quote(append(b, name...), value) }

func textIfAny(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return text(b, name, value)
}

func number(b []byte, name string, value int) []byte {
	return strconv.AppendInt(append(b, name...), int64(value), 10)
}

func moment(b []byte, name string, t time.Time) []byte {
	b = append(append(b, name...), '"')
	return append(t.AppendFormat(b, time.RFC3339Nano), '"')
}

// quote appends a string of JSON (RFC 8259 section 7); what is not UTF-8 in it becomes U+FFFD.
func quote(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	b = append(b, '"')
	begin := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[begin:i]...)
		begin = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(b, s[begin:]...), '"')
}
