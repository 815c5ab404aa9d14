package journal

import (
	"context"

	"freshet"
)

// AppendOne is Append of one event, and returns its position.
func (j *Journal) AppendOne(ctx context.Context, id freshet.TopicID, head freshet.Position, ev freshet.Event) (freshet.Position, error) {
	events := []freshet.Event{ev}
	if err := j.Append(ctx, id, head, events, ""); err != nil {
		return freshet.Position{}, err
	}
	return events[0].Position, nil
}

// ParseHeader reads an entry's header and writes it again, for the fuzzer.
func ParseHeader(s string) (string, error) {
	m, err := parseMeta(s)
	if err != nil {
		return "", err
	}
	return m.String(), nil
}

// ParseBatch reads the body of a message of several entries and writes it again, for the fuzzer.
func ParseBatch(body []byte) ([]byte, error) {
	events, err := parseBatch(body)
	if err != nil {
		return nil, err
	}
	return encodeBatch(events), nil
}
