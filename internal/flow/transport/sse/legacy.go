package sse

import (
	"encoding/json"
	"unicode/utf8"

	"freshet"
)

// Legacy is for clients that speak the dialect of Streamdata.io: other names of events, other errors, and a document
// at the beginning of each connection.
type Legacy struct {
	// ID is what the client shows as its Last-Event-ID when it comes back; empty: nothing. The events themselves have
	// no ids, as every connection starts with the document anyway, and the clients take an id over before the event
	// that it belongs to is whole.
	ID string
}

// opening is a block without data. Published clients keep the lines of an event that was cut when they connect anew:
// this block makes an event of them whose name nobody listens to, instead of letting them begin the next one.
func (l *Legacy) opening() []byte {
	b := []byte("event: _\n")
	if l.ID != "" {
		b = append(append(append(b, "id: "...), l.ID...), '\n')
	}
	return append(b, '\n')
}

// encodeLegacy writes an event as Streamdata.io does. A fault that is over without anything new has no event there.
func encodeLegacy(ev freshet.Event) []byte {
	name, data := string(ev.Type), ev.Data
	switch ev.Type {
	case freshet.TypeSnapshot, freshet.TypeEvent:
		name = "data"
	case freshet.TypeError:
		data = legacyError(ev.Data)
	case freshet.TypeRecovered:
		return []byte(heartbeat)
	}
	b := make([]byte, 0, len("event: \ndata: \n\n")+len(name)+len(data)+len(data)/8)
	b = append(append(b, "event: "...), name...)
	b = appendASCII(append(b, "\ndata: "...), data)
	return append(b, "\n\n"...)
}

// legacyError is a fault as Streamdata.io tells it.
func legacyError(fault []byte) []byte {
	var f freshet.Fault
	if err := json.Unmarshal(fault, &f); err != nil {
		return fault // it is none of ours
	}
	kind, _ := freshet.KindOfFault(f.Code)
	data, err := json.Marshal(struct {
		Cause   string `json:"cause"`
		Message string `json:"message"`
		Status  int    `json:"status"`
	}{kind.Title, f.Message, f.Code})
	if err != nil {
		return fault // cannot be: it holds texts and a number
	}
	return data
}

// appendASCII appends a JSON value with every character beyond ASCII as an escape (RFC 8259, 7), which is where such
// characters can only stand: inside strings. The clients decode each piece that the network brings by itself, and so
// break characters that are cut in two.
func appendASCII(b, data []byte) []byte {
	const hex = "0123456789abcdef"
	unit := func(u rune) { b = append(b, '\\', 'u', hex[u>>12&15], hex[u>>8&15], hex[u>>4&15], hex[u&15]) }
	for i := 0; i < len(data); {
		plain := i
		for i < len(data) && data[i] < utf8.RuneSelf {
			i++
		}
		if b = append(b, data[plain:i]...); i == len(data) {
			break
		}
		r, n := utf8.DecodeRune(data[i:])
		if i += n; r > 0xffff { // as a pair of surrogates
			r -= 0x10000
			unit(0xd800 + r>>10)
			r = 0xdc00 + r&0x3ff
		}
		unit(r)
	}
	return b
}
