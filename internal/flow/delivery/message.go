package delivery

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"freshet"
)

// Formats of what is sent.
const (
	FormatRaw        = "raw"
	FormatBinary     = "cloudevents-binary"
	FormatStructured = "cloudevents-structured"
)

// Formats lists them, the default first.
func Formats() []string { return []string{FormatRaw, FormatBinary, FormatStructured} }

// An Attribute is a CloudEvents context attribute (CloudEvents 1.0.2, 2).
type Attribute struct{ Name, Value string }

// MessageID names a message of a topic without an id of its own, as what it tells has no place in the history.
func (m Message) MessageID() string {
	if m.Sequence > 0 {
		return m.ID()
	}
	return string(m.Type) + "-" + strconv.FormatInt(m.Time.UnixNano(), 36)
}

// Attributes are a message's attributes, those that CloudEvents requires first. The id is unique in the topic,
// which is the source; type says what the data is; revision is an extension.
func Attributes(topic freshet.TopicName, m Message) []Attribute {
	all := []Attribute{
		{"specversion", "1.0"},
		{"id", m.MessageID()},
		{"source", "/live/" + string(topic)},
		{"type", "dev.freshet." + string(m.Type)},
		{"datacontenttype", "application/json"},
		{"subject", string(topic)},
		{"time", m.Time.UTC().Format(time.RFC3339Nano)},
	}
	if m.Revision > 0 {
		all = append(all, Attribute{"revision", strconv.FormatUint(uint64(m.Revision), 10)})
	}
	if m.Reset != "" {
		all = append(all, Attribute{"reset", m.Reset})
	}
	return all
}

// Structured is a message as a CloudEvent in JSON (CloudEvents JSON format 1.0.2).
func Structured(topic freshet.TopicName, m Message) []byte {
	var b bytes.Buffer
	b.Grow(len(m.Data) + 512)
	b.WriteByte('{')
	for _, a := range Attributes(topic, m) {
		writeMember(&b, a.Name, a.Value)
	}
	b.WriteString(`"data":`)
	b.Write(m.Data)
	b.WriteByte('}')
	return b.Bytes()
}

func writeMember(b *bytes.Buffer, name, value string) {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // a string always marshals
	}
	b.WriteString(`"` + name + `":`)
	b.Write(text)
	b.WriteByte(',')
}

// Wrapped is a message in a list of messages that are no CloudEvents: with what its headers would say.
func Wrapped(m Message) []byte {
	var b bytes.Buffer
	b.Grow(len(m.Data) + 256)
	b.WriteByte('{')
	writeMember(&b, "id", m.MessageID())
	writeMember(&b, "type", string(m.Type))
	writeMember(&b, "time", m.Time.UTC().Format(time.RFC3339Nano))
	if m.Reset != "" {
		writeMember(&b, "reset", m.Reset)
	}
	b.WriteString(`"data":`)
	b.Write(m.Data)
	b.WriteByte('}')
	return b.Bytes()
}

// List is messages as a JSON list, each written by one.
func List(messages []Message, one func(Message) []byte) []byte {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, m := range messages {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(one(m))
	}
	b.WriteByte(']')
	return b.Bytes()
}
