package mqtt_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/eclipse/paho.golang/paho"

	"freshet"
	"freshet/internal/app"
	"freshet/internal/flow/delivery"
	"freshet/internal/flow/delivery/mqtt"
	"freshet/internal/freshettest"
	"freshet/internal/freshettest/brokers"
	"freshet/internal/freshettest/gateway"
	"freshet/internal/settings"
)

func config(address, options string) string {
	return fmt.Sprintf(`{"url":"mqtt://%s"%s}`, address, options)
}

func await(t *testing.T, s *brokers.Subscriber, count int) []*paho.Publish {
	t.Helper()
	freshettest.WaitFor(t, time.Minute, fmt.Sprint(count, " messages are there"), func() bool { return len(s.Messages()) >= count })
	return s.Messages()
}

// A server that is killed amid messages, and a Freshet that is started anew, lose nothing and keep the order.
func TestOutage(t *testing.T) {
	t.Parallel()
	b := brokers.StartMosquitto(t)
	sink := b.Subscribe(t, "out/#")
	start := app.Config{Data: t.TempDir()}
	g := gateway.Start(t, start)
	g.Topic("orders", freshet.KindEvent)
	retries := `"PT0.3S"` + strings.Repeat(`,"PT0.3S"`, 399) // two minutes, and a tenth
	for qos := 1; qos <= 2; qos++ {
		id := fmt.Sprint("qos", qos)
		g.Subscribe("orders", id, "mqtt", config(b.Address, fmt.Sprintf(`,"topic":"out/%s","qos":%d,"retries":[%s]`, id, qos, retries)), `"batch":{"maxEvents":7}`)
	}
	each := func(what string, right func(*freshet.Progress) bool) {
		t.Helper()
		for _, id := range []freshet.SubscriptionID{"qos1", "qos2"} {
			g.Await(id, time.Minute, what, right)
		}
	}
	sent := 0
	post := func(n int) {
		t.Helper()
		for range n {
			g.Post("orders", map[string]int{"n": sent})
			sent++
		}
	}
	post(60)
	each("the first are delivered", func(p *freshet.Progress) bool { return p.Lag == 0 })
	begun := time.Now()
	freshettest.WaitFor(t, 10*time.Second, "the server has saved the session", func() bool { return time.Since(begun) > 300*time.Millisecond })
	killed := make(chan struct{})
	go func() { b.Kill(); close(killed) }()
	post(60)
	<-killed
	for back := time.Now().Add(brokers.Away()); time.Now().Before(back); { // while it is away
		post(1)
		time.Sleep(100 * time.Millisecond) //nolint:forbidigo // the server is away for so long
	}
	each("attempts fail", func(p *freshet.Progress) bool {
		return p.Attempts > 1 && strings.Contains(p.LastError.Message, "connect")
	})
	b.Restart()
	post(20)
	each("all is delivered", func(p *freshet.Progress) bool { return p.Lag == 0 && p.Attempts == 0 })
	g.Stop()
	g = gateway.Start(t, start)
	post(20)
	want := brokers.Numbers(0, sent)
	of := func(topic string) (all []string) {
		for _, m := range sink.Messages() {
			if m.Topic == topic {
				all = append(all, string(m.Payload))
			}
		}
		return all
	}
	for _, topic := range []string{"out/qos1", "out/qos2"} {
		freshettest.WaitFor(t, time.Minute, "all messages are there", func() bool { all := of(topic); return len(all) >= sent && all[len(all)-1] == want[sent-1] })
		all := of(topic)
		if got := brokers.Once(all); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %d in order", topic, got, sent)
		}
		if repeated := len(all) - sent; repeated > 2*7 { // the delivery of the kill, and that of the stop
			t.Errorf("%s: %d messages came twice", topic, repeated)
		}
	}
}

// Each option does something.
func TestOptions(t *testing.T) {
	t.Parallel()
	b := brokers.StartMosquitto(t)
	live := b.Subscribe(t, "#")
	n := 0
	for _, tt := range []struct {
		options, said string
		right         func(*paho.Publish) bool
	}{
		{``, "PUBACK of 1 messages", func(m *paho.Publish) bool { return m.Topic == "topic" && m.QoS == 1 && !m.Retain }},
		{`,"topic":"a/{topic}/{type}"`, "PUBACK of 1 messages", func(m *paho.Publish) bool { return m.Topic == "a/topic/event" }},
		{`,"qos":0`, "PINGRESP after 1 messages", func(m *paho.Publish) bool { return m.QoS == 0 }},
		{`,"qos":2`, "PUBCOMP of 1 messages", func(m *paho.Publish) bool { return m.QoS == 2 }},
		{`,"retain":true,"topic":"kept"`, "PUBACK of 1 messages", func(m *paho.Publish) bool { return m.Retain }},
	} {
		d := brokers.Delivery(n, 1)
		n++
		err := brokers.Target(t, mqtt.Kind(), config(b.Address, tt.options), "", nil, brokers.Env(t)).Deliver(t.Context(), d)
		if err != nil || d.Exchange.Response == nil || d.Exchange.Response.Body != tt.said || d.Exchange.Request.To != "mqtt://"+b.Address || d.Exchange.Request.Size != 7 {
			t.Fatalf("%s: %v, %+v, %+v", tt.options, err, d.Exchange, d.Exchange.Response)
		}
		if m := await(t, live, n)[n-1]; !tt.right(m) || string(m.Payload) != fmt.Sprintf(`{"n":%d}`, n-1) || !strings.Contains(d.Exchange.Request.Headers, "topic: "+m.Topic) {
			t.Errorf("%s: %v; %s", tt.options, m, d.Exchange.Request.Headers)
		}
	}
	if late := await(t, b.Subscribe(t, "#"), 1); string(late[0].Payload) != `{"n":4}` {
		t.Errorf("retained: %v", late)
	}
}

// What a message says beside its data, in each format.
func TestFormats(t *testing.T) {
	t.Parallel()
	b := brokers.StartMosquitto(t)
	live := b.Subscribe(t, "#")
	for i, format := range delivery.Formats() {
		d := brokers.Delivery(6, 1)
		d.Messages[0].Reset = "epoch"
		if err := brokers.Target(t, mqtt.Kind(), config(b.Address, ""), format, nil, brokers.Env(t)).Deliver(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		got := await(t, live, i+1)[i]
		user := got.Properties.User
		for name, want := range map[string]string{"Freshet-Subscription-Id": "sub", "Freshet-Topic": "topic", "Freshet-Event-Id": "7-7-ab", "Freshet-Event-Type": "event", "Freshet-Reset": "epoch"} {
			if user.Get(name) != want || !strings.Contains(d.Exchange.Request.Headers, name+": "+want) {
				t.Errorf("%s: %s is %q; %s", format, name, user.Get(name), d.Exchange.Request.Headers)
			}
		}
		if p := got.Properties.PayloadFormat; p == nil || *p != 1 {
			t.Errorf("%s: the payload is not said to be text", format)
		}
		if format == delivery.FormatStructured {
			var e cloudevents.Event
			if err := json.Unmarshal(got.Payload, &e); err != nil || e.Validate() != nil || e.ID() != "7-7-ab" || string(e.Data()) != `{"n":6}` || got.Properties.ContentType != cloudevents.ApplicationCloudEventsJSON {
				t.Errorf("%s %s: %v %v", got.Properties.ContentType, got.Payload, err, e.Validate())
			}
			continue
		}
		binary := format == delivery.FormatBinary
		if string(got.Payload) != `{"n":6}` || got.Properties.ContentType != "application/json" || (user.Get("id") == "7-7-ab") != binary || (user.Get("specversion") == "1.0") != binary || (user.Get("type") == "dev.freshet.event") != binary || user.Get("datacontenttype") != "" {
			t.Errorf("%s: %v", format, got)
		}
	}
}

// Of a batch each message goes by itself, in its order, and all of them are acknowledged.
func TestBatch(t *testing.T) {
	t.Parallel()
	b := brokers.StartMosquitto(t, "max_inflight_messages 10")
	live := b.Subscribe(t, "#")
	for qos := range 3 {
		d := brokers.Delivery(0, 300)
		if err := brokers.Target(t, mqtt.Kind(), config(b.Address, fmt.Sprintf(`,"qos":%d`, qos)), "", &freshet.Batch{MaxEvents: 300}, brokers.Env(t)).Deliver(t.Context(), d); err != nil || d.Exchange.Request.Size != 10*7+90*8+200*9 || !strings.Contains(d.Exchange.Response.Body, "300 messages") {
			t.Fatalf("%v, %+v", err, d.Exchange)
		}
		await(t, live, 300*(qos+1))
		if got := live.Payloads()[300*qos:]; !slices.Equal(got, brokers.Numbers(0, 300)) {
			t.Errorf("qos %d: %v", qos, got)
		}
	}
}

// A connection that is gone is made anew, and a closed target makes none.
func TestAnew(t *testing.T) {
	t.Parallel()
	b := brokers.StartMosquitto(t)
	var conns []net.Conn
	env := brokers.Env(t)
	dial := env.Dial
	env.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		conns = append(conns, conn)
		return conn, err
	}
	target := brokers.Target(t, mqtt.Kind(), config(b.Address, ""), "", nil, env)
	for n := 0; n < 4; n++ {
		d := brokers.Delivery(n, 1)
		if err := target.Deliver(t.Context(), d); err != nil { // it was not noticed yet
			n--
			continue
		}
		if want := "PUBACK of 1 messages, 1 of them to topics that nobody is subscribed to"; d.Exchange.Response.Body != want {
			t.Errorf("%q, want %q", d.Exchange.Response.Body, want)
		}
		if n%2 == 1 {
			_ = conns[len(conns)-1].Close()
		}
	}
	if len(conns) != 2 {
		t.Errorf("%d connections, want 2", len(conns))
	}
	target.Close()
	target.Close()
	if err := target.Deliver(t.Context(), brokers.Delivery(9, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestAccess(t *testing.T) {
	t.Parallel()
	tool := freshettest.Program(t, "apt-get install mosquitto", "mosquitto_passwd")
	folder := t.TempDir()
	passwords, rules := filepath.Join(folder, "passwords"), filepath.Join(folder, "rules")
	if out, err := exec.Command(tool, "-b", "-c", passwords, "ann", "s3cret").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.WriteFile(rules, []byte("user ann\ntopic readwrite a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := brokers.StartMosquitto(t, "allow_anonymous false", "password_file "+passwords, "acl_file "+rules)
	at := `"url":"mqtt://` + b.Address + `"`
	env := brokers.Env(t)
	env.Secrets.Named = map[string]settings.Secret{"right": "s3cret"}
	for options, want := range map[string]string{
		at + `,"topic":"a","username":"ann","password":"secret:right"`:   "",
		at + `,"topic":"b","username":"ann","password":"s3cret"`:         `the client may not publish to "b"`,
		at + `,"topic":"b","username":"ann","password":"s3cret","qos":2`: `the client may not publish to "b"`,
		at + `,"topic":"a","username":"ann","password":"wrong-s3cret"`:   "the server does not accept the user and password",
		at + `,"topic":"a"`: "the server does not accept the user and password",
		at + `,"topic":"a","username":"ann","password":"file:/etc/passwd"`: "password: the file",
		`"url":"mqtt://127.0.0.1:1"`:                                       "refused",
		`"url":"mqtt://10.1.2.3"`:                                          "egress.allow",
		`"url":"mqtt://nowhere.invalid"`:                                   "the broker's host is not known",
		`"url":"mqtt://` + listen(t).address() + `","timeout":"PT0.3S"`:    "no answer within PT0.3S",
	} {
		d := brokers.Delivery(0, 1)
		target := brokers.Target(t, mqtt.Kind(), `{`+options+`}`, "", nil, env)
		for range 2 { // what is refused once is refused again, and breaks nothing
			err := target.Deliver(t.Context(), d)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", options, err, want)
			}
			if text, _ := json.Marshal(d.Exchange); strings.Contains(fmt.Sprint(err, string(text)), "s3cret") {
				t.Errorf("%s: a secret is in %v, %s", options, err, text)
			}
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	folder, cert, key, _ := freshettest.Certificate(t)
	secured := freshettest.Port(t)
	brokers.StartMosquitto(t, fmt.Sprintf("listener %d 127.0.0.1", secured), "certfile "+cert, "keyfile "+key, "cafile "+cert, "require_certificate true")
	env := brokers.Env(t)
	env.Secrets.Files = []string{folder}
	for options, right := range map[string]bool{
		``: false,
		fmt.Sprintf(`,"tls":{"ca":"file:%s"}`, cert):                                                                  false,
		fmt.Sprintf(`,"tls":{"ca":"file:%s","cert":"file:%s","key":"file:%s"}`, cert, cert, key):                      true,
		fmt.Sprintf(`,"tls":{"ca":"file:%s","cert":"file:%s","key":"file:%s","serverName":"other"}`, cert, cert, key): false,
	} {
		target := brokers.Target(t, mqtt.Kind(), fmt.Sprintf(`{"url":"mqtts://localhost:%d"%s}`, secured, options), "", nil, env)
		for range 2 {
			if err := target.Deliver(t.Context(), brokers.Delivery(0, 1)); (err == nil) != right {
				t.Errorf("%s: %v", options, err)
			}
		}
	}
}
