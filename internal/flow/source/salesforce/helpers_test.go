package salesforce_test

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"freshet/internal/flow/source"
	"freshet/internal/freshettest"
)

// A log that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// marked is a sink that has had one payload, 0, with a mark.
func marked(t *testing.T, mark string) *freshettest.Sink {
	t.Helper()
	to := &freshettest.Sink{}
	if err := to.Payload(t.Context(), source.Payload{Data: []byte("0"), Time: time.Now(), Mark: mark}); err != nil {
		t.Fatal(err)
	}
	return to
}
