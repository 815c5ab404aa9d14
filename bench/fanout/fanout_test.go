package main

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"freshet/internal/load"
)

// The servers that are in here must be measured as they are: they speak as Freshet does, and lose nothing.
func TestOwnServers(t *testing.T) {
	for _, kind := range []string{"bare", "plain"} {
		t.Run(kind, func(t *testing.T) {
			port, err := freePort()
			if err != nil {
				t.Fatal(err)
			}
			addr := fmt.Sprintf("127.0.0.1:%d", port)
			ended := make(chan error, 1)
			go func() { ended <- serve(kind, addr) }() // until the test's process ends
			for deadline := time.Now().Add(10 * time.Second); ; {
				conn, err := net.Dial("tcp", addr)
				if err == nil {
					conn.Close()
					break
				}
				select {
				case err := <-ended:
					t.Skip(err)
				default:
				}
				if time.Now().After(deadline) {
					t.Fatal(err)
				}
			}
			_, server, err := self(kind, kind).command("", port, row{history: true})
			if err != nil {
				t.Fatal(err)
			}
			server.Addr = addr
			for name, p := range map[string]load.Params{
				"fixed":  {Subscribers: 30, Topics: 3, Rate: 5000, Publishers: 1, Batch: 64, Duration: 300 * time.Millisecond},
				"resume": {Subscribers: 20, Behind: 50},
				"storm":  {Subscribers: 20, Rate: 50, Jitter: 100 * time.Millisecond},
			} {
				s, _ := load.Find(name)
				r, err := load.Run(t.Context(), server, s, p)
				if err != nil {
					t.Fatal(err)
				}
				if r.Delivered == 0 || r.Missing+r.Gaps+r.Repeats > 0 {
					t.Errorf("%s: %+v", name, *r)
				}
			}
		})
	}
}

func TestJudged(t *testing.T) {
	shown := results{
		"idle-10k":    {freshetName: {MemoryPerConnection: 1024}},
		"unbatched":   {freshetName: {CPUPerEvent: 3}, plainName: {CPUPerEvent: 6}, mercureName: {CPUPerEvent: 6}},
		"saturate-1k": {freshetName: {EventsPerSecond: 1e6}, nchanName: {}},
	}
	verdicts := map[string]string{}
	for _, tt := range judged(shown) {
		verdicts[tt.Row+" "+tt.Figure] = fmt.Sprint(tt.Known, tt.Met)
	}
	for name, want := range map[string]string{
		"idle-10k memory per connection":         "true true",
		"unbatched CPU per event ÷ net/http's":   "true true",
		"unbatched CPU per event ÷ mercure's":    "true false",
		"unbatched CPU per event ÷ centrifugo's": "false false", // it was not measured
		"saturate-1k events/s ÷ nchan's":         "false false", // it reached nothing
		"headline p99 from the origin's answer":  "false false",
	} {
		if verdicts[name] != want {
			t.Errorf("%s: known and met %q; want %q", name, verdicts[name], want)
		}
	}
	if _, err := json.Marshal(judged(results{})); err != nil {
		t.Error(err)
	}
	if text := markdown(judged(shown), shown, rows(10_000), contenders("always")); !strings.Contains(text, "| unbatched | net/http | ") || strings.Contains(text, "NaN") {
		t.Error(text)
	}
}

// Of three runs the one in the middle counts, by the figure of the row.
func TestMedian(t *testing.T) {
	var entries []entry
	for i, cost := range []float64{5, 1, 3} {
		entries = append(entries, entry{Row: "unbatched", Contender: freshetName, Run: i + 1, Report: &load.Report{CPUPerEvent: cost, EventsPerSecond: cost * cost}})
	}
	entries = append(entries, entry{Row: "unbatched", Contender: nchanName, Error: "it did not start"})
	got := median(entries, rows(10_000))["unbatched"]
	if got[freshetName].CPUPerEvent != 3 || got[nchanName] != nil {
		t.Errorf("median %+v, and %+v of a server that did not start", got[freshetName], got[nchanName])
	}
}

// What a server grows by with one slow reader is not the slow readers'.
func TestControl(t *testing.T) {
	r := &load.Report{MemoryBase: 100e6, Memory: 105.4e6, MemoryPerSlow: 1}
	less(r, &load.Report{MemoryBase: 90e6, Memory: 94.9e6}, 49)
	if got := r.MemoryPerSlow; got < 10_000 || got > 10_300 {
		t.Errorf("%.0f bytes per slow reader", got)
	}
	if text := other(r); !strings.Contains(text, "grew by 5.4 MB, the control with one slow reader by 4.9 MB") {
		t.Error(text)
	}
	for _, row := range rows(10_000) {
		if row.control != nil {
			p := row.params
			row.control(&p)
			if p.Slow*float64(p.Subscribers) != 1 {
				t.Errorf("%s has a control with %v slow readers", row.name, p.Slow*float64(p.Subscribers))
			}
		}
	}
}

// Rows that are compared for one thing differ in that alone.
func TestGrowth(t *testing.T) {
	at := map[string]load.Params{}
	for _, row := range rows(10_000) {
		at[row.name] = row.params
	}
	one, many := at["growth-topics-1"], at["growth-topics-1k"]
	events := func(p load.Params) float64 { return p.Rate * float64(p.Subscribers) / float64(p.Topics) }
	if one.Subscribers+one.Quiet != many.Subscribers || one.Rate != many.Rate || events(one) != events(many) || many.Topics != 1000*one.Topics {
		t.Errorf("topics: %+v and %+v", one, many)
	}
	few, more := at["growth-connections-1k"], at["growth-connections-10k"]
	if few.Topics != more.Topics || events(few) != events(more) || few.Subscribers*10 != more.Subscribers {
		t.Errorf("connections: %+v and %+v", few, more)
	}
}

func TestPublisherToken(t *testing.T) {
	// Header, claims and an HMAC of 32 bytes, each in base64url without padding (RFC 7515, 7.1).
	token := jwt(`{"a":1}`, "key")
	if parts := strings.Split(token, "."); len(parts) != 3 || parts[0] != "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9" || parts[1] != "eyJhIjoxfQ" || len(parts[2]) != 43 {
		t.Errorf("token %s", token)
	}
}
