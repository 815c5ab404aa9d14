package websocket

import (
	"encoding/json"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/credentials"
	"freshet/internal/settings"
	"freshet/jsonpatch"
)

// config is the configuration of a websocket source.
type config struct {
	URL          settings.URL      `json:"url" required:"true" schemes:"ws,wss" doc:"The address to connect to, ws or wss"`
	Headers      settings.Headers  `json:"headers" doc:"Sent with the request that opens the connection"`
	Subprotocols []string          `json:"subprotocols" range:"0..16" doc:"Protocols on top of WebSocket that the source offers; upstream chooses one"`
	Subscribe    []json.RawMessage `json:"subscribe" range:"0..100" references:"true" doc:"Messages that are sent after connecting, in this order: a text as it is, anything else as JSON. A text in that JSON may say where a secret is, such as secret:NAME"`
	Ping         freshet.Duration  `json:"pingInterval" default:"PT30S" range:"PT1S..PT1H" doc:"How often upstream is pinged. A connection on which no answer comes within this time is made anew"`
	Pointer      string            `json:"payloadPointer" doc:"The part of a message that is the payload, as a JSON Pointer (RFC 6901). Without it the whole message is. Messages without that part are passed over"`
	Filter       *filter           `json:"filter" doc:"Which messages are taken; without it all are"`

	Authorization *credentials.Authorization `json:"authorization" doc:"Credentials for the request that opens the connection"`
	TLS           *credentials.TLS           `json:"tls" doc:"Certificates for the connection, and for that to authorization.provider"`
}

// A filter says which messages are meant, where several kinds come on one connection.
type filter struct {
	Pointer string          `json:"pointer" required:"true" doc:"A part of the message, as a JSON Pointer (RFC 6901)"`
	Value   json.RawMessage `json:"value" doc:"What that part is in the messages that are taken. Without it, it only has to be there"`
}

// Check is what the tags cannot say.
func (f *filter) Check(v *settings.Verdict) { checkPointer(v, "/pointer", f.Pointer) }

func checkPointer(v *settings.Verdict, at, pointer string) {
	if _, err := jsonpatch.ParsePointer(pointer); err != nil {
		v.Say(at, "%.80q is not a JSON Pointer: write /items or /data/0, with ~0 for '~' and ~1 for '/' inside a name", pointer)
	}
}

// Check is what the tags cannot say.
func (c *config) Check(v *settings.Verdict) {
	c.TLS.CheckUse(v, "/tls", string(c.URL), c.Authorization)
	checkPointer(v, "/payloadPointer", c.Pointer)
	reserved := map[string]string{
		"Sec-Websocket-Accept":     "it belongs to the connection",
		"Sec-Websocket-Extensions": "it belongs to the connection",
		"Sec-Websocket-Key":        "it belongs to the connection",
		"Sec-Websocket-Protocol":   "subprotocols sets it",
		"Sec-Websocket-Version":    "it belongs to the connection",
	}
	for _, name := range c.Authorization.Headers() {
		reserved[textproto.CanonicalMIMEHeaderKey(name)] = "authorization sets it"
	}
	source.CheckHeaders(v, c.Headers, reserved)
	for i, name := range c.Subprotocols {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r) }) {
			v.Say("/subprotocols/"+strconv.Itoa(i), "%.40q is not the name of a protocol: letters, digits and marks such as '.' and '-'", name)
		}
	}
}

// address is where the request goes that opens the connection.
func (c *config) address() string {
	u, err := url.Parse(string(c.URL))
	if err != nil {
		return string(c.URL) // which Check refuses
	}
	u.Scheme = strings.Replace(u.Scheme, "ws", "http", 1)
	u.Fragment, u.RawFragment = "", "" // never sent
	return u.String()
}

// text is a message to send, with the secrets that it says to be elsewhere.
func text(message json.RawMessage, vault settings.Vault) (string, error) {
	var plain string
	if json.Unmarshal(message, &plain) == nil {
		return plain, nil
	}
	revealed, err := vault.RevealJSON(message)
	return string(revealed), err //nolint:wrapcheck // it says what to mend
}
