package freshettest

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"freshet"
	"freshet/internal/egress"
	"freshet/internal/flow/source"
)

// A Sink is a source.Sink that remembers what it was told, and the mark, as the journal does. Its zero value
// is ready.
type Sink struct {
	Refuse func(source.Payload) error // called for each payload before it is taken; nil takes all

	mu       sync.Mutex
	payloads []string
	faults   []freshet.Fault
	fine     int
	mark     string
}

// Payload takes payloads. One that is not JSON is refused with a fault, as the real sink does.
func (s *Sink) Payload(_ context.Context, ps ...source.Payload) (err error) {
	for _, p := range ps {
		if s.Refuse != nil {
			if err := s.Refuse(p); err != nil {
				return err
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range ps {
		if p.Mark != "" {
			s.mark = p.Mark
		}
		if p.Time.IsZero() || !json.Valid(p.Data) {
			f := source.Faultf(freshet.FaultFormat, "not JSON, or without a time: %.100s", p.Data)
			if p.Name != nil {
				f.Message = p.Name.String() + ": " + f.Message
			}
			s.faults, err = append(s.faults, f), f
			continue
		}
		s.payloads = append(s.payloads, string(p.Data))
	}
	return err
}

// Unchanged counts.
func (s *Sink) Unchanged(context.Context, time.Time, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fine++
}

// Fault remembers.
func (s *Sink) Fault(_ context.Context, f freshet.Fault, _ time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
}

// Planned takes no note: what follows from a plan is the topic's business.
func (s *Sink) Planned(time.Time) {}

// Mark is that of the last payload.
func (s *Sink) Mark(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mark, nil
}

// Payloads are those taken so far, in their order.
func (s *Sink) Payloads() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.payloads)
}

// Faults are those told so far.
func (s *Sink) Faults() []freshet.Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.faults)
}

// Fine is how often the sink was told that all is well without a payload: of a source that is sent its data,
// how often it was connected.
func (s *Sink) Fine() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fine
}

// Env is what a source under test gets: it may reach this machine, and nothing else.
func Env(t testing.TB) source.Env {
	t.Helper()
	client := egress.New(egress.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}})
	t.Cleanup(client.Close)
	return source.Env{
		Topic: "topic", ID: "topicid",
		Client: client, Dial: client.Dial,
		Secure: func(c *tls.Config) source.Client { return client.Secure(c) },
	}
}

// Run runs a source of a kind until the test ends, or stop is called, which returns once it has ended.
func Run(t testing.TB, kind source.Kind, config string, env source.Env, to source.Sink) (stop func()) {
	t.Helper()
	if wrong := kind.Check(json.RawMessage(config)); wrong != nil {
		t.Fatalf("%s: %v", config, wrong)
	}
	src, err := kind.New(json.RawMessage(config), env)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- src.Run(ctx, to) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("the source ended: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the source did not end within 30 s")
		}
	})
	t.Cleanup(stop)
	return stop
}

// Await waits until the sink has had exactly the payloads, in their order.
func (s *Sink) Await(t testing.TB, want ...string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		got := s.Payloads()
		if slices.Equal(got, want) {
			return
		}
		if len(got) > len(want) || time.Now().After(deadline) {
			t.Fatalf("payloads:\n%s\nwant:\n%s\nfaults: %v", lines(got), lines(want), s.Faults())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func lines(all []string) (text string) {
	for i, s := range all {
		text += fmt.Sprintf("%4d %.200s\n", i, s)
	}
	return text
}
