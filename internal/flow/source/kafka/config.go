package kafka

import (
	"bytes"
	"encoding/json"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"freshet/internal/flow/source"
	"freshet/internal/settings"
)

// config is the configuration of a Kafka source. The names are those of the incumbent where it has the
// option.
type config struct {
	BootstrapServers   string              `json:"bootstrapServers" required:"true" address:"true" doc:"The brokers to ask first, as host:port, separated by commas"`
	Topic              string              `json:"topic" required:"true" doc:"The topic of Kafka whose records are read"`
	KeyValue           *string             `json:"keyValue" doc:"Only records whose key is this text are read. Without it all are"`
	KeyDeserializer    string              `json:"keyDeserializer" default:"string" oneof:"string" doc:"What keys are"`
	ValueDeserializers string              `json:"valueDeserializers" default:"json" oneof:"json,smile" doc:"What values are: JSON, or SMILE, the binary form of JSON, which is turned into JSON"`
	ReadFrom           string              `json:"readFrom" default:"latest" oneof:"earliest,latest,none" doc:"Where reading begins the first time: with the oldest record, with the next that is written, or, for none, only where the group has a committed offset; without one that is a fault"`
	ConsumerProperties map[string]property `json:"consumerProperties" doc:"Properties of Kafka's consumer, see below"`
	SASL               *login              `json:"sasl" doc:"Who the source is to the brokers"`
	TLS                source.TLS          `json:"tls" doc:"Whether and how the connections are encrypted"`

	brokers    []string
	properties properties
}

// A property is the value of a property of Kafka's consumer: a text, or a number or truth value as text.
type property string

// UnmarshalJSON takes numbers and truth values too.
func (p *property) UnmarshalJSON(data []byte) error {
	if data = bytes.TrimSpace(data); len(data) > 0 && data[0] == '"' {
		var s string
		err := json.Unmarshal(data, &s)
		*p = property(s)
		return err //nolint:wrapcheck // it says what is wrong
	}
	*p = property(data)
	return nil
}

const (
	plainText   = "PLAIN"
	scramSHA256 = "SCRAM-SHA-256"
	scramSHA512 = "SCRAM-SHA-512"
	oauthBearer = "OAUTHBEARER"
)

// login is how a source shows the brokers who it is.
type login struct {
	Mechanism    string            `json:"mechanism" required:"true" oneof:"PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER" doc:"How. PLAIN sends the password readable unless tls is enabled"`
	Username     string            `json:"username" doc:"The name, for PLAIN and SCRAM"`
	Password     settings.Secret   `json:"password" doc:"The password, for PLAIN and SCRAM"`
	Token        settings.Secret   `json:"token" doc:"The token, for OAUTHBEARER where something else renews it: read anew for each connection"`
	TokenURL     settings.URL      `json:"tokenUrl" doc:"Where a token is got for OAUTHBEARER, with the client credentials of OAuth 2.0 (RFC 6749, section 4.4). It is used until shortly before it expires"`
	ClientID     string            `json:"clientId" doc:"The client's name at tokenUrl"`
	ClientSecret settings.Secret   `json:"clientSecret" doc:"The client's secret at tokenUrl"`
	Scope        string            `json:"scope" doc:"The scopes to ask tokenUrl for, separated by spaces"`
	Extensions   map[string]string `json:"extensions" doc:"What is sent to the brokers beside the token, such as logicalCluster (RFC 7628, section 3.1)"`
}

// Check is what the tags cannot say.
func (s *login) Check(v *settings.Verdict) {
	given := map[string]bool{
		"username": s.Username != "", "password": s.Password != "", "token": s.Token != "", "tokenUrl": s.TokenURL != "",
		"clientId": s.ClientID != "", "clientSecret": s.ClientSecret != "", "scope": s.Scope != "", "extensions": s.Extensions != nil,
	}
	var need, may []string
	switch {
	case s.Mechanism == plainText || s.Mechanism == scramSHA256 || s.Mechanism == scramSHA512:
		need = []string{"username", "password"}
	case s.Mechanism == oauthBearer && s.Token != "":
		need, may = []string{"token"}, []string{"extensions"}
	case s.Mechanism == oauthBearer:
		need, may = []string{"tokenUrl", "clientId", "clientSecret"}, []string{"extensions", "scope"}
		if s.TokenURL == "" {
			v.Say("/tokenUrl", "is required for %s, or else token", s.Mechanism)
		}
	default:
		return // which was found already
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		switch {
		case !given[name] && slices.Contains(need, name):
			v.Say("/"+name, "is required for %s", s.Mechanism)
		case given[name] && !slices.Contains(need, name) && !slices.Contains(may, name):
			v.Say("/"+name, "is of no use for %s%s", s.Mechanism, map[bool]string{true: " with a token"}[s.Token != ""])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Extensions)) {
		if !extensionName.MatchString(name) || strings.EqualFold(name, "auth") || strings.ContainsFunc(s.Extensions[name], func(r rune) bool { return r < ' ' || r > '~' }) {
			v.Say(settings.Pointer("extensions", name), "must have a name of letters, not auth, and a value of printable ASCII")
		}
	}
}

var (
	extensionName = regexp.MustCompile(`^[A-Za-z]+$`)       // RFC 7628 section 3.1
	topicName     = regexp.MustCompile(`^[A-Za-z0-9._-]+$`) // of Kafka
)

// Check is what the tags cannot say.
func (c *config) Check(v *settings.Verdict) {
	for server := range strings.SplitSeq(c.BootstrapServers, ",") {
		if server = strings.TrimSpace(server); !isHostPort(server) {
			v.Say("/bootstrapServers", "%.80q is not host:port", server)
		}
		c.brokers = append(c.brokers, server)
	}
	if c.Topic != "" && (!topicName.MatchString(c.Topic) || len(c.Topic) > 249 || c.Topic == "." || c.Topic == "..") {
		v.Say("/topic", "%.80q is no name of a topic of Kafka: letters, digits, '.', '_' and '-', at most 249", c.Topic)
	}
	if c.TLS.Custom() && !c.TLS.Enabled {
		v.Say("/tls/enabled", "must be true for the other members of tls to be of use")
	}
	c.properties = defaultProperties()
	for _, name := range slices.Sorted(maps.Keys(c.ConsumerProperties)) {
		if err := c.properties.set(name, string(c.ConsumerProperties[name])); err != nil {
			v.Say(settings.Pointer("consumerProperties", name), "%s: %v", name, err)
		}
	}
	if p := &c.properties; p.heartbeat >= p.session {
		v.Say("/consumerProperties/heartbeat.interval.ms", "heartbeat.interval.ms: must be less than session.timeout.ms, which is %d", p.session.Milliseconds())
	}
}

func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	n, errPort := strconv.ParseUint(port, 10, 16)
	return err == nil && host != "" && errPort == nil && n > 0 && !strings.ContainsAny(host, "/@ ")
}
