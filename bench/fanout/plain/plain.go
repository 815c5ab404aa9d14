// Package plain is what one writes first: a net/http handler that serves server-sent events with a
// goroutine and a channel for each subscriber. It is what the benchmark compares with.
package plain

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
)

// kept is how many messages of a topic a subscriber may resume from.
const kept = 200

type topic struct {
	mu          sync.Mutex
	subscribers map[chan []byte]bool // guarded by mu
	frames      [][]byte             // guarded by mu; the last ones
	count       int                  // guarded by mu; of all that came
}

type server struct {
	mu     sync.Mutex
	topics map[string]*topic // guarded by mu
}

// Serve serves GET and POST of /live/{topic} until the listener fails.
func Serve(l net.Listener) error {
	s := &server{topics: map[string]*topic{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /live/{topic}", s.follow)
	mux.HandleFunc("POST /live/{topic}", s.publish)
	return (&http.Server{Handler: mux}).Serve(l) //nolint:gosec // on loopback, for minutes
}

func (s *server) topic(name string) *topic {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[name]
	if t == nil {
		t = &topic{subscribers: map[chan []byte]bool{}}
		s.topics[name] = t
	}
	return t
}

func (s *server) publish(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	t := s.topic(r.PathValue("topic"))
	t.mu.Lock()
	for message := range bytes.Lines(body) { // one, or a batch
		t.put(bytes.TrimSuffix(message, []byte("\n")))
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%d-0-a"`, t.count))
	t.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
}

// put hands a message to every subscriber. The caller holds mu.
func (t *topic) put(body []byte) {
	t.count++
	frame := fmt.Appendf(nil, "event: event\ndata: %s\nid: %d-0-a\n\n", body, t.count)
	t.frames = append(t.frames[max(len(t.frames)-kept, 0):], frame)
	for c := range t.subscribers {
		select {
		case c <- frame:
		default:
			delete(t.subscribers, c) // too slow: its stream ends
			close(c)
		}
	}
}

func (s *server) follow(w http.ResponseWriter, r *http.Request) {
	t, c := s.topic(r.PathValue("topic")), make(chan []byte, 256)
	t.mu.Lock()
	missed := t.after(r.Header.Get("Last-Event-ID"))
	t.subscribers[c] = true
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.subscribers, c)
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	for _, frame := range missed {
		if _, err := w.Write(frame); err != nil {
			return
		}
	}
	if out.Flush() != nil {
		return
	}
	for {
		select {
		case frame, ok := <-c:
			if !ok {
				return
			}
			if _, err := w.Write(frame); err != nil || out.Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// after returns the frames that follow an event id.
func (t *topic) after(id string) [][]byte {
	n := 0
	for n < len(id) && id[n] != '-' {
		n++
	}
	had, err := strconv.Atoi(id[:n])
	if err != nil {
		return nil
	}
	return append([][]byte(nil), t.frames[max(len(t.frames)-(t.count-had), 0):]...)
}
