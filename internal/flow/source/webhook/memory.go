package webhook

import (
	"slices"
	"sync"
	"time"
)

// mostSeen is how many signatures are remembered. Those alone are that were right, so none but who knows a
// secret can fill it; and the journal remembers what this forgets.
const mostSeen = 16 << 10

// A memory knows what came lately. It is safe for concurrent use.
type memory struct {
	mu    sync.Mutex
	until map[string]time.Time // guarded by mu: when each may be forgotten
	order []string             // guarded by mu: the oldest first
}

func newMemory() *memory { return &memory{until: map[string]time.Time{}} }

// add remembers what came, and says whether it is new. A delivery whose time may be off by tolerance either way
// can be replayed for twice as long.
func (m *memory) add(identity string, now time.Time, tolerance time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.order) > 0 && !m.until[m.order[0]].After(now) {
		m.dropOldest()
	}
	if _, ok := m.until[identity]; ok {
		return false
	}
	if len(m.order) == mostSeen {
		m.dropOldest()
	}
	m.until[identity] = now.Add(2 * tolerance)
	m.order = append(m.order, identity)
	return true
}

func (m *memory) dropOldest() {
	delete(m.until, m.order[0])
	m.order = m.order[1:]
}

// forget lets what came come again.
func (m *memory) forget(identity string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.until[identity]; !ok {
		return
	}
	delete(m.until, identity)
	if i := slices.Index(m.order, identity); i >= 0 {
		m.order = slices.Delete(m.order, i, i+1)
	}
}
