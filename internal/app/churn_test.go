package app_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freshet"
	"freshet/internal/app"
)

// However followers come and go, upstream sees one request at a time, and no more than one in a period.
func TestOneRequestAtATime(t *testing.T) {
	var now, most, all atomic.Int64
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		time.Sleep(20 * time.Millisecond) // a slow API, not a wait for something
		now.Add(-1)
		fmt.Fprintf(w, `{"n":%d}`, all.Add(1))
	}))
	defer upstream.Close()
	base := serve(t, app.Config{Dev: true, Topics: []freshet.Topic{polled("doc", upstream.URL)}})
	start := time.Now()
	end := time.Now().Add(5 * time.Second) // long enough for the source to stop now and then
	var wg sync.WaitGroup
	for seed := range uint64(8) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 1))
			for time.Now().Before(end) {
				resp, err := http.DefaultTransport.RoundTrip(request(t, "GET", base+"/live/doc", "", "Accept: text/event-stream"))
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.ReadFull(resp.Body, make([]byte, 1+rng.IntN(60)))
				_ = resp.Body.Close()
				if seed == 0 && rng.IntN(10) == 0 {
					time.Sleep(50 * time.Millisecond) // not a wait for anything: it makes the load uneven
				}
			}
		})
	}
	wg.Wait()
	periods := int64(time.Since(start)/(500*time.Millisecond)) + 1
	if most.Load() != 1 || all.Load() > periods {
		t.Errorf("upstream saw %d requests, %d at a time; want at most %d, one at a time", all.Load(), most.Load(), periods)
	}
	s := open(t, base+"/live/doc")
	s.expect("event: snapshot")
}
