package sse

import (
	"encoding/json"
	"time"

	"freshet"
)

// A Status tells how fresh a topic is: now, when that may be otherwise without a report of its source, zero
// where it will not, and what closes when there is a report.
type Status func() (is freshet.Freshness, until time.Time, report <-chan struct{})

// statuses are the status events of a topic on one connection. They have no id, so that they do not move
// where a client resumes.
type statuses struct {
	of     Status // nil: the client did not ask for any
	told   bool
	last   freshet.Freshness
	report <-chan struct{}
	timer  *time.Timer // when there may be another without a report
}

// next is the status to be told, if it is another than the client was told last: stale or not, or for
// another reason.
func (s *statuses) next() (is freshet.Freshness, news bool) {
	if s.of == nil {
		return is, false
	}
	is, until, report := s.of()
	s.report = report
	s.stop()
	if !until.IsZero() {
		s.timer = time.NewTimer(max(0, time.Until(until)))
	}
	news = !s.told || is.Stale != s.last.Stale || is.StaleReason != s.last.StaleReason
	s.told, s.last = true, is
	return is, news
}

func (s *statuses) stop() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

// due is when there may be another status without a report.
func (s *statuses) due() <-chan time.Time {
	if s.timer == nil {
		return nil
	}
	return s.timer.C
}

// statusEvent is a status as it is told.
func statusEvent(is freshet.Freshness) freshet.Event {
	data, err := json.Marshal(is)
	if err != nil {
		panic(err) // it has nothing that cannot be written
	}
	return freshet.Event{Type: freshet.TypeStatus, Data: data}
}
