package nats

import (
	"strings"

	"freshet/internal/flow/source/nats/server"
	"freshet/internal/settings"
)

// config is the configuration of a nats source.
type config struct {
	Servers    string `json:"servers" required:"true" address:"true" doc:"The servers, as nats://host:4222, tls://host:4222 or host:4222, separated by commas; one of them is connected to"`
	Subject    string `json:"subject" doc:"The subject whose messages are read; * stands for one token of it, and > at its end for any number. Required without stream; with stream, only its messages of that subject are read"`
	QueueGroup string `json:"queueGroup" doc:"Without stream: the messages are shared with all others who name this group"`
	Stream     string `json:"stream" doc:"The stream of JetStream that is read. Without it, messages of core NATS are"`
	Domain     string `json:"domain" doc:"The domain of JetStream that has the stream, where it is not that of the server"`
	Durable    string `json:"durable" doc:"The durable pull consumer that is used, for streams whose messages go once they are acknowledged. It is made where there is none"`
	Deliver    string `json:"deliver" default:"new" oneof:"new,last,all" doc:"Where a stream is begun the first time: with what comes from then on, with its last message, or with all that it has"`
	server.Access
}

// Check is what the tags cannot say.
func (c *config) Check(v *settings.Verdict) {
	c.CheckAccess(v, c.Servers)
	c.checkSubjects(v)
}

func (c *config) checkSubjects(v *settings.Verdict) {
	switch {
	case c.Subject == "" && c.Stream == "":
		v.Say("/subject", "is required, or else stream")
	case c.Subject != "" && !server.IsSubject(c.Subject, true):
		v.Say("/subject", "%.80q is not a subject: tokens without spaces between dots, of which one may be * and the last >", c.Subject)
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
