package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"freshet"
)

// Records is a small keyed store with compare-and-set.
type Records interface {
	// Put replaces the value that has this revision, or creates it where revision is 0.
	Put(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	// Get returns freshet.ErrNotFound where there is no such key.
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// List calls each for every value there is, until it returns an error.
	List(ctx context.Context, each func(key string, value []byte, revision uint64) error) error
}

// A place is where a subscription is.
type place struct {
	At        string                // the last event that was delivered; empty: none yet
	Time      time.Time             // of that event
	Delivered time.Time             // when it was
	Attempts  int                   // that failed since, of the next delivery
	Next      time.Time             // when it is tried again
	Error     *freshet.DeliverError // of the last attempt that failed
	Failed    *failure              // what failed and was not delivered since; nil: nothing, or what has no place in the history
	Skipped   bool                  // a document at At was not delivered: what comes next does not follow what the receiver has
}

// A failure is a delivery that failed.
type failure struct {
	At       string    `json:"at"` // the last event of it
	Time     time.Time `json:"t"`  // of that event
	Events   int       `json:"n"`
	Document bool      `json:"doc,omitempty"` // it says what becomes of a document
}

// A storedPlace is a place as it is stored, with times in milliseconds since 1970.
type storedPlace struct {
	At        string                `json:"at,omitempty"`
	Time      int64                 `json:"t,omitempty"`
	Delivered int64                 `json:"ok,omitempty"`
	Attempts  int                   `json:"n,omitempty"`
	Next      int64                 `json:"next,omitempty"`
	Error     *freshet.DeliverError `json:"err,omitempty"`
	Failed    *failure              `json:"bad,omitempty"`
	Skipped   bool                  `json:"skip,omitempty"`
}

func (s storedPlace) place() place {
	return place{s.At, timeOf(s.Time), timeOf(s.Delivered), s.Attempts, timeOf(s.Next), s.Error, s.Failed, s.Skipped}
}

func timeOf(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis).UTC()
}

// encodePlaces writes what decodePlaces reads: a JSON object. It is written by hand, as it is done at each delivery,
// for all that share the record.
func encodePlaces(all map[freshet.SubscriptionID]place) ([]byte, error) {
	b := make([]byte, 0, 96*len(all)+2)
	b = append(b, '{')
	number := func(name string, n int64) {
		if n != 0 {
			b = strconv.AppendInt(append(append(append(b, ',', '"'), name...), '"', ':'), n, 10)
		}
	}
	millis := func(name string, t time.Time) {
		if !t.IsZero() {
			number(name, t.UnixMilli())
		}
	}
	for id, p := range all {
		if len(b) > 1 {
			b = append(b, ',')
		}
		// Ids of subscriptions and events hold nothing that JSON would escape.
		b = append(append(append(b, '"'), id...), `":{"at":"`...)
		b = append(append(b, p.At...), '"')
		millis("t", p.Time)
		millis("ok", p.Delivered)
		number("n", int64(p.Attempts))
		millis("next", p.Next)
		if p.Error != nil || p.Failed != nil || p.Skipped { // seldom
			text, err := json.Marshal(storedPlace{Error: p.Error, Failed: p.Failed, Skipped: p.Skipped})
			if err != nil {
				return nil, fmt.Errorf("encode the cursor of %s: %w", id, err)
			}
			b = append(append(b, ','), text[1:len(text)-1]...)
		}
		b = append(b, '}')
	}
	return append(b, '}'), nil
}

func decodePlaces(value []byte) (map[freshet.SubscriptionID]place, error) {
	var read map[freshet.SubscriptionID]storedPlace
	if err := json.Unmarshal(value, &read); err != nil {
		return nil, fmt.Errorf("not cursors: %w", err)
	}
	all := make(map[freshet.SubscriptionID]place, len(read))
	for id, p := range read {
		all[id] = p.place()
	}
	return all, nil
}

// places keeps where subscriptions are. Those of a topic share records, pages, so that what many deliver at the
// same time is stored by one write.
type places struct {
	records Records
	log     *slog.Logger
	base    context.Context //nolint:containedctx // of writes that many wait for; ended by close
	stop    context.CancelFunc
	writing sync.WaitGroup

	mu    sync.Mutex
	pages map[string]*page
	of    map[freshet.SubscriptionID]*page
}

// A page is a record with the places of some subscriptions.
type page struct {
	key      string
	revision uint64
	all      map[freshet.SubscriptionID]place
	dirty    bool
	busy     bool            // somebody writes
	waiting  []chan struct{} // closed once what is dirty is stored
}

const (
	pageSize  = 256                   // subscriptions
	entryRest = 60 * time.Microsecond // between two writes of a page, for each subscription in it, so that large ones gather more
)

func openPlaces(ctx context.Context, records Records, log *slog.Logger) (*places, error) {
	base, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &places{records: records, log: log, base: base, stop: stop, pages: map[string]*page{}, of: map[freshet.SubscriptionID]*page{}}
	err := records.List(ctx, func(key string, value []byte, revision uint64) error {
		all, err := decodePlaces(value)
		if err != nil {
			return fmt.Errorf("record %s: %w", key, err)
		}
		pg := &page{key: key, revision: revision, all: all}
		p.pages[key] = pg
		for id := range pg.all {
			p.of[id] = pg
		}
		return nil
	})
	if err != nil {
		stop()
		return nil, fmt.Errorf("read the cursors of subscriptions: %w", err)
	}
	return p, nil
}

func (p *places) get(id freshet.SubscriptionID) place {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pg := p.of[id]; pg != nil {
		return pg.all[id]
	}
	return place{}
}

// set stores a place. The channel is closed once it is, or when the places are closed.
func (p *places) set(topic freshet.TopicName, id freshet.SubscriptionID, at place) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	pg := p.of[id]
	if pg == nil {
		pg = p.roomLocked(topic)
		p.of[id] = pg
	}
	pg.all[id] = at
	return p.writeLocked(pg)
}

// remove forgets a subscription.
func (p *places) remove(id freshet.SubscriptionID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pg := p.of[id]; pg != nil {
		delete(p.of, id)
		delete(pg.all, id)
		p.writeLocked(pg)
	}
}

// roomLocked is a page of the topic that is not full.
func (p *places) roomLocked(topic freshet.TopicName) *page {
	for n := 0; ; n++ {
		key := string(topic) + "/" + strconv.Itoa(n)
		pg := p.pages[key]
		if pg == nil {
			pg = &page{key: key, all: map[freshet.SubscriptionID]place{}}
			p.pages[key] = pg
		}
		if len(pg.all) < pageSize {
			return pg
		}
	}
}

func (p *places) writeLocked(pg *page) <-chan struct{} {
	stored := make(chan struct{})
	pg.waiting = append(pg.waiting, stored)
	pg.dirty = true
	if !pg.busy {
		pg.busy = true
		p.writing.Go(func() { p.write(pg) })
	}
	return stored
}

// write stores a page until nothing in it is new. What changes meanwhile is stored together.
func (p *places) write(pg *page) {
	for {
		p.mu.Lock()
		waiting := pg.waiting
		pg.waiting = nil
		if pg.busy = pg.dirty; !pg.dirty {
			p.mu.Unlock()
			return
		}
		pg.dirty = false
		value, err := encodePlaces(pg.all)
		rest := time.Duration(len(pg.all)) * entryRest
		p.mu.Unlock()
		if err == nil {
			p.put(pg, value)
		}
		for _, w := range waiting {
			close(w)
		}
		if rest > time.Millisecond {
			select {
			case <-time.After(rest):
			case <-p.base.Done():
			}
		}
	}
}

// put tries until the value is stored, or the places are closed.
func (p *places) put(pg *page, value []byte) {
	const shortest, longest = 10 * time.Millisecond, time.Second
	for wait := shortest; p.base.Err() == nil; wait = min(2*wait, longest) {
		revision, err := p.records.Put(p.base, pg.key, value, pg.revision)
		if err == nil {
			pg.revision = revision
			return
		}
		if errors.Is(err, freshet.ErrConflict) || errors.Is(err, freshet.ErrExists) { // our own write, of which we were not told
			if _, now, err := p.records.Get(p.base, pg.key); err == nil {
				pg.revision = now
			}
		}
		if wait == longest && p.base.Err() == nil {
			p.log.WarnContext(p.base, "the cursors of subscriptions cannot be stored; deliveries wait", "topic", strings.Split(pg.key, "/")[0], "err", err)
		}
		select {
		case <-time.After(wait):
		case <-p.base.Done():
		}
	}
}

// close waits, a little, for what is being written.
func (p *places) close() {
	done := make(chan struct{})
	go func() {
		p.writing.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(2 * time.Second):
	}
	p.stop()
	<-done
}
