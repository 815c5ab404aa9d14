package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Filters that want all the memory or all the time there is cost the server neither: they run in processes beside it,
// which end when they have had enough, or when the server is gone.
func TestGreedyTransforms(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("what a process takes is read from /proc")
	}
	t.Parallel()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"n":%d,"many":500000000}`, time.Now().UnixNano())
	}))
	defer upstream.Close()
	s := serve(t, "")
	create := func(name, filter string) {
		s.do("POST", "/v1/topics", fmt.Sprintf(`{"name":%q,"kind":"snapshot","source":{"type":"http-poller","alwaysOn":true,"config":{"url":%q,"pollingPeriod":"PT0.5S","transform":%q}}}`, name, upstream.URL, filter), http.StatusCreated, nil)
	}
	greedy := map[string]string{
		"repeat": `"x" * .many`, "far": `.many as $n | [] | .[$n] = 1`, "double": `reduce range(60) as $i ("x"; . + .)`, "tree": `reduce range(60) as $i ([0]; [., .])`,
	}
	for name, filter := range greedy {
		create(name, filter)
	}
	create("modest", `{n: .n}`)
	var topic struct {
		Status struct {
			Revision int
			Fault    *struct {
				Code    int
				Message string
			}
		}
	}
	await := func(name string, is func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			if s.do("GET", "/v1/topics/"+name, "", http.StatusOK, &topic); is() {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %+v", name, topic.Status)
			}
		}
	}
	for name := range greedy {
		await(name, func() bool {
			return topic.Status.Fault != nil && strings.HasPrefix(topic.Status.Fault.Message, "transform took ")
		})
	}
	await("modest", func() bool { return topic.Status.Revision >= 5 })
	if peak := memoryOf(t, s.cmd.Process.Pid); peak > 400<<20 { // with the race detector
		t.Errorf("the server took %d MB", peak>>20)
	}
	workers := childrenOf(s.cmd.Process.Pid)
	if len(workers) == 0 {
		t.Error("no process runs filters")
	}
	s.kill()
	for deadline := time.Now().Add(20 * time.Second); len(workers) > 0; time.Sleep(20 * time.Millisecond) {
		if syscall.Kill(workers[0], 0) != nil || isZombie(workers[0]) {
			workers = workers[1:]
		} else if time.Now().After(deadline) {
			t.Fatalf("processes %v outlive the server", workers)
		}
	}
}

// memoryOf is the most that a process has taken, in bytes.
func memoryOf(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	kb, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

func childrenOf(pid int) (all []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		stat, _ := os.ReadFile(name)
		_, after, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(after); len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			all = append(all, child)
		}
	}
	return all
}

// isZombie says whether a process has ended and only nobody has asked how.
func isZombie(pid int) bool {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(after, "Z")
}
