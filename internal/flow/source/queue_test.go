package source_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/freshettest"
)

func item(data string) source.Item {
	return source.Item{Payload: source.Payload{Data: []byte(data), Time: time.Now(), Mark: data}}
}

// What comes while a write is under way is the next write, in order, with faults where they belong.
func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fault := source.Faultf(freshet.FaultSize, "too large")
		var sizes []int
		sink := &freshettest.Sink{Refuse: func(p source.Payload) error {
			if string(p.Data) == "0" {
				time.Sleep(time.Second) // a slow journal
			}
			return nil
		}}
		q := source.NewQueue()
		done := make(chan error)
		go func() {
			done <- q.HandOver(t.Context(), sink, func(items []source.Item) { sizes = append(sizes, len(items)) })
		}()
		q.Put(t.Context(), item("0"))
		synctest.Wait()
		var want []string
		for i := range 400 {
			want = append(want, fmt.Sprint(i))
			if i > 0 {
				q.Put(t.Context(), item(fmt.Sprint(i)))
			}
		}
		q.Put(t.Context(), source.Item{Fault: &fault})
		q.Put(t.Context(), item("400"))
		q.Put(t.Context(), source.Item{Fine: true})
		q.End(errors.New("over"))
		q.End(errors.New("again"))
		if err := <-done; err == nil || err.Error() != "over" {
			t.Error(err)
		}
		if got := sink.Payloads(); !slices.Equal(got, append(want, "400")) || len(sink.Faults()) != 1 || sink.Fine() != 1 {
			t.Errorf("%v, %v, fine %d times", got, sink.Faults(), sink.Fine())
		}
		if len(sizes) < 3 || sizes[0] != 1 || sizes[1] != source.BatchPayloads {
			t.Errorf("written in pieces of %v", sizes)
		}
	})
}

// A queue bounds what it holds, but lets in one payload of any size; who waits for room gives up with ctx.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := source.NewQueue()
		large := item(`"` + string(make([]byte, 2*source.BatchBytes)) + `"`)
		if !q.Put(t.Context(), large) {
			t.Error("an empty queue has no room")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if q.Put(ctx, item("1")) {
			t.Error("a full queue has room")
		}
		sink := &freshettest.Sink{Refuse: func(source.Payload) error { return freshet.ErrUnavailable }}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := q.HandOver(ctx, sink, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := source.NewQueue().HandOver(ctx, sink, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}
