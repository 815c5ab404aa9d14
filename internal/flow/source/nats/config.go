package nats

import (
	"net"
	"net/url"
	"strconv"
	"strings"

	"freshet/internal/flow/source"
	"freshet/internal/settings"
)

// config is the configuration of a nats source.
type config struct {
	Servers     string          `json:"servers" required:"true" address:"true" doc:"The servers, as nats://host:4222, tls://host:4222 or host:4222, separated by commas; one of them is connected to"`
	Subject     string          `json:"subject" doc:"The subject whose messages are read; * stands for one token of it, and > at its end for any number. Required without stream; with stream, only its messages of that subject are read"`
	QueueGroup  string          `json:"queueGroup" doc:"Without stream: the messages are shared with all others who name this group"`
	Stream      string          `json:"stream" doc:"The stream of JetStream that is read. Without it, messages of core NATS are"`
	Domain      string          `json:"domain" doc:"The domain of JetStream that has the stream, where it is not that of the server"`
	Durable     string          `json:"durable" doc:"The durable pull consumer that is used, for streams whose messages go once they are acknowledged. It is made where there is none"`
	Deliver     string          `json:"deliver" default:"new" oneof:"new,last,all" doc:"Where a stream is begun the first time: with what comes from then on, with its last message, or with all that it has"`
	InboxPrefix string          `json:"inboxPrefix" default:"_INBOX" doc:"What the subjects begin with on which the server answers, where permissions want another"`
	User        string          `json:"user" doc:"The name of the user, with password"`
	Password    settings.Secret `json:"password" doc:"The password of user"`
	Token       settings.Secret `json:"token" doc:"A token, in place of a user"`
	NKey        settings.Secret `json:"nkey" doc:"The seed of a user's NKey, which begins with SU, in place of a user and password"`
	Creds       settings.Secret `json:"creds" doc:"The content of a credentials file, a JWT and its NKey, or where it is, such as file:/run/secrets/app.creds"`
	TLS         source.TLS      `json:"tls" doc:"Whether and how the connection is encrypted. It is with tls:// in servers as well, and with a server that demands it"`
	TLSFirst    bool            `json:"tlsFirst" doc:"Encryption begins at once, before the server says that it wants it (handshake_first of the server)"`

	servers []string
	secure  bool
}

// defaultPort is what NATS is registered for.
const defaultPort = "4222"

// Check is what the tags cannot say.
func (c *config) Check(v *settings.Verdict) {
	c.secure = c.TLS.Enabled
	for server := range strings.SplitSeq(c.Servers, ",") {
		address, secure, ok := parseServer(strings.TrimSpace(server))
		switch {
		case strings.Contains(server, "@"):
			v.Say("/servers", "a user or password in the address is not sent: they have members of their own")
		case !ok:
			v.Say("/servers", "%.80q is not nats://host:port, tls://host:port or host:port", strings.TrimSpace(server))
		}
		c.servers, c.secure = append(c.servers, address), c.secure || secure
	}
	if (c.TLS.Custom() || c.TLSFirst) && !c.secure {
		v.Say("/tls/enabled", "must be true for tls and tlsFirst to count, or servers begin with tls://")
	}
	c.checkSubjects(v)
	c.checkUser(v)
}

func parseServer(text string) (address string, secure, ok bool) {
	if !strings.Contains(text, "://") {
		text = "nats://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "nats" && u.Scheme != "tls" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", false, false
	}
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", false, false
	}
	return "nats://" + net.JoinHostPort(u.Hostname(), port), u.Scheme == "tls", true
}

func (c *config) checkSubjects(v *settings.Verdict) {
	switch {
	case c.Subject == "" && c.Stream == "":
		v.Say("/subject", "is required, or else stream")
	case c.Subject != "" && !isSubject(c.Subject, true):
		v.Say("/subject", "%.80q is not a subject: tokens without spaces between dots, of which one may be * and the last >", c.Subject)
	}
	if !isSubject(c.InboxPrefix, false) {
		v.Say("/inboxPrefix", "%.80q is not a subject without * and >", c.InboxPrefix)
	}
	for _, name := range []struct {
		at, is    string
		inStreams bool
	}{
		{"/queueGroup", c.QueueGroup, false},
		{"/stream", c.Stream, true},
		{"/durable", c.Durable, true},
		{"/domain", c.Domain, true},
	} {
		switch {
		case name.is == "":
		case !name.inStreams && c.Stream != "":
			v.Say(name.at, "is of no use for a stream: several readers of one share a durable consumer")
		case name.inStreams && c.Stream == "":
			v.Say(name.at, "is of no use without stream")
		case strings.ContainsAny(name.is, " \t\r\n.*>/\\") && name.inStreams, strings.ContainsAny(name.is, " \t\r\n"):
			v.Say(name.at, "%.80q is not a name of NATS: it must have no spaces, dots, slashes, * or >", name.is)
		}
	}
	if c.Deliver != "new" && c.Stream == "" {
		v.Say("/deliver", "is of no use without stream")
	}
}

func isSubject(s string, wild bool) bool {
	tokens := strings.Split(s, ".")
	for i, token := range tokens {
		switch {
		case token == "", strings.ContainsAny(token, " \t\r\n"):
			return false
		case token == "*" && wild, token == ">" && wild && i == len(tokens)-1:
		case !wild && strings.ContainsAny(token, "*>"), token == ">":
			return false
		}
	}
	return true
}

func (c *config) checkUser(v *settings.Verdict) {
	if c.Password != "" && c.User == "" {
		v.Say("/user", "is required with a password")
	}
	ways := 0
	for _, way := range []struct {
		at    string
		given bool
	}{{"/user", c.User != ""}, {"/token", c.Token != ""}, {"/nkey", c.NKey != ""}, {"/creds", c.Creds != ""}} {
		if !way.given {
			continue
		}
		if ways++; ways > 1 {
			v.Say(way.at, "only one of user, token, nkey and creds can be given")
		}
	}
}
