package catalog

import (
	"bytes"
	"context"
	"maps"
	"sync"

	"freshet"
)

// Memory is a store of Records that forgets, for tests and for servers that keep nothing.
// Its zero value is empty.
type Memory struct {
	mu     sync.Mutex
	last   uint64 // revision
	values map[string]memoryRecord
}

type memoryRecord struct {
	value    []byte
	revision uint64
}

// Get implements Records.
func (m *Memory) Get(_ context.Context, key string) ([]byte, uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.values[key]
	if !ok {
		return nil, 0, freshet.ErrNotFound
	}
	return bytes.Clone(r.value), r.revision, nil
}

// Put implements Records.
func (m *Memory) Put(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values[key].revision != revision {
		return 0, freshet.ErrConflict
	}
	if m.values == nil {
		m.values = map[string]memoryRecord{}
	}
	m.last++
	m.values[key] = memoryRecord{bytes.Clone(value), m.last}
	return m.last, nil
}

// Delete implements Records.
func (m *Memory) Delete(_ context.Context, key string, revision uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, ok := m.values[key]; !ok || r.revision != revision {
		return freshet.ErrConflict
	}
	delete(m.values, key)
	return nil
}

// List implements Records.
func (m *Memory) List(_ context.Context, each func(key string, value []byte, revision uint64) error) error {
	m.mu.Lock()
	values := maps.Clone(m.values)
	m.mu.Unlock()
	for key, r := range values {
		if err := each(key, r.value, r.revision); err != nil {
			return err
		}
	}
	return nil
}
