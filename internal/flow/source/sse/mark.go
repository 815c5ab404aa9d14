package sse

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"freshet/internal/flow/source"
)

// A mark is where the source is in its stream, for a restart.
type mark struct {
	Of string `json:"of"` // which stream
	ID string `json:"id"` // of the last event; empty: it has none
}

// maxMark is the longest mark that a sink takes, in bytes.
const maxMark = 4 << 10

// mark is that of a payload. A stream whose events have no ids has none.
func (s *stream) mark(id string) string {
	if id == "" && !s.marked {
		return ""
	}
	text, err := json.Marshal(mark{s.identity(), id})
	if err != nil || len(text) > maxMark {
		return s.nowhere()
	}
	s.marked = true
	return string(text)
}

// nowhere is the mark of a payload from which a restart cannot resume.
func (s *stream) nowhere() string {
	if !s.marked {
		return ""
	}
	text, err := json.Marshal(mark{s.identity(), ""})
	if err != nil {
		return ""
	}
	return string(text)
}

// identity is of the stream that the configuration names: an id means nothing elsewhere.
func (s *stream) identity() string {
	sum := sha256.Sum256([]byte(s.target.String()))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// recall begins where the journal says the source is. A document that a patch could be applied to is not
// kept there, so that of a snapshot topic of Freshet the whole document is asked for first.
func (s *stream) recall(ctx context.Context, to source.Sink) error {
	text, err := to.Mark(ctx)
	if err != nil {
		return fmt.Errorf("read the mark: %w", err)
	}
	var m mark
	if text == "" || json.Unmarshal([]byte(text), &m) != nil || m.Of != s.identity() {
		if s.Freshet {
			s.lastID = "" // the document that it belonged to is gone
		}
		return nil
	}
	s.lastID, s.marked = m.ID, true
	return nil
}
