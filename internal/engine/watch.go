package engine

import (
	"context"
	"time"
)

const (
	watchEvery   = time.Second
	illFor       = 2                // watches in a row before the server is started anew, after a full disk
	illOtherwise = 15               // and where the disk was not full: a busy machine is no reason
	fullLately   = time.Minute      // that is "after"
	restartEvery = 10 * time.Second // at most; each restart breaks what is under way
)

// watch starts the server anew when it is not healthy and there is room on the disk, until ctx ends.
func (e *Engine) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var restarted, wasFull time.Time
	full, ill := false, 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		free, need, ok := e.room()
		if low := ok && free < need; low != full {
			full = low
			e.log.WarnContext(ctx, "disk space of the journal", "low", low, "free", free, "needed", need)
		}
		if full {
			wasFull = time.Now()
		}
		patience := illOtherwise
		if time.Since(wasFull) < fullLately {
			patience = illFor
		}
		why := e.ill()
		if why == "" {
			ill = 0
			continue
		}
		if ill++; ill < patience || full || time.Since(restarted) < restartEvery {
			continue
		}
		e.log.WarnContext(ctx, "engine is not healthy, starting it anew", "reason", why)
		restarted, ill = time.Now(), 0
		if err := e.restart(); err != nil {
			e.log.ErrorContext(ctx, "engine did not start", "err", err)
		}
	}
}

// restart replaces the server. Connections to the old one break and reconnect to the new one.
func (e *Engine) restart() error {
	old := e.current()
	old.Shutdown()
	old.WaitForShutdown()
	return e.start()
}
