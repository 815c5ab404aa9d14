package delivery

import (
	"context"
	"time"

	"freshet"
)

// Progress is how far a subscription is.
func (d *Deliveries) Progress(s *freshet.Subscription) *freshet.Progress {
	d.mu.Lock()
	e := d.all[s.ID]
	open := 0
	at := d.places.get(s.ID)
	if e != nil {
		open = len(e.streams)
		if e.worker != nil {
			e.worker.mu.Lock()
			at = e.worker.place
			e.worker.mu.Unlock()
		}
	}
	d.mu.Unlock()
	p := &freshet.Progress{EventID: at.At, Delivered: at.Delivered, Attempts: at.Attempts, LastError: at.Error}
	if at.Attempts > 0 && s.Status == freshet.SubscriptionActive {
		p.Next = at.Next
	}
	if s.Progress != nil {
		p.Reason = s.Progress.Reason
	}
	head := d.Head(s.Topic).Revision
	if has := d.has(s, at, head); head > has {
		if p.Lag = int(head - has); !at.Time.IsZero() { //nolint:gosec // fewer than there are events
			p.Behind = freshet.Duration(time.Since(at.Time).Truncate(time.Millisecond))
		}
	}
	if _, sent := d.Kinds.Lookup(s.Type); !sent {
		if p.Connection = "closed"; open > 0 {
			p.Connection = "open"
		}
	}
	return p
}

// has is the revision up to which a subscription lacks nothing; head, where that cannot be found out now: progress says
// what is known.
func (d *Deliveries) has(s *freshet.Subscription, at place, head freshet.Revision) freshet.Revision {
	if pos, err := freshet.ParsePosition(at.At); err == nil && pos.Sequence > 0 {
		return pos.Revision
	}
	ctx, cancel := context.WithTimeout(d.base, time.Second)
	defer cancel()
	if at.At != "" { // set back to before all events
		if then, _, err := d.At(ctx, s.Topic, time.Time{}); err == nil {
			return then
		}
		return head
	}
	d.mu.Lock()
	e := d.all[s.ID]
	if e != nil && e.origin != nil {
		defer d.mu.Unlock()
		return *e.origin
	}
	d.mu.Unlock()
	origin, err := d.origin(ctx, s)
	if err != nil {
		return head
	}
	if e != nil {
		d.mu.Lock()
		e.origin = &origin
		d.mu.Unlock()
	}
	return origin
}

// origin is the revision after which a subscription begins that has had nothing yet. The document that comes first of
// a snapshot topic is still to come.
func (d *Deliveries) origin(ctx context.Context, s *freshet.Subscription) (freshet.Revision, error) {
	if pos, err := freshet.ParsePosition(s.Start); err == nil {
		return pos.Revision, nil
	}
	messages, since := s.Mode == freshet.ModeEvent, s.CreateTimestamp
	if messages || s.Behind == BehindAll { // otherwise what was before is superseded
		if s.Start == StartBeginning {
			since = time.Time{}
		} else if t, err := time.Parse(time.RFC3339, s.Start); err == nil {
			since = t
		}
	}
	then, kept, err := d.At(ctx, s.Topic, since)
	if err == nil && kept && !messages && then > 0 {
		then--
	}
	return then, err
}
