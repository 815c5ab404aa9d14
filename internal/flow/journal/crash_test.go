package journal_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"freshet"
	"freshet/internal/engine"
	"freshet/internal/flow/journal"
)

// appender, in the environment, makes the test binary a process that appends to that directory
// until it is killed, and writes each position to its output once it is acknowledged.
const appender = "FRESHET_TEST_APPENDER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(appender); dir != "" {
		if err := appendForEver(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func appendForEver(dir string) error {
	e, err := engine.Open(engine.Config{Dir: dir})
	if err != nil {
		return err
	}
	ctx, id := context.Background(), journal.ID("a")
	j, err := journal.Open(ctx, e.Conn(), journal.Config{}, nil)
	if err != nil {
		return err
	}
	head, err := j.Head(ctx, id)
	if err != nil {
		return err
	}
	for at := head.Position; ; {
		ev := patch(int(at.Revision)+1, fmt.Sprintf("[%d]", at.Revision+1))
		if at.Revision%300 == 0 { // in parts now and then
			ev.Data = append(make([]byte, 4<<20), ev.Data...)
		}
		if at, err = j.AppendOne(ctx, id, at, ev); err != nil {
			return err
		}
		fmt.Println(at) // one write
		if at.Revision%20 == 0 {
			ev.Position = at
			if err := j.PutKeyframe(ctx, id, ev); err != nil {
				return err
			}
			if err := j.Trim(ctx, id, 0, 200, 0); err != nil {
				return err
			}
		}
	}
}

// TestKill kills a process in the midst of appends, 20 times on one directory: what it was
// acknowledged is there, and everything is there once.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	var acknowledged freshet.Position
	for round := range 20 {
		cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // ourselves
		cmd.Env = append(os.Environ(), appender+"="+dir)
		cmd.Stderr = os.Stderr
		out := must(cmd.StdoutPipe())(t)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines, left := bufio.NewReader(out), 1+rng.IntN(60)
		for {
			line, err := lines.ReadString('\n')
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			acknowledged = must(freshet.ParsePosition(line[:len(line)-1]))(t)
			if left--; left == 0 {
				time.AfterFunc(time.Duration(rng.IntN(3000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
			}
		}
		_ = cmd.Wait()
		if left > 0 {
			t.Fatalf("round %d: the appender ended by itself", round)
		}
		checkKilled(t, dir, acknowledged)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
}

func checkKilled(t *testing.T, dir string, acknowledged freshet.Position) {
	t.Helper()
	e := must(engine.Open(engine.Config{Dir: dir}))(t)
	defer func() { _ = e.Close() }()
	j, id := on(t, e, journal.Config{}), journal.ID("a")
	oldest := must(j.Oldest(t.Context(), id))(t)
	got, err := collect(j.Read(t.Context(), id, oldest.Prev))
	if err != nil || len(got) == 0 {
		t.Fatalf("read %d entries, %v", len(got), err)
	}
	for i, e := range got {
		want := oldest.Revision + freshet.Revision(i)
		if text := string(e.Data[max(0, len(e.Data)-20):]); e.Revision != want || len(e.Data) < 1<<20 && text != fmt.Sprintf("[%d]", want) {
			t.Fatalf("entry %d is revision %d with %s; want %d", i, e.Revision, text, want)
		}
		if e.Revision == acknowledged.Revision && e.Position != acknowledged {
			t.Errorf("revision %d is at %v; acknowledged at %v", e.Revision, e.Position, acknowledged)
		}
	}
	last := got[len(got)-1]
	if last.Revision < acknowledged.Revision || last.Revision > acknowledged.Revision+1 {
		t.Errorf("last revision %d; acknowledged %d", last.Revision, acknowledged.Revision)
	}
	if key := must(j.Keyframe(t.Context(), id, journal.Latest))(t); oldest.Prev != 0 && key.Revision+1 < oldest.Revision {
		t.Errorf("keyframe of %d, oldest %d", key.Revision, oldest.Revision)
	}
}
