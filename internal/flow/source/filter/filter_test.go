package filter_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"freshet/internal/flow/source/filter"
)

// TestMain is also the process that runs filters, where it is started as one.
func TestMain(m *testing.M) {
	if os.Getenv("FRESHET_TEST_FILTERS") != "" {
		filter.Serve(os.Stdin, os.Stdout)
	}
	os.Exit(m.Run())
}

func children(t testing.TB) *filter.Children {
	t.Helper()
	c := filter.NewChildren(func() *exec.Cmd {
		cmd := exec.Command(os.Args[0]) //nolint:gosec,noctx // this program
		cmd.Env = []string{"FRESHET_TEST_FILTERS=1"}
		return cmd
	})
	t.Cleanup(c.Close)
	return c
}

const limit = 1 << 20

// What filters make of values, in this process and in another.
func TestRun(t *testing.T) {
	for where, runner := range map[string]filter.Runner{"here": &filter.Here{}, "in a child": children(t)} {
		for _, tt := range []struct {
			filter, value, want string
			err                 error
		}{
			{".a", `{"a":[1,2]}`, `[1,2]`, nil},
			{"[.[] | select(. > 1)]", `[1,2,3]`, `[2,3]`, nil},
			{"empty", `1`, "", filter.ErrNothing},
			{".,.", `1`, "", filter.ErrSeveral},
			{`"x" * 2000000`, `1`, "", filter.ErrLarge},
			{"def f: f; f", `1`, "", filter.ErrSlow},
			{"$ENV | length", `1`, "0", nil},
			{"env.HOME", `1`, "null", nil},
		} {
			got, err := runner.Run(t.Context(), tt.filter, []byte(tt.value), limit)
			if string(got) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%s, %s of %s: %s, %v, want %s, %v", where, tt.filter, tt.value, got, err, tt.want, tt.err)
			}
		}
		if _, err := runner.Run(t.Context(), `error("boom")`, []byte("1"), limit); err == nil || !strings.Contains(err.Error(), "boom") {
			t.Errorf("%s: %v", where, err)
		}
	}
}

// A filter that wants too much memory or time is ended, whatever it does, and others work beside it and after it.
func TestBounds(t *testing.T) {
	c := children(t)
	var wg sync.WaitGroup
	for _, greedy := range []string{
		`"x" * 500000000`,
		`[] | .[500000000] = 1`,
		`reduce range(60) as $i ("x"; . + .)`,
		`reduce range(60) as $i ([0]; [., .])`,
		`[range(1000000000)]`,
		`reduce range(40) as $i ("x"; "\(.)\(.)") | length`,
	} {
		wg.Go(func() {
			start := time.Now()
			_, err := c.Run(t.Context(), greedy, []byte("1"), limit)
			if !errors.Is(err, filter.ErrMemory) && !errors.Is(err, filter.ErrSlow) {
				t.Errorf("%s: %v", greedy, err)
			}
			t.Logf("%s: %v after %v", greedy, err, time.Since(start))
		})
	}
	for n := range 20 {
		if got, err := c.Run(t.Context(), ". + 1", fmt.Append(nil, n), limit); err != nil || string(got) != fmt.Sprint(n+1) {
			t.Errorf("%s, %v", got, err)
		}
	}
	wg.Wait()
}

// Whoever has gone is not waited for, and nothing runs after the end.
func TestGivenUp(t *testing.T) {
	c := children(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := c.Run(ctx, "def f: f; f", []byte("1"), limit); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if got, err := c.Run(t.Context(), ".", []byte("1"), limit); err != nil || string(got) != "1" {
		t.Errorf("%s, %v", got, err)
	}
	c.Close()
	if _, err := c.Run(t.Context(), ".", []byte("1"), limit); err == nil {
		t.Error("it ran after the end")
	}
}

func TestCheck(t *testing.T) {
	for text, ok := range map[string]bool{".a": true, ".[": false, `import "a" as a; .`: false, "nothing(1)": false} {
		if err := filter.Check(text); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// BenchmarkRun is a small filter, in this process and in another.
func BenchmarkRun(b *testing.B) {
	value := []byte(`{"items":[{"id":1,"price":1.5},{"id":2,"price":2.5}]}`)
	for name, runner := range map[string]filter.Runner{"here": &filter.Here{}, "child": children(b)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := runner.Run(b.Context(), ".items | map({id, p: (.price * 100)})", value, limit); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
