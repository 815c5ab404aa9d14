package salesforce_test

import (
	"testing"
	"time"

	"freshet/internal/flow/source"
	"freshet/internal/freshettest"
)

// marked is a sink that has had one payload, 0, with a mark.
func marked(t *testing.T, mark string) *freshettest.Sink {
	t.Helper()
	to := &freshettest.Sink{}
	if err := to.Payload(t.Context(), source.Payload{Data: []byte("0"), Time: time.Now(), Mark: mark}); err != nil {
		t.Fatal(err)
	}
	return to
}
