package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestThousandSubscribers compares what one and a thousand subscribers of the same API cost its owner.
func TestThousandSubscribers(t *testing.T) {
	const subscribers, last = 1000, 12
	up := newUpstream(t)
	text := func(n int) string { return document(n, last) }
	s := serve(t, fmt.Sprintf(`
topics:
  - {name: one, kind: snapshot, source: {type: http-poller, config: {url: %q, pollingPeriod: PT0.5S}}}
  - {name: thousand, kind: snapshot, source: {type: http-poller, config: {url: %q, pollingPeriod: PT0.5S}}}
`, up.on("/one", versions(last, text)), up.on("/thousand", versions(last, text))))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()

	start := time.Now()
	var all sync.WaitGroup
	var ended, events atomic.Int64
	follow := func(topic string) {
		r := replica{want: text}
		r.until(t, ctx, s.URL+"/live/"+topic, func() bool { return isLast(r.doc) })
		events.Add(int64(r.snapshots + r.patches))
		ended.Add(1)
	}
	all.Go(func() { follow("one") })
	for range subscribers {
		all.Go(func() { follow("thousand") })
	}
	all.Wait()
	if t.Failed() {
		return
	}
	one, thousand, most := len(up.times("/one")), len(up.times("/thousand")), int(time.Since(start)/(500*time.Millisecond))+1
	if thousand > one+1 || one > thousand+1 || thousand > most {
		t.Errorf("upstream had %d requests for one subscriber and %d for %d; at most %d periods went by", one, thousand, subscribers, most)
	}
	t.Logf("%d requests for one subscriber, %d for %d, which saw %d events", one, thousand, subscribers, events.Load())

	// A topic that nobody follows is left alone. One poll may have been on its way.
	eventually(t, 10*time.Second, "polling stops", func() bool {
		times := up.times("/thousand")
		return time.Since(times[len(times)-1]) > 1500*time.Millisecond
	})
}
