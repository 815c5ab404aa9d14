package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// busy are the connections that have asked for something, or are about to. net/http does not tell, and
// its Shutdown drops the requests of those that it has only just accepted.
type busy struct {
	mu    sync.Mutex
	conns map[net.Conn]time.Time // since when; for one that has not asked yet, when it was accepted
	fresh map[net.Conn]bool      // has not asked yet
}

func newBusy() *busy { return &busy{conns: map[net.Conn]time.Time{}, fresh: map[net.Conn]bool{}} }

// note is an http.Server's ConnState.
func (b *busy) note(c net.Conn, s http.ConnState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.fresh, c)
	switch s {
	case http.StateNew:
		b.conns[c], b.fresh[c] = time.Now(), true
	case http.StateActive:
		b.conns[c] = time.Now()
	default:
		delete(b.conns, c)
	}
}

// any says whether there is one to wait for. A browser opens connections that it may never use.
func (b *busy) any() bool {
	const speechless = 500 * time.Millisecond
	b.mu.Lock()
	defer b.mu.Unlock()
	for c, since := range b.conns {
		if !b.fresh[c] || time.Since(since) < speechless {
			return true
		}
	}
	return false
}

// drain ends the streams, takes no more connections, and waits until those that were accepted are
// answered, or the limit is over.
func (s *system) drain(server *http.Server, listener net.Listener, served <-chan error, limit time.Duration) error {
	s.flow.EndFeeds()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	server.SetKeepAlivesEnabled(false)
	err := listener.Close()
	if e := <-served; !errors.Is(e, net.ErrClosed) {
		err = errors.Join(err, e)
	}
	for s.busy.any() && ctx.Err() == nil {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		s.log.WarnContext(ctx, "requests that did not end in time are cut")
	}
	err = errors.Join(err, server.Close())
	s.streams.Close(ctx)
	s.sockets.Close(ctx)
	return err
}
