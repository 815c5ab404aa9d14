package amqp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	rabbit "github.com/rabbitmq/amqp091-go"

	"freshet"
	"freshet/internal/flow/source"
	"freshet/internal/flow/source/amqp"
	"freshet/internal/freshettest"
	"freshet/internal/freshettest/brokers"
)

// A broker is a real RabbitMQ.
type broker struct{ *brokers.RabbitMQ }

func (b *broker) config(queue, options string) string {
	return fmt.Sprintf(`{"url":"amqp://%s","queue":%q%s}`, b.Address, queue, options)
}

// A publisher publishes each message until the broker has confirmed it: none is lost, some may come twice.
type publisher struct {
	t       *testing.T
	b       *broker
	channel *rabbit.Channel
	n       int
}

func (p *publisher) publish(queue string, n int) (sent []string) {
	p.t.Helper()
	for range n {
		body := fmt.Sprintf(`{"n":%d}`, p.n)
		id := fmt.Sprint("id-", p.n)
		p.n++
		freshettest.WaitFor(p.t, time.Minute, "a message is confirmed", func() bool {
			if p.channel == nil {
				p.channel = p.b.Channel(p.t)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			confirmed, err := p.channel.PublishWithDeferredConfirmWithContext(ctx, "", queue, false, false, rabbit.Publishing{DeliveryMode: rabbit.Persistent, MessageId: id, Body: []byte(body)})
			if err == nil {
				var ok bool
				ok, err = confirmed.WaitContext(ctx)
				if err == nil && ok {
					return true
				}
			}
			p.channel = nil
			return false
		})
		sent = append(sent, body)
	}
	return sent
}

func connected(t *testing.T, sink *freshettest.Sink, times int) {
	t.Helper()
	freshettest.WaitFor(t, time.Minute, "the source is connected", func() bool { return sink.Fine() >= times })
}

func awaitAll(t *testing.T, sink *freshettest.Sink, want []string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !slices.Equal(brokers.Once(sink.Payloads()), want) {
		if time.Now().After(deadline) {
			got := brokers.Once(sink.Payloads())
			i := 0
			for i < min(len(got), len(want)) && got[i] == want[i] {
				i++
			}
			t.Fatalf("%d messages came, want %d; the first %d are right, then %.100q; faults %v", len(got), len(want), i, got[i:], sink.Faults())
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // for what another process does
	}
}

func TestBroker(t *testing.T) {
	b := &broker{brokers.StartRabbitMQ(t)}
	t.Run("outage", func(t *testing.T) { outage(t, b) })
	t.Run("others", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T, *broker){"cut off": cutOff, "unacknowledged": unacknowledged, "options": options, "poison": poison, "access": access, "TLS": overTLS} {
			t.Run(name, func(t *testing.T) { t.Parallel(); test(t, b) })
		}
	})
}

// A broker that is killed amid messages, and a source that is started anew, lose nothing and repeat nothing.
func outage(t *testing.T, b *broker) {
	const queue = "outage-queue"
	b.Declare(t, queue, nil)
	b.AwaitOnDisk(t, queue)
	env := freshettest.Env(t)
	sink := &freshettest.Sink{}
	run := func() (stop func()) { return freshettest.Run(t, amqp.Kind(), b.config(queue, ""), env, sink) }
	p := &publisher{t: t, b: b}
	want := p.publish(queue, 5)
	stop := run()
	want = append(want, p.publish(queue, 100)...)
	awaitAll(t, sink, want)
	want = append(want, p.publish(queue, 10)...)
	b.Kill()
	p.channel = nil
	time.Sleep(brokers.Away()) //nolint:forbidigo // the broker is away for so long
	b.Restart()
	want = append(want, p.publish(queue, 20)...)
	awaitAll(t, sink, want)
	if f := sink.Faults(); len(f) == 0 || f[0].Code != freshet.FaultConnection {
		t.Errorf("faults %v", f)
	}
	stop()
	want = append(want, p.publish(queue, 10)...) // while nobody reads
	stop = run()
	want = append(want, p.publish(queue, 10)...)
	awaitAll(t, sink, want)
	stop()
	if got := sink.Payloads(); len(got) != len(want) {
		t.Errorf("%d messages, %d of them different", len(got), len(want))
	}
}

// Of a stream nothing is lost or repeated when connections are cut amid messages, the broker cannot be reached
// for a while, and the source is started anew. (RabbitMQ 3.10 does not bring a stream of a single node back
// that was killed, so that is tested with a queue.)
func cutOff(t *testing.T, b *broker) {
	b.Declare(t, "stream", rabbit.Table{"x-queue-type": "stream"})
	env := freshettest.Env(t)
	var mu sync.Mutex
	var conns []net.Conn
	var back time.Time
	dial := env.Dial
	env.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Now().Before(back) {
			return nil, syscall.ECONNREFUSED
		}
		conn, err := dial(ctx, network, address)
		conns = append(conns, conn)
		return conn, err
	}
	cut := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		back = time.Now().Add(d)
		for _, c := range conns {
			_ = c.Close()
		}
		conns = nil
	}
	sink := &freshettest.Sink{}
	run := func() (stop func()) {
		return freshettest.Run(t, amqp.Kind(), b.config("stream", `,"stream":true,"readFrom":"earliest"`), env, sink)
	}
	p := &publisher{t: t, b: b}
	var want []string
	stop := run()
	for range 5 {
		want = append(want, p.publish("stream", 20)...)
		cut(0)
	}
	want = append(want, p.publish("stream", 20)...)
	cut(brokers.Away())
	want = append(want, p.publish("stream", 20)...)
	sink.Await(t, want...)
	stop()
	want = append(want, p.publish("stream", 10)...) // while nobody reads
	stop = run()
	want = append(want, p.publish("stream", 10)...)
	sink.Await(t, want...)
	stop()
}

// A message that was stored but not acknowledged is not stored again, by its message-id.
func unacknowledged(t *testing.T, b *broker) {
	b.Declare(t, "unacknowledged", nil)
	p := &publisher{t: t, b: b}
	env := freshettest.Env(t)
	real := &freshettest.Sink{}
	// The source is stopped as soon as its sink has stored, before it can acknowledge.
	sink := &stopping{Sink: real}
	var mu sync.Mutex
	stopped := make(chan struct{})
	sink.stored = func() {
		mu.Lock()
		defer mu.Unlock()
		select {
		case <-stopped:
		default:
			close(stopped)
		}
		sink.cancel()
	}
	src, err := amqp.Kind().New(json.RawMessage(b.config("unacknowledged", "")), env)
	if err != nil {
		t.Fatal(err)
	}
	want := p.publish("unacknowledged", 20)
	ctx, cancel := context.WithCancel(t.Context())
	sink.cancel = cancel
	if err := src.Run(ctx, sink); err != nil {
		t.Fatal(err)
	}
	<-stopped
	want = append(want, p.publish("unacknowledged", 5)...)
	freshettest.Run(t, amqp.Kind(), b.config("unacknowledged", ""), env, real)
	real.Await(t, want...)
}

type stopping struct {
	*freshettest.Sink
	stored func()
	cancel func()
}

func (s *stopping) Payload(ctx context.Context, ps ...source.Payload) error {
	err := s.Sink.Payload(ctx, ps...)
	s.stored()
	return err
}

func options(t *testing.T, b *broker) {
	env := freshettest.Env(t)
	channel := b.Channel(t)
	if err := channel.ExchangeDeclare("prices", "topic", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	// A queue that is made and bound.
	bound := &freshettest.Sink{}
	freshettest.Run(t, amqp.Kind(), b.config("made", `,"declare":{"durable":false,"autoDelete":true},"bindings":[{"exchange":"prices","routingKey":"eur.#"}]`), env, bound)
	connected(t, bound, 1)
	for _, key := range []string{"usd.a", "eur.a", "eur.b.c"} {
		if err := channel.PublishWithContext(t.Context(), "prices", key, false, false, rabbit.Publishing{Body: []byte(`"` + key + `"`)}); err != nil {
			t.Fatal(err)
		}
	}
	bound.Await(t, `"eur.a"`, `"eur.b.c"`)

	// A stream from now on, and from its beginning.
	p := &publisher{t: t, b: b}
	b.Declare(t, "news", rabbit.Table{"x-queue-type": "stream"})
	old := p.publish("news", 3)
	latest, earliest := &freshettest.Sink{}, &freshettest.Sink{}
	freshettest.Run(t, amqp.Kind(), b.config("news", `,"stream":true`), env, latest)
	freshettest.Run(t, amqp.Kind(), b.config("news", `,"stream":true,"readFrom":"earliest"`), env, earliest)
	connected(t, latest, 1)
	earliest.Await(t, old...)
	more := p.publish("news", 2)
	latest.Await(t, more...)
	earliest.Await(t, append(old, more...)...)

	// A stream that is taken for a queue would lose what comes while nobody reads.
	mistaken := &freshettest.Sink{}
	freshettest.Run(t, amqp.Kind(), b.config("news", ""), env, mistaken)
	connected(t, mistaken, 1)
	p.publish("news", 1)
	freshettest.WaitFor(t, 30*time.Second, "the fault that it is a stream", func() bool {
		f := mistaken.Faults()
		return len(f) > 0 && f[0].Code == freshet.FaultConfig && strings.Contains(f[0].Message, "stream must be true")
	})
	if got := mistaken.Payloads(); len(got) > 0 {
		t.Errorf("it took %q", got)
	}

	// No more messages ahead than prefetch says.
	b.Declare(t, "slow", nil)
	slow := &freshettest.Sink{Refuse: func(source.Payload) error { return freshet.ErrUnavailable }}
	p.publish("slow", 10)
	freshettest.Run(t, amqp.Kind(), b.config("slow", `,"prefetch":3`), env, slow)
	connected(t, slow, 1)
	freshettest.WaitFor(t, 30*time.Second, "three messages are with the source and seven in the queue", func() bool {
		q, err := channel.QueueDeclarePassive("slow", true, false, false, false, nil)
		return err == nil && q.Messages == 7
	})
}

func poison(t *testing.T, b *broker) {
	b.Declare(t, "poison", nil)
	env := freshettest.Env(t)
	env.Limit = 100
	channel := b.Channel(t)
	for _, body := range []string{`1`, `no JSON`, `"` + strings.Repeat("x", 200) + `"`, `2`} {
		if err := channel.PublishWithContext(t.Context(), "", "poison", false, false, rabbit.Publishing{Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	sink := &freshettest.Sink{}
	stop := freshettest.Run(t, amqp.Kind(), b.config("poison", ""), env, sink)
	sink.Await(t, "1", "2")
	var codes []int
	for _, f := range sink.Faults() {
		codes = append(codes, f.Code)
	}
	if !slices.Equal(codes, []int{freshet.FaultFormat, freshet.FaultSize}) {
		t.Errorf("faults %v", sink.Faults())
	}
	freshettest.WaitFor(t, 10*time.Second, "all is acknowledged", func() bool {
		stop()
		q, err := channel.QueueDeclarePassive("poison", true, false, false, false, nil)
		return err == nil && q.Messages == 0
	})
}

func access(t *testing.T, b *broker) {
	b.Declare(t, "plain", nil)
	env := freshettest.Env(t)
	for options, want := range map[string]int{
		`"queue":"plain","password":"s3cret"`:                        70401,
		`"queue":"plain","username":"s3cret"`:                        70401,
		`"queue":"none"`:                                             70404,
		`"queue":"plain","bindings":[{"exchange":"none"}]`:           70404,
		`"queue":"plain","declare":{"durable":false}`:                freshet.FaultConfig,
		`"queue":"plain","password":"env:HOME"`:                      freshet.FaultConfig,
		`"queue":"plain","url":"amqp://` + b.Address + `/elsewhere"`: 70403,
	} {
		config := `{` + options + `}`
		if !strings.Contains(options, `"url"`) {
			config = `{"url":"amqp://` + b.Address + `/",` + options + `}`
		}
		sink := &freshettest.Sink{}
		stop := freshettest.Run(t, amqp.Kind(), config, env, sink)
		freshettest.WaitFor(t, 30*time.Second, "a fault is told", func() bool { return len(sink.Faults()) > 0 })
		if f := sink.Faults()[0]; f.Code != want || strings.Contains(f.Message, "s3cret") {
			t.Errorf("%s: %v, want %d", options, f, want)
		}
		stop()
	}
	// A queue that is deleted is told, and waited for.
	b.Declare(t, "shortlived", nil)
	sink := &freshettest.Sink{}
	freshettest.Run(t, amqp.Kind(), b.config("shortlived", ""), env, sink)
	connected(t, sink, 1)
	if _, err := b.Channel(t).QueueDelete("shortlived", false, false, false); err != nil {
		t.Fatal(err)
	}
	freshettest.WaitFor(t, 30*time.Second, "a fault is told", func() bool { return len(sink.Faults()) > 0 })
	if f := sink.Faults()[0]; f.Code != 70404 {
		t.Error(f)
	}
	b.Declare(t, "shortlived", nil)
	connected(t, sink, 2)
}

func overTLS(t *testing.T, b *broker) {
	b.Declare(t, "secured", nil)
	env := freshettest.Env(t)
	env.Secrets.Files = []string{b.Folder}
	(&publisher{t: t, b: b}).publish("secured", 1)
	untrusted, trusted := &freshettest.Sink{}, &freshettest.Sink{}
	stop := freshettest.Run(t, amqp.Kind(), fmt.Sprintf(`{"url":"amqps://%s","queue":"secured"}`, b.Secured), env, untrusted)
	freshettest.WaitFor(t, 30*time.Second, "a fault is told", func() bool { return len(untrusted.Faults()) > 0 })
	if f := untrusted.Faults()[0]; !strings.Contains(f.Message, "certificate is not trusted") {
		t.Error(f)
	}
	stop()
	freshettest.Run(t, amqp.Kind(), fmt.Sprintf(`{"url":"amqps://%s","queue":"secured","tls":{"ca":"file:%s/cert.pem"}}`, b.Secured, b.Folder), env, trusted)
	trusted.Await(t, `{"n":0}`)
}

// Nothing but the guard's ways are used.
func TestEgress(t *testing.T) {
	sink := &freshettest.Sink{}
	freshettest.Run(t, amqp.Kind(), `{"url":"amqp://10.1.2.3","queue":"q"}`, freshettest.Env(t), sink)
	freshettest.WaitFor(t, 20*time.Second, "a fault is told", func() bool { return len(sink.Faults()) > 0 })
	if f := sink.Faults()[0]; f.Code != freshet.FaultConfig || !strings.Contains(f.Message, "egress.allow") {
		t.Error(f)
	}
}

func TestConfig(t *testing.T) {
	const good = `"url":"amqps://a.example/vhost","queue":"q"`
	for options, want := range map[string]string{
		good:                               "",
		`"queue":"q"`:                      "/url: is required",
		`"url":"amqp://a"`:                 "/queue: is required",
		`"url":"http://a","queue":"q"`:     "/url: must begin with amqp:// or amqps://",
		`"url":"amqp://u:p@a","queue":"q"`: "/url: a user or password in the URL is not sent: they are the members username and password",
		good + `,"prefetch":201`:           "/prefetch: must be from 1 to 200",
		good + `,"readFrom":"now"`:         "/readFrom: must be earliest or latest",
		good + `,"stream":true,"declare":{"exclusive":true}`:    "/declare: a stream is durable",
		good + `,"readFrom":"earliest"`:                         "/readFrom: is of no use without stream",
		good + `,"readFrom":"latest"`:                           "",
		good + `,"stream":true,"readFrom":"earliest"`:           "",
		`"url":"amqp://a/v?heartbeat=5","queue":"q"`:            "/url: there is nothing after the virtual host",
		`"url":"amqp://a#x","queue":"q"`:                        "/url: there is nothing after the virtual host",
		`"url":"amqp://a","queue":"q","tls":{"serverName":"x"}`: "/url: with TLS it begins with amqps://",
		`"url":"amqp://a/b/c","queue":"q"`:                      "/url: a virtual host is one segment of the path: write a slash in its name as %2F",
		`"url":"amqp://a/b%2Fc","queue":"q"`:                    "",
		`"url":"amqp://a/%2F","queue":"q"`:                      "",
		`"url":"amqp://a/","queue":"q"`:                         "",
		good + `,"bindings":[{}]`:                               "/bindings/0/exchange: is required",
		good + `,"tls":{"enabled":true}`:                        "/tls/enabled: amqps in url says that",
	} {
		got := amqp.Kind().Check(json.RawMessage(`{` + options + `}`))
		if (want == "") != (got == nil) || want != "" && (len(got) != 1 || !strings.HasPrefix(got[0].Pointer+": "+got[0].Detail, want)) {
			t.Errorf("%s: %v, want %s", options, got, want)
		}
	}
}
