package websocket

import "unicode/utf8"

// An ear hears what one client sends. It answers what needs no more than an answer, and hands messages on.
type ear struct {
	parser
	deflater *deflater
	text     func([]byte) error // takes a message; a CloseError ends the connection
}

// Hear takes what came. The answer is whole frames; after an error, which is a *CloseError, the connection
// ends once the answer is written.
func (e *ear) Hear(b []byte) (answer []byte, err error) {
	for len(b) > 0 {
		var m message
		var ok bool
		if m, b, ok, err = e.next(b); err == nil && ok {
			answer, err = e.message(m, answer)
		}
		if err != nil {
			return closeOr(err).frame(), err
		}
	}
	return answer, nil
}

func (e *ear) message(m message, answer []byte) ([]byte, error) {
	switch m.op {
	case opPing:
		return frame(finBit|opPong, m.payload), nil // of several only the last needs one (RFC 6455, 5.5.3)
	case opPong:
		return answer, nil
	case opClose:
		said, err := closeOf(m.payload)
		if err != nil {
			return nil, err
		}
		return nil, said
	case opBinary:
		return nil, closing(CodeUnsupported, "messages are JSON, as text")
	}
	if m.compressed {
		var err error
		if m.payload, err = e.deflater.inflate(m.payload, e.limit); err != nil {
			return nil, err
		}
	}
	if !utf8.Valid(m.payload) {
		return nil, closing(CodeInvalid, "text is UTF-8")
	}
	return answer, e.text(m.payload)
}
