package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"freshet"
	"freshet/internal/flow/fanout"
	"freshet/jsonpatch"
)

// A walker says what a subscription lacks, from its place on.
type walker struct {
	feed   *fanout.Feed
	mode   freshet.Mode
	every  bool           // of a snapshot topic: each revision
	cursor *fanout.Cursor // of every it passes on all that there is
	doc    []byte         // of every, in modes that need it: the document that the receiver has; nil: not known
	opens  bool           // of every: what comes next is the document that the rest follows
	of     freshet.SubscriptionID
	reset  string // why what comes next does not follow what the receiver has; empty: it does, or the cursor says why

	// skipped is a document that the receiver was spared; zero: none. What comes after it begins with a whole one.
	skipped freshet.Position
}

// walk begins where a subscription is, or wants to begin.
func walk(ctx context.Context, feed *fanout.Feed, kind freshet.Kind, s *freshet.Subscription, is place) (*walker, error) {
	w := &walker{feed: feed, mode: s.Mode, every: kind == freshet.KindSnapshot && s.Behind == BehindAll, of: s.ID}
	if is.At == "" {
		return w, w.begin(ctx, kind, s)
	}
	pos, err := freshet.ParsePosition(is.At)
	if err != nil {
		w.restart(fanout.ResetUnknown)
		return w, nil
	}
	if is.Skipped {
		w.skipped = pos
		return w, nil
	}
	return w, w.resume(ctx, pos)
}

// begin is for a subscription that has had nothing yet.
func (w *walker) begin(ctx context.Context, kind freshet.Kind, s *freshet.Subscription) error {
	since := s.CreateTimestamp
	switch s.Start {
	case "", StartNow:
		if kind == freshet.KindSnapshot {
			w.fresh()
			return nil
		}
	case StartBeginning:
		since = time.Time{}
	default:
		if pos, err := freshet.ParsePosition(s.Start); err == nil {
			return w.resume(ctx, pos)
		}
		t, err := time.Parse(time.RFC3339, s.Start)
		if err != nil {
			return fmt.Errorf("start: %q is neither an event id nor a time", s.Start) // it was checked
		}
		since = t
	}
	return w.since(ctx, kind, since)
}

// since begins after what there was at a time; the zero time is before the oldest that is kept.
func (w *walker) since(ctx context.Context, kind freshet.Kind, t time.Time) error {
	if kind == freshet.KindSnapshot && !w.every {
		w.fresh() // what was before is superseded
		return nil
	}
	if !t.IsZero() {
		switch then, err := w.feed.AtTime(ctx, t); {
		case err == nil && kind == freshet.KindEvent:
			return w.resume(ctx, then.Position)
		case err == nil:
			return w.openWith(ctx, then)
		case !errors.Is(err, freshet.ErrGone):
			return fmt.Errorf("look for what was at %s: %w", t.UTC().Format(time.RFC3339), err)
		}
	}
	if kind == freshet.KindEvent {
		w.cursor = w.feed.FollowAll(freshet.ModeEvent)
		return nil
	}
	for ev, err := range w.feed.History(ctx, fanout.Range{}) {
		if err != nil {
			return fmt.Errorf("read the history: %w", err)
		}
		return w.openWith(ctx, ev) // the first is a document
	}
	w.fresh()
	return nil
}

// openWith begins, of every, with a document of the past.
func (w *walker) openWith(ctx context.Context, doc freshet.Event) error {
	if err := w.resume(ctx, doc.Position); err != nil {
		return err
	}
	w.doc, w.opens = doc.Data, true
	return nil
}

// fresh begins with the document now, or with messages from now on.
func (w *walker) fresh() {
	if w.every {
		w.cursor, w.opens = w.feed.Follow(freshet.ModeSnapshotPatch), true
		return
	}
	w.cursor = w.feed.Follow(w.mode)
}

// restart begins anew, and says why.
func (w *walker) restart(reason string) {
	if w.every {
		w.cursor, w.opens, w.doc = w.feed.Reset(freshet.ModeSnapshotPatch, reason), true, nil
		return
	}
	w.cursor = w.feed.Reset(w.mode, reason)
}

func (w *walker) resume(ctx context.Context, at freshet.Position) error {
	mode := w.mode
	if w.every {
		mode = freshet.ModeEvent
	}
	cursor, resumed, err := w.feed.Resume(ctx, mode, at)
	switch {
	case err != nil:
		return fmt.Errorf("go on after event %s: %w", at, err)
	case !resumed && w.every:
		w.restart(fanout.ResetExpired)
	default:
		w.cursor = cursor
	}
	if w.every && w.mode != freshet.ModeSnapshotPatch && resumed {
		doc, err := w.feed.AtEvent(ctx, at)
		if err != nil {
			w.restart(fanout.ResetExpired)
			return nil //nolint:nilerr // a document that cannot be had is one that has expired
		}
		w.doc = doc.Data
	}
	return nil
}

// next is what the subscription lacks now; nothing, where that is nothing.
func (w *walker) next(ctx context.Context) ([]Message, error) {
	if w.skipped.Sequence > 0 {
		if passed, err := w.pass(ctx); err != nil || !passed {
			return nil, err
		}
	}
	if w.every && w.opens && w.doc != nil { // a document of the past, from which every change since is passed on
		at, ok := w.cursor.Position()
		if !ok {
			return nil, errors.New("a walk begins in the past, and has no place there")
		}
		first := Message{Event: freshet.Event{Position: at, Type: freshet.TypeSnapshot, Time: time.Now().UTC(), Data: w.doc}, Reset: w.reset}
		w.opens, w.reset = false, ""
		return []Message{first}, nil
	}
	batch, err := w.cursor.Next(ctx)
	if slow, ok := errors.AsType[*fanout.SlowError](err); ok { // what is no longer in memory is in the journal
		if err := w.resume(ctx, slow.At); err != nil {
			return nil, err
		}
		batch, err = w.cursor.Next(ctx)
	}
	if err != nil {
		return nil, err
	}
	messages := make([]Message, 0, len(batch.Entries))
	for _, e := range batch.Entries {
		messages = append(messages, Message{Event: fanout.Addressed(e.Event, w.of), Reset: batch.Reset})
		batch.Reset = ""
	}
	if !w.every {
		return messages, nil
	}
	return w.each(ctx, messages)
}

// pass goes on after a document that was skipped, once there is another one. The receiver knows neither, so that it
// gets that one whole.
func (w *walker) pass(ctx context.Context) (passed bool, err error) {
	at := w.skipped
	if w.feed.Head().Revision == at.Revision {
		return false, nil
	}
	if w.skipped = (freshet.Position{}); !w.every {
		w.restart(fanout.ResetSkipped)
		return true, nil
	}
	for ev, err := range w.feed.History(ctx, fanout.Range{After: at}) {
		if err != nil {
			return false, fmt.Errorf("read what is after event %s: %w", at, err)
		}
		if ev.Sequence <= at.Sequence || ev.Revision == at.Revision {
			continue
		}
		doc, err := w.feed.AtEvent(ctx, ev.Position)
		if err != nil {
			return false, fmt.Errorf("rebuild revision %d: %w", ev.Revision, err)
		}
		w.reset = fanout.ResetSkipped
		return true, w.openWith(ctx, doc)
	}
	w.restart(fanout.ResetExpired)
	return true, nil
}

// each makes of all that there is, of a snapshot topic, what the mode wants of it.
func (w *walker) each(ctx context.Context, messages []Message) ([]Message, error) {
	for i := range messages {
		m := &messages[i]
		switch {
		case m.Type == freshet.TypeError && m.Sequence == 0: // the history has not all that is missing
			w.restart(fanout.ResetExpired)
			return messages[:i], nil
		case m.Type == freshet.TypeSnapshot || m.Type == freshet.TypePatch && w.mode != freshet.ModeSnapshotPatch:
			if err := w.told(m); err != nil {
				return nil, fmt.Errorf("rebuild revision %d: %w", m.Revision, err)
			}
		}
	}
	if w.mode == freshet.ModeSnapshotPatch {
		w.doc = nil
	}
	if w.opens && len(messages) > 0 { // from the document on all is passed on
		w.opens = false
		doc := w.doc
		if err := w.resume(ctx, messages[len(messages)-1].Position); err != nil {
			return nil, err
		}
		w.doc = doc
	}
	return messages, nil
}

// told makes a change what the mode wants of it, and takes note of the document that it leads to.
func (w *walker) told(m *Message) (err error) {
	before, snapshot := w.doc, m.Event
	if m.Type == freshet.TypePatch {
		snapshot.Type = freshet.TypeSnapshot
		if snapshot.Data, err = jsonpatch.Apply(before, m.Data); err != nil {
			return err
		}
	}
	w.doc, m.Event = snapshot.Data, snapshot
	if before != nil && !w.opens && m.Reset == "" && fanout.Stepwise(w.mode) {
		m.Event, err = w.feed.Step(w.mode, before, snapshot)
	}
	return err
}
