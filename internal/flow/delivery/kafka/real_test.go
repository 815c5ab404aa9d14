package kafka_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"freshet"
	"freshet/client"
	"freshet/internal/app"
	"freshet/internal/flow/delivery"
	"freshet/internal/freshettest/brokers"
	"freshet/internal/freshettest/gateway"
	"freshet/internal/settings"
)

// secured are the options of TLS for a broker that wants a certificate.
func secured(b *brokers.Kafka) string {
	return fmt.Sprintf(`,"tls":{"enabled":true,"ca":"file:%s","cert":"file:%s","key":"file:%s"}`, b.Cert, b.Cert, filepath.Join(filepath.Dir(b.Cert), "key.pem"))
}

// TestBroker is against Apache Kafka.
func TestBroker(t *testing.T) {
	t.Parallel()
	b := brokers.StartKafka(t) // once: it takes its time
	t.Run("logins", func(t *testing.T) { logins(t, b) })
	t.Run("killed", func(t *testing.T) { killedBroker(t, b) })
}

// logins tries each way to log in, and what the broker says to those that are wrong.
func logins(t *testing.T, b *brokers.Kafka) {
	c := connect(t, b.Plain)
	brokers.CreateTopic(t, c.client, "prices", 1)
	env := brokers.Env(t)
	env.Secrets = settings.Vault{Files: []string{filepath.Dir(b.Cert)}, Named: map[string]settings.Secret{"password": "swordfish"}}
	n := 0
	for _, tt := range []struct{ name, servers, options, wrong string }{
		{"plain", b.Plain, ``, ""},
		{"PLAIN", b.SASL, `,"sasl":{"mechanism":"PLAIN","username":"p","password":"` + brokers.KafkaPassword + `"}`, ""},
		{"PLAIN, wrong", b.SASL, `,"sasl":{"mechanism":"PLAIN","username":"p","password":"x"}`, "the brokers do not take the credentials of sasl"},
		{"SCRAM-SHA-256", b.SASL, `,"sasl":{"mechanism":"SCRAM-SHA-256","username":"s256","password":"secret:password"}`, ""},
		{"SCRAM-SHA-256 over TLS", b.TLS, `,"sasl":{"mechanism":"SCRAM-SHA-256","username":"s256","password":"swordfish"}` + secured(b), ""},
		{"SCRAM-SHA-512 over TLS", b.TLS, `,"sasl":{"mechanism":"SCRAM-SHA-512","username":"s512","password":"swordfish"}` + secured(b), ""},
		{"SCRAM-SHA-512, wrong", b.TLS, `,"sasl":{"mechanism":"SCRAM-SHA-512","username":"s512","password":"x"}` + secured(b), "the brokers do not take the credentials of sasl"},
		{"OAUTHBEARER", b.SASL, `,"sasl":{"mechanism":"OAUTHBEARER","token":"` + brokers.KafkaToken(time.Now().Add(time.Hour)) + `"}`, ""},
		{"OAUTHBEARER, expired", b.SASL, `,"sasl":{"mechanism":"OAUTHBEARER","token":"` + brokers.KafkaToken(time.Now().Add(-time.Hour)) + `"}`, "the brokers do not take the credentials of sasl"},
		{"no SASL there", b.Plain, `,"sasl":{"mechanism":"PLAIN","username":"p","password":"x"}`, "the brokers do not offer that sasl.mechanism"},
		{"an authority that does not vouch", b.TLS, `,"sasl":{"mechanism":"SCRAM-SHA-256","username":"s256","password":"swordfish"},"tls":{"enabled":true}`, "certificate"},
		{"too large for the broker", b.Plain, `,"maxRequestSize":"4MiB"`, "a record is larger than maxRequestSize or the brokers allow"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := brokers.Delivery(n, 2)
			if strings.HasPrefix(tt.name, "too large") {
				d.Messages[0].Data = []byte(`"` + strings.Repeat("x", 2<<20) + `"`)
			}
			at := &cluster{t: t, servers: tt.servers}
			err := at.targetIn(tt.options, delivery.FormatBinary, env).Deliver(t.Context(), d)
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) || strings.Contains(err.Error(), "swordfish") {
					t.Errorf("%v, want %s", err, tt.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("partition 0 offset %d\npartition 0 offset %d", n, n+1); d.Exchange.Response.Body != want {
				t.Errorf("%+v, want %s", d.Exchange.Response, want)
			}
			if text, _ := json.Marshal(d.Exchange); strings.Contains(string(text), "swordfish") {
				t.Errorf("a secret is in %s", text)
			}
			n += 2
		})
	}
	for i, r := range c.read("prices", 1, n) {
		if string(r.Value) != fmt.Sprintf(`{"n":%d}`, i) || headers(r)["ce_specversion"] != "1.0" {
			t.Errorf("record %d is %s %v", i, r.Value, headers(r))
		}
	}
}

// killedBroker kills Apache Kafka, which is reached with SCRAM over TLS, while Freshet delivers to it: nothing is
// lost, nothing is there twice, and the events of each key are in their order.
func killedBroker(t *testing.T, b *brokers.Kafka) {
	c := connectSecurely(t, b)
	brokers.CreateTopic(t, c.client, "singles", 3)
	g := gateway.Start(t, app.Config{Secrets: app.SecretsConfig{Files: []string{filepath.Dir(b.Cert)}}})
	g.Topic("prices", freshet.KindEvent)
	config := c.config(`,"keyPointer":"/k","timeout":"PT2S","retries":["PT0.5S","PT1S","PT1S","PT1S","PT2S","PT2S","PT5S","PT5S","PT5S","PT5S","PT5S","PT5S","PT5S","PT5S"],"sasl":{"mechanism":"SCRAM-SHA-512","username":"s512","password":"swordfish"}` + secured(b))
	brokers.CreateTopic(t, c.client, "batches", 3)
	g.Subscribe("prices", "single", "kafka", strings.Replace(config, `"topic":"prices"`, `"topic":"singles"`, 1), "")
	g.Subscribe("prices", "batched", "kafka", strings.Replace(config, `"topic":"prices"`, `"topic":"batches"`, 1), `"batch":{"maxEvents":50},"format":"cloudevents-structured"`)

	stop := make(chan struct{})
	n := 0
	var posting sync.WaitGroup
	posting.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(25 * time.Millisecond):
				g.Post("prices", map[string]any{"k": fmt.Sprint("key", n%7), "n": n})
				n++
			}
		}
	})
	some := func(what string) {
		t.Helper()
		for _, id := range []freshet.SubscriptionID{"single", "batched"} {
			s, _, err := g.Subscription(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			had, _ := freshet.ParsePosition(s.Progress.EventID)
			g.Await(id, 2*time.Minute, what, func(p *freshet.Progress) bool {
				at, _ := freshet.ParsePosition(p.EventID)
				return at.Revision > had.Revision+40
			})
		}
	}
	some("events are delivered")
	b.Kill()
	g.Await("single", time.Minute, "it is noticed", func(p *freshet.Progress) bool { return p.Attempts > 0 })
	time.Sleep(brokers.Away())
	b.Restart()
	some("events are delivered after the broker was killed")
	close(stop)
	posting.Wait()
	for _, id := range []freshet.SubscriptionID{"single", "batched"} {
		g.Await(id, time.Minute, "all is delivered", func(p *freshet.Progress) bool { return p.Lag == 0 })
	}
	for topic, format := range map[string]string{"singles": delivery.FormatRaw, "batches": delivery.FormatStructured} {
		inOrder(t, c.read(topic, 3, n), n, format)
	}
	failed := false
	for e, err := range g.Exchanges(t.Context(), "single", client.ExchangeOptions{Outcome: delivery.OutcomeFailed, Since: time.Now().Add(-10 * time.Minute)}) {
		if err != nil {
			t.Fatal(err)
		}
		if failed = true; strings.Contains(e.Error, "swordfish") || !strings.HasPrefix(e.Request.To, "kafka://") {
			t.Errorf("%+v", e)
		}
	}
	if !failed {
		t.Error("no attempt that failed is in the log")
	}
	t.Logf("%d events", n)
}

// inOrder checks that each of n events is there once, and those of a key are in one partition and in their order.
func inOrder(t *testing.T, records []*kgo.Record, n int, format string) {
	t.Helper()
	last, of := map[string]int{}, map[string]int32{}
	seen := make([]bool, n)
	for _, r := range records {
		var e struct {
			K string
			N int
		}
		value := r.Value
		if format == delivery.FormatStructured {
			var envelope struct{ Data json.RawMessage }
			if err := json.Unmarshal(value, &envelope); err != nil {
				t.Fatal(err)
			}
			value = envelope.Data
		}
		if err := json.Unmarshal(value, &e); err != nil {
			t.Fatal(err)
		}
		if had, ok := last[e.K]; ok && (had >= e.N || of[e.K] != r.Partition) || string(r.Key) != e.K {
			t.Errorf("%s of key %s in partition %d comes after %d in partition %d", value, r.Key, r.Partition, had, of[e.K])
		}
		last[e.K], of[e.K], seen[e.N] = e.N, r.Partition, true
	}
	for i, there := range seen {
		if !there {
			t.Errorf("event %d is lost", i)
		}
	}
}

func connectSecurely(t *testing.T, b *brokers.Kafka) *cluster {
	t.Helper()
	folder := filepath.Dir(b.Cert)
	own, err := tls.LoadX509KeyPair(b.Cert, filepath.Join(folder, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(b.Cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return connect(t, b.TLS, kgo.DialTLSConfig(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{own}}), kgo.SASL(scram.Auth{User: "s512", Pass: "swordfish"}.AsSha512Mechanism()))
}
