package webhook

import (
	"sync"
	"sync/atomic"

	"freshet/internal/egress"
	"freshet/internal/flow/delivery"
)

// idleOfAHost is how many connections are kept for one host.
const idleOfAHost = 128

// A pool keeps connections that are idle. Subscriptions to the same host share them: hundreds that deliver at once
// need as many as there are requests under way, and those have just been used.
type pool struct {
	readers sync.Pool // of *egress.Answers: only a connection in use needs one
	heads   sync.Pool // of *[]byte, likewise
	last    atomic.Pointer[keptBody]
	idle    egress.Idle[*conn] // by key

	mu      sync.Mutex
	clients map[string]int // that use the connections of a key
}

func newPool() *pool {
	return &pool{idle: egress.Idle[*conn]{MostEach: idleOfAHost}, clients: map[string]int{}}
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
	p.clients[key]++
}

func (p *pool) leave(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clients[key]--; p.clients[key] == 0 {
		delete(p.clients, key)
		p.idle.CloseAll(key)
	}
}

// keep keeps a connection, or ends it where it is not wanted any more.
func (p *pool) keep(key string, one *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clients[key] == 0 {
		_ = one.Close()
		return
	}
	p.idle.Keep(key, one)
}
