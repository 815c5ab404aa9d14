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

// TestThousandSubscribers compares what one and a thousand subscribers of an API cost its owner.
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

	var all sync.WaitGroup
	var events, retries atomic.Int64
	follow := func(topic string) {
		r := replica{want: text}
		err := r.follow(ctx, s.URL+"/live/"+topic, func() bool { return isLast(r.doc) })
		for err != nil && !isBad(err) && ctx.Err() == nil { // a busy machine may drop one of a thousand that come at once
			retries.Add(1)
			err = r.follow(ctx, s.URL+"/live/"+topic, func() bool { return isLast(r.doc) })
		}
		if err != nil {
			t.Error(err)
		}
		events.Add(int64(r.snapshots + r.patches))
	}
	all.Go(func() { follow("one") })
	for range subscribers {
		all.Go(func() { follow("thousand") })
	}
	all.Wait()
	if t.Failed() {
		return
	}
	// Both reached the last version, which takes so many requests. On the way and since, neither asked
	// more often than once a period, as one subscriber would have it.
	one, thousand := up.times("/one"), up.times("/thousand")
	for _, times := range [][]time.Time{one, thousand} {
		span := times[len(times)-1].Sub(times[0])
		if most := int(span/(500*time.Millisecond)) + 2; len(times) > most {
			t.Errorf("%d requests in %v, want at most %d", len(times), span, most)
		}
	}
	t.Logf("%d requests for one subscriber, %d for %d, which saw %d events and connected %d times more", len(one), len(thousand), subscribers, events.Load(), retries.Load())

	// A topic that nobody follows is left alone. One poll may have been on its way.
	eventually(t, 10*time.Second, "polling stops", func() bool {
		times := up.times("/thousand")
		return time.Since(times[len(times)-1]) > 1500*time.Millisecond
	})
}
