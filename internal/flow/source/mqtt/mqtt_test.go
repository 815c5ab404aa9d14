package mqtt_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/mqtt"
	"freshet/internal/freshettest"
)

// What the configuration says arrives at the server.
func TestIntroduction(t *testing.T) {
	t.Parallel()
	ids := map[string]string{}
	for _, tt := range []struct{ options, want string }{
		{``, `expiry 86400, alive 30, window 64, user "" "", {a/# 2 1}`},
		{`,"sessionExpiry":"PT90S","keepAlive":"PT5S","username":"ann","password":"plain:s3cret","retained":"always"`, `expiry 90, alive 5, window 64, user "ann" "s3cret", {a/# 2 0}`},
		{`,"retained":"never","password":"x"`, `expiry 86400, alive 30, window 64, user "" "x", {a/# 2 2}`},
		{`,"clientId":"mine"`, `expiry 86400, alive 30, window 64, user "" "", {a/# 2 1}`},
	} {
		s := listen(t)
		stop := freshettest.Run(t, mqtt.Kind(), s.config(tt.options), freshettest.Env(t), &freshettest.Sink{})
		c := s.accept()
		hello, request := c.welcome(false)
		sub := request.Subscriptions[0]
		got := fmt.Sprintf("expiry %d, alive %d, window %d, user %q %q, {%s %d %d}", *hello.Properties.SessionExpiryInterval, hello.KeepAlive,
			*hello.Properties.ReceiveMaximum, hello.Username, hello.Password, sub.Topic, sub.QoS, sub.RetainHandling)
		if got != tt.want || hello.CleanStart || hello.UsernameFlag != (hello.Username != "") || hello.PasswordFlag != (len(hello.Password) > 0) {
			t.Errorf("%s: %s %v, want %s", tt.options, got, hello, tt.want)
		}
		ids[tt.options] = hello.ClientID
		began := time.Now()
		stop()
		if took := time.Since(began); took > time.Second {
			t.Errorf("the source took %v to end", took)
		}
		expect[*packets.Disconnect](c)
	}
	// Every server takes up to 23 letters and digits (MQTT 5, 3.1.3.1).
	if id := ids[``]; !regexp.MustCompile(`^freshet[0-9a-f]{16}$`).MatchString(id) || ids[`,"clientId":"mine"`] != "mine" {
		t.Errorf("client identifiers: %v", ids)
	}
}

// A message is acknowledged once the journal has it, and not before.
func TestAcknowledged(t *testing.T) {
	t.Parallel()
	s := listen(t)
	var closed atomic.Bool
	closed.Store(true)
	sink := &freshettest.Sink{Refuse: func(source.Payload) error {
		if closed.Load() {
			return errors.New("the journal does not take it")
		}
		return nil
	}}
	freshettest.Run(t, mqtt.Kind(), s.config(``), freshettest.Env(t), sink)
	c := s.accept()
	c.welcome(false)
	c.send(message(1, 1, false, `1`))
	c.send(message(2, 2, false, `2`))
	c.send(message(0, 0, false, `3`))
	c.send(message(4, 1, false, ``)) // nothing to hand over, and yet its turn comes after the others
	c.send(message(5, 1, false, `no JSON`))
	c.silent(300 * time.Millisecond)
	closed.Store(false)
	if p := expect[*packets.Puback](c); p.PacketID != 1 {
		t.Errorf("PUBACK of %d", p.PacketID)
	}
	if p := expect[*packets.Pubrec](c); p.PacketID != 2 {
		t.Errorf("PUBREC of %d", p.PacketID)
	}
	for _, id := range []uint16{4, 5} {
		if p := expect[*packets.Puback](c); p.PacketID != id {
			t.Errorf("PUBACK of %d, want %d", p.PacketID, id)
		}
	}
	sink.Await(t, `1`, `2`, `3`)
}

// A message of quality 2 that comes again, as the server does not know that it was stored, is known again: also
// after a restart. One that has its number later on is another.
func TestRepeated(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		s := listen(t)
		sink, env := &freshettest.Sink{}, freshettest.Env(t)
		stop := freshettest.Run(t, mqtt.Kind(), s.config(``), env, sink)
		c := s.accept()
		c.welcome(false)
		c.send(message(1, 2, false, `"one"`))
		c.send(message(2, 2, false, `"two"`))
		c.send(message(3, 1, false, `"three"`))
		sink.Await(t, `"one"`, `"two"`, `"three"`)
		if restart {
			stop()
			stop = freshettest.Run(t, mqtt.Kind(), s.config(``), env, sink)
		}
		_ = c.Close()

		c = s.accept()
		c.welcome(true, message(1, 2, true, `"one"`))
		c.finish(1)
		c.send(message(2, 2, true, `"another two"`))
		c.send(message(3, 1, true, `"three"`))
		if p := expect[*packets.Pubrec](c); p.PacketID != 2 {
			t.Errorf("PUBREC of %d", p.PacketID)
		}
		expect[*packets.Puback](c)
		want := []string{`"one"`, `"two"`, `"three"`, `"another two"`, `"three"`}
		sink.Await(t, want...)
		c.send(message(1, 2, true, `"one"`)) // a new one, the first of which was lost on its way
		c.finish(1)
		sink.Await(t, append(want, `"one"`)...)

		// Without the session numbers mean nothing, and it is told that messages may be missing.
		_ = c.Close()
		before := len(sink.Faults())
		c = s.accept()
		c.welcome(false, message(2, 2, true, `"another two"`))
		c.finish(2)
		sink.Await(t, append(want, `"one"`, `"another two"`)...)
		found := false
		for _, f := range sink.Faults()[before:] {
			found = found || strings.Contains(f.Message, "messages may have been missed")
		}
		if !found {
			t.Errorf("faults: %v", sink.Faults())
		}
		stop()
	}
}

// A message that is not marked as sent again is a new one, whatever number it has: the server knew that the
// other was stored when Freshet did not know that yet.
func TestNotRepeated(t *testing.T) {
	t.Parallel()
	s := listen(t)
	sink, env := &freshettest.Sink{}, freshettest.Env(t)
	stop := freshettest.Run(t, mqtt.Kind(), s.config(``), env, sink)
	c := s.accept()
	c.welcome(false)
	c.send(message(1, 2, false, `"on"`))
	c.finish(1)
	stop() // the mark is that of before the end of the exchange
	freshettest.Run(t, mqtt.Kind(), s.config(``), env, sink)
	c = s.accept()
	c.welcome(true, message(1, 2, false, `"on"`))
	c.finish(1)
	sink.Await(t, `"on"`, `"on"`)
}

// What came before the server refused the subscription, or ended the connection, was taken: it is handed over,
// and known when it comes again.
func TestRefusedAfterMessages(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		then  io.WriterTo
		code  int
		words string
	}{
		{&packets.Suback{PacketID: 1, Reasons: []byte{packets.SubackNotauthorized}, Properties: &packets.Properties{}}, 70403, `may not subscribe to "a/#"`},
		{&packets.Disconnect{ReasonCode: packets.DisconnectServerBusy, Properties: &packets.Properties{}}, 70503, "too busy"},
	} {
		s := listen(t)
		sink := &freshettest.Sink{}
		stop := freshettest.Run(t, mqtt.Kind(), s.config(``), freshettest.Env(t), sink)
		c := s.accept()
		expect[*packets.Connect](c)
		c.send(&packets.Connack{SessionPresent: true, Properties: &packets.Properties{}})
		expect[*packets.Subscribe](c)
		var both bytes.Buffer // they arrive together
		_, _ = message(1, 2, false, `1`).WriteTo(&both)
		_, _ = tt.then.WriteTo(&both)
		_, _ = message(2, 2, false, `2`).WriteTo(&both) // nobody reads this any more
		c.send(raw(both.Bytes()))
		sink.Await(t, `1`)
		faulted(t, sink, tt.code, tt.words)
		c = s.accept()
		c.welcome(true, message(1, 2, true, `1`))
		c.finish(1)
		c.send(message(2, 2, false, `2`))
		sink.Await(t, `1`, `2`)
		stop()
	}
}

// What the server refuses is told by its reason, and what is not MQTT 5 is told so.
func TestReasons(t *testing.T) {
	t.Parallel()
	connack := func(code byte) raw { return raw{0x20, 3, 0, code, 0} }
	for _, tt := range []struct {
		answer raw
		code   int
		words  string
	}{
		{connack(packets.ConnackUnsupportedProtocolVersion), freshet.FaultConfig, "does not speak MQTT 5"},
		{raw{0x20, 2, 0, 1}, freshet.FaultPublication, "does not speak MQTT 5"}, // as MQTT 3.1.1 says it
		{raw("HTTP/1.1 400 Bad Request\r\n\r\n"), freshet.FaultPublication, "does not speak MQTT 5"},
		{connack(packets.ConnackInvalidClientID), freshet.FaultConfig, "clientId"},
		{connack(packets.ConnackBadUsernameOrPassword), 70401, "does not accept the user and password"},
		{connack(packets.ConnackNotAuthorized), 70401, "does not accept the user and password"},
		{connack(packets.ConnackBanned), 70403, "banned"},
		{connack(packets.ConnackServerBusy), 70503, "too busy"},
		{connack(packets.ConnackServerMoved), freshet.FaultConfig, "refers to another server"},
		{connack(packets.ConnackQoSNotSupported), freshet.FaultPublication, "reason code 0x9B"},
		{append(connack(0), 0x90, 4, 0, 1, 0, packets.SubackNotauthorized), 70403, "may not subscribe"},
		{append(connack(0), 0x90, 4, 0, 1, 0, packets.SubackSharedSubscriptionnotsupported), freshet.FaultConfig, "no shared"},
		{append(connack(0), 0x90, 4, 0, 1, 0, packets.SubackWildcardsubscriptionsnotsupported), freshet.FaultConfig, "no wildcards"},
		{append(connack(0), 0x90, 4, 0, 1, 0, packets.SubackTopicFilterinvalid), freshet.FaultConfig, `the filter "a/#"`},
		{append(connack(0), 0x90, 4, 0, 1, 0, packets.SubackQuotaexceeded), freshet.FaultPublication, "reason code 0x97"},
		{append(connack(0), 0x90, 3, 0, 1, 0), freshet.FaultPublication, "does not speak MQTT 5"}, // an answer to nothing
		{append(connack(0), 0xe0, 1, packets.DisconnectSessionTakenOver), freshet.FaultConnection, "another client took over"},
		{append(connack(0), 0xe0, 1, packets.DisconnectServerShuttingDown), freshet.FaultConnection, "shutting down"},
		{append(connack(0), 0xe0, 1, packets.DisconnectNotAuthorized), 70403, "does not let this client go on"},
		{append(connack(0), 0xe0, 1, packets.DisconnectServerBusy), 70503, "too busy"},
		{append(connack(0), 0xe0, 1, packets.DisconnectKeepAliveTimeout), freshet.FaultConnection, "reason code 0x8D"},
		{append(connack(0), 0x30, 0xff, 0xff, 0xff, 0x7f), freshet.FaultSize, "larger than it was told"}, // 256 MiB
		{append(connack(0), 0x30, 0xff, 0xff, 0xff, 0xff, 0x7f), freshet.FaultPublication, "does not speak MQTT 5"},
		{connack(0), freshet.FaultConnection, "closed the connection"},
	} {
		t.Run(fmt.Sprintf("%x", []byte(tt.answer)), func(t *testing.T) {
			t.Parallel()
			s := listen(t)
			sink := &freshettest.Sink{}
			freshettest.Run(t, mqtt.Kind(), s.config(``), freshettest.Env(t), sink)
			c := s.accept()
			expect[*packets.Connect](c)
			c.send(tt.answer)
			if bytes.Equal(tt.answer, connack(0)) {
				expect[*packets.Subscribe](c)
				_ = c.Close()
			}
			faulted(t, sink, tt.code, tt.words)
		})
	}
}

// A server that gives no sign of life is left, also where it set the time itself.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{false, true} {
		t.Run(fmt.Sprint(own), func(t *testing.T) {
			t.Parallel()
			s := listen(t)
			options, answer := `,"keepAlive":"PT2S"`, &packets.Connack{Properties: &packets.Properties{}}
			if own {
				two := uint16(2)
				options, answer.Properties.ServerKeepAlive = ``, &two
			}
			sink := &freshettest.Sink{}
			freshettest.Run(t, mqtt.Kind(), s.config(options), freshettest.Env(t), sink)
			c := s.accept()
			expect[*packets.Connect](c)
			c.send(answer)
			request := expect[*packets.Subscribe](c)
			c.send(&packets.Suback{PacketID: request.PacketID, Reasons: []byte{2}, Properties: &packets.Properties{}})
			for range 2 {
				expect[*packets.Pingreq](c)
				c.send(&packets.Pingresp{})
			}
			if len(sink.Faults()) > 0 {
				t.Errorf("faults: %v", sink.Faults())
			}
			faulted(t, sink, freshet.FaultConnection, "in time")
		})
	}
}

// Nothing but the guard's ways are used.
func TestEgress(t *testing.T) {
	t.Parallel()
	sink := &freshettest.Sink{}
	freshettest.Run(t, mqtt.Kind(), `{"url":"mqtt://10.1.2.3","topics":[{"filter":"a"}]}`, freshettest.Env(t), sink)
	faulted(t, sink, freshet.FaultConfig, `egress\.allow`)
}

func TestConfig(t *testing.T) {
	valid := func(more string) string { return `{"url":"mqtts://h","topics":[{"filter":"a/+/#"}]` + more + `}` }
	topic := func(filter string) string {
		return fmt.Sprintf(`{"url":"mqtt://h:1","topics":[{"filter":%q}]}`, filter)
	}
	for config, want := range map[string]string{
		valid(``):                                          "",
		topic(`#`):                                         "",
		topic(`/`):                                         "",
		topic(`$share/g/a/#`):                              "",
		topic(`$SYS/broker/+`):                             "",
		`{"topics":[{"filter":"a"}]}`:                      "/url: is required",
		`{"url":"mqtt://h"}`:                               "/topics: is required",
		`{"url":"mqtt://h","topics":[]}`:                   "/topics: must be from 1",
		`{"url":"mqtt://h","topics":[{}]}`:                 "/topics/0/filter: is required",
		`{"url":"tcp://h","topics":[{"filter":"a"}]}`:      "/url: must begin with mqtt:// or mqtts://",
		`{"url":"mqtt://u:p@h","topics":[{"filter":"a"}]}`: "/url: a user or password in the URL is not sent: they are the members username and password",
		`{"url":"mqtt://h/a","topics":[{"filter":"a"}]}`:   "/url: there is nothing after",
		`{"url":"mqtt://h:0","topics":[{"filter":"a"}]}`:   "/url: a port is from 1",
		`{"url":"mqtt://h","topics":[{"filter":"a"}],"tls":{"serverName":"x"}}`: "/url: with TLS it begins with mqtts",
		topic(`a/#/b`):      "/topics/0/filter: \"a/#/b\" is not a filter: # stands",
		topic(`a#`):         "/topics/0/filter: \"a#\" is not a filter: # stands",
		topic(`a/b+`):       "/topics/0/filter: \"a/b+\" is not a filter: + stands",
		topic(`$share/g`):   "/topics/0/filter: \"$share/g\" is not a filter: write $share",
		topic(`$share/g/`):  "/topics/0/filter: \"$share/g/\" is not a filter: write $share",
		topic(`$share/+/a`): "/topics/0/filter: \"$share/+/a\" is not a filter: write $share",
		`{"url":"mqtt://h","topics":[{"filter":"a"},{"filter":"a"}]}`: "/topics/1/filter: \"a\" is there twice",
		`{"url":"mqtt://h","topics":[{"filter":"a","qos":3}]}`:        "/topics/0/qos: must be from 0 to 2",
		valid(`,"retained":"once"`):                                   "/retained: must be new, always or never",
		valid(`,"sessionExpiry":"P366D"`):                             "/sessionExpiry: must be from",
		valid(`,"sessionExpiry":"PT1.5S"`):                            "/sessionExpiry: must be whole seconds, not PT1.5S",
		valid(`,"keepAlive":"PT2.5S"`):                                "/keepAlive: must be whole seconds, not PT2.5S",
		valid(`,"keepAlive":"PT1S"`):                                  "/keepAlive: must be from",
		valid(`,"clientId":"a\u0000"`):                                "/clientId: has no character",
		valid(`,"password":"***"`):                                    "/password: *** stands for",
		valid(`,"tls":{"cert":"x"}`):                                  "/tls/key: a certificate and its key",
		valid(`,"tls":{"insecure":true}`):                             "/tls/insecure: unknown member",
	} {
		got := mqtt.Kind().Check(json.RawMessage(config))
		if (want == "") != (got == nil) || want != "" && (len(got) != 1 || !strings.HasPrefix(got[0].Pointer+": "+got[0].Detail, want)) {
			t.Errorf("%s: %v, want %s", config, got, want)
		}
	}
}
