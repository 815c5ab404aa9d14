package server

import (
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/nats-io/nkeys"

	"freshet/internal/flow/source"
	"freshet/internal/settings"
)

// Access is how servers are reached, and who a client is to them: configurations embed it, and call CheckAccess.
type Access struct {
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

// CheckAccess judges the settings, with those of the member servers.
func (a *Access) CheckAccess(v *settings.Verdict, servers string) {
	a.secure = a.TLS.Enabled
	for server := range strings.SplitSeq(servers, ",") {
		address, secure, ok := parseServer(strings.TrimSpace(server))
		switch {
		case strings.Contains(server, "@"):
			v.Say("/servers", "a user or password in the address is not sent: they have members of their own")
		case !ok:
			v.Say("/servers", "%.80q is not nats://host:port, tls://host:port or host:port", strings.TrimSpace(server))
		}
		a.servers, a.secure = append(a.servers, address), a.secure || secure
	}
	if (a.TLS.Custom() || a.TLSFirst) && !a.secure {
		v.Say("/tls/enabled", "must be true for tls and tlsFirst to count, or servers begin with tls://")
	}
	if !IsSubject(a.InboxPrefix, false) {
		v.Say("/inboxPrefix", "%.80q is not a subject without * and >", a.InboxPrefix)
	}
	a.checkUser(v)
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

// IsSubject says whether a text is a subject; of one with wildcards, where wild.
func IsSubject(s string, wild bool) bool {
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

func (a *Access) checkUser(v *settings.Verdict) {
	if a.Password != "" && a.User == "" {
		v.Say("/user", "is required with a password")
	}
	ways := 0
	for _, way := range []struct {
		at    string
		given bool
	}{{"/user", a.User != ""}, {"/token", a.Token != ""}, {"/nkey", a.NKey != ""}, {"/creds", a.Creds != ""}} {
		if !way.given {
			continue
		}
		if ways++; ways > 1 {
			v.Say(way.at, "only one of user, token, nkey and creds can be given")
		}
	}
	seed, _ := settings.Vault{}.Reveal(a.NKey) // of what is literal there is no error
	if _, err := nkeys.FromSeed([]byte(seed)); err != nil && a.NKey.IsLiteral() {
		v.Say("/nkey", "is not the seed of a user's NKey, which begins with SU")
	}
	if creds, _ := (settings.Vault{}).Reveal(a.Creds); a.Creds.IsLiteral() && !areCreds(creds) {
		v.Say("/creds", "is not the content of a credentials file, with a JWT and an NKey")
	}
}

func areCreds(text string) bool {
	_, errJWT := nkeys.ParseDecoratedJWT([]byte(text))
	_, errKey := nkeys.ParseDecoratedUserNKey([]byte(text))
	return errJWT == nil && errKey == nil
}
