package cluster

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"freshet/internal/settings"
)

const (
	plainText   = "PLAIN"
	scramSHA256 = "SCRAM-SHA-256"
	scramSHA512 = "SCRAM-SHA-512"
	oauthBearer = "OAUTHBEARER"
)

// A Login is how a client shows the brokers who it is.
type Login struct {
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
func (s *Login) Check(v *settings.Verdict) {
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

// extensionName is that of RFC 7628, section 3.1.
var extensionName = regexp.MustCompile(`^[A-Za-z]+$`)
