package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"freshet"
	"freshet/internal/flow/source/kafka"
	"freshet/internal/freshettest"
	"freshet/internal/freshettest/brokers"
	"freshet/internal/settings"
)

// TestBroker is against Apache Kafka.
func TestBroker(t *testing.T) {
	t.Parallel()
	b := brokers.StartKafka(t)
	c := connect(t, b.Plain)
	brokers.CreateTopic(t, c.client, "prices", 1)
	c.write("1", "2")

	t.Run("read, and read on", func(t *testing.T) {
		to := &freshettest.Sink{}
		stop := c.run(`,"readFrom":"earliest"`, to)
		to.Await(t, "1", "2")
		began := time.Now()
		stop()
		if took := time.Since(began); took > time.Second {
			t.Errorf("stopping took %v", took)
		}
		if got := c.committed("topicid"); got != 2 {
			t.Errorf("committed: %d", got)
		}
		began = time.Now()
		stop = c.run(``, to)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("a static member took %v to be back", took)
		}
		c.write("3")
		to.Await(t, "1", "2", "3")
		stop()
		c.commit("topicid", 0)
		c.write("4")
		c.run(``, to)
		to.Await(t, "1", "2", "3", "4")
	})

	for _, tt := range []struct {
		name, servers, sasl string
		code                int
		words               string
	}{
		{"PLAIN", b.SASL, `"mechanism":"PLAIN","username":"p","password":"` + brokers.KafkaPassword + `"`, 0, ""},
		{"PLAIN, wrong", b.SASL, `"mechanism":"PLAIN","username":"p","password":"x"`, freshet.FaultHTTP + 401, "do not take the credentials"},
		{"SCRAM-SHA-256", b.SASL, `"mechanism":"SCRAM-SHA-256","username":"s256","password":"swordfish"`, 0, ""},
		{"SCRAM-SHA-256, wrong", b.SASL, `"mechanism":"SCRAM-SHA-256","username":"s256","password":"x"`, freshet.FaultHTTP + 401, "do not take the credentials"},
		{"SCRAM-SHA-512", b.SASL, `"mechanism":"SCRAM-SHA-512","username":"s512","password":"swordfish"`, 0, ""},
		{"OAUTHBEARER", b.SASL, `"mechanism":"OAUTHBEARER","token":"` + brokers.KafkaToken(time.Now().Add(time.Hour)) + `"`, 0, ""},
		{"OAUTHBEARER, expired", b.SASL, `"mechanism":"OAUTHBEARER","token":"` + brokers.KafkaToken(time.Now().Add(-time.Hour)) + `"`, freshet.FaultHTTP + 401, "do not take the credentials"},
		{"PLAIN over TLS", b.TLS, `"mechanism":"PLAIN","username":"p","password":"` + brokers.KafkaPassword + `"`, 0, ""},
		{"no SASL there", b.Plain, `"mechanism":"PLAIN","username":"p","password":"x"`, freshet.FaultConfig, "do not offer that sasl.mechanism"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			more := `,"readFrom":"earliest","consumerProperties":{"group.id":"` + filepath.Base(t.Name()) + `"},"sasl":{` + tt.sasl + `}`
			if tt.servers == b.TLS {
				more += fmt.Sprintf(`,"tls":{"enabled":true,"ca":"file:%s","cert":"file:%s","key":"file:%s"}`, b.Cert, b.Cert, filepath.Join(filepath.Dir(b.Cert), "key.pem"))
			}
			env := freshettest.Env(t)
			env.Secrets = settings.Vault{Files: []string{filepath.Dir(b.Cert)}}
			to := &freshettest.Sink{}
			freshettest.Run(t, kafka.Kind(), (&cluster{servers: tt.servers}).config(more), env, to)
			if tt.code != 0 {
				awaitFault(t, to, tt.code, tt.words)
				return
			}
			freshettest.WaitFor(t, time.Minute, "the records come", func() bool { return len(to.Payloads()) >= 2 })
		})
	}
}

// TestKilledBroker kills Apache Kafka amid a stream, and the source too: nothing is lost, and nothing comes
// twice.
func TestKilledBroker(t *testing.T) {
	t.Parallel()
	away := 5 * time.Second
	if os.Getenv("FRESHET_TEST_ALL") != "" {
		away = 30 * time.Second
	}
	b := brokers.StartKafka(t)
	c := connect(t, b.Plain)
	brokers.CreateTopic(t, c.client, "prices", 3)
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	written := make(chan int)
	go func() { // one after the other to each partition in turn, each until it is confirmed
		n := 0
		for ; ctx.Err() == nil; n++ {
			record := &kgo.Record{Partition: int32(n % 3), Value: fmt.Appendf(nil, `{"n":%d}`, n)}
			if err := c.client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
				t.Errorf("write: %v", err)
				break
			}
			time.Sleep(time.Millisecond)
		}
		written <- n
	}()

	to := &freshettest.Sink{}
	const more = `,"readFrom":"earliest","consumerProperties":{"auto.commit.interval.ms":3600000}`
	env := freshettest.Env(t)
	some := func(what string) {
		t.Helper()
		before := len(to.Payloads())
		freshettest.WaitFor(t, 2*time.Minute, what, func() bool { return len(to.Payloads()) > before+100 })
	}
	lines := &lines{dial: env.Dial}
	env.Dial = lines.Dial
	stop := c.runIn(env, more, to)
	some("records are read")

	lines.cut() // so that the source ends as if it were killed: without a commit
	stop()
	if got := c.committed("topicid"); got > 0 {
		t.Fatalf("committed: %d", got)
	}
	lines.mend()
	stop = c.runIn(env, more, to)
	some("records are read after the source was killed")

	b.Kill()
	awaitFault(t, to, freshet.FaultConnection, "")
	time.Sleep(away)
	b.Restart()
	some("records are read after the broker was killed")

	b.Kill()
	lines.cut()
	stop()
	b.Restart()
	lines.mend()
	c.runIn(env, more, to)
	some("records are read after both were killed")

	enough()
	n := <-written
	freshettest.WaitFor(t, time.Minute, "all are read", func() bool { return len(to.Payloads()) >= n })
	next := [3]int{0, 1, 2}
	for _, p := range to.Payloads() {
		var i int
		if _, err := fmt.Sscanf(p, `{"n":%d}`, &i); err != nil || i != next[i%3] {
			t.Fatalf("of partition %d came %s; want %d", i%3, p, next[i%3])
		}
		next[i%3] += 3
	}
	if got := len(to.Payloads()); got != n {
		t.Errorf("%d of %d", got, n)
	}
	t.Logf("%d records", n)
}

// lines are connections that can be cut.
type lines struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu   sync.Mutex
	down bool
	all  []net.Conn
}

func (l *lines) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, errors.New("the line is cut")
	}
	conn, err := l.dial(ctx, network, address)
	if err == nil {
		l.all = append(l.all, conn)
	}
	return conn, err
}

func (l *lines) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for _, conn := range l.all {
		_ = conn.Close()
	}
	l.all = nil
}

func (l *lines) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}
