package websocket

import "unicode/utf8"

// An ear hears what one client sends. It answers what needs no more than an answer, and hands messages on.
type ear struct {
	parser
	deflater *deflater
	text     func([]byte) error // takes a message; a CloseError ends the connection
	deaf     bool               // what came made no sense, so neither does what comes after it
}

// Hear takes what came. The answer is whole frames; after an error the connection ends once the answer is
// written, and whatever else comes is left alone.
func (e *ear) Hear(b []byte) (answer []byte, err error) {
	for len(b) > 0 && err == nil {
		var one []byte
		one, b, err = e.first(b)
		answer = append(answer, one...)
	}
	return answer, err
}

// first is Hear for the first message that b completes; rest is what comes after it.
func (e *ear) first(b []byte) (answer, rest []byte, err error) {
	if e.deaf {
		return nil, nil, nil
	}
	m, rest, ok, err := e.next(b)
	if err == nil && ok {
		answer, err = e.message(m)
	}
	if err != nil {
		e.deaf = true
		return closeOr(err).frame(), nil, err
	}
	return answer, rest, nil
}

func (e *ear) message(m message) (answer []byte, err error) {
	switch m.op {
	case opPing:
		return frame(finBit|opPong, m.payload), nil
	case opPong:
		return nil, nil
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
		if m.payload, err = e.deflater.inflate(m.payload, e.limit); err != nil {
			return nil, err
		}
	}
	if !utf8.Valid(m.payload) {
		return nil, closing(CodeInvalid, "text is UTF-8")
	}
	return nil, e.text(m.payload)
}
