package mqtt

import (
	"strconv"
	"strings"

	"freshet"
	"freshet/internal/flow/source/mqtt/wire"
	"freshet/internal/settings"
)

// config is the configuration of an mqtt source.
type config struct {
	wire.Server
	Topics        []subscription   `json:"topics" required:"true" range:"1..100" doc:"What is subscribed to"`
	Retained      string           `json:"retained" default:"new" oneof:"new,always,never" doc:"When the messages that the server retains are taken: where the server has no subscription yet, after each connect, or never"`
	ClientID      string           `json:"clientId" range:"0..256" doc:"The name of the session at the server, which no other client may use. Without it there is one made of the topic and of topics, so that another list of topics has another session"`
	SessionExpiry freshet.Duration `json:"sessionExpiry" default:"P1D" range:"PT0S..P365D" doc:"How long the server keeps messages while there is no connection, in whole seconds; it may keep fewer, or for a shorter time"`
	KeepAlive     freshet.Duration `json:"keepAlive" default:"PT30S" range:"PT2S..PT1H" doc:"How long the connection may be silent until the server is asked for a sign of life, in whole seconds. A connection on which none comes within half as long again is made anew"`
}

// A subscription is to what one filter matches.
type subscription struct {
	Filter string `json:"filter" required:"true" range:"1..65535" doc:"Names of topics, with + for any one level, and # at the end for all below; or $share/GROUP/FILTER, which shares the messages with other clients of the group"`
	QoS    int    `json:"qos" default:"1" range:"0..2" doc:"The quality of service at most: 0 may lose messages, 1 may repeat them, 2 does neither. A message has at most that with which it was published"`
}

// Check is what the tags cannot say.
func (s *subscription) Check(v *settings.Verdict) {
	if why := wrongFilter(s.Filter); why != "" {
		v.Say("/filter", "%.80q is not a filter: %s", s.Filter, why)
	}
}

// wrongFilter says what is wrong with a filter (MQTT 5, 4.7 and 4.8); "": nothing.
func wrongFilter(filter string) string {
	if filter == "" {
		return "it is empty"
	}
	if strings.ContainsRune(filter, 0) {
		return "no name has a character with the code 0"
	}
	levels := strings.Split(filter, "/")
	if levels[0] == "$share" {
		if len(levels) < 3 || levels[1] == "" || strings.ContainsAny(levels[1], "+#") || len(levels) == 3 && levels[2] == "" {
			return "write $share/GROUP/FILTER, with neither + nor # in the name of the group"
		}
		levels = levels[2:]
	}
	for i, level := range levels {
		switch {
		case strings.Contains(level, "#") && (level != "#" || i < len(levels)-1):
			return "# stands at the end, for whole levels: a/b/#"
		case strings.Contains(level, "+") && level != "+":
			return "+ stands for a whole level: a/+/c"
		}
	}
	return ""
}

// Check is what the tags cannot say.
func (c *config) Check(v *settings.Verdict) {
	c.Server.Check(v)
	v.WholeSeconds("/sessionExpiry", c.SessionExpiry)
	v.WholeSeconds("/keepAlive", c.KeepAlive)
	if strings.ContainsRune(c.ClientID, 0) {
		v.Say("/clientId", "has no character with the code 0")
	}
	seen := map[string]bool{}
	for i, s := range c.Topics {
		if seen[s.Filter] {
			v.Say("/topics/"+strconv.Itoa(i)+"/filter", "%.80q is there twice", s.Filter)
		}
		seen[s.Filter] = true
	}
}
