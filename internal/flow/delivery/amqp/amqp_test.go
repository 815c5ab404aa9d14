package amqp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	rabbit "github.com/rabbitmq/amqp091-go"

	"freshet"
	"freshet/internal/app"
	"freshet/internal/flow/delivery"
	"freshet/internal/flow/delivery/amqp"
	"freshet/internal/freshettest"
	"freshet/internal/freshettest/brokers"
	"freshet/internal/freshettest/gateway"
	"freshet/internal/settings"
)

func TestBroker(t *testing.T) {
	b := brokers.StartRabbitMQ(t)
	t.Run("outage", func(t *testing.T) { outage(t, b) })
	t.Run("blocked", func(t *testing.T) { blocked(t, b) })
	t.Run("others", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T, *brokers.RabbitMQ){"options": options, "formats": formats, "refused": refused, "batch": batch, "anew": anew, "access": access, "TLS": overTLS} {
			t.Run(name, func(t *testing.T) { t.Parallel(); test(t, b) })
		}
	})
}

func config(b *brokers.RabbitMQ, options string) string {
	return fmt.Sprintf(`{"url":"amqp://%s"%s}`, b.Address, options)
}

func bodies(all []rabbit.Delivery) (texts []string) {
	for _, d := range all {
		texts = append(texts, string(d.Body))
	}
	return texts
}

// A broker that is killed amid messages, and a Freshet that is started anew, lose nothing and keep the order.
func outage(t *testing.T, b *brokers.RabbitMQ) {
	const queue = "sink-outage"
	b.Declare(t, queue, nil)
	b.AwaitOnDisk(t, queue)
	settings := app.Config{Data: t.TempDir()}
	g := gateway.Start(t, settings)
	g.Topic("orders", freshet.KindEvent)
	retries := `"PT0.3S"` + strings.Repeat(`,"PT0.3S"`, 399) // two minutes, and a tenth
	g.Subscribe("orders", "rabbit", "amqp", config(b, `,"routingKey":"`+queue+`","retries":[`+retries+`]`), `"batch":{"maxEvents":7}`)
	sent := 0
	post := func(n int) {
		t.Helper()
		for range n {
			g.Post("orders", map[string]int{"n": sent})
			sent++
		}
	}
	post(60)
	go b.Kill()
	post(60)
	for back := time.Now().Add(brokers.Away()); time.Now().Before(back); { // while it is away
		post(1)
		time.Sleep(100 * time.Millisecond) //nolint:forbidigo // the broker is away for so long
	}
	p := g.Await("rabbit", 20*time.Second, "attempts fail", func(p *freshet.Progress) bool { return p.Attempts > 1 })
	if p.LastError == nil || !strings.Contains(p.LastError.Message, "connect") {
		t.Errorf("last error %+v", p.LastError)
	}
	b.Restart()
	post(20)
	g.Await("rabbit", time.Minute, "all is delivered", func(p *freshet.Progress) bool { return p.Lag == 0 && p.Attempts == 0 })
	g.Stop()
	g = gateway.Start(t, settings)
	post(20)
	want := brokers.Numbers(0, sent)
	all := b.Take(t, queue, time.Minute, "all messages are there", func(all []rabbit.Delivery) bool {
		return len(all) >= sent && string(all[len(all)-1].Body) == want[sent-1]
	})
	if got := brokers.Once(bodies(all)); !slices.Equal(got, want) {
		t.Errorf("%v, want %d in order", got, sent)
	}
	if repeated := len(all) - sent; repeated > 2*7 { // the delivery of the kill, and that of the stop
		t.Errorf("%d messages came twice", repeated)
	}
	ids := map[string]string{}
	for _, d := range all {
		if had, ok := ids[d.MessageId]; ok && had != string(d.Body) || d.MessageId == "" {
			t.Errorf("the id %q is of %s and of %s", d.MessageId, had, d.Body)
		}
		ids[d.MessageId] = string(d.Body)
	}
}

// A broker that takes no messages, for want of memory, is said to be so, and gets them once it takes them again.
func blocked(t *testing.T, b *brokers.RabbitMQ) {
	b.Declare(t, "blocked", nil)
	target := brokers.Target(t, amqp.Kind(), config(b, `,"routingKey":"blocked","timeout":"PT0.5S"`), "", nil, brokers.Env(t))
	if err := target.Deliver(t.Context(), brokers.Delivery(0, 1)); err != nil {
		t.Fatal(err)
	}
	b.Control(t, "set_vm_memory_high_watermark", "0.00001")
	var err error
	freshettest.WaitFor(t, 10*time.Second, "the broker blocks", func() bool {
		err = target.Deliver(t.Context(), brokers.Delivery(1, 1))
		return err != nil
	})
	if !strings.Contains(err.Error(), "the broker takes no messages for now: low on memory") {
		t.Error(err)
	}
	b.Control(t, "set_vm_memory_high_watermark", "0.4")
	freshettest.WaitFor(t, 10*time.Second, "the broker takes messages", func() bool {
		return target.Deliver(t.Context(), brokers.Delivery(1, 1)) == nil
	})
}

// Each option does something.
func options(t *testing.T, b *brokers.RabbitMQ) {
	ch := b.Channel(t)
	b.Declare(t, "topic", nil)
	b.Declare(t, "bound", nil)
	err := ch.ExchangeDeclare("sink-prices", "topic", false, true, false, false, nil)
	if err == nil {
		err = ch.QueueBind("bound", "a.topic.#", "sink-prices", false, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	for n, tt := range []struct {
		options, queue, wrong string
		right                 func(rabbit.Delivery) bool
	}{
		{``, "topic", "", func(d rabbit.Delivery) bool {
			return d.Exchange == "" && d.RoutingKey == "topic" && d.DeliveryMode == rabbit.Persistent
		}},
		{`,"exchange":"sink-prices","routingKey":"a.{topic}.{type}"`, "bound", "", func(d rabbit.Delivery) bool { return d.Exchange == "sink-prices" && d.RoutingKey == "a.topic.event" }},
		{`,"persistent":false`, "topic", "", func(d rabbit.Delivery) bool { return d.DeliveryMode != rabbit.Persistent }},
		{`,"routingKey":"nowhere"`, "", `no queue takes messages of the exchange "" with the routing key "nowhere" (312 NO_ROUTE)`, nil},
		{`,"routingKey":"nowhere","mandatory":false`, "", "", nil},
		{`,"exchange":"sink-none"`, "", "there is no such exchange", nil},
	} {
		d := brokers.Delivery(n, 1)
		target := brokers.Target(t, amqp.Kind(), config(b, tt.options), delivery.FormatRaw, nil, brokers.Env(t))
		err := target.Deliver(t.Context(), d)
		if tt.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%s: %v, want %s", tt.options, err, tt.wrong)
			}
			continue
		}
		if err != nil || d.Exchange.Response == nil || !strings.HasPrefix(d.Exchange.Response.Body, "basic.ack 1") || d.Exchange.Request.To != "amqp://"+b.Address || d.Exchange.Request.Size != 7 {
			t.Errorf("%s: %v, %+v", tt.options, err, d.Exchange)
			continue
		}
		if tt.right == nil {
			continue
		}
		got, ok, err := ch.Get(tt.queue, true)
		if err != nil || !ok || !tt.right(got) || string(got.Body) != fmt.Sprintf(`{"n":%d}`, n) {
			t.Errorf("%s: %+v, %v", tt.options, got, err)
		}
	}
}

// A routing key that becomes too long is told, and breaks nothing.
func TestLongKey(t *testing.T) {
	t.Parallel()
	target := brokers.Target(t, amqp.Kind(), `{"url":"amqp://127.0.0.1:1","routingKey":"{topic}.{topic}"}`, "", nil, brokers.Env(t))
	d := brokers.Delivery(0, 1)
	d.Topic = freshet.TopicName(strings.Repeat("t", 128))
	if err := target.Deliver(t.Context(), d); err == nil || !strings.Contains(err.Error(), "the routing key is 257 bytes long") {
		t.Error(err)
	}
}

// What a message says beside its data, in each format.
func formats(t *testing.T, b *brokers.RabbitMQ) {
	b.Declare(t, "formats", nil)
	ch := b.Channel(t)
	for _, format := range delivery.Formats() {
		d := brokers.Delivery(6, 1)
		m := &d.Messages[0]
		m.Reset = "epoch"
		if err := brokers.Target(t, amqp.Kind(), config(b, `,"routingKey":"formats"`), format, nil, brokers.Env(t)).Deliver(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		got, _, err := ch.Get("formats", true)
		if err != nil {
			t.Fatal(err)
		}
		if got.MessageId != "sub_7-7-ab" || got.Type != "event" || got.AppId != "freshet" || got.Timestamp.Unix() != m.Time.Unix() {
			t.Errorf("%s: %+v", format, got)
		}
		for name, want := range map[string]string{"Freshet-Subscription-Id": "sub", "Freshet-Topic": "topic", "Freshet-Event-Id": "7-7-ab", "Freshet-Event-Type": "event", "Freshet-Reset": "epoch"} {
			if got.Headers[name] != want || !strings.Contains(d.Exchange.Request.Headers, name+": "+want) {
				t.Errorf("%s: %s is %v; %s", format, name, got.Headers[name], d.Exchange.Request.Headers)
			}
		}
		if format == delivery.FormatStructured {
			var e cloudevents.Event
			if err := json.Unmarshal(got.Body, &e); err != nil || e.Validate() != nil || e.ID() != "7-7-ab" || string(e.Data()) != `{"n":6}` || got.ContentType != cloudevents.ApplicationCloudEventsJSON {
				t.Errorf("%s %s: %v %v", got.ContentType, got.Body, err, e.Validate())
			}
			continue
		}
		id, has := got.Headers["cloudEvents:id"]
		if string(got.Body) != `{"n":6}` || got.ContentType != "application/json" || has != (format == delivery.FormatBinary) || has && (id != "7-7-ab" || got.Headers["cloudEvents:specversion"] != "1.0" || got.Headers["cloudEvents:type"] != "dev.freshet.event" || got.Headers["cloudEvents:datacontenttype"] != nil) {
			t.Errorf("%s: %+v", format, got)
		}
	}
}

// What a queue refuses is not delivered, and is once it takes it, over the same connection.
func refused(t *testing.T, b *brokers.RabbitMQ) {
	b.Declare(t, "full", rabbit.Table{"x-max-length": int32(1), "x-overflow": "reject-publish"})
	target := brokers.Target(t, amqp.Kind(), config(b, `,"routingKey":"full"`), "", nil, brokers.Env(t))
	ctx := t.Context()
	ch := b.Channel(t)
	n := 0
	for range 50 { // it may take one more than it should, which it counts a little later
		if err := target.Deliver(ctx, brokers.Delivery(n, 1)); err == nil {
			n++
			continue
		} else if !strings.Contains(err.Error(), "basic.nack") {
			t.Fatal(err)
		}
		break
	}
	d := brokers.Delivery(n, 1)
	if err := target.Deliver(ctx, d); err == nil || d.Exchange.Response == nil || !strings.HasPrefix(d.Exchange.Response.Body, "basic.nack") {
		t.Errorf("%v, %+v", err, d.Exchange.Response)
	}
	if _, err := ch.QueuePurge("full", false); err != nil {
		t.Fatal(err)
	}
	d = brokers.Delivery(n, 1)
	if err := target.Deliver(ctx, d); err != nil || d.Exchange.Response.Body == "basic.ack 1 to 1" {
		t.Errorf("%v, %+v", err, d.Exchange.Response)
	}
}

// Of a batch each message goes by itself, all of them are confirmed, and one that no queue takes is told.
func batch(t *testing.T, b *brokers.RabbitMQ) {
	b.Declare(t, "event", nil)
	many := &freshet.Batch{MaxEvents: 300}
	target := brokers.Target(t, amqp.Kind(), config(b, `,"routingKey":"{type}"`), "", many, brokers.Env(t))
	d := brokers.Delivery(0, 300)
	for range 2 { // none is taken the first time
		for i := range d.Messages {
			d.Messages[i].Type = "nothing"
		}
		if err := target.Deliver(t.Context(), d); err == nil || !strings.Contains(err.Error(), "no queue takes") {
			t.Fatal(err)
		}
	}
	for i := range d.Messages {
		d.Messages[i].Type = "event"
	}
	d.Messages[7].Type = "nothing"
	if err := target.Deliver(t.Context(), d); err == nil || !strings.Contains(err.Error(), `routing key "nothing"`) {
		t.Fatal(err)
	}
	d.Messages[7].Type = "event"
	if err := target.Deliver(t.Context(), d); err != nil || d.Exchange.Response.Body != "basic.ack 901 to 1200" || d.Exchange.Request.Size != 10*7+90*8+200*9 {
		t.Fatalf("%v, %+v", err, d.Exchange)
	}
	all := b.Take(t, "event", time.Minute, "all are there", func(all []rabbit.Delivery) bool { return len(all) == 299+300 })
	if got := bodies(all[299:]); !slices.Equal(got, brokers.Numbers(0, 300)) || all[299+5].MessageId != "sub_6-6-ab" {
		t.Errorf("%v", got)
	}
}

// A connection that is gone is made anew, and a closed target makes none.
func anew(t *testing.T, b *brokers.RabbitMQ) {
	b.Declare(t, "anew", nil)
	var conns []net.Conn
	env := brokers.Env(t)
	dial := env.Dial
	env.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		conns = append(conns, conn)
		return conn, err
	}
	target := brokers.Target(t, amqp.Kind(), config(b, `,"routingKey":"anew"`), "", nil, env)
	for n := 0; n < 4; n++ {
		err := target.Deliver(t.Context(), brokers.Delivery(n, 1))
		if err != nil { // it was not noticed yet
			n--
			continue
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

func access(t *testing.T, b *brokers.RabbitMQ) {
	env := brokers.Env(t)
	env.Secrets.Named = map[string]settings.Secret{"right": "guest"}
	b.Declare(t, "access", nil)
	for options, want := range map[string]string{
		`"url":"amqp://` + b.Address + `","password":"s3cret"`:        "the broker does not accept the user and password",
		`"url":"amqp://` + b.Address + `","username":"s3cret"`:        "the broker does not accept the user and password",
		`"url":"amqp://` + b.Address + `/elsewhere"`:                  "there is no such virtual host",
		`"url":"amqp://` + b.Address + `","password":"env:HOME"`:      "password: the environment variable",
		`"url":"amqp://` + b.Address + `/","password":"secret:right"`: "",
		`"url":"amqp://127.0.0.1:1"`:                                  "refused",
		`"url":"amqp://10.1.2.3"`:                                     "egress.allow",
		`"url":"amqp://nowhere.invalid"`:                              "the broker's host is not known",
		`"url":"amqp://` + silent(t) + `","timeout":"PT0.3S"`:         "no answer within PT0.3S",
		`"url":"amqp://` + b.Address + `","exchange":"amq.direct"`:    "no queue takes",
	} {
		d := brokers.Delivery(0, 1)
		err := brokers.Target(t, amqp.Kind(), `{"routingKey":"access",`+options+`}`, "", nil, env).Deliver(t.Context(), d)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", options, err, want)
		}
		if text, _ := json.Marshal(d.Exchange); strings.Contains(fmt.Sprint(err, string(text)), "s3cret") {
			t.Errorf("%s: a secret is in %v, %s", options, err, text)
		}
	}
}

// silent is where something listens that says nothing.
func silent(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

func overTLS(t *testing.T, b *brokers.RabbitMQ) {
	b.Declare(t, "sink-secured", nil)
	env := brokers.Env(t)
	env.Secrets.Files = []string{b.Folder}
	for options, right := range map[string]bool{``: false, `,"tls":{"ca":"file:` + b.Folder + `/cert.pem"}`: true, `,"tls":{"ca":"file:` + b.Folder + `/cert.pem","serverName":"other"}`: false} {
		err := brokers.Target(t, amqp.Kind(), fmt.Sprintf(`{"url":"amqps://%s","routingKey":"sink-secured"%s}`, b.Secured, options), "", nil, env).Deliver(t.Context(), brokers.Delivery(0, 1))
		if (err == nil) != right || err != nil && !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: %v", options, err)
		}
	}
}

// An attempt under way ends with its context, and with a target that is closed.
func TestStops(t *testing.T) {
	t.Parallel()
	target := brokers.Target(t, amqp.Kind(), `{"url":"amqp://`+silent(t)+`"}`, "", nil, brokers.Env(t))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- target.Deliver(ctx, brokers.Delivery(0, 1)) }()
	cancel()
	target.Close()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("it is still under way")
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	const good = `"url":"amqps://a.example/vhost"`
	brokers.Mistakes(t, amqp.Kind(), map[string]string{
		good:                   "",
		`"exchange":"x"`:       "/url: is required",
		`"url":"http://a"`:     "/url: must begin with amqp:// or amqps://",
		`"url":"amqp://a/b/c"`: "/url: a virtual host is one segment of the path",
		`"url":"amqp://u:p@a"`: "/url: a user or password in the URL is not sent",
		good + `,"exchange":"` + strings.Repeat("x", 256) + `"`: "/exchange: must be from 0 to 255",
		good + `,"routingKey":"{id}"`:                           `/routingKey: "{id}" is no placeholder`,
		good + `,"tls":{"enabled":true}`:                        "/tls/enabled: amqps in url says that",
		good + `,"tls":{"cert":"x"}`:                            "/tls/key: a certificate and its key",
		good + `,"retries":["P8D"]`:                             "/retries/0: must be from PT0S to P7D",
		good + `,"timeout":"PT2M"`:                              "/timeout: must be from PT0.1S to PT1M",
		good + `,"mandatory":1`:                                 "/mandatory: ",
		good + `,"persistent":"yes"`:                            "/persistent: ",
		good + `,"queue":"q"`:                                   "/queue: unknown member",
	})
	planned := brokers.Target(t, amqp.Kind(), `{`+good+`,"retries":["PT2S"]}`, "", nil, brokers.Env(t)).(delivery.Planned)
	if schedule, parallel := planned.Plan(); fmt.Sprint(schedule) != "[PT0S PT2S]" || parallel != 1 {
		t.Errorf("%v, %d", schedule, parallel)
	}
	if masked := string(amqp.Kind().Mask(json.RawMessage(`{` + good + `,"password":"s3cret"}`))); strings.Contains(masked, "s3cret") {
		t.Error(masked)
	}
}
