package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// endpoints are HTTP endpoints, as lean as they can be: they are not what is measured.
type endpoints struct {
	listener   net.Listener
	hang, fail int // of the last ones, so many

	mu          sync.Mutex
	connections int
	took        []float64 // ms, of those that answer
	all         int
}

func listen(hang, fail int) *endpoints {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback
	if err != nil {
		panic(err)
	}
	e := &endpoints{listener: l, hang: hang, fail: fail}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			e.mu.Lock()
			e.connections++
			e.mu.Unlock()
			go e.serve(c)
		}
	}()
	return e
}

func (e *endpoints) address() string { return e.listener.Addr().String() }
func (e *endpoints) close()          { _ = e.listener.Close() }

func (e *endpoints) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 32<<10)
	body := make([]byte, 0, 32<<10)
	for {
		path, length := "", 0
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) <= 2 {
				break
			}
			if path == "" {
				path = strings.Fields(string(line))[1]
			} else if len(line) > 16 && bytes.EqualFold(line[:15], []byte("content-length:")) {
				length, _ = strconv.Atoi(strings.TrimSpace(string(line[15:])))
			}
		}
		body = slices.Grow(body[:0], length)[:length]
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		number, _ := strconv.Atoi(strings.TrimPrefix(path, "/"))
		switch bad := number - (500 - e.hang - e.fail); {
		case e.hang > 0 && bad >= e.fail:
			time.Sleep(30 * time.Second) // longer than any time-out
			return
		case e.fail > 0 && bad >= 0:
			if _, err := io.WriteString(c, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"); err != nil {
				return
			}
			continue
		}
		e.note(body)
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); err != nil {
			return
		}
	}
}

// note keeps how long an event was under way: {"at":NANOSECONDS,…
func (e *endpoints) note(body []byte) {
	now := time.Now().UnixNano()
	at, _, _ := bytes.Cut(body[len(`{"at":`):], []byte(","))
	began, _ := strconv.ParseInt(string(at), 10, 64)
	e.mu.Lock()
	e.took = append(e.took, float64(now-began)/1e6)
	e.mu.Unlock()
}

func (e *endpoints) reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.took = nil
}

func (e *endpoints) result(int) result {
	e.mu.Lock()
	defer e.mu.Unlock()
	slices.Sort(e.took)
	n := len(e.took)
	if n == 0 {
		return result{}
	}
	return result{deliveries: n, p50: e.took[n/2], p99: e.took[n*99/100], max: e.took[n-1], connections: e.connections}
}

// pin keeps this process on a processor.
func pin(cpu int) {
	var set unix.CPUSet
	set.Set(cpu)
	_ = unix.SchedSetaffinity(0, &set) // the figures are worth less without
}

// post is a poster that does nothing else: naive starts a goroutine for each endpoint, pool has 32.
func post(ctx context.Context, how, address string, n, size, seconds int) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}, Timeout: 10 * time.Second}
	one := func(i int, body []byte) {
		resp, err := client.Post(fmt.Sprintf("http://%s/%d", address, i), "application/json", bytes.NewReader(body)) //nolint:noctx // it has a time limit
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	for range seconds {
		begin := time.Now()
		body := event(size)
		var wg sync.WaitGroup
		if how == "naive" {
			for i := range n {
				wg.Go(func() { one(i, body) })
			}
		} else {
			next := make(chan int)
			for range 32 {
				wg.Go(func() {
					for i := range next {
						one(i, body)
					}
				})
			}
			for i := range n {
				next <- i
			}
			close(next)
		}
		wg.Wait()
		select {
		case <-time.After(time.Until(begin.Add(time.Second))):
		case <-ctx.Done():
			return
		}
	}
}
