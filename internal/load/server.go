package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"freshet"
	"freshet/client"
)

// A Server is what is put under load, and how it is spoken to.
type Server struct {
	Addr      string      // host:port
	Processes []int       // whose time and memory count; none: not measured
	TLS       *tls.Config // nil: plain HTTP
	WebSocket bool        // subscribers come by WebSocket, not for server-sent events
	Revisions bool        // event ids begin with the revision, so that gaps and repeats show

	// Subscribe is the target of the request that follows a topic, and its header lines, after an event
	// id, "" for none.
	Subscribe func(topic, lastID string) (target string, header []string)
	// Publish is the target, the header lines and the body of the POST of a message.
	Publish func(topic string, message []byte) (target string, header []string, body []byte)
	// PublishBatch is that of several messages at once; nil: there is no such thing.
	PublishBatch func(topic string, messages [][]byte) (target string, header []string, body []byte)
	// Create makes a topic; nil: they need not be made. Remove takes it away, and may find none.
	Create func(ctx context.Context, topic freshet.Topic) error
	Remove func(ctx context.Context, topic freshet.Topic) error
	// Earliest is a last event id that stands for everything that is kept; "": the id that a post is
	// answered with, in its ETag, is where to resume.
	Earliest string
}

// Freshet is the Server of a running Freshet at base, such as http://127.0.0.1:4440, whose topics c
// makes. roots vouch for one that speaks HTTPS; nil: the system's.
func Freshet(base string, c *client.Client, roots *x509.CertPool, processes []int) (*Server, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("server address: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/" {
		return nil, fmt.Errorf("server address %s: the subscribers of a bench speak HTTP or HTTPS, without a path before /live", base)
	}
	s := &Server{Addr: u.Host, Processes: processes, Revisions: true}
	port := ":80"
	if u.Scheme == "https" {
		port = ":443"
		s.TLS = &tls.Config{ServerName: u.Hostname(), RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	if u.Port() == "" {
		s.Addr += port
	}
	s.Subscribe = func(topic, lastID string) (string, []string) {
		if lastID == "" {
			return "/live/" + topic, nil
		}
		return "/live/" + topic, []string{"Last-Event-ID: " + lastID}
	}
	s.Publish = func(topic string, message []byte) (string, []string, []byte) {
		return "/live/" + topic, []string{"Content-Type: application/json"}, message
	}
	s.PublishBatch = func(topic string, messages [][]byte) (string, []string, []byte) {
		return "/live/" + topic, []string{"Content-Type: application/x-ndjson"}, append(bytes.Join(messages, []byte("\n")), '\n')
	}
	s.Create = func(ctx context.Context, t freshet.Topic) error {
		_, err := c.CreateTopic(ctx, t, client.WriteOptions{})
		return err
	}
	s.Remove = func(ctx context.Context, t freshet.Topic) error {
		err := c.DeleteTopic(ctx, t.Name, client.WriteOptions{})
		if errors.Is(err, freshet.ErrNotFound) {
			return nil
		}
		return err
	}
	return s, nil
}

// inParallel does 16 at a time: each waits for a disk. It returns how many were done, and the first
// error, after which none is begun.
func inParallel(ctx context.Context, topics []freshet.Topic, fn func(context.Context, freshet.Topic) error) (done int, err error) {
	work := make(chan freshet.Topic)
	var mu sync.Mutex // guards done and err
	failed := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return err != nil
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for t := range work {
				if failed() {
					continue
				}
				e := fn(ctx, t)
				mu.Lock()
				if e == nil {
					done++
				} else if err == nil {
					err = e
				}
				mu.Unlock()
			}
		})
	}
	for _, t := range topics {
		if ctx.Err() == nil {
			work <- t
		}
	}
	close(work)
	wg.Wait()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return done, err
}

// request is the head of the request that follows a topic.
func (s *Server) request(topic, lastID string) []byte {
	target, header := s.Subscribe(topic, lastID)
	lines := append([]string{"GET " + target + " HTTP/1.1", "Host: " + s.Addr}, header...)
	if s.WebSocket {
		lines = append(lines, handshake()...)
	} else {
		lines = append(lines, "Accept: text/event-stream")
	}
	return []byte(strings.Join(lines, "\r\n") + "\r\n\r\n")
}

// pushed are topics that messages, or documents, are posted to.
func pushed(prefix string, kind freshet.Kind, n int) []freshet.Topic {
	topics := make([]freshet.Topic, n)
	for i := range topics {
		topics[i] = freshet.Topic{
			Name: freshet.TopicName(prefix + strconv.Itoa(i)), Kind: kind,
			Description: "made by freshet bench, which removes it",
			Source:      freshet.Source{Type: "http-post", AlwaysOn: true},
		}
	}
	return topics
}

// polled are topics of an origin's documents.
func polled(prefix string, o *Origin, n int, period time.Duration) ([]freshet.Topic, error) {
	topics := pushed(prefix, freshet.KindSnapshot, n)
	for i := range topics {
		config, err := json.Marshal(map[string]any{"url": o.URL(i), "pollingPeriod": freshet.Duration(period)})
		if err != nil {
			return nil, err
		}
		topics[i].Source = freshet.Source{Type: "http-poller", AlwaysOn: true, Config: config}
	}
	return topics, nil
}

// Check says why what a load costs the server cannot be measured in Processes; nil: it can.
func (s *Server) Check() error {
	if _, err := processTime(s.Processes); err != nil {
		return err
	}
	port := portOf(s.Addr)
	if yes, known := listens(s.Processes, port); len(s.Processes) > 0 && known && !yes {
		return fmt.Errorf("of the processes %v none listens on port %d, so that they are not the server", s.Processes, port)
	}
	return nil
}

// doubt is what is not known about the figures of Processes; "": nothing.
func (s *Server) doubt() string {
	if _, known := listens(s.Processes, portOf(s.Addr)); len(s.Processes) == 0 || known {
		return ""
	}
	return fmt.Sprintf("whether the processes %v are the server cannot be told: their sockets cannot be seen from here", s.Processes)
}
