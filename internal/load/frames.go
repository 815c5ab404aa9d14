package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// handshake are the header lines that ask for a WebSocket (RFC 6455, 4.1). Nobody needs to guess the key.
func handshake() []string {
	return []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
}

// What there is of frames (RFC 6455, 5.2) in what a server sends.
const (
	wholeText  = 0x81
	closeFrame = 0x88
	pingFrame  = 0x89
	pongFrame  = 0x8A
)

var errFrame = errors.New("a frame of another kind than whole text")

// parseFrames is parse for a WebSocket.
func (s *stream) parseFrames(b []byte, to sink) (used int) {
	for {
		first, payload, size := frameOf(b[used:])
		if size == 0 {
			return used
		}
		raw := b[used : used+size]
		used += size
		switch first {
		case wholeText:
			s.message(raw, payload, to)
		case pingFrame:
			s.pong = append([]byte{pongFrame, byte(0x80 | len(payload)), 0, 0, 0, 0}, payload...) // masked with nothing
		case pongFrame:
		case closeFrame:
			s.failed = fmt.Errorf("the server closed the connection: %.125q", payload[min(2, len(payload)):])
		default:
			s.failed = errFrame
		}
	}
}

// frameOf is the frame at the start of b; size 0: it is not whole.
func frameOf(b []byte) (first byte, payload []byte, size int) {
	if len(b) < 2 {
		return 0, nil, 0
	}
	header, length := 2, int(b[1])
	switch {
	case length == 126 && len(b) >= 4:
		header, length = 4, int(binary.BigEndian.Uint16(b[2:]))
	case length == 127 && len(b) >= 10:
		header, length = 10, int(min(binary.BigEndian.Uint64(b[2:]), maxBlock)) //nolint:gosec // bounded
	case length >= 126:
		return 0, nil, 0
	}
	if len(b) < header+length {
		return 0, nil, 0
	}
	return b[0], b[header : header+length], header + length
}

// message takes Freshet's messages apart. Of others everything is data.
func (s *stream) message(raw, payload []byte, to sink) {
	ev := event{data: payload, raw: raw, reset: s.reset}
	rest := payload
	if after, ok := bytes.CutPrefix(rest, []byte(`{"id":"`)); ok {
		ev.id, rest, _ = bytes.Cut(after, []byte(`",`))
	} else {
		rest = bytes.TrimPrefix(rest, []byte("{"))
	}
	if after, ok := bytes.CutPrefix(rest, []byte(`"type":"`)); ok {
		if name, data, ok := bytes.Cut(after, []byte(`","data":`)); ok {
			ev.name, ev.data = name, bytes.TrimSuffix(data, []byte("}"))
		}
	}
	if s.reset = string(ev.name) == "reset"; !s.reset {
		to.event(&ev)
	}
}
