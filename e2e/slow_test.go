package e2e_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSlowReaders has readers that stop reading while twelve megabytes of changes go by. Nobody else
// waits for them. Afterwards the one of a document skips to now, and the one of messages gets every
// message, on this connection or by its id on the next.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	const last = 120
	big := func(n int) string {
		return fmt.Sprintf(`{"n":%d,"last":%t,"pad":%q}`, n, n == last, strings.Repeat(fmt.Sprintf("%08d", n), 12_500))
	}
	s := serve(t, pushed)
	publish := func(n int, topics ...string) {
		for _, topic := range topics {
			if err := s.publish(topic, big(n)); err != nil {
				t.Error(err)
			}
		}
	}
	publish(1, "doc")

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	// Small buffers on this side make the connection full soon.
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if tcp, ok := conn.(*net.TCPConn); ok {
			err = tcp.SetReadBuffer(64 << 10)
		}
		return conn, err
	}
	slow := &http.Client{Transport: &http.Transport{DialContext: dial}}
	defer slow.CloseIdleConnections()

	allPublished := make(chan struct{})
	var started, readers sync.WaitGroup
	started.Add(2)
	connected := make(chan struct{})
	doc, log := replica{client: slow, want: big}, reader{client: &http.Client{Transport: &signalling{slow.Transport, sync.OnceFunc(func() { close(connected) })}}}
	readers.Go(func() {
		_ = stall(t, ctx, &started, allPublished, func(pause func()) error {
			return doc.follow(ctx, s.URL+"/live/doc", func() bool { pause(); return isLast(doc.doc) })
		})
	})
	var connections int
	readers.Go(func() {
		connections = stall(t, ctx, &started, allPublished, func(pause func()) error {
			return log.follow(ctx, s.URL+"/live/log", func() bool { pause(); return log.n == last })
		})
	})
	<-connected // it follows from now on, and not what was stored before, for which nobody is too slow
	publish(1, "log")
	started.Wait()
	quick := replica{want: big}
	readers.Go(func() { quick.until(t, ctx, s.URL+"/live/doc", func() bool { return isLast(quick.doc) }) })
	for n := 2; n <= last; n++ {
		publish(n, "doc", "log")
	}
	close(allPublished)
	readers.Wait()
	if seen := doc.snapshots + doc.patches; !isLast(doc.doc) || seen > last/2 {
		t.Errorf("the slow reader of the document had %d events and version %d; want it to skip to the last", seen, version(doc.text))
	}
	if log.n != last || log.repeats > 0 {
		t.Errorf("the slow reader of messages has %d and %d repeats, want %d and none", log.n, log.repeats, last)
	}
	if quick.snapshots+quick.patches < last/2 {
		t.Errorf("the quick reader had %d events of %d", quick.snapshots+quick.patches, last)
	}
	if log.cut == 0 && connections == 1 { // on a slow machine it may be cut as one that takes nothing for too long
		t.Error("the slow reader of messages was not told that it is too slow: is the test still large enough?")
	}
	t.Logf("slow: %d events of the document; quick: %d", doc.snapshots+doc.patches, quick.snapshots+quick.patches)
}

// stall reads until it has what it wants, over as many connections as it takes. After the first
// event it reads nothing until it may go on.
func stall(t *testing.T, ctx context.Context, started *sync.WaitGroup, goOn <-chan struct{}, follow func(pause func()) error) (connections int) {
	pause := sync.OnceFunc(func() {
		started.Done()
		<-goOn
	})
	for ctx.Err() == nil {
		connections++
		err := follow(pause)
		if err == nil {
			return connections
		}
		if isBad(err) {
			t.Error(err)
			return connections
		}
	}
	t.Error("out of time")
	return connections
}

// A signalling transport says that it has an answer.
type signalling struct {
	http.RoundTripper
	answered func()
}

func (s *signalling) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r)
	if err == nil {
		s.answered()
	}
	return resp, err
}
