package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freshet/internal/freshettest"
)

// TestRepeatedPosts has posters that repeat a post with its key until it is answered, while the server is
// killed without a word many times. Each payload is stored once, in its poster's order, also those of batches
// that are stored in several pieces.
func TestRepeatedPosts(t *testing.T) {
	t.Parallel()
	const posters, rounds, kills, lines = 3, 60, 12, 700
	s := serve(t, `
topics:
  - {name: log, kind: event, source: {type: http-post, alwaysOn: true}, history: {maxEvents: 1000000, maxBytes: 1GiB}}
`, "--listen", fmt.Sprintf("127.0.0.1:%d", freshettest.Port(t)))
	var all sync.WaitGroup
	var answered, repeated atomic.Int64
	for p := range posters {
		all.Go(func() {
			n := 0
			payload := func() string { n++; return fmt.Sprintf(`{"poster":%d,"n":%d}`, p, n) }
			for round := range rounds {
				media, body := "application/json", payload()
				if round%3 == 2 {
					media = "application/x-ndjson"
					for range lines - 1 {
						body += "\n" + payload()
					}
				}
				again, err := s.publishOnce("log", media, body, fmt.Sprintf("%d-%d", p, round))
				if err != nil {
					t.Error(err)
					return
				}
				if answered.Add(1); again {
					repeated.Add(1)
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(11, 11))
	for i := range kills {
		target := int64(posters * rounds * (i + 1) / (kills + 2))
		eventually(t, time.Minute, fmt.Sprintf("%d posts answered, at kill %d", target, i), func() bool {
			return answered.Load() >= target || t.Failed()
		})
		<-time.After(time.Duration(random.IntN(10_000)) * time.Microsecond)
		s.kill()
		s.start()
	}
	all.Wait()
	t.Logf("of %d posts %d were stored by a try whose answer was lost", answered.Load(), repeated.Load())

	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/live/log", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/x-ndjson")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var last [posters]int
	for in := bufio.NewScanner(resp.Body); in.Scan(); {
		var ev struct {
			Type string
			Data struct{ Poster, N int }
		}
		if err := json.Unmarshal(in.Bytes(), &ev); err != nil {
			t.Fatal(err)
		}
		if ev.Type != "event" {
			continue
		}
		if m := ev.Data; m.N != last[m.Poster]+1 {
			t.Fatalf("poster %d: %d comes after %d", m.Poster, m.N, last[m.Poster])
		}
		last[ev.Data.Poster]++
	}
	for p, n := range last {
		if want := rounds/3*2 + rounds/3*lines; n != want {
			t.Errorf("poster %d: %d payloads are stored; want %d", p, n, want)
		}
	}
}

// publishOnce posts with a key until the server has answered, and says whether it had that post already.
func (s *server) publishOnce(topic, media, body, key string) (again bool, err error) {
	for deadline := time.Now().Add(time.Minute); ; {
		r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.URL+"/live/"+topic, strings.NewReader(body))
		if err != nil {
			return false, err
		}
		r.Header.Set("Content-Type", media)
		r.Header.Set("Idempotency-Key", `"`+key+`"`)
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			var answer []byte
			answer, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			switch {
			case err != nil:
			case resp.StatusCode == http.StatusAccepted:
				return resp.Header.Get("Idempotent-Replayed") == "true", nil
			case resp.StatusCode < 500:
				return false, fmt.Errorf("%s: %s", resp.Status, answer)
			default:
				err = fmt.Errorf("%s: %s", resp.Status, answer)
			}
		}
		if time.Now().After(deadline) || s.t.Failed() {
			return false, err
		}
		<-time.After(10 * time.Millisecond)
	}
}

// freshet pub names the lines of its input, not those of the post that they were in, and says what it had
// published before.
func TestPubNamesLines(t *testing.T) {
	t.Parallel()
	s := serve(t, eventTopic)
	cmd := command(t.Context(), "pub", "log", "--server", s.URL)
	cmd.Stdin = strings.NewReader(strings.Repeat("1\n", 1000) + "\n2\n\nbad\n")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatal("it succeeded")
	}
	// How many lines a post has depends on how fast they are read: 1000 at most.
	if !regexp.MustCompile(`of lines \d{1,4} to 1004 nothing was published`).Match(out) || !strings.Contains(string(out), "line 1004: ") {
		t.Errorf("%s", out)
	}
}
