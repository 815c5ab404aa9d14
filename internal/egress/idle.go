package egress

import (
	"io"
	"slices"
	"sync"
	"time"
)

const idleFor = 90 * time.Second

// Idle keeps connections that are not in use, by where they lead, and ends those that nobody has wanted for 90 s. It
// is safe for concurrent use.
type Idle[C io.Closer] struct {
	Most     int // connections; 0: there is no bound
	MostEach int // that lead to the same place

	mu    sync.Mutex
	all   map[string][]idle[C] // the one used last at the end
	count int
	sweep *time.Timer // nil: there are none
}

type idle[C io.Closer] struct {
	conn  C
	since time.Time
}

// Take is the connection that was used last. False: there is none.
func (p *Idle[C]) Take(to string) (conn C, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.all[to]
	if len(all) == 0 {
		return conn, false
	}
	n := len(all) - 1
	conn = all[n].conn
	p.all[to] = slices.Delete(all, n, n+1)
	p.count--
	return conn, true
}

// Keep keeps a connection, or ends it where there are enough.
func (p *Idle[C]) Keep(to string, conn C) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Most > 0 && p.count >= p.Most || len(p.all[to]) >= p.MostEach {
		_ = conn.Close()
		return
	}
	if p.all == nil {
		p.all = map[string][]idle[C]{}
	}
	p.all[to] = append(p.all[to], idle[C]{conn, time.Now()})
	p.count++
	if p.sweep == nil {
		p.sweep = time.AfterFunc(idleFor, func() { p.Close(idleFor) })
	}
}

// Close ends the connections that have been idle for so long.
func (p *Idle[C]) Close(unused time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for to := range p.all {
		p.closeLocked(to, unused)
	}
	if p.sweep != nil {
		p.sweep.Stop()
		p.sweep = nil
	}
	if p.count > 0 {
		p.sweep = time.AfterFunc(idleFor/2, func() { p.Close(idleFor) })
	}
}

// CloseAll ends the connections that lead to a place.
func (p *Idle[C]) CloseAll(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closeLocked(to, 0)
}

func (p *Idle[C]) closeLocked(to string, unused time.Duration) {
	left := slices.DeleteFunc(p.all[to], func(one idle[C]) bool {
		old := time.Since(one.since) >= unused
		if old {
			_ = one.conn.Close()
			p.count--
		}
		return old
	})
	if len(left) == 0 {
		delete(p.all, to)
		return
	}
	p.all[to] = left
}
