package amqp

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"

	rabbit "github.com/rabbitmq/amqp091-go"

	"freshet/internal/flow/source"
)

// remembered is how many messages of a queue are known again: as many as can be unacknowledged.
const remembered = 200

// A place is where in a queue or stream the source is.
type place struct {
	known  bool
	offset int64    // of a stream: of the last message; -1: none
	ids    []uint64 // of a queue: digests of the message-ids of the last messages, the oldest first
}

// A mark is a place as it is stored.
type mark struct {
	Offset *int64 `json:"offset,omitempty"`
	IDs    []byte `json:"ids,omitempty"` // eight bytes each
}

// recall reads the place from the last payload that was stored.
func (p *place) recall(ctx context.Context, to source.Sink) error {
	if p.known {
		return nil
	}
	text, err := to.Mark(ctx)
	if err != nil {
		return fmt.Errorf("where to read on: %w", err)
	}
	p.offset = -1
	var m mark
	if text != "" && json.Unmarshal([]byte(text), &m) == nil { // or it is another source's, of before
		if m.Offset != nil {
			p.offset = *m.Offset
		}
		for id := range slices.Chunk(m.IDs, 8) {
			if len(id) == 8 {
				p.ids = append(p.ids, binary.BigEndian.Uint64(id))
			}
		}
	}
	p.known = true
	return nil
}

// next is the offset that a stream is to be read from.
func (p *place) next(readFrom string) any {
	switch {
	case p.offset >= 0:
		return p.offset + 1
	case readFrom == "earliest":
		return "first"
	}
	return "next"
}

// has says whether a message was stored already: of a stream one that is part of a chunk that was begun, of
// a queue one that was not acknowledged in time.
func (p *place) has(d *rabbit.Delivery) bool {
	if offset, ok := offsetOf(d); ok {
		return offset <= p.offset
	}
	return d.Redelivered && d.MessageId != "" && slices.Contains(p.ids, digest(d.MessageId))
}

// after is the mark of a message.
func (p *place) after(d *rabbit.Delivery) string {
	var m mark
	if offset, ok := offsetOf(d); ok {
		p.offset, m.Offset = offset, &offset
	} else {
		if d.MessageId == "" {
			return ""
		}
		p.ids = append(p.ids, digest(d.MessageId))
		p.ids = p.ids[max(0, len(p.ids)-remembered):]
		for _, id := range p.ids {
			m.IDs = binary.BigEndian.AppendUint64(m.IDs, id)
		}
	}
	text, err := json.Marshal(m)
	if err != nil {
		return "" // numbers and bytes can be written
	}
	return string(text)
}

// offsetOf is where in a stream a message is.
func offsetOf(d *rabbit.Delivery) (int64, bool) {
	offset, ok := d.Headers["x-stream-offset"].(int64)
	return offset, ok
}

func digest(id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // never fails
	return h.Sum64()
}
