package source

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"freshet"
)

// A Kind is a type of source, such as http-poller. Adding one means adding it to Kinds.
type Kind struct {
	Name    string         // what a topic's source.type says
	Summary string         // one sentence for people
	Feeds   []freshet.Kind // the kinds of topic that it can feed
	Pushed  bool           // data arrives by POST to the topic; the source itself only waits

	// Check returns everything wrong with a configuration, by pointers into it; nil: nothing.
	Check func(config json.RawMessage) freshet.Invalid
	// Mask is a configuration as it is shown: with Masked in the place of each secret. Unmask is one as it
	// is to be stored: with what is stored in the place of each Masked that stands for it. Both are nil
	// where a configuration has no secrets.
	Mask   func(config json.RawMessage) json.RawMessage
	Unmask func(config, stored json.RawMessage) json.RawMessage
	// Period is how often a source of a configuration in which Check finds nothing asks upstream; nil
	// where it never does.
	Period func(config json.RawMessage) time.Duration
	// New makes a source of a configuration in which Check finds nothing.
	New func(config json.RawMessage, env Env) (Source, error)
}

// Env is what a source needs of its surroundings.
type Env struct {
	Client Client        // every request goes through it
	Limit  freshet.Bytes // of one payload; 0 is freshet.DefaultPayload
	Log    *slog.Logger  // nil discards
	// Phase is where in its period a source polls, 0 to 1: sources of different phases, and of one period,
	// do not poll at the same time. 0: where its first poll happens to be.
	Phase float64
}

// A Client sends one request and follows no redirect, as *egress.Client does.
type Client interface {
	Do(*http.Request) (*http.Response, error)
}

// Kinds are all types of source.
func Kinds() []Kind {
	return []Kind{httpPoller(), httpPost()}
}

// Lookup returns the type of source of that name.
func Lookup(name string) (Kind, bool) {
	for _, k := range Kinds() {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

// waiting is the source of topics that others publish to: it runs, so that the topic is accepting,
// and has nothing to do.
type waiting struct{}

func (waiting) Run(ctx context.Context, _ Sink) error {
	<-ctx.Done()
	return nil
}

func httpPost() Kind {
	check := func(config json.RawMessage) freshet.Invalid { return decode(config, &struct{}{}) }
	return Kind{
		Name:    "http-post",
		Summary: "Takes what is sent to the topic with POST.",
		Feeds:   []freshet.Kind{freshet.KindSnapshot, freshet.KindEvent},
		Pushed:  true,
		Check:   check,
		New: func(config json.RawMessage, _ Env) (Source, error) {
			if wrong := check(config); wrong != nil {
				return nil, wrong
			}
			return waiting{}, nil
		},
	}
}
