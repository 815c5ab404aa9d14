package websocket_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"

	"freshet"
	"freshet/internal/flow/fanout"
	"freshet/internal/flow/transport/websocket"
)

// empty is the journal of a topic to which nothing happens.
type empty struct{ fanout.Journal }

func (empty) Keyframe(context.Context, freshet.TopicID, uint64) (freshet.Event, error) {
	return freshet.Event{}, nil
}

func (empty) Read(context.Context, freshet.TopicID, uint64) iter.Seq2[freshet.Event, error] {
	return func(func(freshet.Event, error) bool) {}
}

func (empty) Tail(ctx context.Context, _ freshet.TopicID, _ uint64) iter.Seq2[freshet.Event, error] {
	return func(func(freshet.Event, error) bool) { <-ctx.Done() }
}

// reader notes why it left.
type reader struct{ left chan error }

func (*reader) Sent(fanout.Batch, int, int) {}
func (r *reader) Left(cause error)          { r.left <- cause }

// A client that answers pings stays, and one that does not is cut, whichever way it is written.
func TestSilentClients(t *testing.T) {
	for name, portable := range map[string]bool{"loops": false, "goroutines": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			silentClients(t, portable)
		})
	}
}

func silentClients(t *testing.T, portable bool) {
	ctx, stop := context.WithCancelCause(t.Context())
	feed := fanout.New(empty{}, "topic", freshet.KindEvent, slog.New(slog.DiscardHandler))
	running := make(chan struct{})
	go func() {
		defer close(running)
		feed.Run(ctx)
	}()
	if err := feed.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	const heartbeat = time.Second // loops look once a second
	sockets, err := websocket.New(websocket.Config{Heartbeat: heartbeat, Portable: portable})
	if err != nil {
		t.Fatal(err)
	}
	all := &reader{make(chan error, 2)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := websocket.Check(r); err != nil {
			t.Error(err)
		}
		if err := sockets.Serve(w, r, websocket.Subscription{Cursor: feed.Follow(freshet.ModeEvent), Reader: all}); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()

	lively, _, err := coder.Dial(t.Context(), server.URL, nil) //nolint:bodyclose // it has none
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, _, err := lively.Read(t.Context()) // answers pings
		ended <- err
	}()
	began := time.Now()
	mute, _, err := coder.Dial(t.Context(), server.URL, nil) //nolint:bodyclose // it has none
	if err != nil {
		t.Fatal(err)
	}
	defer mute.CloseNow()
	select {
	case err := <-all.left:
		if took := time.Since(began); took < heartbeat || !strings.Contains(fmt.Sprint(err), "does not answer") {
			t.Errorf("left after %v for %v", took, err)
		}
	case <-time.After(10 * heartbeat):
		t.Fatal("the client that does not answer is still there")
	}
	select {
	case err := <-ended:
		t.Fatal("the client that answers was cut:", err)
	case <-time.After(heartbeat + heartbeat/2):
	}
	stop(freshet.ErrUnavailable)
	if err := <-ended; coder.CloseStatus(err) != coder.StatusGoingAway {
		t.Error("the end of the feed is told as", err)
	}
	<-running
	sockets.Close(t.Context())
	if err := <-all.left; err == nil || err == io.EOF {
		t.Error("left for", err)
	}
}
