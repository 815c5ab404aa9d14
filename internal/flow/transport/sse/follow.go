package sse

import (
	"context"
	"net"
	"net/http"
	"time"

	"freshet/internal/flow/fanout"
	"freshet/internal/flow/transport/shard"
)

// An outlet is a connection that has a goroutine of its own.
type outlet interface {
	write(b []byte, within time.Duration) error
}

// An answer is an outlet that net/http writes.
type answer struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (a *answer) write(b []byte, within time.Duration) error {
	if err := a.rc.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if len(b) > 0 {
		if _, err := a.w.Write(b); err != nil {
			return err
		}
	}
	return a.rc.Flush()
}

// A socket is an outlet that is nobody else's.
type socket struct{ net.Conn }

func (s socket) write(b []byte, within time.Duration) error {
	if err := s.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := s.Write(b)
	return err
}

// follow writes head and then what the cursor says, until ctx or the feed ends; or, to get a cursor to
// where its feed's memory begins, until it is live: then the error is nil. greeted says whether the reader
// has got its first event, before and after.
func follow(ctx context.Context, out outlet, head []byte, cursor *fanout.Cursor, p *shard.Protocol, reader shard.Reader, status *statuses, greeted, untilLive bool) (bool, error) {
	if err := out.write(head, p.Stalled); err != nil {
		return greeted, err
	}
	beat := time.NewTimer(p.Heartbeat)
	defer beat.Stop()
	defer status.stop()
	for {
		changed := cursor.Feed().Changed()
		batch, err := cursor.Next(ctx)
		if err != nil {
			_ = out.write(p.End(err), p.Stalled) // it ends one way or the other
			return greeted, err
		}
		if len(batch.Entries) > 0 {
			var bytes []byte
			if !greeted || batch.Reset != "" {
				bytes, greeted = p.Greet(batch.Reset), true
			}
			n, err := writeBatch(out, bytes, batch, p)
			reader.Sent(batch, n, 1)
			if err != nil {
				return greeted, err
			}
			beat.Reset(p.Heartbeat)
			continue
		}
		if untilLive && cursor.Live() {
			return greeted, nil
		}
		if is, news := status.next(); news {
			if err := out.write(p.Encode(statusEvent(is)), p.Stalled); err != nil {
				return greeted, err
			}
			beat.Reset(p.Heartbeat)
		}
		select {
		case <-changed:
		case <-status.report:
		case <-status.due():
		case <-beat.C:
			if err := out.write(p.Beat, p.Stalled); err != nil {
				return greeted, err
			}
			beat.Reset(p.Heartbeat)
		case <-ctx.Done():
			_ = out.write(p.End(context.Cause(ctx)), p.Stalled)
			return greeted, context.Cause(ctx)
		}
	}
}

// writeBatch writes the events of a batch together, after what comes before them; what is one frame is
// not copied.
func writeBatch(out outlet, before []byte, b fanout.Batch, p *shard.Protocol) (sent int, err error) {
	const most = 256 << 10 // of what is joined
	for _, e := range b.Entries {
		frame := e.Frame(p.Form, p.Encode)
		switch {
		case len(before) == 0 && len(b.Entries) == 1:
			before = frame
		default:
			before = append(before, frame...)
		}
		if len(before) < most && e != b.Entries[len(b.Entries)-1] {
			continue
		}
		if err := out.write(before, p.Stalled); err != nil {
			return sent, err
		}
		sent += len(before)
		before = nil
	}
	return sent, nil
}
