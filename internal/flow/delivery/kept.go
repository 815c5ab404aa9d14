package delivery

import (
	"context"
	"net"
	"sync"
)

// A Link is what a target has open to its receiver, such as a connection.
type Link interface {
	HasEnded() bool
	Close()
}

// Kept is the link that a target keeps from one delivery to the next. Its zero value has none. One delivery at a time
// uses it; Close may be called at any time.
type Kept[L Link] struct {
	mu     sync.Mutex
	link   *L
	closed bool
}

// Open returns the link that there is, or makes one. net.ErrClosed after Close.
func (k *Kept[L]) Open(ctx context.Context, connect func(context.Context) (L, error)) (link L, err error) {
	k.mu.Lock()
	had, closed := k.link, k.closed
	k.mu.Unlock()
	switch {
	case closed:
		return link, net.ErrClosed
	case had != nil && !(*had).HasEnded():
		return *had, nil
	}
	k.Drop()
	if link, err = connect(ctx); err != nil {
		return link, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		link.Close()
		return link, net.ErrClosed
	}
	k.link = &link
	return link, nil
}

// Drop ends the link, as it is of no use any more.
func (k *Kept[L]) Drop() { k.end(false) }

// Close ends the link, and there is to be no other.
func (k *Kept[L]) Close() { k.end(true) }

func (k *Kept[L]) end(closed bool) {
	k.mu.Lock()
	had := k.link
	k.link, k.closed = nil, k.closed || closed
	k.mu.Unlock()
	if had != nil {
		(*had).Close()
	}
}
