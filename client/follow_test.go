package client_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"freshet"
	"freshet/client"
)

const (
	snapshot1 = "retry: 2000\nevent: snapshot\ndata: {\"eur\":1.0,\"usd\":2}\nid: 1-1-aa\n\n"
	patch2    = "event: patch\ndata: [{\"op\":\"replace\",\"path\":\"/eur\",\"value\":1.09}]\nid: 2-4-bb\n\n"
	fault2    = "event: error\ndata: {\"datetime\":\"2026-01-02T03:04:05Z\",\"code\":70503,\"category\":\"publication\",\"message\":\"upstream answered 503\"}\nid: 2-5-bb\n\n"
	recover2  = "event: recovered\ndata: {\"datetime\":\"2026-01-02T03:05:06Z\"}\nid: 2-6-bb\n\n"
	patch4    = "event: patch\ndata: [{\"op\":\"add\",\"path\":\"/jpy\",\"value\":3},{\"op\":\"remove\",\"path\":\"/usd\"}]\nid: 4-9-dd\n\n"
)

// follow returns what the first n updates were, and the error that ended it.
func follow(ctx context.Context, c *client.Client, topic string, o client.FollowOptions, n int) (list []client.Update, err error) {
	for u, err := range c.Follow(ctx, topic, o) {
		if err != nil {
			return list, err
		}
		if list = append(list, u); len(list) == n {
			break
		}
	}
	return list, nil
}

// In the other modes Follow keeps the document as well, and refuses what does not fit.
func TestFollowAppliesWhatTheModeSends(t *testing.T) {
	const start = "event: snapshot\ndata: {\"l\":[{\"id\":1},{\"id\":2}],\"n\":1.0}\nid: 1-1-aa\n\n"
	for _, tt := range []struct {
		mode              freshet.Mode
		second, doc, diff string
		bad               string
	}{
		{
			freshet.ModeMergePatch, `{"n":null,"m":{"x":1e2}}`, `{"l":[{"id":1},{"id":2}],"m":{"x":1e2}}`, "add /m; remove /n", `{`,
		},
		{
			freshet.ModeChanges, `{"created":[{"array":"/l","key":3,"value":{"id":3}}],"updated":[],"deleted":[{"array":"/l","key":1,"previous":{"id":1}}],"keys":{"/l":"id"},"patch":[{"op":"replace","path":"/n","value":2}]}`,
			`{"l":[{"id":2},{"id":3}],"n":2}`, "", `{"deleted":[{"array":"/l","key":9}],"keys":{"/l":"id"}}`,
		},
	} {
		t.Run(string(tt.mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				event := func(data string, revision int) string {
					return fmt.Sprintf("event: %s\ndata: %s\nid: %d-9-bb\n\n", tt.mode, data, revision)
				}
				f := &fake{answers: []answer{open(start + event(tt.second, 3) + event(tt.bad, 4)), open(start)}}
				got, err := follow(t.Context(), newClient(t, f), "rates", client.FollowOptions{Mode: tt.mode}, 3)
				if err != nil || len(got) != 3 {
					t.Fatalf("%d updates, %v", len(got), err)
				}
				if u := got[1]; string(u.Type) != string(tt.mode) || string(u.Doc) != tt.doc || string(u.Data) != tt.second || u.Revision != 3 {
					t.Errorf("%s %d: %s after %s; want %s", u.Type, u.Revision, u.Doc, u.Data, tt.doc)
				}
				ops, err := got[1].Changes()
				var list []string
				for _, op := range ops {
					list = append(list, op.Op+" "+op.Path)
				}
				if s := strings.Join(list, "; "); err != nil || len(ops) == 0 || tt.diff != "" && s != tt.diff {
					t.Errorf("changes: %s, %v", s, err)
				}
				if got[2].Reset != client.ResetMismatch || f.lastIDs()[1] != "" {
					t.Errorf("after what does not fit: %+v, asked from %q", got[2], f.lastIDs()[1])
				}
				if accept := f.requests[0].Header.Get("Accept"); accept != "text/event-stream; mode="+string(tt.mode) {
					t.Errorf("asked for %s", accept)
				}
			})
		})
	}
}

func TestFollowKeepsTheDocument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answers: []answer{open(snapshot1 + ":\n" + patch2 + fault2 + "event: later\ndata: x\nid: 2-6-bb\n\n" + patch4)}}
		got, err := follow(t.Context(), newClient(t, f), "rates", client.FollowOptions{}, 4)
		if err != nil || len(got) != 4 {
			t.Fatalf("%d updates, %v", len(got), err)
		}
		for i, want := range []struct {
			id, doc  string
			revision freshet.Revision
			kind     freshet.EventType
			bytes    int
		}{
			{"1-1-aa", `{"eur":1.0,"usd":2}`, 1, "snapshot", len(snapshot1)},
			{"2-4-bb", `{"eur":1.09,"usd":2}`, 2, "patch", len(":\n" + patch2)},
			{"2-5-bb", `{"eur":1.09,"usd":2}`, 2, "error", len(fault2)},
			{"4-9-dd", `{"eur":1.09,"jpy":3}`, 4, "patch", len(patch4)},
		} {
			u := got[i]
			if u.ID != want.id || string(u.Doc) != want.doc || u.Revision != want.revision || u.Type != want.kind || u.Bytes != want.bytes {
				t.Errorf("%d: %s revision %d %s, %d bytes, %s; want %+v", i, u.ID, u.Revision, u.Type, u.Bytes, u.Doc, want)
			}
			if i > 0 && string(u.Before) != string(got[i-1].Doc) {
				t.Errorf("%d: before it %s; want %s", i, u.Before, got[i-1].Doc)
			}
		}
		if fault := got[2].Fault; fault == nil || fault.Code != 70503 || fault.Message != "upstream answered 503" {
			t.Errorf("fault %v", fault)
		}
	})
}

// Wherever a connection is cut, each event arrives once, in order, and the next connection resumes
// after the last whole one.
func TestFollowSurvivesACutAtEveryByte(t *testing.T) {
	events := []string{snapshot1, patch2, fault2, patch4}
	ids := []string{"", "1-1-aa", "2-4-bb", "2-5-bb", "4-9-dd"}
	all := strings.Join(events, "")
	for cut := range len(all) {
		synctest.Test(t, func(t *testing.T) {
			whole := strings.Count(all[:cut], "\n\n")
			f := &fake{answers: []answer{stream(all[:cut]), open(strings.Join(events[whole:], ""))}}
			got, err := follow(t.Context(), newClient(t, f), "rates", client.FollowOptions{}, len(events))
			var seen []string
			for _, u := range got {
				seen = append(seen, u.ID)
			}
			if err != nil || !slices.Equal(seen, ids[1:]) || string(got[3].Doc) != `{"eur":1.09,"jpy":3}` {
				t.Fatalf("cut after %d bytes: %q, %v", cut, seen, err)
			}
			if asked := f.lastIDs()[1]; asked != ids[whole] {
				t.Fatalf("cut after %d bytes: resumed after %q; want %q", cut, asked, ids[whole])
			}
		})
	}
}

func TestFollowWaits(t *testing.T) {
	s := time.Second
	for _, tt := range []struct {
		name    string
		answers []answer
		want    []time.Duration // at least; at most half more
	}{
		{"doubling, up to half a minute", []answer{refuse}, []time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s}},
		{"as the stream said", []answer{stream(snapshot1), stream(patch2), refuse}, []time.Duration{2 * s, 2 * s, 4 * s}},
		{"longer than half a minute, if told so", []answer{stream("retry: 60000\n\n")}, []time.Duration{60 * s, 60 * s}},
		{"zero, if told so, but not in a hot loop", []answer{stream("retry: 0\n" + snapshot1[12:]), refuse}, []time.Duration{0, 200 * time.Millisecond, 400 * time.Millisecond}},
		{"an overloaded server closes at once", []answer{stream("retry: 4000\n:\n")}, []time.Duration{4 * s, 8 * s, 16 * s}},
		{"Retry-After", []answer{status(503, "text/plain", "", "Retry-After", "120"), refuse}, []time.Duration{120 * s, 2 * s}},
		{"not again at once for an ordinary 500", []answer{status(500, "", "")}, []time.Duration{s, 2 * s}},
		{"silence", []answer{open(snapshot1), open("")}, []time.Duration{30*s + 2*s, 30*s + 2*s}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, n := &fake{answers: tt.answers}, 0
				stop := errors.New("enough")
				_, err := follow(t.Context(), newClient(t, f), "rates", client.FollowOptions{OnRetry: func(error, time.Duration) error {
					if n++; n > len(tt.want) {
						return stop
					}
					return nil
				}}, 100)
				waits := f.waits()
				if !errors.Is(err, stop) || len(waits) != len(tt.want) {
					t.Fatalf("waits %v, %v; want %v", waits, err, tt.want)
				}
				for i, w := range waits {
					if w < tt.want[i] || w > tt.want[i]*3/2+time.Second/2 {
						t.Errorf("waits %v; want about %v", waits, tt.want)
						break
					}
				}
			})
		})
	}
}

func TestFollowEnds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer answer
		want   error
	}{
		{"a deleted topic", status(204, "", ""), client.ErrEnded},
		{"is gone", status(204, "", ""), freshet.ErrGone},
		{"unknown", problem(404, "topic-not-found"), freshet.ErrNotFound},
		{"mode", problem(406, "mode-not-allowed"), freshet.ErrMode},
		{"not allowed", problem(403, "not-allowed"), freshet.ErrNotAllowed},
		{"401 of a proxy", status(401, "text/html", "<h1>"), freshet.ErrNotAllowed},
	} {
		f := &fake{answers: []answer{tt.answer}}
		if _, err := follow(t.Context(), newClient(t, f), "rates", client.FollowOptions{}, 1); !errors.Is(err, tt.want) || len(f.requests) != 1 {
			t.Errorf("%s: %v after %d requests; want %v", tt.name, err, len(f.requests), tt.want)
		}
	}
	f := &fake{answers: []answer{status(200, "text/html", "<h1>hello</h1>")}}
	if _, err := follow(t.Context(), newClient(t, f), "rates", client.FollowOptions{}, 1); err == nil || !strings.Contains(err.Error(), "text/html") {
		t.Errorf("a page: %v", err)
	}
	if _, err := follow(t.Context(), newClient(t, f), "No Name", client.FollowOptions{}, 1); err == nil {
		t.Error("a bad name was asked for")
	}
}

func TestFollowNeverAppliesAPatchThatDoesNotFit(t *testing.T) {
	again := "event: snapshot\ndata: {\"a\":5}\nid: 7-20-ee\n\n"
	for name, bad := range map[string]string{
		"no such path":    "event: patch\ndata: [{\"op\":\"replace\",\"path\":\"/none\",\"value\":1}]\nid: 2-2-bb\n\n",
		"not a patch":     "event: patch\ndata: {\"a\":1}\nid: 2-2-bb\n\n",
		"an old revision": "event: patch\ndata: [{\"op\":\"replace\",\"path\":\"/eur\",\"value\":1}]\nid: 1-2-bb\n\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			var reasons []string
			f := &fake{answers: []answer{stream(snapshot1 + bad + patch4), open(again)}}
			got, err := follow(t.Context(), newClient(t, f), "rates", client.FollowOptions{OnRetry: func(err error, _ time.Duration) error {
				reasons = append(reasons, err.Error())
				return nil
			}}, 2)
			if err != nil || len(got) != 2 || string(got[1].Doc) != `{"a":5}` || got[1].Reset != client.ResetMismatch || got[0].Reset != "" {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			if ids := f.lastIDs(); !slices.Equal(ids, []string{"", ""}) || len(reasons) != 1 || !strings.Contains(reasons[0], "patch") {
				t.Errorf("%s: resumed after %q because of %q", name, ids, reasons)
			}
		})
	}
}

// Who is over a limit is told so, and comes back.
func TestFollowOverALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var why error
		f := &fake{answers: []answer{status(http.StatusOK, "text/event-stream", "retry: 100\n:\n", "Freshet-Over-Limit", "per_address"), open(snapshot1)}}
		got, err := follow(t.Context(), newClient(t, f), "rates", client.FollowOptions{OnRetry: func(err error, _ time.Duration) error {
			why = err
			return nil
		}}, 1)
		if err != nil || len(got) != 1 || !errors.Is(why, freshet.ErrUnavailable) || !strings.Contains(why.Error(), "per_address") {
			t.Errorf("%+v, %v, because of %v", got, err, why)
		}
	})
}

// A server whose patches never fit must not be asked for snapshots in a hot loop.
func TestFollowBacksOffFromPatchesThatNeverFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answers: []answer{stream(snapshot1 + "event: patch\ndata: [{\"op\":\"remove\",\"path\":\"/none\"}]\nid: 2-2-bb\n\n")}}
		if _, err := follow(t.Context(), newClient(t, f), "rates", client.FollowOptions{}, 6); err != nil {
			t.Fatal(err)
		}
		if waits := f.waits(); waits[4] < 16*time.Second {
			t.Errorf("waits %v; want them to double", waits)
		}
	})
}

// The end of a fault is told, and moves on where to resume, but changes nothing.
func TestFollowTellsOfARecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answers: []answer{stream(snapshot1 + fault2 + recover2), open(patch4)}}
		got, err := follow(t.Context(), newClient(t, f), "rates", client.FollowOptions{}, 4)
		if err != nil || len(got) != 4 {
			t.Fatalf("%+v, %v", got, err)
		}
		u := got[2]
		if u.Type != freshet.TypeRecovered || u.Fault != nil || u.ID != "2-6-bb" || u.Revision != 2 ||
			string(u.Data) != `{"datetime":"2026-01-02T03:05:06Z"}` || !bytes.Equal(u.Doc, got[0].Doc) || !bytes.Equal(u.Before, u.Doc) {
			t.Errorf("recovered: %+v", u)
		}
		if changes, err := u.Changes(); err != nil || len(changes) != 0 {
			t.Errorf("recovered changed %+v, %v", changes, err)
		}
		if ids := f.lastIDs(); ids[1] != "2-6-bb" || string(got[3].Doc) != `{"eur":1.0,"jpy":3}` {
			t.Errorf("resumed after %q: %s", ids, got[3].Doc)
		}
	})
}

// What a stream without its final chunk ends with is told in words.
func TestFollowSaysThatTheServerClosed(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Last-Event-ID") != "" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "retry: 1\n"+snapshot1[12:])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	c, err := client.New(server.URL, client.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var why []string
	_, err = follow(t.Context(), c, "rates", client.FollowOptions{OnRetry: func(err error, _ time.Duration) error {
		why = append(why, err.Error())
		return nil
	}}, 2)
	if !errors.Is(err, client.ErrEnded) || err.Error() != "follow rates: the topic was deleted" || !slices.Equal(why, []string{"the server closed the connection"}) {
		t.Errorf("%v after %q", err, why)
	}
}

func TestFollowTellsOfAReset(t *testing.T) {
	f := &fake{answers: []answer{stream(": reset history-expired\n" + snapshot1)}}
	got, err := follow(t.Context(), newClient(t, f), "rates", client.FollowOptions{LastEventID: "9-9-zz", Document: []byte(`{"a":1}`)}, 1)
	if err != nil || got[0].Reset != "history-expired" || string(got[0].Before) != `{"a":1}` || f.lastIDs()[0] != "9-9-zz" {
		t.Errorf("%+v, %v, after %q", got, err, f.lastIDs())
	}
}

func TestFollowResumesWithADocumentAndWithout(t *testing.T) {
	for _, tt := range []struct{ doc, want string }{{`{"eur":1.0}`, `{"eur":1.09}`}, {"", ""}} {
		f := &fake{answers: []answer{stream(patch2)}}
		o := client.FollowOptions{LastEventID: "1-1-aa"}
		if tt.doc != "" {
			o.Document = []byte(tt.doc)
		}
		if got, err := follow(t.Context(), newClient(t, f), "rates", o, 1); err != nil || string(got[0].Doc) != tt.want {
			t.Errorf("with %q: %+v, %v", tt.doc, got, err)
		}
	}
}

func TestFollowGoesOnWhileHeartbeatsCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answers: []answer{func(req *http.Request) (*http.Response, error) {
			r, w := io.Pipe()
			context.AfterFunc(req.Context(), func() { _ = w.CloseWithError(context.Cause(req.Context())) })
			go func() {
				_, _ = io.WriteString(w, snapshot1)
				for range 100 {
					time.Sleep(5 * time.Second)
					_, _ = io.WriteString(w, ":\n")
				}
				_, _ = io.WriteString(w, patch2)
			}()
			return respond(200, "text/event-stream", r), nil
		}}}
		n := 0
		for u, err := range newClient(t, f).Follow(t.Context(), "rates", client.FollowOptions{}) {
			if n++; err != nil || u.Type == freshet.TypePatch {
				break
			}
			time.Sleep(time.Minute) // the time that a caller takes is no silence of the server
		}
		if n != 2 || len(f.requests) != 1 {
			t.Errorf("%d updates over %d connections", n, len(f.requests))
		}
	})
}

func TestFollowEndsWithItsContextWithoutAnError(t *testing.T) {
	for name, a := range map[string]answer{"while reading": open(snapshot1), "while waiting": refuse} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
			defer cancel()
			if _, err := follow(ctx, newClient(t, &fake{answers: []answer{a}}), "rates", client.FollowOptions{}, 9); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if ctx.Err() == nil {
				t.Errorf("%s: ended before its context", name)
			}
		})
	}
}

func TestFollowAsks(t *testing.T) {
	for _, tt := range []struct {
		topic, url, accept string
		o                  client.FollowOptions
	}{
		{"rates", "http://freshet.test/live/rates", "text/event-stream", client.FollowOptions{}},
		{"rates", "http://freshet.test/live/rates", "text/event-stream; mode=snapshot-only", client.FollowOptions{Mode: freshet.ModeSnapshotOnly}},
		{"rates", "http://freshet.test/live/rates?from=beginning", "text/event-stream", client.FollowOptions{From: "beginning"}},
		{"rates", "http://freshet.test/live/rates", "text/event-stream", client.FollowOptions{From: "beginning", LastEventID: "1-1-aa"}},
		{"https://a.example/x//y%2Fz?q=1&mode=b#f", "http://freshet.test/live/https://a.example/x//y%2Fz?q=1&mode=b", "text/event-stream", client.FollowOptions{}},
		{"https://a.example/x?q=1", "http://freshet.test/live?from=beginning&url=https%3A%2F%2Fa.example%2Fx%3Fq%3D1", "text/event-stream", client.FollowOptions{From: "beginning"}},
	} {
		f := &fake{answers: []answer{status(204, "", "")}}
		_, _ = follow(t.Context(), newClient(t, f), tt.topic, tt.o, 1)
		if r := f.requests[0]; r.URL.String() != tt.url || r.Header.Get("Accept") != tt.accept {
			t.Errorf("%s: GET %s, Accept %s; want %s, %s", tt.topic, r.URL, r.Header.Get("Accept"), tt.url, tt.accept)
		}
	}
}

// Such an id cannot be sent back: the topic is followed afresh rather than never again.
func TestFollowForgetsAnIDThatNoHeaderCarries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answers: []answer{stream("event: snapshot\ndata: 1\nid: a\x01\n\n"), stream(snapshot1)}}
		got, err := follow(t.Context(), newClient(t, f), "rates", client.FollowOptions{}, 2)
		if ids := f.lastIDs(); err != nil || len(got) != 2 || !slices.Equal(ids, []string{"", ""}) {
			t.Errorf("%d updates, %v, asked after %q", len(got), err, ids)
		}
	})
}

func TestFollowRefusesEventsThatAreTooLong(t *testing.T) {
	f := &fake{answers: []answer{stream("data: " + strings.Repeat("x", 5000) + "\n\n")}}
	c, err := client.New("http://freshet.test", client.Config{HTTPClient: &http.Client{Transport: f}, MaxBytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := follow(t.Context(), c, "rates", client.FollowOptions{}, 1); !errors.Is(err, freshet.ErrTooLarge) {
		t.Errorf("%v; want %v", err, freshet.ErrTooLarge)
	}
}

// The whole way over real HTTP, plain and compressed: events arrive when they are sent, not later.
func TestFollowOverHTTP(t *testing.T) {
	for _, compress := range []bool{false, true} {
		t.Run(fmt.Sprint("compress ", compress), func(t *testing.T) {
			next := make(chan string, 1)
			server := httptest.NewServer(pusher(next))
			defer server.Close()
			c, err := client.New(server.URL+"/", client.Config{})
			if err != nil {
				t.Fatal(err)
			}
			var raw bytes.Buffer
			next <- snapshot1
			n := 0
			for u, err := range c.Follow(t.Context(), "rates", client.FollowOptions{Compress: compress, Raw: &raw}) {
				if n++; err != nil {
					t.Fatal(err)
				}
				if u.Bytes == 0 || !compress && u.Bytes != len(snapshot1) && u.Bytes != len(patch2) {
					t.Errorf("%d bytes", u.Bytes)
				}
				if n == 2 {
					break
				}
				next <- patch2
			}
			if want := snapshot1 + patch2; raw.String() != want {
				t.Errorf("raw %q; want %q", &raw, want)
			}
		})
	}
}

// pusher sends each text at once to the one connection there is, in gzip if that is asked for.
func pusher(next <-chan string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		var out io.Writer = w
		flush := func() error { return nil }
		if r.Header.Get("Accept-Encoding") == "gzip" {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			out, flush = z, z.Flush
		}
		for {
			_ = errors.Join(flush(), http.NewResponseController(w).Flush())
			select {
			case text := <-next:
				_, _ = io.WriteString(out, text)
			case <-r.Context().Done():
				return
			}
		}
	}
}

func TestChanges(t *testing.T) {
	for _, tt := range []struct{ name, before, patch, want string }{
		{
			"replace and remove", `{"a":1,"b":[1,2]}`, `[{"op":"replace","path":"/a","value":2},{"op":"remove","path":"/b"}]`,
			`replace /a 1 2; remove /b [1,2] `,
		},
		{"add has no old value", `{}`, `[{"op":"add","path":"/a","value":2}]`, `add /a  2`},
		{
			"items move up", `["x","y","z"]`, `[{"op":"remove","path":"/0"},{"op":"remove","path":"/0"},{"op":"replace","path":"/0","value":1}]`,
			`remove /0 "x" ; remove /0 "y" ; replace /0 "z" 1`,
		},
		{
			"twice the same", `{"a":1}`, `[{"op":"replace","path":"/a","value":2},{"op":"replace","path":"/a","value":3}]`,
			`replace /a 1 2; replace /a 2 3`,
		},
		{
			"inside what was replaced", `{"a":1}`, `[{"op":"replace","path":"/a","value":{"b":2}},{"op":"replace","path":"/a/b","value":3}]`,
			`replace /a 1 {"b":2}; replace /a/b 2 3`,
		},
		{
			"around what was replaced", `{"a":{"b":1}}`, `[{"op":"replace","path":"/a/b","value":2},{"op":"remove","path":"/a"}]`,
			`replace /a/b 1 2; remove /a {"b":2} `,
		},
		{
			"a name that begins alike", `{"a":1,"ab":2}`, `[{"op":"replace","path":"/a","value":0},{"op":"replace","path":"/ab","value":0}]`,
			`replace /a 1 0; replace /ab 2 0`,
		},
		{"the whole", `1`, `[{"op":"replace","path":"","value":2}]`, `replace  1 2`},
		{"null", `{"a":null}`, `[{"op":"replace","path":"/a","value":2}]`, `replace /a null 2`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changes, err := client.Update{Type: freshet.TypePatch, Before: []byte(tt.before), Data: []byte(tt.patch)}.Changes()
			var got []string
			for _, c := range changes {
				got = append(got, fmt.Sprintf("%s %s %s %s", c.Op, c.Path, c.Old, c.Value))
			}
			if s := strings.Join(got, "; "); err != nil || s != tt.want {
				t.Errorf("%q, %v; want %q", s, err, tt.want)
			}
		})
	}
	u := client.Update{Type: freshet.TypeSnapshot, Before: []byte(`1`), Doc: []byte(`2`), Data: []byte(`2`)}
	if got, err := u.Changes(); err != nil || len(got) != 1 || string(got[0].Old) != "1" || string(got[0].Value) != "2" {
		t.Errorf("of a snapshot: %+v, %v", got, err)
	}
	if got, err := (client.Update{Type: freshet.TypePatch, Data: []byte(`{}`)}).Changes(); err == nil {
		t.Errorf("of what is no patch: %v", got)
	}
}
