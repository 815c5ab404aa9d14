package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freshet/internal/freshettest"

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
	all.Go(func() { feed(t, s, 2, last, last, 10*time.Millisecond, nil) })
	all.Wait()
}

// TestKill has the same readers while the server is killed without a word and started again, many
// times, on the same folder and port.
func TestKill(t *testing.T) {
	t.Parallel()
	const last, readers, kills = 1000, 3, 20
	s := serve(t, pushed, "--listen", fmt.Sprintf("127.0.0.1:%d", freshettest.Port(t)))
	first(t, s, last)
	var all sync.WaitGroup
	for i := range readers {
		all.Go(func() { dropSnapshots(t, s, last, uint64(100+i)) })
		all.Go(func() { dropMessages(t, s, last, uint64(100+i)) })
	}
	var done atomic.Int64
	all.Go(func() { feed(t, s, 2, last, last, 5*time.Millisecond, &done) })
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

// feed publishes a range of the versions of both topics, one every period. A server that does
// not answer is asked again: the same document is no change, and a message carries its number.
func feed(t *testing.T, s *server, from, to, last int, every time.Duration, done *atomic.Int64) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := from; n <= to; n++ {
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
	err := dropping(t, random, func(ctx context.Context) (bool, error) {
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
	var r reader
	connections := 0
	err := dropping(t, random, func(ctx context.Context) (bool, error) {
		connections++
		drop := r.pos.Revision + freshet.Revision(random.IntN(20))
		err := r.follow(ctx, s.URL+"/live/log?from=beginning", func() bool { return r.n == last || r.pos.Revision >= drop })
		return r.n == last, err
	})
	if err != nil {
		t.Errorf("reader %d of messages, after %d connections, at %s: %v", seed, connections, r.id, err)
	}
	t.Logf("reader %d: %d connections, %d messages, %d of them published twice", seed, connections, r.pos.Revision, r.repeats)
}

// A reader of an event topic judges that it gets every message once and in order.
type reader struct {
	client  *http.Client
	id      string
	pos     freshet.Position
	n       int // the number of the last message
	cut     int // how often it was told that it reads too slowly
	repeats int // a POST whose answer was lost is posted again: once too often, never lost
}

// follow reads one connection until done holds, the stream ends, or a message is not the next one.
func (r *reader) follow(ctx context.Context, url string, done func() bool) error {
	resp, err := open(ctx, r.client, url, r.id)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resumed := resp.Header.Get("Freshet-Resumed"); r.id != "" && resumed != "true" {
		return bad("resumed at %s: %q", r.id, resumed)
	}
	var mistake error
	err = readFrames(resp.Body, func(f frame) bool {
		mistake = r.apply(f)
		return mistake == nil && !done()
	})
	return errors.Join(mistake, err)
}

func (r *reader) apply(f frame) error {
	if f.event == "error" {
		fault, err := readFault(f.data)
		if err != nil || fault.Code != 50503 {
			return bad("error event %+v, %v", fault, err)
		}
		r.cut++
		return nil
	}
	var m struct{ N int }
	pos, err := freshet.ParsePosition(f.id)
	if err == nil {
		err = json.Unmarshal([]byte(f.data), &m)
	}
	switch {
	case err != nil:
		return &badEvent{err}
	case f.event != "event" || pos.Revision != r.pos.Revision+1:
		return bad("%s %s follows %s: %s", f.event, f.id, r.pos, f.data)
	case m.N == r.n:
		r.repeats++
	case m.N != r.n+1:
		return bad("message %d follows %d", m.N, r.n)
	}
	r.n, r.pos, r.id = m.N, pos, f.id
	return nil
}

// dropping connects again and again until connect has what it wants, or sees a mistake. In between it
// stays away for a while, now and then so long that it has missed many events.
func dropping(t *testing.T, random *rand.Rand, connect func(context.Context) (done bool, err error)) error {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for {
		done, err := connect(ctx)
		if done || isBad(err) || ctx.Err() != nil || t.Failed() {
			return errors.Join(err, ctx.Err())
		}
		away := 10 + random.IntN(30)
		if random.IntN(8) == 0 {
			away *= 15
		}
		<-time.After(time.Duration(away) * time.Millisecond)
	}
}

// TestRestart has readers who stay away while hundreds of changes happen and the server is started
// anew, so that what they missed is on the disk alone.
func TestRestart(t *testing.T) {
	t.Parallel()
	const early, last = 20, 300
	s := serve(t, pushed)
	first(t, s, last)
	feed(t, s, 2, early, last, time.Millisecond, nil)
	doc := replica{want: func(n int) string { return document(n, last) }}
	doc.until(t, t.Context(), s.URL+"/live/doc", func() bool { return true })
	var log reader
	if err := log.follow(t.Context(), s.URL+"/live/log?from=beginning", func() bool { return log.n == early }); err != nil {
		t.Fatal(err)
	}
	feed(t, s, early+1, last, last, time.Millisecond, nil)
	s.stop()
	s.start()
	doc.until(t, t.Context(), s.URL+"/live/doc", func() bool { return true })
	if !isLast(doc.doc) || len(doc.resets) > 0 {
		t.Errorf("the document is version %d, resets %v", version(doc.text), doc.resets)
	}
	if err := log.follow(t.Context(), s.URL+"/live/log", func() bool { return log.n == last }); err != nil {
		t.Errorf("after message %d: %v", log.n, err)
	}
	if log.repeats > 0 {
		t.Errorf("%d messages were kept twice, though every POST was answered", log.repeats)
	}
	if _, history := s.get("/live/log", "Accept", "application/x-ndjson"); strings.Count(history, "\n") != last {
		t.Errorf("the history of messages has %d lines, want %d", strings.Count(history, "\n"), last)
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
			resp, err := open(t.Context(), nil, s.URL+"/live/doc", "")
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
