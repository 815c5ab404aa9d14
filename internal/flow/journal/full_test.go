package journal_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"freshet"
	"freshet/internal/engine"
	"freshet/internal/flow/journal"
)

// TestDiskFull fills the disk under the journal and empties it again. Appends are refused in
// between, reads are not, and afterwards all goes on by itself with nothing lost or doubled.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil { //nolint:noctx // the test's context has ended
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	e := must(engine.Open(engine.Config{Dir: filepath.Join(dir, "data")}))(t)
	defer func() { _ = e.Close() }()
	j := on(t, e, journal.Config{Patience: time.Second})
	id := journal.ID("a")
	events := fill(t, j, id, freshet.Position{}, 10)
	if err := j.PutKeyframe(t.Context(), id, events[9]); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := fillDisk(ballast); err != nil {
		t.Fatal(err)
	}
	head := events[len(events)-1].Position
	var failed error
	for rev := 11; failed == nil && rev < 1000; rev++ { // blocks that the store has already may still take some
		ev := patch(rev, fmt.Sprintf("%0100000d", rev))
		if ev.Position, failed = j.AppendOne(t.Context(), id, head, ev); failed == nil {
			head, events = ev.Position, append(events, ev)
		}
	}
	if !errors.Is(failed, freshet.ErrUnavailable) {
		t.Fatalf("append to a full disk: %v", failed)
	}
	if err := e.Healthy(t.Context()); !errors.Is(err, freshet.ErrUnavailable) {
		t.Errorf("health with a full disk: %v", err)
	}
	if got, err := collect(j.Read(t.Context(), id, 0)); err != nil || len(got) < len(events) {
		t.Errorf("read with a full disk: %d of %d, %v", len(got), len(events), err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		last, err := j.Head(t.Context(), id) // the failed one may have been stored after all
		if err == nil {
			ev := patch(int(last.Revision)+1, "after")
			if _, err = j.AppendOne(t.Context(), id, last.Position, ev); err == nil {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no append although there is room: %v", err)
		}
	}
	if err := e.Healthy(t.Context()); err != nil {
		t.Errorf("health after all: %v", err)
	}
	got, err := collect(j.Read(t.Context(), id, 0))
	if n := len(got) - len(events); err != nil || n < 1 || n > 2 {
		t.Fatalf("read %d entries, %v; %d were acknowledged before", len(got), err, len(events))
	}
	for i, ev := range events {
		if !same(got[i], ev) {
			t.Errorf("entry %d differs", i)
		}
	}
}

// fillDisk writes a file until there is no room.
func fillDisk(name string) error {
	f, err := os.Create(name) //nolint:gosec // a test
	if err != nil {
		return err
	}
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return f.Close()
}
