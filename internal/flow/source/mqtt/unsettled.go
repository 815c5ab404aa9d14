package mqtt

import (
	"encoding/base64"
	"encoding/binary"
	"hash/fnv"
	"slices"
	"strings"
)

// unsettled are the messages of quality 2 that were taken, and of which the server may not know that: it
// sends them again. They are known by their packet identifiers, and by what they hold, as identifiers are
// used again.
type unsettled struct {
	session  string // a short hash of the client identifier: identifiers of another session mean nothing
	known    bool   // the server has had this session before
	messages []message
}

type message struct {
	id   uint16
	hash uint32
}

const messageSize = 6

func hashOf(topic string, data []byte) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(topic)) // never fails
	_, _ = h.Write([]byte{0})
	_, _ = h.Write(data)
	return h.Sum32()
}

func (u *unsettled) has(m message) bool { return slices.Contains(u.messages, m) }

// add notes a message that is taken. At most inFlight are there: that is what the server was told.
func (u *unsettled) add(m message) {
	u.settle(m.id)
	u.messages = append(u.messages, m)
	if extra := len(u.messages) - inFlight; extra > 0 {
		u.messages = slices.Delete(u.messages, 0, extra)
	}
}

// settle forgets a message that the server will not send again.
func (u *unsettled) settle(id uint16) {
	u.messages = slices.DeleteFunc(u.messages, func(m message) bool { return m.id == id })
}

// mark is what is stored with a payload: 1, the session and the messages.
func (u *unsettled) mark() string {
	raw := make([]byte, 0, len(u.messages)*messageSize)
	for _, m := range u.messages {
		raw = binary.BigEndian.AppendUint16(raw, m.id)
		raw = binary.BigEndian.AppendUint32(raw, m.hash)
	}
	return "1:" + u.session + ":" + base64.RawStdEncoding.EncodeToString(raw)
}

// load reads a mark. One that is of another session, or none, says nothing.
func (u *unsettled) load(mark string) {
	rest, ok := strings.CutPrefix(mark, "1:"+u.session+":")
	raw, err := base64.RawStdEncoding.DecodeString(rest)
	if !ok || err != nil || len(raw)%messageSize != 0 || len(raw) > inFlight*messageSize {
		return
	}
	u.known, u.messages = true, nil
	for ; len(raw) > 0; raw = raw[messageSize:] {
		u.messages = append(u.messages, message{binary.BigEndian.Uint16(raw), binary.BigEndian.Uint32(raw[2:])})
	}
}
