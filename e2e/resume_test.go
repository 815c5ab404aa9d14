package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freshet"
)

// Two topics that are fed by POST, since that allows far more changes a second than polling does.
const pushed = `
topics:
  - {name: doc, kind: snapshot, source: {type: http-post, alwaysOn: true}}
  - {name: log, kind: event, source: {type: http-post, alwaysOn: true}}
`

// TestResume has readers that drop their connection after a random number of events, and go on where
// they were. (TestCutFrames breaks connections in the middle of an event.)
func TestResume(t *testing.T) {
	t.Parallel()
	const last, readers = 600, 6
	s := serve(t, pushed)
	first(t, s, last)
	var all sync.WaitGroup
	for i := range readers {
		all.Go(func() { dropSnapshots(t, s, last, uint64(i)) })
		all.Go(func() { dropMessages(t, s, last, uint64(i)) })
	}
	all.Go(func() { feed(t, s, last, 10*time.Millisecond, nil) })
	all.Wait()
}

// TestKill has the same readers while the server is killed without a word and started again, many
// times, on the same folder and port.
func TestKill(t *testing.T) {
	t.Parallel()
	const last, readers, kills = 1000, 3, 20
	s := serve(t, pushed, "--listen", fmt.Sprintf("127.0.0.1:%d", freePort(t)))
	first(t, s, last)
	var all sync.WaitGroup
	for i := range readers {
		all.Go(func() { dropSnapshots(t, s, last, uint64(100+i)) })
		all.Go(func() { dropMessages(t, s, last, uint64(100+i)) })
	}
	var done atomic.Int64
	all.Go(func() { feed(t, s, last, 5*time.Millisecond, &done) })
	random := rand.New(rand.NewPCG(7, 7))
	for i := range kills {
		// Each life publishes its share, give or take; the next kill comes somewhere in the middle.
		target := int64(last*(i+1)/(kills+2) + random.IntN(last/(kills+2)))
		eventually(t, time.Minute, fmt.Sprintf("%d changes published, at kill %d", target, i), func() bool {
			return done.Load() >= target || t.Failed()
		})
		<-time.After(time.Duration(random.IntN(10_000)) * time.Microsecond) // at no particular moment of a write
		s.kill()
		s.start()
	}
	all.Wait()
}

// first publishes version 1 of both topics, so that a reader finds something.
func first(t *testing.T, s *server, last int) {
	t.Helper()
	if err := errors.Join(s.publish("doc", document(1, last)), s.publish("log", message(1))); err != nil {
		t.Fatal(err)
	}
}

// feed publishes the versions after the first of both topics, one every period. A server that does
// not answer is asked again: the same document is no change, and a message carries its number.
func feed(t *testing.T, s *server, last int, every time.Duration, done *atomic.Int64) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 2; n <= last; n++ {
		<-tick.C
		for _, p := range [][2]string{{"doc", document(n, last)}, {"log", message(n)}} {
			deadline := time.Now().Add(30 * time.Second)
			for err := s.publish(p[0], p[1]); err != nil; err = s.publish(p[0], p[1]) {
				if t.Failed() || time.Now().After(deadline) {
					t.Errorf("version %d of %s: %v", n, p[0], err)
					return
				}
				<-tick.C
			}
		}
		if done != nil {
			done.Store(int64(n))
		}
	}
}

func message(n int) string { return fmt.Sprintf(`{"n":%d,"pad":"%0*d"}`, n, n%50, 0) }

// dropSnapshots follows the snapshot topic until its last version, over many connections.
func dropSnapshots(t *testing.T, s *server, last int, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	r := replica{want: func(n int) string { return document(n, last) }}
	connections := 0
	err := dropping(t, func(ctx context.Context) (bool, error) {
		connections++
		drop := r.snapshots + r.patches + random.IntN(20)
		err := r.follow(ctx, s.URL+"/live/doc", func() bool {
			return isLast(r.doc) || r.snapshots+r.patches >= drop
		})
		return isLast(r.doc), err
	})
	if err != nil {
		t.Errorf("reader %d of snapshots, after %d connections, at %s: %v", seed, connections, r.id, err)
	}
	if len(r.resets) > 0 {
		t.Errorf("reader %d of snapshots was reset, though the history holds all: %v", seed, r.resets)
	}
	t.Logf("reader %d: %d connections, %d snapshots, %d patches, %d revisions joined into others",
		seed, connections, r.snapshots, r.patches, r.holes)
}

// dropMessages follows the event topic: every message once and in order, whatever happens between.
func dropMessages(t *testing.T, s *server, last int, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 2))
	var id string
	n, connections, repeats := 0, 0, 0
	var before freshet.Position
	err := dropping(t, func(ctx context.Context) (bool, error) {
		connections++
		resp, err := open(ctx, s.URL+"/live/log?from=beginning", id)
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		if resumed := resp.Header.Get("Freshet-Resumed"); id != "" && resumed != "true" {
			return false, bad("resumed at %s: %q", id, resumed)
		}
		stop := random.IntN(20)
		var mistake error
		err = readFrames(resp.Body, func(f frame) bool {
			var m struct{ N int }
			pos, err := freshet.ParsePosition(f.id)
			if err == nil {
				err = json.Unmarshal([]byte(f.data), &m)
			}
			switch {
			case err != nil:
				mistake = &badEvent{err}
			case f.event != "event" || pos.Revision != before.Revision+1:
				mistake = bad("%s %s follows %s: %s", f.event, f.id, before, f.data)
			case m.N == n: // a POST whose answer was lost is posted again: once too often, never lost
				repeats++
			case m.N != n+1:
				mistake = bad("message %d follows %d", m.N, n)
			}
			n, before, id = m.N, pos, f.id
			stop--
			return mistake == nil && n != last && stop >= 0
		})
		return n == last, errors.Join(mistake, err)
	})
	if err != nil {
		t.Errorf("reader %d of messages, after %d connections, at %s: %v", seed, connections, id, err)
	}
	t.Logf("reader %d: %d connections, %d messages, %d of them published twice", seed, connections, before.Revision, repeats)
}

// dropping connects again and again until connect has what it wants, or sees a mistake.
func dropping(t *testing.T, connect func(context.Context) (done bool, err error)) error {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for {
		done, err := connect(ctx)
		if done || isBad(err) || ctx.Err() != nil || t.Failed() {
			return errors.Join(err, ctx.Err())
		}
		<-pause.C
	}
}

// TestStop stops the server while readers follow: each stream ends after a whole event and without
// the final chunk, by which every client knows that it has to connect again.
func TestStop(t *testing.T) {
	t.Parallel()
	const last = 100000
	s := serve(t, pushed)
	first(t, s, last)
	var readers, writer sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	writer.Go(func() {
		for n := 2; ctx.Err() == nil; n++ {
			if s.publish("doc", document(n, last)) != nil {
				return
			}
		}
	})
	var seen atomic.Int64
	for range 10 {
		readers.Go(func() {
			resp, err := open(t.Context(), s.URL+"/live/doc", "")
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			r := replica{fresh: true}
			err = readFrames(resp.Body, func(f frame) bool {
				if err := r.apply(f); err != nil {
					t.Error(err)
					return false
				}
				seen.Add(1)
				return true
			})
			// net/http says "unexpected EOF" for a chunked body that misses its final chunk.
			if !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errCut) {
				t.Errorf("the stream ended with %v; want it cut after a whole event", err)
			}
		})
	}
	eventually(t, 30*time.Second, "every reader has some events", func() bool { return seen.Load() > 100 || t.Failed() })
	url := s.URL
	s.stop()
	readers.Wait()
	cancel()
	writer.Wait()
	if resp, err := http.Get(url + "/livez"); err == nil {
		resp.Body.Close()
		t.Error("the server answers after it stopped")
	}
}
