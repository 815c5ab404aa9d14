package nats_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"freshet"
	"freshet/internal/app"
	"freshet/internal/flow/delivery"
	"freshet/internal/flow/delivery/nats"
	"freshet/internal/freshettest"
	"freshet/internal/freshettest/brokers"
	"freshet/internal/freshettest/gateway"
	"freshet/internal/settings"
)

func config(address, more string) string { return fmt.Sprintf(`{"servers":%q%s}`, address, more) }

func target(t *testing.T, address, more string) delivery.Target {
	t.Helper()
	return brokers.Target(t, nats.Kind(), config(address, more), delivery.FormatRaw, nil, brokers.Env(t))
}

// stored are the messages of a stream, in their order.
func stored(t *testing.T, s jetstream.Stream) (all []*jetstream.RawStreamMsg) {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n := info.State.FirstSeq; n <= info.State.LastSeq && info.State.Msgs > 0; n++ {
		m, err := s.GetMsg(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// What is published to subjects comes to those who listen, in its order, with what is to be said of it.
func TestSubjects(t *testing.T) {
	t.Parallel()
	address, _ := brokers.ServeNATS(t, nil)
	nc, _ := brokers.DialNATS(t, address)
	sub, err := nc.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for subject, want := range map[string]string{``: "topic", `,"subject":"a.b"`: "a.b", `,"subject":"all.{topic}.{type}"`: "all.topic.event"} {
		d := brokers.Delivery(3, 3)
		if err := target(t, "localhost:1, nats://"+address, subject).Deliver(t.Context(), d); err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
		for n, text := range brokers.Numbers(3, 3) {
			m, err := sub.NextMsg(10 * time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if m.Subject != want || string(m.Data) != text || m.Header.Get("Freshet-Event-Id") != d.Messages[n].ID() || m.Header.Get("content-type") != "application/json" || m.Header.Get(jetstream.MsgIDHeader) != "" {
				t.Errorf("%s: %s %v %s, want %s", subject, m.Subject, m.Header, m.Data, text)
			}
		}
		e := d.Exchange
		if e.Request.To != "localhost:1, nats://"+address || !strings.HasPrefix(e.Request.Headers, "subject: "+want+"\r\ncontent-type: application/json\r\n") || e.Request.Size != 3*len(`{"n":3}`) || e.Response.Body != "the server has it" {
			t.Errorf("%+v %+v", e.Request, e.Response)
		}
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	address, _ := brokers.ServeNATS(t, nil)
	_, js := brokers.DialNATS(t, address)
	s := brokers.CreateStream(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"topic"}})
	for _, format := range delivery.Formats() {
		if err := s.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		d := brokers.Delivery(len(format), 1)
		m := &d.Messages[0]
		m.Reset = "epoch"
		if err := brokers.Target(t, nats.Kind(), config(address, `,"stream":"S"`), format, nil, brokers.Env(t)).Deliver(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		got := stored(t, s)[0]
		want := map[string]string{"Freshet-Subscription-Id": "sub", "Freshet-Topic": "topic", "Freshet-Event-Id": m.ID(), "Freshet-Event-Type": "event", "Freshet-Reset": "epoch", "content-type": "application/json", "Nats-Msg-Id": "sub_" + m.ID(), "Nats-Expected-Stream": "S"}
		body := string(m.Data)
		switch format {
		case delivery.FormatBinary:
			for name, value := range map[string]string{"specversion": "1.0", "id": m.ID(), "source": "/live/topic", "type": "dev.freshet.event", "subject": "topic", "time": m.Time.Format(time.RFC3339Nano), "revision": fmt.Sprint(m.Revision), "reset": "epoch"} {
				want["ce-"+name] = value
			}
		case delivery.FormatStructured:
			want["content-type"] = "application/cloudevents+json"
			var e event.Event
			if err := json.Unmarshal(got.Data, &e); err != nil || e.Validate() != nil || e.ID() != m.ID() || string(e.Data()) != body {
				t.Errorf("%v %s", err, got.Data)
			}
			body = string(got.Data)
		}
		headers := map[string]string{}
		for name := range got.Header {
			headers[name] = got.Header.Get(name)
		}
		if fmt.Sprint(headers) != fmt.Sprint(want) || string(got.Data) != body {
			t.Errorf("%s: %v %s, want %v %s", format, headers, got.Data, want, body)
		}
	}
}

// A stream has what was delivered, in its order and once, however often it is sent, unless it was asked for again.
func TestStream(t *testing.T) {
	t.Parallel()
	address, _ := brokers.ServeNATS(t, nil)
	_, js := brokers.DialNATS(t, address)
	s := brokers.CreateStream(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"topic"}})
	to := target(t, address, `,"stream":"S"`)
	for i := range 2 {
		for attempt := range 2 {
			d := brokers.Delivery(i*1000, 1000)
			if err := to.Deliver(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			had := map[bool]string{true: ", which it had"}[attempt == 1]
			if want := fmt.Sprintf("stream S sequence %d%s\nstream S sequence %d%s\n", i*1000+1, had, i*1000+2, had); !strings.HasPrefix(d.Exchange.Response.Body, want) || !strings.Contains(d.Exchange.Request.Headers, "Nats-Msg-Id: sub_"+d.Messages[999].ID()) {
				t.Errorf("%.200s, want %s, for %s", d.Exchange.Response.Body, want, d.Exchange.Request.Headers)
			}
		}
	}
	got := []string{}
	for _, m := range stored(t, s) {
		got = append(got, string(m.Data))
	}
	if !slices.Equal(got, brokers.Numbers(0, 2000)) {
		t.Errorf("%d messages: %.200v", len(got), got)
	}
	d := brokers.Delivery(5, 1)
	d.Purpose = delivery.PurposeRedeliver
	if err := target(t, address, `,"stream":"S"`).Deliver(t.Context(), d); err != nil || d.Exchange.Response.Body != "stream S sequence 2001" {
		t.Errorf("delivered again: %v, %+v", err, d.Exchange.Response)
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	userKey, _ := nkeys.CreateUser()
	public, _ := userKey.PublicKey()
	seed, _ := userKey.Seed()
	address, _ := brokers.ServeNATS(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "u", Password: "s3cret"}, {
			Username: "limited", Password: "s3cret",
			Permissions: &server.Permissions{Subscribe: &server.SubjectPermission{Allow: []string{"_MINE.>"}}, Publish: &server.SubjectPermission{Allow: []string{"topic", "event"}}},
		}}
		o.Nkeys = []*server.NkeyUser{{Nkey: public}}
	})
	withToken, _ := brokers.ServeNATS(t, func(o *server.Options) { o.Authorization = "s3cret" })
	_, js := brokers.DialNATS(t, address, client.UserInfo("u", "s3cret"))
	brokers.CreateStream(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"topic"}})
	env := brokers.Env(t)
	env.Secrets = settings.Vault{Named: map[string]settings.Secret{"password": "s3cret", "seed": settings.Secret(seed)}}
	const refused, denied = "the server refuses the credentials", "this user may not publish to the subject, or not hear"
	for _, tt := range []struct{ address, options, wrong string }{
		{address, `,"user":"u","password":"secret:password"`, ""},
		{address, `,"user":"u","password":"s3cretX"`, refused},
		{address, ``, refused},
		{address, `,"user":"u","password":"secret:nothing"`, "nothing"},
		{address, `,"nkey":"secret:seed"`, ""},
		{address, `,"nkey":"secret:password"`, "nkey: it is not the seed"},
		{address, `,"creds":"secret:password"`, "creds: it is not the content"},
		{withToken, `,"token":"secret:password"`, ""},
		{withToken, `,"token":"s3cretX"`, refused},
		{address, `,"user":"limited","password":"s3cret"`, ""},
		{address, `,"user":"limited","password":"s3cret","subject":"b"`, denied},
		{address, `,"user":"limited","password":"s3cret","stream":"S"`, denied},
		{address, `,"user":"limited","password":"s3cret","stream":"S","inboxPrefix":"_MINE"`, ""},
	} {
		d, began := brokers.Delivery(0, 2), time.Now()
		err := brokers.Target(t, nats.Kind(), config(tt.address, tt.options), delivery.FormatRaw, nil, env).Deliver(t.Context(), d)
		if (err == nil) != (tt.wrong == "") || err != nil && (!strings.Contains(err.Error(), tt.wrong) || strings.Contains(err.Error(), "s3cret")) || time.Since(began) > 5*time.Second {
			t.Errorf("%s: %v after %v, want %q", tt.options, err, time.Since(began), tt.wrong)
		}
		if text, _ := json.Marshal(d.Exchange); strings.Contains(string(text), "s3cret") {
			t.Errorf("%s: a secret is in %s", tt.options, text)
		}
	}
	to := brokers.Target(t, nats.Kind(), config(address, `,"user":"limited","password":"s3cret","subject":"{type}"`), delivery.FormatRaw, nil, env)
	d := brokers.Delivery(0, 1)
	d.Messages[0].Type = freshet.TypeError
	if err := to.Deliver(t.Context(), d); err == nil {
		t.Error("what is not allowed is delivered")
	}
	if err := to.Deliver(t.Context(), brokers.Delivery(0, 1)); err != nil {
		t.Errorf("after what is not allowed, what is: %v", err)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	folder, cert, key, _ := freshettest.Certificate(t)
	secure := func(first bool) string {
		address, _ := brokers.ServeNATS(t, brokers.MutualTLS(t, cert, key, first))
		return address
	}
	plain, _ := brokers.ServeNATS(t, nil)
	env := brokers.Env(t)
	env.Secrets = settings.Vault{Files: []string{folder}}
	files := fmt.Sprintf(`"ca":"file:%s","cert":"file:%s","key":"file:%s","serverName":"localhost"`, cert, cert, key)
	for _, tt := range []struct{ servers, options, wrong string }{
		{"tls://" + secure(false), `,"tls":{` + files + `}`, ""},
		{secure(false), `,"tls":{"enabled":true,` + files + `}`, ""},
		{"tls://" + secure(true), `,"tlsFirst":true,"tls":{` + files + `}`, ""},
		{"tls://" + secure(false), ``, "certificate"},
		{"tls://" + plain, ``, "the server does not offer TLS"},
		{"tls://" + plain, `,"tls":{"ca":"file:/nowhere/ca.pem"}`, "tls.ca"},
	} {
		err := brokers.Target(t, nats.Kind(), config(tt.servers, tt.options), delivery.FormatRaw, nil, env).Deliver(t.Context(), brokers.Delivery(0, 1))
		if (err == nil) != (tt.wrong == "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%s: %v, want %q", tt.options, err, tt.wrong)
		}
	}
}

// What goes wrong is said in words, and the target works again once it is mended.
func TestRefusals(t *testing.T) {
	t.Parallel()
	address, s := brokers.ServeNATS(t, func(o *server.Options) { o.MaxPayload = 100_000 })
	_, js := brokers.DialNATS(t, address, client.NoReconnect())
	full := brokers.CreateStream(t, js, jetstream.StreamConfig{Name: "FULL", Subjects: []string{"full"}, MaxMsgs: 2, Discard: jetstream.DiscardNew})
	brokers.CreateStream(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"topic"}})
	large := brokers.Delivery(0, 1)
	large.Messages[0].Data = []byte(`"` + strings.Repeat("x", 200_000) + `"`)
	odd := brokers.Delivery(0, 1)
	odd.Topic = "a..b"
	few := brokers.Delivery(0, 1)
	for name, tt := range map[string]struct {
		servers, options string
		d                *delivery.Delivery
		wrong            string
	}{
		"no stream":         {address, `,"stream":"S","subject":"nobody"`, few, "no stream of JetStream takes what is published to the subject"},
		"another stream":    {address, `,"stream":"FULL"`, few, "another stream than FULL takes"},
		"a full stream":     {address, `,"stream":"FULL","subject":"full"`, brokers.Delivery(0, 5), "the stream refuses the message: maximum messages exceeded"},
		"too large":         {address, ``, large, "the message is larger than the server allows"},
		"too large for one": {address, `,"stream":"S"`, large, "the message is larger than the server allows"},
		"not a subject":     {address, `,"subject":"x.{topic}"`, odd, `"x.a..b", of the name of the topic, is not a subject of NATS`},
		"nobody there":      {fmt.Sprintf("127.0.0.1:%d", freshettest.Port(t)), ``, few, "connection refused"},
		"not allowed":       {"10.1.2.3:4222", ``, few, "egress.allow"},
		"no such host":      {"nowhere.invalid", ``, few, "the broker's host is not known: nowhere.invalid"},
	} {
		began := time.Now()
		err := target(t, tt.servers, tt.options).Deliver(t.Context(), tt.d)
		if refusal, ok := errors.AsType[*delivery.Refusal](err); !ok || refusal.Gone || !strings.Contains(err.Error(), tt.wrong) || time.Since(began) > 5*time.Second || tt.d.Exchange.Response != nil {
			t.Errorf("%s: %v after %v, want %s", name, err, time.Since(began), tt.wrong)
		}
	}
	to := target(t, address, `,"stream":"FULL","subject":"full"`)
	if err := to.Deliver(t.Context(), brokers.Delivery(9, 1)); err == nil {
		t.Error("a full stream takes more")
	}
	if err := full.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := to.Deliver(t.Context(), brokers.Delivery(9, 1)); err != nil {
		t.Error("after it was emptied:", err)
	}
	connections, err := s.Connz(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range connections.Conns {
		_ = s.DisconnectClientByID(c.Cid)
	}
	freshettest.WaitFor(t, 10*time.Second, "the connections are closed", func() bool { return s.NumClients() == 0 })
	time.Sleep(300 * time.Millisecond) // so that the other end has heard of it
	if err := to.Deliver(t.Context(), brokers.Delivery(10, 1)); err != nil {
		t.Error("over a connection that the server has closed meanwhile:", err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	const good = `"servers":"a.example"`
	brokers.Mistakes(t, nats.Kind(), map[string]string{
		good: "", good + `,"subject":"a.{topic}.{type}","stream":"S","timeout":"PT1S","retries":["PT1S"]`: "",
		``: "/servers: is required", `"servers":"http://a"`: "/servers: ", `"servers":"nats://u:p@a"`: "/servers: a user or password",
		good + `,"subject":"a b"`: `/subject: "a b" is not a subject`, good + `,"subject":"a.*"`: "/subject:", good + `,"subject":"a.{id}"`: "/subject: \"{id}\" is no placeholder",
		good + `,"stream":"a.b"`: `/stream: "a.b" is not a name`,
		good + `,"password":"p"`: "/user: is required", good + `,"token":"t","user":"u"`: "/token: only one of", good + `,"inboxPrefix":"a.>"`: "/inboxPrefix:", good + `,"tlsFirst":true`: "/tls/enabled: must be true",
		good + `,"tls":{"enabled":true,"cert":"x"}`: "/tls/key: a certificate and its key", good + `,"timeout":"PT2M"`: "/timeout: must be from", good + `,"retries":["P8D"]`: "/retries/0: must be from", good + `,"qos":1`: "/qos: unknown member",
	})
	masked := string(nats.Kind().Mask(json.RawMessage(`{` + good + `,"user":"u","password":"s3cret","token":"s3cret","nkey":"s3cret","creds":"s3cret"}`)))
	if strings.Contains(masked, "s3cret") || !strings.Contains(masked, `"u"`) {
		t.Errorf("masked: %s", masked)
	}
	if schedule, parallel := target(t, "127.0.0.1", `,"retries":["PT7S"]`).(delivery.Planned).Plan(); fmt.Sprint(schedule) != "[PT0S PT7S]" || parallel != 1 {
		t.Errorf("%v %d", schedule, parallel)
	}
}

// A server that says nothing is given up in time, and a target that is closed amid an attempt ends.
func TestSilence(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	began := time.Now()
	if err := target(t, silent.Addr().String(), `,"timeout":"PT0.3S"`).Deliver(t.Context(), brokers.Delivery(0, 1)); err == nil || !strings.Contains(err.Error(), "no answer within PT0.3S") || time.Since(began) > 2*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	to := target(t, silent.Addr().String(), ``)
	done := make(chan error, 1)
	go func() { done <- to.Deliver(t.Context(), brokers.Delivery(0, 1)) }()
	time.Sleep(50 * time.Millisecond) // it connects, or is about to: it ends
	to.Close()
	to.Close()
	select {
	case err := <-done:
		if err == nil {
			t.Error("delivered to nobody")
		}
	case <-time.After(5 * time.Second):
		t.Error("an attempt goes on")
	}
}

// The real thing: nats-server, killed while Freshet delivers to it. Nothing is lost, nothing is there twice, and order
// is kept.
func TestKilledServer(t *testing.T) {
	t.Parallel()
	b := brokers.StartNATS(t)
	_, js := brokers.DialNATS(t, b.Address, client.MaxReconnects(-1), client.ReconnectWait(100*time.Millisecond))
	var s jetstream.Stream
	freshettest.WaitFor(t, 20*time.Second, "a stream", func() bool {
		var err error
		s, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"to.>"}, Duplicates: 10 * time.Minute})
		return err == nil
	})
	g := gateway.Start(t, app.Config{})
	g.Topic("numbers", freshet.KindEvent)
	options := `,"stream":"S","subject":"to.%s.{topic}","timeout":"PT2S","retries":[` + strings.TrimSuffix(strings.Repeat(`"PT0.5S",`, 120), ",") + `]`
	g.Subscribe("numbers", "single", "nats", config(b.Address, fmt.Sprintf(options, "single")), "")
	g.Subscribe("numbers", "batched", "nats", config(b.Address, fmt.Sprintf(options, "batched")), `"batch":{"maxEvents":50}`)
	n := 0
	post := func(count int) {
		for range count {
			g.Post("numbers", map[string]int{"n": n})
			n++
		}
	}
	both := func(what string, right func(*freshet.Progress) bool) {
		t.Helper()
		for _, id := range []freshet.SubscriptionID{"single", "batched"} {
			g.Await(id, time.Minute, what, right)
		}
	}
	for round := range 2 {
		post(100)
		b.Kill()
		post(100)
		both("it is noticed", func(p *freshet.Progress) bool { return p.Attempts > 0 })
		if round == 0 {
			time.Sleep(brokers.Away())
		}
		b.Restart()
		post(100)
		both("all is delivered", func(p *freshet.Progress) bool { return p.Lag == 0 })
	}
	got := map[string][]string{}
	freshettest.WaitFor(t, 20*time.Second, "the stream is there", func() bool { _, err := s.Info(t.Context()); return err == nil })
	for _, m := range stored(t, s) {
		got[m.Subject] = append(got[m.Subject], string(m.Data))
	}
	for _, subject := range []string{"to.single.numbers", "to.batched.numbers"} {
		if !slices.Equal(got[subject], brokers.Numbers(0, n)) {
			t.Errorf("%s: %d messages, want %d, in order", subject, len(got[subject]), n)
		}
	}
}
