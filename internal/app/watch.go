package app

import (
	"context"
	"sync"
)

// watchers are who wants to see every change.
type watchers struct {
	mu  sync.Mutex
	fns map[*func(Change)]bool
}

func (w *watchers) tell(c Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for fn := range w.fns {
		(*fn)(c)
	}
}

func (w *watchers) until(ctx context.Context, fn func(Change)) {
	w.mu.Lock()
	w.fns[&fn] = true
	w.mu.Unlock()
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.fns, &fn)
	})
}
