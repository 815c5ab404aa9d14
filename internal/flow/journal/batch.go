package journal

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"freshet"
)

// encodeBatch is the body of a message of several entries: of each a line with its type, revision, tag, time
// and size, and its data.
func encodeBatch(events []freshet.Event) []byte {
	size := 0
	for _, ev := range events {
		size += len(ev.Data) + len(ev.Type) + 80
	}
	b := make([]byte, 0, size)
	for _, ev := range events {
		b = append(append(b, ev.Type...), ' ')
		b = append(strconv.AppendUint(b, uint64(ev.Revision), 10), ' ')
		b = append(append(b, ev.Tag...), ' ')
		b = append(strconv.AppendInt(b, ev.Time.UnixNano(), 10), ' ')
		b = append(strconv.AppendInt(b, int64(len(ev.Data)), 10), '\n')
		b = append(b, ev.Data...)
	}
	return b
}

// inBatch says whether encodeBatch can write an event so that it is read as the same.
func inBatch(ev freshet.Event) bool {
	return ev.Type != "" && !strings.ContainsAny(string(ev.Type)+string(ev.Tag), " \n") && !ev.Time.IsZero()
}

// parseBatch reads what encodeBatch wrote, and nothing else. The events' data is not copied, and they have
// no sequences.
func parseBatch(body []byte) ([]freshet.Event, error) {
	var events []freshet.Event
	for len(body) > 0 {
		line, rest, ok := bytes.Cut(body, []byte{'\n'})
		f := strings.Split(string(line), " ")
		if !ok || len(f) != 5 {
			return nil, fmt.Errorf("entry %d of the batch begins with %.100q", len(events), line)
		}
		rev, err1 := strconv.ParseUint(f[1], 10, 64)
		nanos, err2 := strconv.ParseInt(f[3], 10, 64)
		size, err3 := strconv.ParseUint(f[4], 10, 32)
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, fmt.Errorf("entry %d of the batch: %w", len(events), err)
		}
		if size > uint64(len(rest)) {
			return nil, fmt.Errorf("entry %d of the batch has %d bytes, of which there are %d", len(events), size, len(rest))
		}
		events = append(events, freshet.Event{
			Position: freshet.Position{Revision: freshet.Revision(rev), Tag: freshet.Tag(f[2])},
			Type:     freshet.EventType(f[0]), Time: time.Unix(0, nanos).UTC(),
		})
		if size > 0 {
			events[len(events)-1].Data = rest[:size:size]
		}
		body = rest[size:]
	}
	return events, nil
}
