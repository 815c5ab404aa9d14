package websocket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// The opcodes of RFC 6455, 5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

const (
	finBit  = 0x80
	rsv1Bit = 0x40 // the message is compressed (RFC 7692, 7.2.3)
	maskBit = 0x80

	maxControl = 125 // bytes of a control frame's payload
)

// A Code says why a connection is closed (RFC 6455, 7.4, and IANA's registry).
type Code uint16

// The codes that this server closes with.
const (
	CodeNormal      Code = 1000
	CodeGoingAway   Code = 1001 // the server stops
	CodeProtocol    Code = 1002
	CodeUnsupported Code = 1003 // a binary message
	codeNone        Code = 1005 // never on the wire: the peer gave none
	CodeInvalid     Code = 1007 // text that is not UTF-8, data that does not inflate
	CodePolicy      Code = 1008
	CodeTooLarge    Code = 1009
	CodeInternal    Code = 1011
	CodeTryAgain    Code = 1013
	CodeInactive    Code = 4403 // the subscription is not active
	CodeNotFound    Code = 4404 // there is no such topic, or subscription
	CodeMode        Code = 4406 // the topic does not allow the mode
	CodeTaken       Code = 4409 // another connection has taken the place of this one
	CodeDeleted     Code = 4410 // the topic was deleted, or the subscription
)

// A CloseError is why a connection ends: what the peer said, or what it is told.
type CloseError struct {
	Code   Code
	Reason string // at most 123 bytes
	peer   bool   // it was the peer that said so
}

func (e *CloseError) Error() string {
	if e.peer {
		return fmt.Sprintf("closed by the client: %d %s", e.Code, e.Reason)
	}
	return fmt.Sprintf("closed: %d %s", e.Code, e.Reason)
}

func closing(code Code, format string, args ...any) *CloseError {
	return &CloseError{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// frame is a whole message in one frame, as a server sends it: not masked.
func frame(first byte, payload []byte) []byte {
	b := make([]byte, 0, len(payload)+10)
	return append(appendHeader(b, first, len(payload)), payload...)
}

func appendHeader(b []byte, first byte, size int) []byte {
	switch {
	case size <= maxControl:
		return append(b, first, byte(size))
	case size <= 0xFFFF:
		return binary.BigEndian.AppendUint16(append(b, first, 126), uint16(size))
	}
	return binary.BigEndian.AppendUint64(append(b, first, 127), uint64(size))
}

// frame is the Close frame that tells the peer.
func (e *CloseError) frame() []byte {
	if e.Code == codeNone {
		return frame(finBit|opClose, nil)
	}
	reason := e.Reason
	for len(reason) > maxControl-2 {
		_, size := utf8.DecodeLastRuneInString(reason)
		reason = reason[:len(reason)-size]
	}
	return frame(finBit|opClose, append(binary.BigEndian.AppendUint16(nil, uint16(e.Code)), reason...))
}

// A message is what a client sent: data, or a control frame.
type message struct {
	op         byte
	compressed bool
	payload    []byte // good until the next message is asked for
}

// A parser takes the frames of one client apart, in whatever pieces they come. Between messages it holds
// no buffer.
type parser struct {
	limit   int  // bytes of a message, all of its frames together
	deflate bool // permessage-deflate was agreed on

	head   [14]byte // the header, as much as has come
	have   uint8
	inBody bool
	frame  header
	masked int // bytes of the frame that have come

	op         byte // of the message under way; 0: none is
	compressed bool
	data       []byte // of the message under way
	control    []byte // of the control frame under way
}

type header struct {
	fin, rsv1 bool
	op        byte
	size      int64
	mask      [4]byte
}

// next is the first message that is complete with b, and what is left of b; or no message where more has to
// come. After an error there is nothing more to be had.
func (p *parser) next(b []byte) (m message, rest []byte, ok bool, err error) {
	for {
		if !p.inBody {
			if b, err = p.readHeader(b); err != nil || !p.inBody {
				return message{}, nil, false, err
			}
		}
		n := int(min(p.frame.size-int64(p.masked), int64(len(b))))
		p.take(b[:n])
		b = b[n:]
		if int64(p.masked) < p.frame.size {
			return message{}, nil, false, nil
		}
		p.inBody, p.have = false, 0
		if m, ok := p.complete(); ok {
			return m, b, true, nil
		}
	}
}

// take adds a part of the frame's payload to what it belongs to, without its mask.
func (p *parser) take(b []byte) {
	to := &p.data
	if isControl(p.frame.op) {
		to = &p.control
	}
	at := len(*to)
	*to = append(*to, b...)
	for i := range (*to)[at:] {
		(*to)[at+i] ^= p.frame.mask[(p.masked+i)&3]
	}
	p.masked += len(b)
}

// complete is the message that the frame just read completes.
func (p *parser) complete() (m message, ok bool) {
	switch {
	case isControl(p.frame.op):
		m = message{op: p.frame.op, payload: p.control}
		p.control = nil
	case p.frame.fin:
		m = message{op: p.op, compressed: p.compressed, payload: p.data}
		p.op, p.data = 0, nil
	default:
		return message{}, false
	}
	return m, true
}

func isControl(op byte) bool { return op&0x8 != 0 }

// readHeader reads the rest of a header, and returns what comes after it.
func (p *parser) readHeader(b []byte) ([]byte, error) {
	for len(b) > 0 {
		p.head[p.have] = b[0]
		p.have++
		b = b[1:]
		if p.have < 2 {
			continue
		}
		if p.have == 2 {
			if err := p.firstTwo(); err != nil { // at once, whatever comes after it
				return nil, err
			}
		}
		if int(p.have) < p.headerSize() {
			continue
		}
		if err := p.size(); err != nil {
			return nil, err
		}
		p.inBody, p.masked = true, 0
		return b, nil
	}
	return nil, nil
}

func (p *parser) headerSize() int {
	switch p.head[1] &^ maskBit {
	case 126:
		return 2 + 2 + 4
	case 127:
		return 2 + 8 + 4
	}
	return 2 + 4
}

// firstTwo checks what the first two bytes of a header say.
func (p *parser) firstTwo() error {
	h := header{fin: p.head[0]&finBit != 0, rsv1: p.head[0]&rsv1Bit != 0, op: p.head[0] & 0x0F}
	p.frame = h
	switch {
	case p.head[1]&maskBit == 0:
		return closing(CodeProtocol, "a client's frames are masked")
	case p.head[0]&0x30 != 0 || h.rsv1 && (!p.deflate || h.op != opText && h.op != opBinary):
		return closing(CodeProtocol, "a reserved bit is set")
	case h.op > opBinary && h.op < opClose || h.op > opPong:
		return closing(CodeProtocol, "opcode %d is reserved", h.op)
	case isControl(h.op) && (!h.fin || p.head[1]&^maskBit > maxControl):
		return closing(CodeProtocol, "a control frame is whole and has at most 125 bytes")
	case h.op == opContinuation && p.op == 0:
		return closing(CodeProtocol, "nothing to be continued")
	case (h.op == opText || h.op == opBinary) && p.op != 0:
		return closing(CodeProtocol, "the message before is not complete")
	}
	if h.op == opText || h.op == opBinary {
		p.op, p.compressed = h.op, h.rsv1
	}
	return nil
}

// size reads the size and the mask, once the header is whole.
func (p *parser) size() error {
	at := p.headerSize() - 4
	size, least := uint64(p.head[1]&^maskBit), uint64(0)
	switch size {
	case 126:
		size, least = uint64(binary.BigEndian.Uint16(p.head[2:])), maxControl+1
	case 127:
		size, least = binary.BigEndian.Uint64(p.head[2:]), 0xFFFF+1
	}
	if size < least || size > 1<<63-1 {
		return closing(CodeProtocol, "a size is not written as it has to be")
	}
	if !isControl(p.frame.op) && size > uint64(p.limit-len(p.data)) {
		return closing(CodeTooLarge, "a message may have %d bytes", p.limit)
	}
	p.frame.size = int64(size)
	copy(p.frame.mask[:], p.head[at:])
	return nil
}

// closeOf reads the payload of a Close frame (RFC 6455, 5.5.1 and 7.4).
func closeOf(payload []byte) (said *CloseError, err error) {
	if len(payload) == 0 {
		return &CloseError{Code: codeNone, peer: true}, nil
	}
	if len(payload) == 1 {
		return nil, closing(CodeProtocol, "half of a close code")
	}
	code, reason := Code(binary.BigEndian.Uint16(payload)), payload[2:]
	switch {
	case code < 1000 || code > 4999 || code >= 1015 && code < 3000 || code >= 1004 && code <= 1006:
		return nil, closing(CodeProtocol, "%d is no close code", code)
	case !utf8.Valid(reason):
		return nil, closing(CodeInvalid, "a reason is UTF-8")
	}
	return &CloseError{Code: code, Reason: string(reason), peer: true}, nil
}

// closeOr is err as it is told to a peer.
func closeOr(err error) *CloseError {
	if c, ok := errors.AsType[*CloseError](err); ok {
		return c
	}
	return closing(CodeInternal, "internal error")
}

// Unwrap says io.EOF of what the peer said: it expects no more.
func (e *CloseError) Unwrap() error {
	if e.peer {
		return io.EOF
	}
	return nil
}
