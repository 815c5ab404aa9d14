package webhook

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"freshet/internal/flow/delivery"
)

const (
	idleFor     = 90 * time.Second
	idleOfAHost = 128 // connections that are kept for one host
)

// A pool keeps connections that are idle. Subscriptions to the same host share them: hundreds that deliver at once
// need as many as there are requests under way, and those have just been used.
type pool struct {
	readers sync.Pool // of *egress.Answers: only a connection in use needs one
	heads   sync.Pool // of *[]byte, likewise

	last atomic.Pointer[keptBody]

	mu    sync.Mutex
	hosts map[string]*host
	sweep *time.Timer // nil: none is idle
}

// A host is where connections lead that are interchangeable.
type host struct {
	clients int
	idle    []*conn // the one used last at the end
}

// head is room for a header. It is to be put into heads again.
func (p *pool) head() *[]byte {
	if room, ok := p.heads.Get().(*[]byte); ok {
		return room
	}
	return new([]byte)
}

// A keptBody is as much of a body as the log of exchanges has of it.
type keptBody struct {
	body []byte
	text string
}

// kept is what the log has of a body. Many subscriptions are sent the same one, which nobody changes.
func (p *pool) kept(body []byte) string {
	last := p.last.Load()
	if last != nil && len(body) > 0 && len(last.body) == len(body) && &last.body[0] == &body[0] {
		return last.text
	}
	last = &keptBody{body, delivery.KeepRequest(body)}
	p.last.Store(last)
	return last.text
}

// join says that a client uses the connections of a key, until it says that it leaves them.
func (p *pool) join(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[key]
	if h == nil {
		if p.hosts == nil {
			p.hosts = map[string]*host{}
		}
		h = &host{}
		p.hosts[key] = h
	}
	h.clients++
}

func (p *pool) leave(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[key]
	if h.clients--; h.clients > 0 {
		return
	}
	for _, one := range h.idle {
		_ = one.raw.Close()
	}
	delete(p.hosts, key)
}

// take is the connection that was used last; nil: there is none.
func (p *pool) take(key string) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[key]
	if h == nil || len(h.idle) == 0 {
		return nil
	}
	n := len(h.idle) - 1
	one := h.idle[n]
	h.idle = slices.Delete(h.idle, n, n+1)
	return one
}

// keep keeps a connection; false: it is not wanted any more.
func (p *pool) keep(key string, one *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[key]
	if h == nil || len(h.idle) >= idleOfAHost {
		return false
	}
	one.since = time.Now()
	h.idle = append(h.idle, one)
	if p.sweep == nil {
		p.sweep = time.AfterFunc(idleFor, p.expire)
	}
	return true
}

// expire ends the connections that have been idle for long.
func (p *pool) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep = nil
	for _, h := range p.hosts {
		h.idle = slices.DeleteFunc(h.idle, func(one *conn) bool {
			old := time.Since(one.since) >= idleFor
			if old {
				_ = one.raw.Close()
			}
			return old
		})
		if len(h.idle) > 0 && p.sweep == nil {
			p.sweep = time.AfterFunc(idleFor/2, p.expire)
		}
	}
}
