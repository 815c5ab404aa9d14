package httppoller_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"freshet"
)

// versioned answers by ETag; the document changes every 12 seconds of the bubble.
func versioned(w http.ResponseWriter, r *http.Request) (full bool) {
	v := time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) / (12 * s)
	tag := fmt.Sprintf(`W/"v%d"`, v)
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return false
	}
	fmt.Fprintf(w, `{"v":%d}`, v)
	return true
}

func TestETag(t *testing.T) {
	full := 0
	inBubble(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if versioned(w, r) {
			full++
		}
	}, func(w *world) {
		w.run(w.poller(``), 29*s)
		w.heardOnly(`payload {"v":0}`, "unchanged", "unchanged", `payload {"v":1}`, "unchanged", `payload {"v":2}`)
		if full != 3 {
			t.Errorf("%d full answers, want 3", full)
		}
	})
}

// A 304 for ever, to whoever sends a validator, is slow but no error: upstream says so.
func TestNotModifiedForEver(t *testing.T) {
	inBubble(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("ETag", `"1"`)
		_, _ = io.WriteString(w, "1")
	}, func(w *world) {
		w.run(w.poller(``), 21*s)
		w.asked(0, 5*s, 10*s, 15*s, 20*s)
		w.heardOnly("payload 1", "unchanged", "unchanged", "unchanged", "unchanged")
	})
}

// A fault in between does not cost the validators: the 304 after it confirms what the sink has.
func TestValidatorsOutliveFaults(t *testing.T) {
	inBubble(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if r.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("ETag", `"1"`)
		_, _ = io.WriteString(w, "1")
	}, func(w *world) {
		w.run(w.poller(``), 11*s)
		w.heardOnly("payload 1", "fault 70404", "unchanged")
	})
}

// What the sink refuses must not be confirmed by a 304.
func TestValidatorsOfRefusedPayloads(t *testing.T) {
	inBubble(t, func(_ int, w http.ResponseWriter, r *http.Request) { versioned(w, r) }, func(w *world) {
		w.refuse = func([]byte) error { return freshet.Fault{Code: freshet.FaultFormat} }
		w.run(w.poller(``), 6*s)
		w.heardOnly(`payload {"v":0}`, `payload {"v":0}`)
	})
	inBubble(t, func(_ int, w http.ResponseWriter, r *http.Request) { versioned(w, r) }, func(w *world) {
		w.run(w.poller(`,"payloadPointer":"/w"`), 6*s)
		w.heardOnly("fault 70016", "fault 70016")
	})
}

// After a payload of which nobody knows whether it was stored, the one before it is news again.
func TestBackToTheOneBefore(t *testing.T) {
	inBubble(t, func(n int, w http.ResponseWriter, r *http.Request) {
		tag := fmt.Sprintf(`"%d"`, n%2)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("ETag", tag)
		fmt.Fprint(w, n%2)
	}, func(w *world) {
		w.refuse = func(data []byte) error {
			if string(data) == "1" {
				return errStore
			}
			return nil
		}
		w.run(w.poller(``), 11*s)
		w.heardOnly("payload 0", "payload 1", "payload 0")
	})
}

func TestLastModified(t *testing.T) {
	for _, tt := range []struct {
		name     string
		age      time.Duration // of the document when it is answered
		date     bool
		wantSent bool
	}{
		{"older than a second", 2 * s, true, true},
		{"from this second", 0, true, false}, // there may be another change in it
		{"without a Date to compare", 2 * s, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sent := ""
			inBubble(t, func(n int, w http.ResponseWriter, r *http.Request) {
				if n == 1 {
					sent = r.Header.Get("If-Modified-Since")
				}
				if !tt.date {
					w.Header()["Date"] = nil
				}
				w.Header().Set("Last-Modified", time.Now().Add(-tt.age).UTC().Format(http.TimeFormat))
				_, _ = io.WriteString(w, "1")
			}, func(w *world) {
				w.run(w.poller(``), 6*s)
				w.heardOnly("payload 1", "unchanged")
			})
			if (sent != "") != tt.wantSent {
				t.Errorf("If-Modified-Since %q", sent)
			}
		})
	}
}

// Validators go to the URL that they came from, here the target of a redirect, and to no other.
func TestValidatorsAfterRedirect(t *testing.T) {
	target := "/a"
	url, visits := visitors(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/doc" {
			http.Redirect(w, r, target, http.StatusFound)
			return
		}
		w.Header().Set("ETag", `"tag of `+r.URL.Path[1:]+`"`)
		_, _ = io.WriteString(w, "1")
	})
	polls := 0
	follow(t, guarded(t, "127.0.0.0/8"), url+"/doc", func() bool {
		if polls++; polls == 2 {
			target = "/b"
		}
		return polls < 3
	})
	want := []visit{
		{path: "/doc"},
		{path: "/a"},
		{path: "/doc"},
		{path: "/a", match: `"tag of a"`},
		{path: "/doc"},
		{path: "/b"},
	}
	for i, v := range visits() {
		if i >= len(want) || v.path != want[i].path || v.match != want[i].match {
			t.Errorf("visits %+v, want %+v", visits(), want)
			break
		}
	}
}

// The same bytes again are no payload, with or without validators.
func TestSameBytes(t *testing.T) {
	inBubble(t, func(n int, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, n/2) }, func(w *world) {
		w.run(w.poller(``), 19*s)
		w.heardOnly("payload 0", "unchanged", "payload 1", "unchanged")
	})
}
