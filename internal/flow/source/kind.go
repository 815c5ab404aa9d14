package source

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"time"

	"freshet"
	"freshet/internal/flow/source/filter"
	"freshet/internal/flow/source/origin"
	"freshet/internal/settings"
)

// A Kind is a type of source, such as http-poller. Each has a folder of its own, and all lists them.
type Kind struct {
	Name    string         // what a topic's source.type says
	Summary string         // one sentence for people
	Notes   string         // what else they should know, in Markdown; for the documentation
	Feeds   []freshet.Kind // the kinds of topic that it can feed
	Pushed  bool           // data arrives by POST to the topic; the source itself only waits

	// Config is a zero value of the struct that its configurations are read into, as package settings says.
	Config any
	// Within returns what of the server's own files a configuration in which Check finds nothing would read,
	// and is in none of the folders; nil where it never reads any.
	Within func(config json.RawMessage, folders []string) freshet.Invalid
	// Period is how often a source of a configuration in which Check finds nothing asks upstream; nil
	// where it never does.
	Period func(config json.RawMessage) time.Duration
	// New makes a source of a configuration in which Check finds nothing.
	New func(config json.RawMessage, env Env) (Source, error)
	// Check returns everything wrong with a configuration, by pointers into it; nil: nothing.
	Check func(config json.RawMessage) freshet.Invalid
}

// Mask is a configuration as it is shown: with settings.Masked in the place of each secret.
func (k Kind) Mask(config json.RawMessage) json.RawMessage { return settings.Mask(config, k.Config) }

// Unmask is a configuration as it is to be stored: with what is stored in the place of each
// settings.Masked that stands for it.
func (k Kind) Unmask(config, stored json.RawMessage) json.RawMessage {
	return settings.Unmask(config, stored, k.Config)
}

// Check is the Check of a Kind whose configurations are read into a C.
func Check[C any](config json.RawMessage) freshet.Invalid {
	var c C
	return settings.Read(config, &c)
}

// Env is what a source needs of its surroundings.
type Env struct {
	Topic freshet.TopicName
	ID    freshet.TopicID
	// Client sends requests, and nothing else does.
	Client Client
	// Secure is a Client with another TLS configuration: certificates of its own, or authorities.
	Secure func(*tls.Config) Client
	// Dial connects to a host and port where the server may go, and nothing else does.
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	Secrets settings.Vault
	// Folders are those of this machine that files may be read from as data; none by default.
	Folders []string
	// Origins keep what all topics ask of one origin within bounds; nil: those of this source alone.
	Origins *origin.Origins
	// Filters run filters of jq; nil: in this process, which nothing protects from what they take.
	Filters filter.Runner
	Limit   freshet.Bytes // of one payload; 0 is freshet.DefaultPayload
	Log     *slog.Logger  // nil discards
	// Phase is where in its period a source polls, 0 to 1: sources of different phases, and of one period,
	// do not poll at the same time. 0: where its first poll happens to be.
	Phase float64
}

// A Client sends one request and follows no redirect, as *egress.Client does.
type Client interface {
	Do(*http.Request) (*http.Response, error)
}

// A Set is the types of source that there are.
type Set []Kind

// Lookup returns the type of source of that name.
func (s Set) Lookup(name string) (Kind, bool) {
	for _, k := range s {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

// Describe is what people and programs are told of the types, in their order.
func (s Set) Describe() []freshet.SourceType {
	all := make([]freshet.SourceType, len(s))
	for i, k := range s {
		all[i] = freshet.SourceType{Name: k.Name, Summary: k.Summary, Notes: k.Notes, Feeds: k.Feeds, Pushed: k.Pushed, Options: settings.Describe(k.Config)}
		if all[i].Options == nil {
			all[i].Options = []freshet.Option{}
		}
	}
	return all
}
