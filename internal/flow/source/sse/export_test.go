package sse

import (
	"fmt"
	"io"
	"time"
)

// Read returns every event of a stream, written as name|data|id, and the id and retry it ends with.
func Read(r io.Reader, limit int, lastID string) (events []string, id string, retry time.Duration, err error) {
	s := newReader(r, limit, lastID)
	for wait := false; ; {
		e, ok, err := s.next(wait)
		if err != nil {
			return events, s.lastID, s.retry, err
		}
		if wait = !ok; !ok {
			continue
		}
		text := fmt.Sprintf("%s|%s|%s", e.name, e.data, e.id)
		if e.large {
			text += "|large"
		}
		events = append(events, text)
	}
}
