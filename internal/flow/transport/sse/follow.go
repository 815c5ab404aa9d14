package sse

import (
	"context"
	"net/http"
	"time"

	"freshet/internal/flow/fanout"
	"freshet/internal/flow/transport/shard"
)

// An answer is a shard.Outlet that net/http writes.
type answer struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// WriteWithin is part of shard.Outlet.
func (a *answer) WriteWithin(b []byte, within time.Duration) error {
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

// follow writes head and then what the cursor says, until ctx or the feed ends; or, to get a cursor to
// where its feed's memory begins, until it is live: then the error is nil. greeted says whether the reader
// has got its first event, before and after.
func follow(ctx context.Context, out shard.Outlet, head []byte, cursor *fanout.Cursor, p *shard.Protocol, reader shard.Reader, status *statuses, greeted, untilLive bool) (bool, error) {
	if err := out.WriteWithin(head, p.Stalled); err != nil {
		return greeted, err
	}
	beat := time.NewTimer(p.Heartbeat)
	defer beat.Stop()
	defer status.stop()
	for {
		changed := cursor.Feed().Changed()
		batch, err := cursor.Next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			_ = out.WriteWithin(p.End(err), p.Stalled) // it ends one way or the other
			return greeted, err
		}
		if len(batch.Entries) > 0 {
			var bytes []byte
			if !greeted || batch.Reset != "" {
				bytes, greeted = p.Greet(batch.Reset), true
			}
			n, err := shard.WriteBatch(out, bytes, batch, p)
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
			if err := out.WriteWithin(p.Encode(statusEvent(is)), p.Stalled); err != nil {
				return greeted, err
			}
			beat.Reset(p.Heartbeat)
		}
		select {
		case <-changed:
		case <-status.report:
		case <-status.due():
		case <-beat.C:
			if err := out.WriteWithin(p.Beat, p.Stalled); err != nil {
				return greeted, err
			}
			beat.Reset(p.Heartbeat)
		case <-ctx.Done():
			_ = out.WriteWithin(p.End(context.Cause(ctx)), p.Stalled)
			return greeted, context.Cause(ctx)
		}
	}
}
