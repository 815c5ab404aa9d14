// Package salesforce follows PushTopics, Platform Events and change events of Salesforce: Bayeux 1.0 by long
// polling, with its replay extension, as a client that the JWT bearer flow lets in.
package salesforce

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"freshet"
	"freshet/internal/egress"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/credentials"
	"freshet/internal/settings"
)

// config is the configuration of a source of type salesforce. The names are the incumbent's where it has the
// option.
type config struct {
	LoginURL    settings.URL     `json:"loginUrl" required:"true" doc:"Where tokens are asked for, such as https://login.salesforce.com, or https://test.salesforce.com for a sandbox"`
	InstanceURL settings.URL     `json:"instanceUrl" required:"true" doc:"The address of the organisation, such as https://example.my.salesforce.com"`
	PrivateKey  settings.Secret  `json:"privateKey" required:"true" doc:"The private key in PEM, PKCS#1 or PKCS#8, to the certificate of the connected app"`
	ClientID    string           `json:"clientId" required:"true" doc:"The consumer key of the connected app"`
	Username    string           `json:"username" required:"true" doc:"The user in whose name events are read; the app has to be approved for him"`
	Audience    string           `json:"audience" doc:"For whom the assertion is, where it is not loginUrl"`
	Channel     string           `json:"channel" required:"true" doc:"What is followed: /topic/Name of a PushTopic, /event/Name__e of a platform event, /data/NameChangeEvent of change events, /u/Name of generic ones"`
	ReplayFrom  string           `json:"replayFrom" default:"latest" oneof:"latest,earliest" doc:"Where a topic without an event begins: with what comes, or with the oldest event that is kept (for a day or three). Later it goes on after its last event"`
	APIVersion  string           `json:"apiVersion" default:"61.0" doc:"The version of the API, from 37.0"`
	TLS         *credentials.TLS `json:"tls" doc:"Certificates for the connections to instanceUrl and loginUrl"`

	RetryMaxAttempts int              `json:"retryMaxAttempts" default:"3" range:"0..10" doc:"How often a connection that failed is tried again before its fault is told. After that it is tried on, up to 15 s apart"`
	RetryInitial     freshet.Duration `json:"retryBackOffInitialDuration" default:"PT1S" range:"PT0S..PT10S" doc:"The longest first pause before another attempt; pauses are random up to their length"`
	RetryMax         freshet.Duration `json:"retryBackOffMaxDuration" default:"PT10S" range:"PT0S..PT1M" doc:"The longest pause of these attempts"`
	RetryFactor      float64          `json:"retryBackOffFactor" default:"0.5" range:"0..10" doc:"By how much of itself the pause grows each time: 0.5 is half as long again"`
}

var (
	channelForm = regexp.MustCompile(`^(/[A-Za-z0-9_-]+){2,4}$`)  //nolint:gochecknoglobals // a constant
	versionForm = regexp.MustCompile(`^[1-9][0-9]{1,2}\.[0-9]+$`) //nolint:gochecknoglobals // a constant
)

// Check is what the tags cannot say.
func (c *config) Check(v *settings.Verdict) {
	source.CheckBackOff(v, c.RetryInitial, c.RetryMax)
	if c.Channel != "" && !channelForm.MatchString(c.Channel) {
		v.Say("/channel", "%.80q is not a channel: write such as /topic/Name or /event/Name__e", c.Channel)
	}
	if !versionForm.MatchString(c.APIVersion) {
		v.Say("/apiVersion", "%.20q is not a version: write such as 61.0", c.APIVersion)
	} else if n, _, _ := strings.Cut(c.APIVersion, "."); len(n) == 2 && n < "37" {
		v.Say("/apiVersion", "%s cannot replay events: write 37.0 or a later one", c.APIVersion)
	}
	for _, of := range []struct {
		at  string
		url settings.URL
	}{{"/loginUrl", c.LoginURL}, {"/instanceUrl", c.InstanceURL}} {
		if u, err := url.Parse(string(of.url)); err == nil && (u.RawQuery != "" || u.Fragment != "") {
			v.Say(of.at, "cannot have a query or a fragment")
		}
	}
	if err := credentials.CheckKey(c.PrivateKey); err != nil {
		v.Say("/privateKey", "%v", err)
	}
}

// Kind is the type salesforce.
func Kind() source.Kind {
	return source.Kind{
		Name:    "salesforce",
		Summary: "Follows PushTopics, platform events and change events of Salesforce.",
		Notes:   notes,
		Feeds:   []freshet.Kind{freshet.KindEvent, freshet.KindSnapshot},
		Config:  config{},
		Check:   source.Check[config],
		New:     newSource,
	}
}

const notes = "Tokens come from the JWT bearer flow of OAuth 2.0: a connected app with a certificate, and a user for whom it is approved. Each event's `data` is a payload as Salesforce sends it, with its `event.replayId`, which the journal keeps: after any break the topic goes on after its last event, and misses nothing and repeats nothing as long as Salesforce keeps it. Where it has been away for longer, a fault says so, and it goes on with the oldest event that is kept."

func newSource(conf json.RawMessage, env source.Env) (source.Source, error) {
	c := config{}
	if wrong := settings.Read(conf, &c); wrong != nil {
		return nil, wrong
	}
	env.Client = c.TLS.Client(env)
	login := strings.TrimSuffix(string(c.LoginURL), "/")
	a := credentials.Authorization{
		Type: "jwt-bearer", Provider: settings.URL(login + "/services/oauth2/token"), PrivateKey: c.PrivateKey,
		Issuer: c.ClientID, Subject: c.Username, Audience: cmp.Or(c.Audience, login),
	}
	signer, err := a.New(env)
	if err != nil {
		return nil, fmt.Errorf("salesforce: %w", err)
	}
	at, err := egress.ParseURL(strings.TrimSuffix(string(c.InstanceURL), "/") + "/cometd/" + c.APIVersion)
	if err != nil {
		return nil, fmt.Errorf("salesforce: instanceUrl: %w", err)
	}
	return &follower{
		config: c, at: at, client: env.Client, signer: signer,
		limit: cmp.Or(int64(env.Limit), freshet.DefaultPayload),
		log:   cmp.Or(env.Log, slog.New(slog.DiscardHandler)),
	}, nil
}

// A follower is the Source of the type salesforce.
type follower struct {
	config
	at     *url.URL // the Bayeux server
	client source.Client
	signer credentials.Signer
	limit  int64 // bytes of a payload
	log    *slog.Logger

	last int64 // the replay id of the last event that was handed over; replayNone: none was
}

// What a subscription asks for besides the id of an event.
const (
	replayLatest   = -1
	replayEarliest = -2
	replayNone     = 0 // nothing is known
)

// longestPause is that between attempts once the retries are spent.
const longestPause = 15 * time.Second

// Run keeps a session with Salesforce until ctx ends.
func (f *follower) Run(ctx context.Context, to source.Sink) error {
	if !f.recall(ctx, to) {
		return nil
	}
	for failed := 0; ; failed++ {
		begun := time.Now()
		s := newSession(f, to)
		err := s.follow(ctx)
		if ctx.Err() != nil {
			s.leave(ctx)
			return nil
		}
		if s.up && time.Since(begun) >= time.Second { // one that ends at once each time is no success
			failed = 0
		}
		f.log.InfoContext(ctx, "the session with Salesforce ended", "err", err)
		if errors.Is(err, errAnew) && failed == 0 {
			continue // this is no failure: at once, unless it goes on like that
		}
		told, passing := source.FaultOf(err)
		if errors.Is(err, errAnew) {
			told.Message = "Salesforce ended the session as soon as it had begun"
		}
		if e, ok := errors.AsType[*refusal](err); ok {
			passing = e.passing
		}
		if e, ok := errors.AsType[*credentials.Error](err); ok {
			passing = e.Passing
		}
		pause := source.BackOff(failed, time.Duration(f.RetryInitial), time.Duration(f.RetryMax), f.RetryFactor)
		if !passing || failed >= f.RetryMaxAttempts {
			to.Fault(ctx, told, time.Since(begun))
			pause = max(pause, source.BackOff(failed, time.Second, longestPause, 1))
		}
		if !source.Sleep(ctx, source.Jitter(pause)) {
			return nil
		}
	}
}

// recall reads where the topic is.
func (f *follower) recall(ctx context.Context, to source.Sink) bool {
	for failed := 0; ; failed++ {
		mark, err := to.Mark(ctx)
		if err == nil {
			id, channel, _ := strings.Cut(mark, " ")
			if n, err := strconv.ParseInt(id, 10, 64); err == nil && n > 0 && channel == f.Channel {
				f.last = max(f.last, n)
			}
			return true
		}
		if !source.Sleep(ctx, source.Jitter(source.BackOff(failed, time.Second, longestPause, 1))) {
			return false
		}
	}
}

// mark is what the journal keeps with an event.
func (f *follower) mark(id int64) string {
	if id <= 0 {
		return ""
	}
	return strconv.FormatInt(id, 10) + " " + f.Channel
}
