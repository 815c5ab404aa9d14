package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// An Origin is an API for a server to poll: a document for each topic, renewed in part at each
// request. Every document says when it was handed over, so that latency counts from the origin's answer.
type Origin struct {
	server *http.Server
	addr   string
	served chan error
	ledger *ledger

	mu    sync.Mutex
	docs  []*document // guarded by mu
	last  [][]byte    // guarded by mu; for documents that do not change
	polls int64       // guarded by mu; requests answered

	since, until int64 // guarded by mu; ns since 1970
	handed       int64 // guarded by mu; documents with stamps in [since, until)
}

// StartOrigin serves topics documents of about size bytes, of which each request renews a share of
// the records (0 to 1), on a loopback port of its own. The caller ends it with Close.
func StartOrigin(ctx context.Context, topics, size int, share float64) (*Origin, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("origin: %w", err)
	}
	o := &Origin{addr: l.Addr().String(), served: make(chan error, 1), ledger: newLedger(topics), last: make([][]byte, topics)}
	for i := range topics {
		o.docs = append(o.docs, newDocument(i, size, share))
	}
	o.server = &http.Server{Handler: http.HandlerFunc(o.answer), ReadHeaderTimeout: 5 * time.Second}
	go func() { o.served <- o.server.Serve(l) }()
	return o, nil
}

// URL is where the document of a topic is.
func (o *Origin) URL(topic int) string { return "http://" + o.addr + "/doc/" + strconv.Itoa(topic) }

// Polls is how many requests were answered.
func (o *Origin) Polls() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.polls
}

// window makes the origin count the documents whose stamps are in [since, until).
func (o *Origin) window(since, until time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.since, o.until, o.handed = since.UnixNano(), until.UnixNano(), 0
}

func (o *Origin) inWindow() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.handed
}

// Close ends the server.
func (o *Origin) Close() error {
	err := o.server.Close()
	if e := <-o.served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

func (o *Origin) answer(w http.ResponseWriter, r *http.Request) {
	topic, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/doc/"))
	if err != nil || topic < 0 || topic >= len(o.docs) {
		http.NotFound(w, r)
		return
	}
	doc, number := o.next(topic)
	etag := `"` + strconv.Itoa(number) + `"`
	h := w.Header()
	h.Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(doc)))
	_, _ = w.Write(doc) // who hung up polls again
}

func (o *Origin) next(topic int) (doc []byte, number int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.polls++
	d := o.docs[topic]
	if d.renewed == 0 && o.last[topic] != nil {
		return o.last[topic], d.number
	}
	at := now()
	if at >= o.since && at < o.until {
		o.handed++
	}
	doc, number = d.next(at)
	o.last[topic] = doc
	o.ledger.put(topic, number, doc)
	return doc, number
}
