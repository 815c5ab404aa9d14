package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestCutFrames breaks each connection after so many bytes, a few more with every connection, until
// every part of an event has been the last that a client saw. The clients must end with the source's
// document all the same, and never have had another.
//
// eventsource 2 is not among them: it takes an id over when it reads the line, so that it loses an
// event that is cut in the one place between its id and the blank line, whatever the server does.
func TestCutFrames(t *testing.T) {
	t.Parallel()
	s := serve(t, pushed)
	// The whole document is small here, so that most cuts are in a patch after a resume.
	small := func(n int, last bool) string {
		return fmt.Sprintf(`{"n":%d,"last":%t,"text":"%s","list":[%d,%d]}`, n, last, strings.Repeat("ü😀", 12), n/2, n/3)
	}
	if err := s.publish("doc", small(1, false)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)

	// Every proxy cuts at its own places of the same range; together they cover it in steps of a few bytes.
	const proxies, cuts, from, step = 5, 12, 250, 8
	var running sync.WaitGroup
	var open []*cutter
	targets := func() (topics []string) {
		for i := range proxies {
			c := newCutter(t, strings.TrimPrefix(s.URL, "http://"), func(n int) int {
				if n > cuts {
					return -1
				}
				return from + ((n-1)*proxies+i)*step
			})
			open = append(open, c)
			topics = append(topics, fmt.Sprintf("cut%d=http://%s/live/doc", i, c.addr))
		}
		return topics
	}
	check := func(t *testing.T, seen []sight, canon func(string) string) {
		t.Helper()
		ends := map[string]bool{}
		for _, v := range seen {
			n := version(string(v.Doc))
			isEnd := strings.Contains(string(v.Doc), `"last":true`)
			if got, want := canon(string(v.Doc)), canon(small(n, isEnd)); got != want {
				t.Fatalf("%s: %s %s leads to\n%s\nwant\n%s", v.Name, v.Type, v.ID, got, want)
			}
			ends[v.Name] = ends[v.Name] || isEnd
		}
		for name, ended := range ends {
			if !ended {
				t.Errorf("%s has not seen the end", name)
			}
		}
	}
	for _, library := range []string{"es3", "es5"} {
		dir, err := installed()
		if err != nil {
			t.Run(library, func(t *testing.T) { without(t, "%v", err) })
			continue
		}
		topics := targets()
		running.Go(func() { check(t, runNode(t, ctx, dir, library, topics...), canonicalJS) })
	}
	if dir, err := installed(); err == nil {
		topics := targets()
		running.Go(func() { check(t, runSockets(t, ctx, dir, "ws", topics...), canonicalJS) })
	}
	for _, topic := range targets() {
		_, url, _ := strings.Cut(topic, "=")
		running.Go(func() { check(t, runGoSSE(t, ctx, url), canonical) })
	}

	// Changes go on until every proxy has done all its cuts; the last one ends the clients.
	n := 2
	tick := time.NewTicker(15 * time.Millisecond)
	defer tick.Stop()
	for done := false; !done && !t.Failed() && ctx.Err() == nil; n++ {
		<-tick.C
		if err := s.publish("doc", small(n, false)); err != nil {
			t.Error(err)
		}
		done = true
		for _, c := range open {
			done = done && c.connections.Load() > cuts
		}
	}
	if err := s.publish("doc", small(n, true)); err != nil {
		t.Error(err)
	}
	running.Wait()
	t.Logf("%d connections cut over %d changes", len(open)*cuts, n)
}

// A cutter passes connections on to a server, and breaks the nth of them off once it has passed
// limit(n) bytes downstream, without a limit where that is negative.
type cutter struct {
	addr        string
	connections atomic.Int64
	through     func(n int, down io.Writer) io.Writer // what the nth connection's bytes go through; nil: nothing
}

func newCutter(t *testing.T, server string, limit func(n int) int) *cutter {
	t.Helper()
	return newCutterThrough(t, server, limit, nil)
}

func newCutterThrough(t *testing.T, server string, limit func(n int) int, through func(n int, down io.Writer) io.Writer) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{addr: l.Addr().String(), through: through}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			down, err := l.Accept()
			if err != nil {
				return
			}
			n := int(c.connections.Add(1))
			running.Go(func() { c.pass(n, down, server, limit(n)) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return c
}

func (c *cutter) pass(n int, down net.Conn, server string, limit int) {
	defer down.Close()
	up, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer up.Close()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(up, down)
		up.Close()
	})
	defer back.Wait()
	defer down.Close()
	var to io.Writer = down
	if c.through != nil {
		to = c.through(n, down)
	}
	if limit < 0 {
		_, _ = io.Copy(to, up)
		return
	}
	_, _ = io.CopyN(to, up, int64(limit))
	if tcp, ok := down.(*net.TCPConn); ok && limit%2 == 0 {
		_ = tcp.SetLinger(0) // every other time a reset, else a plain end
	}
}
