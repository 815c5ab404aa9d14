package journal_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"freshet"
	"freshet/internal/engine"
	"freshet/internal/flow/journal"
)

// A slowStore answers for a stream as a cluster does that changes its leader: what it takes in first it does
// not answer, and it refuses more until that can be read, which takes a while.
type slowStore struct {
	nc     *nats.Conn
	hidden int // refusals until what was taken in can be read

	mu      sync.Mutex
	taken   *nats.Msg // the one message
	refused int
}

// serve takes the place of the stream that holds a topic's entries.
func (s *slowStore) serve(t *testing.T, entries string) {
	t.Helper()
	js := must(jetstream.New(s.nc))(t)
	stream := must(js.StreamNameBySubject(t.Context(), entries))(t)
	if err := js.DeleteStream(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	must(s.nc.Subscribe(entries, s.publish))(t)
	must(s.nc.Subscribe("$JS.API.DIRECT.GET."+stream, s.read))(t)
	if err := s.nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

func (s *slowStore) publish(m *nats.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken == nil {
		s.taken = m
		return
	}
	s.refused++
	_ = m.Respond([]byte(`{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"}}`))
}

func (s *slowStore) read(m *nats.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var q struct {
		Last string `json:"last_by_subj"`
		Seq  uint64 `json:"seq"`
	}
	answer := nats.NewMsg(m.Reply)
	if err := json.Unmarshal(m.Data, &q); err != nil || s.taken == nil || s.refused < s.hidden || q.Seq > 1 {
		answer.Header.Set("Status", "404")
	} else {
		answer.Header, answer.Data = s.taken.Header, s.taken.Data
		answer.Header.Set("Nats-Sequence", "1")
		answer.Header.Set("Nats-Subject", s.taken.Subject)
	}
	_ = m.RespondMsg(answer)
}

// A writer is not fenced by its own attempt, even when the store refuses the next for it long before it can be
// seen there. One that never can be seen is no success, and no fence either.
func TestOwnAttemptInFlight(t *testing.T) {
	for _, tt := range []struct {
		hidden int
		want   error
	}{{0, nil}, {1, nil}, {5, nil}, {1000, freshet.ErrUnavailable}} {
		t.Run(fmt.Sprint(tt.hidden), func(t *testing.T) {
			t.Parallel()
			e := must(engine.Open(engine.Config{Dir: t.TempDir(), Sync: "1m"}))(t)
			defer func() { _ = e.Close() }()
			j, id := on(t, e, journal.Config{Patience: 500 * time.Millisecond}), journal.ID("a")
			s := &slowStore{nc: e.Conn(), hidden: tt.hidden}
			s.serve(t, subjectOf(t, e.Conn(), j, id))
			at, err := j.AppendOne(t.Context(), id, freshet.Position{}, patch(1, "[1]"))
			if !errors.Is(err, tt.want) || errors.Is(err, journal.ErrFenced) || err == nil && (at.Revision != 1 || at.Sequence == 0) {
				t.Errorf("appended at %v, %v; want %v", at, err, tt.want)
			}
		})
	}
}

// subjectOf is where the journal puts a topic's entries.
func subjectOf(t *testing.T, nc *nats.Conn, j *journal.Journal, id freshet.TopicID) string {
	t.Helper()
	sub := must(nc.SubscribeSync("fr.f.*." + string(id) + ".e"))(t)
	fill(t, j, id, freshet.Position{}, 1)
	m := must(sub.NextMsg(5 * time.Second))(t)
	if err := errors.Join(sub.Unsubscribe(), j.Delete(t.Context(), id)); err != nil || !strings.HasPrefix(m.Subject, "fr.f.") {
		t.Fatal(m.Subject, err)
	}
	return m.Subject
}
