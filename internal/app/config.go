package app

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"freshet"
	"freshet/internal/egress"
	"freshet/internal/flow/source/origin"
	"freshet/internal/settings"
	"freshet/internal/streamdata"
)

// Config is everything that can be set from outside. Its zero value works: loopback, a data
// directory beside the caller, no topics. The YAML file has the same names.
type Config struct {
	Listen string       `json:"listen"`          // host:port; 127.0.0.1:4440
	TLS    TLSConfig    `json:"tls,omitzero"`    // HTTPS; plain HTTP by default
	Data   string       `json:"data"`            // directory of the journal; ./freshet-data
	Log    LogConfig    `json:"log,omitzero"`    //
	Egress EgressConfig `json:"egress,omitzero"` // where sources may connect to
	CORS   CORSConfig   `json:"cors,omitzero"`   // which web pages may read; none by default
	AdHoc  AdHocConfig  `json:"adhoc,omitzero"`  // /live/{absolute URL}
	// Clients of Streamdata.io, which follow URLs.
	Streamdata StreamdataConfig `json:"streamdata,omitzero"`
	WebSocket  WebSocketConfig  `json:"websocket,omitzero"`
	Limits     LimitsConfig     `json:"limits,omitzero"`
	Journal    JournalConfig    `json:"journal,omitzero"`
	Drain      freshet.Duration `json:"drain,omitzero"` // how long a stop may take to end the streams; PT5S
	Secrets    SecretsConfig    `json:"secrets,omitzero"`
	// What is kept of attempts to deliver to subscriptions, and where it is told that one was halted.
	Exchanges     ExchangesConfig     `json:"exchanges,omitzero"`
	Subscriptions SubscriptionsConfig `json:"subscriptions,omitzero"`
	Files         FilesConfig         `json:"files,omitzero"` // which of this machine's files may be data
	Topics        []freshet.Topic     `json:"topics,omitempty"`

	Listener net.Listener `json:"-"` // already listening; Listen then only says how it is reached
	Portable bool         `json:"-"` // streams are written by net/http everywhere; for tests of that path

	Version string `json:"-"` // of the program; in User-Agent and metrics
	// Watch is told of each change of any topic, from the start on. It must be quick. nil: nobody watches.
	Watch func(Change) `json:"-"`
	// FilterCommand makes a process that calls ServeFilters; nil: filters of jq run in this one.
	FilterCommand func() *exec.Cmd `json:"-"`

	// By flag and environment only.
	Insecure bool `json:"-"` // listen beyond loopback without authentication
	Dev      bool `json:"-"` // freshet dev: loopback may be reached, any URL may be made a topic
}

// LogConfig says what is logged, to standard error.
type LogConfig struct {
	Level  string `json:"level,omitempty"`  // debug, info (default), warn, error
	Format string `json:"format,omitempty"` // text (default) or json
}

// EgressConfig names addresses beyond the public internet that sources may reach.
type EgressConfig struct {
	Allow []netip.Prefix `json:"allow,omitempty"` // such as 10.0.0.0/8; a plain address is read as its /32 or /128
	// What all topics together may ask of one origin; those in Origins have budgets of their own.
	Rate        float64        `json:"rate,omitzero"`        // requests a second, evenly spread; no bound by default
	Concurrency int            `json:"concurrency,omitzero"` // requests at a time; 64
	Origins     []OriginConfig `json:"origins,omitempty"`
}

// OriginConfig is the budget of one origin.
type OriginConfig struct {
	Origin      string  `json:"origin"`               // such as https://api.example.com
	Rate        float64 `json:"rate,omitzero"`        // requests a second; no bound by default
	Concurrency int     `json:"concurrency,omitzero"` // 64
}

// origins keeps the budgets.
func (c EgressConfig) origins() *origin.Origins {
	all := &origin.Origins{Default: origin.Budget{Rate: c.Rate, Concurrency: c.Concurrency}, Named: map[string]origin.Budget{}}
	for _, o := range c.Origins {
		if u, err := egress.ParseURL(o.Origin); err == nil { // checked at the start
			all.Named[origin.Name(u)] = origin.Budget{Rate: o.Rate, Concurrency: o.Concurrency}
		}
	}
	return all
}

// check returns what is wrong with the budgets, by pointers into the section.
func (c EgressConfig) check() (found freshet.Invalid) {
	say := func(at, format string, args ...any) {
		found = append(found, freshet.FieldError{Pointer: at, Detail: fmt.Sprintf(format, args...)})
	}
	budget := func(at string, rate float64, concurrency int) {
		if rate < 0 || rate > 1e6 {
			say(at+"/rate", "must be from 0, which is no bound, to 1000000 requests a second, not %v", rate)
		}
		if concurrency < 0 || concurrency > 10_000 {
			say(at+"/concurrency", "must be from 1 to 10000, or 0 for the default, not %d", concurrency)
		}
	}
	budget("", c.Rate, c.Concurrency)
	seen := map[string]bool{}
	for i, o := range c.Origins {
		at := "/origins/" + strconv.Itoa(i)
		u, err := egress.ParseURL(o.Origin)
		switch {
		case err != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
			say(at+"/origin", "%.80q is not an origin such as https://api.example.com", o.Origin)
		case seen[origin.Name(u)]:
			say(at+"/origin", "%s is there already", origin.Name(u))
		default:
			seen[origin.Name(u)] = true
		}
		budget(at, o.Rate, o.Concurrency)
	}
	return found
}

// CORSConfig names the origins whose pages may read this server.
type CORSConfig struct {
	Origins []string `json:"origins,omitempty"` // such as https://app.example.com; "*" is every origin
}

// AdHocConfig bounds the topics that a GET of /live/{absolute URL} makes.
type AdHocConfig struct {
	Allow         []string         `json:"allow,omitempty"`        // URL prefixes, ending at a path boundary; "*" is any URL; none: off
	Grace         freshet.Duration `json:"grace,omitzero"`         // how long one outlives its last follower; PT1M
	PollingPeriod freshet.Duration `json:"pollingPeriod,omitzero"` // PT5S
	MaxTopics     int              `json:"maxTopics,omitzero"`     // 1000
}

// StreamdataConfig says which clients of Streamdata.io may follow URLs.
type StreamdataConfig struct {
	// Keys are the private keys of tokens, in base64 as the clients' signature strategy takes them, or where they are.
	// Where there are any, every request for a URL is to be signed with one; none by default.
	Keys map[string]settings.Secret `json:"keys,omitempty"`
}

// keys finds and reads the private keys; found says what is wrong with them, by pointers into the section.
func (c StreamdataConfig) keys() (all streamdata.Keys, found freshet.Invalid) {
	vault := settings.Vault{Named: c.Keys} // so that each may be any env: or file:, as the operator's own
	for _, token := range slices.Sorted(maps.Keys(c.Keys)) {
		private, err := vault.Reveal(settings.Secret("secret:" + token))
		if err == nil && token == "" {
			err = errors.New("a token is not empty")
		}
		var key streamdata.Key
		if err == nil {
			key, err = streamdata.ParseKey(private)
		}
		if err != nil {
			found = append(found, freshet.FieldError{Pointer: settings.Pointer("keys", token), Detail: err.Error()})
			continue
		}
		if all == nil {
			all = streamdata.Keys{}
		}
		all[token] = key
	}
	return all, found
}

// WebSocketConfig says what clients may do over WebSocket besides following topics.
type WebSocketConfig struct {
	Publish bool `json:"publish,omitzero"` // to topics whose source takes posts; off by default
}

// LimitsConfig bounds the streams that are open at a time. What is over a limit is told to come back
// later, in a way that makes no client give up.
type LimitsConfig struct {
	Connections int `json:"connections,omitzero"` // in total; by default what the process may open, less a reserve
	PerTopic    int `json:"perTopic,omitzero"`    // no bound by default
	PerAddress  int `json:"perAddress,omitzero"`  // of a client; no bound by default, as a proxy is one address
}

// SecretsConfig says which secrets the sources of topics may refer to, instead of having them written out.
type SecretsConfig struct {
	Named map[string]settings.Secret `json:"named,omitempty"` // secret:NAME; each is itself a secret, env:NAME or file:PATH
	Env   []string                   `json:"env,omitempty"`   // variables that env:NAME may read, such as FRESHET_SECRET_*; none by default
	Files []string                   `json:"files,omitempty"` // folders from which file:PATH may read, such as /run/secrets; none by default
}

func (c SecretsConfig) vault() settings.Vault {
	return settings.Vault{Named: c.Named, Env: c.Env, Files: c.Files}
}

// ExchangesConfig bounds the log of attempts to deliver; whichever bound is met first counts.
type ExchangesConfig struct {
	MaxAge   freshet.Duration `json:"maxAge,omitzero"`   // P7D; PT1M to P90D
	MaxBytes freshet.Bytes    `json:"maxBytes,omitzero"` // 64MiB in all; 1MiB to 16GiB
}

// SubscriptionsConfig is about stored subscriptions.
type SubscriptionsConfig struct {
	// Events is a topic of messages, with a source of type http-post, to which a CloudEvent is published whenever
	// deliveries to a subscription are given up; none by default.
	Events freshet.TopicName `json:"events,omitempty"`
}

// FilesConfig names the folders from which sources of type file may read.
type FilesConfig struct {
	Allow []string `json:"allow,omitempty"` // such as /var/spool/orders, with all that is below; none by default
}

// check returns what is wrong, by pointers into the section.
func (c FilesConfig) check() (found freshet.Invalid) {
	for i, folder := range c.Allow {
		if !filepath.IsAbs(folder) {
			found = append(found, freshet.FieldError{Pointer: "/allow/" + strconv.Itoa(i), Detail: fmt.Sprintf("%.120q does not begin at the root of the file system", folder)})
		}
	}
	return found
}

// JournalConfig tunes the durable store.
type JournalConfig struct {
	Sync     string        `json:"sync,omitempty"`    // always (default), or an interval such as 1s that a power cut may lose
	MaxBytes freshet.Bytes `json:"maxBytes,omitzero"` // disk budget; by default 75 % of what is free at the start
}
