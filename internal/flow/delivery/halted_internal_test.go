package delivery

import (
	"fmt"
	"log/slog"
	"testing"

	"freshet"
)

// That a worker gave up says nothing of the one that has taken its place meanwhile.
func TestHaltedMeanwhile(t *testing.T) {
	var told []string
	log := slog.New(slog.DiscardHandler)
	d, err := Open(t.Context(), Config{Records: &store{}, Exchanges: &Log{}, Log: log, Halted: func(_ freshet.SubscriptionID, _ freshet.SubscriptionStatus, reason string) {
		told = append(told, reason)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	sub := &freshet.Subscription{ID: "a", Type: "webhook"}
	old, now := &worker{sub: sub, log: log}, &worker{sub: sub, log: log}
	d.all["a"] = &entry{worker: now}
	d.halted(old, &stoppedError{freshet.SubscriptionDisabled, "old"})
	d.halted(now, &stoppedError{freshet.SubscriptionDisabled, "new"})
	d.halts.Wait()
	if fmt.Sprint(told) != "[new]" {
		t.Errorf("told %q", told)
	}
	delete(d.all, "a")
}
