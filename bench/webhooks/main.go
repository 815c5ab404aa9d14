// Command webhooks measures deliveries: one event a second of 20 KB to 750 endpoints of this machine, beside
// posters that do nothing else; and what endpoints that hang or fail take from those that answer. It needs a quiet
// Linux machine with two processors: the server gets the first, the endpoints the second.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	endpointsN := flag.Int("endpoints", 750, "how many endpoints")
	size := flag.Int("size", 20_000, "bytes of an event")
	seconds := flag.Int("seconds", 15, "how many events, one a second")
	runs := flag.Int("runs", 3, "how often each is measured; medians are shown")
	server := flag.String("server", "", "a freshet that was built already; by default it is built")
	poster := flag.String("poster", "", "be a poster: naive or pool")
	address := flag.String("address", "", "of the endpoints, for a poster")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *poster != "" {
		post(ctx, *poster, *address, *endpointsN, *size, *seconds)
		return
	}
	if err := measure(ctx, *server, *endpointsN, *size, *seconds, *runs); err != nil {
		fmt.Fprintln(os.Stderr, "webhooks:", err)
		os.Exit(1)
	}
}

// A result is one run of one contender.
type result struct {
	deliveries    int
	p50, p99, max float64 // ms, from the post, or the tick, to the last byte at the endpoint
	cpu           float64 // µs for each delivery
	connections   int
}

func measure(ctx context.Context, server string, n, size, seconds, runs int) error {
	dir, err := os.MkdirTemp("", "webhooks-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if server == "" {
		server = filepath.Join(dir, "freshet")
		build := exec.CommandContext(ctx, "go", "build", "-o", server, "./cmd/freshet")
		build.Dir = ".." // of the module's other half
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build freshet: %w: %s", err, out)
		}
	}
	pin(1)
	fmt.Printf("%d endpoints, %d bytes, an event a second for %d s, medians of %d runs\n\n", n, size, seconds, runs)
	fmt.Println("| poster | deliveries | p50 ms | p99 ms | max ms | CPU µs/delivery | connections |\n|---|---:|---:|---:|---:|---:|---:|")
	for _, who := range []string{"freshet", "naive", "pool"} {
		var all []result
		for range runs {
			e := listen(0, 0)
			r, err := run(ctx, who, server, dir, e, n, size, seconds)
			e.close()
			if err != nil {
				return fmt.Errorf("%s: %w", who, err)
			}
			all = append(all, r)
		}
		r := median(all)
		fmt.Printf("| %s | %d | %.1f | %.1f | %.1f | %.1f | %d |\n", who, r.deliveries, r.p50, r.p99, r.max, r.cpu, r.connections)
	}
	fmt.Println("\n| 500 endpoints of Freshet's | p50 ms | p99 ms of the 400 that answer |\n|---|---:|---:|")
	var ratio [2]float64
	for i, bad := range []int{0, 50} {
		var all []result
		for range runs {
			e := listen(bad, bad)
			r, err := run(ctx, "freshet", server, dir, e, 500, size, seconds)
			e.close()
			if err != nil {
				return err
			}
			all = append(all, r)
		}
		r := median(all)
		ratio[i] = r.p99
		fmt.Printf("| %d hang, %d fail | %.1f | %.1f |\n", bad, bad, r.p50, r.p99)
	}
	fmt.Printf("\np99 with bad endpoints ÷ without: %.2f\n", ratio[1]/ratio[0])
	return nil
}

func median(all []result) result {
	pick := func(of func(result) float64) float64 {
		values := make([]float64, len(all))
		for i, r := range all {
			values[i] = of(r)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return result{
		int(pick(func(r result) float64 { return float64(r.deliveries) })), pick(func(r result) float64 { return r.p50 }), pick(func(r result) float64 { return r.p99 }),
		pick(func(r result) float64 { return r.max }), pick(func(r result) float64 { return r.cpu }), int(pick(func(r result) float64 { return float64(r.connections) })),
	}
}

// run has one contender deliver.
func run(ctx context.Context, who, server, dir string, e *endpoints, n, size, seconds int) (result, error) {
	if who != "freshet" {
		self, err := os.Executable()
		if err != nil {
			return result{}, err
		}
		cmd := exec.CommandContext(ctx, "taskset", "-c", "0", self, "-poster", who, "-address", e.address(), "-endpoints", strconv.Itoa(n), "-size", strconv.Itoa(size), "-seconds", strconv.Itoa(seconds+1))
		if err := cmd.Start(); err != nil {
			return result{}, err
		}
		time.Sleep(time.Second)
		e.reset() // connections are there now
		before := processorTime(cmd.Process.Pid)
		time.Sleep(time.Duration(seconds)*time.Second - 500*time.Millisecond)
		r := e.result(n)
		r.cpu = (processorTime(cmd.Process.Pid) - before) / float64(r.deliveries)
		return r, cmd.Wait()
	}
	data, err := os.MkdirTemp(dir, "data-")
	if err != nil {
		return result{}, err
	}
	const listen = "127.0.0.1:24480"
	config := filepath.Join(data, "c.yaml")
	text := "listen: " + listen + "\ndata: " + data + "/d\nlog: {level: error}\negress: {allow: [127.0.0.0/8]}\ntopics: [{name: t, kind: event, source: {type: http-post, alwaysOn: true}}]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return result{}, err
	}
	cmd := exec.CommandContext(ctx, "taskset", "-c", "0", server, "serve", "-c", config)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return result{}, err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}()
	base := "http://" + listen
	for range 100 {
		if resp, err := http.Get(base + "/readyz"); err == nil {
			_ = resp.Body.Close()
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for i := range n {
		document, _ := json.Marshal(map[string]any{"id": fmt.Sprint("s", i), "type": "webhook", "config": map[string]any{"url": fmt.Sprintf("http://%s/%d", e.address(), i), "retries": []string{"PT2S", "PT2S", "PT2S", "PT2S", "PT2S", "PT2S", "PT2S", "PT2S", "PT2S", "PT2S", "PT2S", "PT2S"}}})
		if err := send(base+"/v1/topics/t/subscriptions", document, http.StatusCreated); err != nil {
			return result{}, err
		}
	}
	tick := func() error { return send(base+"/live/t", event(size), http.StatusAccepted) }
	if err := tick(); err != nil { // makes the connections
		return result{}, err
	}
	time.Sleep(2 * time.Second)
	e.reset()
	before := processorTime(cmd.Process.Pid)
	for range seconds {
		begin := time.Now()
		if err := tick(); err != nil {
			return result{}, err
		}
		time.Sleep(time.Until(begin.Add(time.Second)))
	}
	r := e.result(n)
	r.cpu = (processorTime(cmd.Process.Pid) - before) / float64(r.deliveries)
	return r, nil
}

// event is an event of a size, with the time.
func event(size int) []byte {
	b := fmt.Appendf(nil, `{"at":%d,"pad":"`, time.Now().UnixNano())
	return append(append(b, bytes.Repeat([]byte("x"), max(0, size-len(b)-2))...), `"}`...)
}

func send(url string, body []byte, want int) error {
	resp, err := http.Post(url, "application/json", bytes.NewReader(body)) //nolint:noctx // loopback
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != want {
		return fmt.Errorf("%s: %s %s", url, resp.Status, answer)
	}
	return nil
}

// processorTime is what a process has used, in µs: that of its threads, which the scheduler counts to the nanosecond.
func processorTime(pid int) (sum float64) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, name := range threads {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		spent, _, _ := strings.Cut(string(text), " ")
		ns, _ := strconv.ParseFloat(spent, 64)
		sum += ns / 1000
	}
	return sum
}
