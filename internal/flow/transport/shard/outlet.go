package shard

import (
	"net"
	"time"

	"freshet/internal/flow/fanout"
)

// An Outlet is a connection that no loop writes: it has a goroutine of its own.
type Outlet interface {
	// WriteWithin writes all of b, or fails once so much time has passed.
	WriteWithin(b []byte, within time.Duration) error
}

// A Socket is an Outlet that is nobody else's.
type Socket struct{ net.Conn }

// WriteWithin is part of Outlet.
func (s Socket) WriteWithin(b []byte, within time.Duration) error {
	if err := s.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := s.Write(b)
	return err
}

// WriteBatch writes the events of a batch together, after what comes before them; what is one frame is not
// copied.
func WriteBatch(out Outlet, before []byte, b fanout.Batch, p *Protocol) (sent int, err error) {
	const most = 256 << 10 // of what is joined
	for i, e := range b.Entries {
		frame := e.Frame(p.Form, p.Encode)
		if len(before) == 0 && len(b.Entries) == 1 {
			before = frame
		} else {
			before = append(before, frame...)
		}
		if len(before) < most && i < len(b.Entries)-1 {
			continue
		}
		if err := out.WriteWithin(before, p.Stalled); err != nil {
			return sent, err
		}
		sent += len(before)
		before = nil
	}
	return sent, nil
}
